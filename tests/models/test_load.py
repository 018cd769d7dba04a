"""A model directory is loaded when it is whole, safe and what it is taken for; else the error says what is wrong."""

import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaForSequenceClassification

from burnish.errors import ConfigError, DataError, MissingInput
from burnish.models.load import Placement, fresh_policy, load_policy, load_scorer

Edit = Callable[[Path], object]


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may break."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def header_of(path: Path) -> tuple[dict[str, dict[str, list[int]]], bytes]:
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_header(path: Path, header: object, data: bytes) -> None:
    told = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(told)) + told + data)


# What is missing


def test_a_whole_directory_is_loaded(folder: Path):
    policy = load_policy(folder)
    assert policy.packed
    assert policy.source == str(folder)


@pytest.mark.parametrize(
    "names, told",
    [
        (["config.json"], r"config\.json missing; found .*model\.safetensors"),
        (["tokenizer.json"], r"tokenizer\.json \(or tokenizer\.model, vocab\.json\) missing"),
        (["model.safetensors"], r"model\.safetensors missing"),
        (["config.json", "tokenizer.json"], r"config\.json, tokenizer\.json .* missing"),
    ],
)
def test_missing_files_are_named(folder: Path, names: list[str], told: str):
    for name in names:
        (folder / name).unlink()
    with pytest.raises(MissingInput, match=f"{folder.name}: not a model directory: .*{told}"):
        load_policy(folder)


def test_an_empty_directory_is_no_model(tmp_path: Path):
    with pytest.raises(MissingInput, match=r"config\.json, .*, model\.safetensors missing; found nothing"):
        load_policy(tmp_path)


def test_a_path_that_is_not_there_is_not_asked_of_the_hub(tmp_path: Path):
    with pytest.raises(MissingInput, match="no such model directory"):
        load_policy(tmp_path / "absent")


def test_a_file_is_no_model(folder: Path):
    with pytest.raises(MissingInput, match="a model is a directory"):
        load_policy(folder / "config.json")


def test_a_hub_id_that_cannot_be_reached_says_how_to_download_it():
    with pytest.raises(MissingInput, match="hf download nobody/nothing --local-dir"):
        load_policy("nobody/nothing")


def test_a_hub_id_in_the_local_cache_is_checked_as_a_directory_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = Path(shutil.copytree(folder, repository / "snapshots" / commit))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert load_policy("someone/tiny").packed
    edit_json(snapshot / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"})
    with pytest.raises(ConfigError, match="auto_map"):
        load_policy("someone/tiny")


# What could run code


def test_weights_only_as_pickle_are_refused_with_the_way_to_convert_them(folder: Path):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(ConfigError, match=r"only as pickle \(pytorch_model\.bin\).*save_pretrained\(OUT\)"):
        load_policy(folder)


@pytest.mark.parametrize(
    "file, changes",
    [
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}),
        ("config.json", {"text_config": {"deep": [{"auto_map": {"AutoConfig": "evil.Config"}}]}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}),
    ],
)
def test_a_directory_that_asks_to_run_its_code_is_refused(folder: Path, file: str, changes: dict[str, object]):
    edit_json(folder / file, **changes)
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ConfigError, match=rf"{file}: `auto_map` asks to run Python code"):
        load_policy(folder)
    if file == "config.json":
        with pytest.raises(ConfigError, match="auto_map"):
            fresh_policy(folder, Placement(), seed=0)


@pytest.mark.parametrize("weights", [True, False])
def test_an_adapter_is_no_model_even_beside_weights(folder: Path, weights: bool):
    """Transformers would load whatever base model the adapter names, in place of what is here."""
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}))
    if not weights:
        (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match=r"a LoRA adapter .*take the merged `model/` folder"):
        load_policy(folder)


# What is damaged


def test_truncated_weights_are_told_by_their_size(folder: Path):
    file = folder / "model.safetensors"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-100])
    told = f"corrupt safetensors: cut or too long: {size - 100} bytes, its header says {size}"
    with pytest.raises(DataError, match=told):
        load_policy(folder)


