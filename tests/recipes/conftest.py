import shutil
from pathlib import Path
from typing import Any

import pytest

from burnish.recipes.load import Recipe, load
from burnish.recipes.stages import METHODS, Input, Method
from recipes import fakes

FAKES = "recipes.fakes"
DATA = Input("groups", "demonstration", several=True)


@pytest.fixture(autouse=True)
def fake_methods(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Three methods more: `write` trains nothing, `answer` gives records, `judge` takes several models."""
    made = {
        "write": Method(
            f"{FAKES}:write",
            f"{FAKES}:WriteConfig",
            {"model": Input("model"), "data": DATA, "reference": Input("model")},
            (("model", "data"),),
            {"model": "model"},
        ),
        "answer": Method(
            f"{FAKES}:answer",
            f"{FAKES}:WriteConfig",
            {"model": Input("model")},
            (("model",),),
            {"groups": "answers.jsonl"},
        ),
        "judge": Method(
            f"{FAKES}:judge",
            "burnish.methods.evaluate:EvaluateConfig",
            {
                "models": Input("model", several=True),
                "by": Input("by"),
                "prompts": Input("groups", "prompt", several=True),
            },
            (("models", "by"),),
            {},
        ),
    }
    for name, method in made.items():
        monkeypatch.setitem(METHODS, name, method)
    fakes.CALLS.clear()
    return fakes.CALLS


class Workplace:
    """A folder with a model, a data file and a recipe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "recipe.yaml"
        self.out = path / "run"
        (path / "model").mkdir()
        (path / "model/config.json").write_text("{}")
        (path / "data.jsonl").write_text('{"prompt": "a", "response": "b"}\n')

    def load(self, text: str, settings: dict[str, Any] | None = None) -> Recipe:
        self.file.write_text(text)
        return load(self.file, settings)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path)


@pytest.fixture
def hub(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local hub cache with two commits of someone/tiny, "a" × 40 the one that is current: `refs/main` says so."""
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / "models--someone--tiny"
    for letter in "ab":
        shutil.copytree(tiny_model, repository / "snapshots" / (letter * 40))
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(cache))
    return repository
