"""Whatever lies in a folder of a model, it is taken for whole or refused with an error of ours, before it is loaded."""

import json
import shutil
from pathlib import Path

import pytest
from fuzz import bounded, damaged, edits, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.models.files import check_model_directory

FILES = ["config.json", "model.safetensors", "tokenizer_config.json", "model.safetensors.index.json"]
INDEX = json.dumps({"metadata": {}, "weight_map": {"a": "model.safetensors"}})


@pytest.fixture(scope="module")
def whole(tiny_model: Path) -> dict[str, bytes]:
    files = {name: (tiny_model / name).read_bytes() for name in FILES[:3]}
    return files | {FILES[3]: INDEX.encode()}


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path_factory.mktemp("fuzzed") / "model"))


@fuzzed(80)
@given(name=st.sampled_from(FILES), harm=edits, cut=st.integers(64, 4096))
def test_a_model_of_which_a_file_was_damaged(whole: dict[str, bytes], folder: Path, name: str, harm, cut: int):
    for file, content in whole.items():
        (folder / file).write_bytes(content)
    head, rest = whole[name][:cut], whole[name][cut:]  # most of a safetensors file is numbers, which say nothing
    (folder / name).write_bytes(damaged(head, harm) + rest)
    with bounded("models"):
        try:
            check_model_directory(folder)
        except BurnishError:
            return