def test_a_file_shorter_than_a_header_is_corrupt(folder: Path):
    (folder / "model.safetensors").write_bytes(b"abc")
    with pytest.raises(DataError, match="corrupt safetensors: 3 bytes, too short for a header"):
        load_policy(folder)


def test_a_huge_header_is_not_read(folder: Path):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 200 * 1024 * 1024) + b"{}")
    with pytest.raises(DataError, match="corrupt safetensors: its header claims 209715200 bytes"):
        load_policy(folder)


@pytest.mark.parametrize("shift", [-4, 4])
def test_tensors_that_overlap_or_leave_a_gap_are_corrupt(folder: Path, shift: int):
    header, data = header_of(folder / "model.safetensors")
    name = next(name for name in header if name != "__metadata__" and header[name]["data_offsets"][0] > 0)
    header[name]["data_offsets"][0] += shift
    write_header(folder / "model.safetensors", header, data)
    with pytest.raises(DataError, match="corrupt safetensors: tensors overlap or leave a gap"):
        load_policy(folder)


@pytest.mark.parametrize(
    "header", [[], {"a": {}}, {"a": 3}, {"a": {"data_offsets": [0]}}, {"a": {"data_offsets": ["x", None]}}]
)
def test_a_header_that_says_nothing_of_use_is_corrupt(folder: Path, header: object):
    write_header(folder / "model.safetensors", header, b"")
    with pytest.raises(DataError, match="corrupt safetensors: unreadable header"):
        load_policy(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text, told", [("{", "not JSON"), ("[]", "a JSON object is expected, this is a list")])
def test_json_that_is_none_is_told_with_its_file(folder: Path, file: str, text: str, told: str):
    (folder / file).write_text(text)
    with pytest.raises(DataError, match=rf"{file}: {told}"):
        load_policy(folder)


def test_a_damaged_tokenizer_is_told(folder: Path):
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "Nonsense"}}')
    with pytest.raises(DataError, match="transformers cannot load it"):
        load_policy(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "no-such-model"},
        {"hidden_size": "wide"},
        {"num_attention_heads": 0},
    ],
)
def test_a_config_that_does_not_fit_is_told(folder: Path, changes: dict[str, object]):
    edit_json(folder / "config.json", **changes)
    with pytest.raises(DataError, match=f"{folder.name}: transformers cannot load it: "):
        load_policy(folder)


def test_weights_of_other_shapes_are_named(folder: Path):
    edit_json(folder / "config.json", intermediate_size=48)
    told = (
        r"6 tensors do not have the shapes of config\.json: .*down_proj\.weight is \(32, 64\) in the file and \(32, 48"
    )
    with pytest.raises(DataError, match=told):
        load_policy(folder)


def test_weights_that_are_not_in_the_files_are_told_and_not_drawn(folder: Path):
    header, data = header_of(folder / "model.safetensors")
    last = max((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"][0])
    start = header.pop(last)["data_offsets"][0]
    write_header(folder / "model.safetensors", header, data[:start])
    with pytest.raises(DataError, match=rf"weights missing for 1 tensors, .*{last}"):
        load_policy(folder)


def test_missing_shards_are_named(folder: Path):
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingInput, match=r"1 of 2 weight files missing: model-00002-of-00002\.safetensors"):
        load_policy(folder)


def test_a_shard_outside_the_directory_is_refused(folder: Path):
    index = {"metadata": {}, "weight_map": {"a": "../../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"a file outside the model's directory: '\.\./\.\./elsewhere"):
        load_policy(folder)


# What does not fit together


def test_a_tokenizer_larger_than_the_embedding_is_refused_with_both_sizes(folder: Path):
    smaller = load_policy(folder).model
    smaller.resize_token_embeddings(200)
    smaller.config.pad_token_id = smaller.config.eos_token_id = None
    smaller.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"258 tokens and the embedding 200 rows.*resize_embeddings: true"):
        load_policy(folder)
    policy = load_policy(folder, Placement(resize_embeddings=True))
    assert policy.model.get_input_embeddings().weight.shape[0] == 258
    assert policy.packed


def test_a_language_model_is_no_reward_model(tiny_model: Path):
    with pytest.raises(ConfigError, match="not a reward model: its config says LlamaForCausalLM"):
        load_scorer(tiny_model)


def test_a_classifier_of_two_labels_is_no_reward_model(folder: Path):
    config = load_policy(folder).model.config
    config.num_labels = 2
    LlamaForSequenceClassification(config).save_pretrained(folder)
    with pytest.raises(ConfigError, match="a reward model has one label, this classifier has 2"):
        load_scorer(folder)


def test_a_reward_model_whose_head_is_not_in_its_files_is_refused(folder: Path):
    scorer = load_scorer(folder, fresh_head=True)
    scorer.save(folder)
    header, data = header_of(folder / "model.safetensors")
    start, stop = header.pop("score.weight")["data_offsets"]
    for part in header.values():
        if part.get("data_offsets", [0])[0] >= stop:
            part["data_offsets"] = [offset - (stop - start) for offset in part["data_offsets"]]
    write_header(folder / "model.safetensors", header, data[:start] + data[stop:])
    with pytest.raises(DataError, match=r"weights missing for 1 tensors, .*score\.weight"):
        load_scorer(folder)


@pytest.mark.parametrize(
    "place, told",
    [
        (Placement(device="tpu"), "device: tpu: unknown; one of auto, cpu, cuda, mps"),
        (Placement(dtype="int8"), "dtype: int8: unknown; one of auto, float32"),
    ],
)
def test_a_place_that_does_not_exist_is_told(tiny_model: Path, place: Placement, told: str):
    with pytest.raises(ConfigError, match=told):
        load_policy(tiny_model, place)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_told(tiny_model: Path):
    with pytest.raises(ConfigError, match="device: cuda, but torch sees no such device"):
        load_policy(tiny_model, Placement(device="cuda"))


# What loading sets


def test_noise_of_training_is_off_unless_it_is_asked_for(folder: Path):
    edit_json(folder / "config.json", attention_dropout=0.5, router_jitter_noise=0.1)
    quiet = load_policy(folder).model.config
    assert (quiet.attention_dropout, quiet.router_jitter_noise) == (0.0, 0.0)
    noisy = load_policy(folder, Placement(dropout=0.2)).model.config
    assert (noisy.attention_dropout, noisy.router_jitter_noise) == (0.2, 0.0)


def test_a_saved_model_has_the_noise_that_it_came_with_whatever_it_was_trained_with(folder: Path, tmp_path: Path):
    edit_json(folder / "config.json", attention_dropout=0.5, router_jitter_noise=0.1)
    policy = load_policy(folder, Placement(dropout=0.2))
    policy.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert (saved["attention_dropout"], saved["router_jitter_noise"]) == (0.5, 0.1)
    assert (policy.model.config.attention_dropout, policy.model.config.router_jitter_noise) == (0.2, 0.0)


def test_loading_leaves_the_random_numbers_of_the_program_alone(tiny_model: Path):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_scorer(tiny_model, fresh_head=True, seed=5)
    assert torch.rand(1) == expected


def test_a_fresh_head_is_drawn_from_its_seed_and_near_zero(tiny_model: Path):
    one, same, other = (load_scorer(tiny_model, fresh_head=True, seed=seed).head.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 0.5 < one.std() * (one.shape[1] + 1) ** 0.5 < 1.5


def test_a_fresh_policy_needs_no_weights_and_is_drawn_from_its_seed(folder: Path):
    (folder / "model.safetensors").unlink()
    one, same, other = (fresh_policy(folder, Placement(), seed=seed).head.weight_VD for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
