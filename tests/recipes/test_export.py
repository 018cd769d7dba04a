"""`export`: what a user may name, where it goes, that it is whole or not there, and what a second call does."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import bpe_tokenizer, tiny_llama
from transformers import AutoModelForCausalLM, AutoTokenizer

from burnish.cli.main import main
from burnish.errors import ConfigError, DataError, MissingInput, NotOurs, UsageError
from burnish.models import copies
from burnish.models.adapters import Lora
from burnish.models.load import load_policy, load_scorer
from burnish.recipes.artefacts import Hashes, described_inputs
from burnish.recipes.export import export, find
from burnish.recipes.lineage import front_matter, lineage


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "words"
    tiny_llama(vocab_size=512).save_pretrained(folder)
    bpe_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def stage(model: Path, tmp_path: Path) -> Path:
    """The folder of a single command, as it leaves it."""
    folder = tmp_path / "runs/tuned"
    tiny_llama(vocab_size=512, seed=1).save_pretrained(folder / "model")
    bpe_tokenizer().save_pretrained(folder / "model")
    inputs = {"model": {"path": str(model), "sha256": "ab" * 32}}
    inputs["data"] = [{"path": "/home/me/demos.jsonl", "sha256": "cd" * 32, "lines": 12}]  # type: ignore[assignment]
    begun = {
        "stage": "sft",
        "method": "sft",
        "settings": {"epochs": 3},
        "inputs": inputs,
        "versions": {"torch": "2.13"},
    }
    (folder / "inputs.json").write_text(json.dumps(begun))
    done = {"finished": "2026-01-01", "seconds": 1.0, "figures": {"loss": 1.25}, "outputs": {}}
    (folder / "DONE.json").write_text(json.dumps(done))
    return folder


def test_a_stage_its_model_and_a_bare_model_can_be_named(stage: Path, model: Path):
    for named in (stage, stage / "model"):
        found = find(named)
        assert (found.folder, found.stage) == (stage / "model", stage)
    assert (find(model).folder, find(model).stage) == (model, None)


def test_an_export_is_a_folder_with_a_card(stage: Path, tmp_path: Path):
    told = export(stage, tmp_path / "out/tuned")
    names = {p.name for p in (tmp_path / "out/tuned").iterdir()}
    assert names >= {"README.md", "export.json", "model.safetensors", "config.json", "tokenizer.json"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"tuned"}
    assert (told["kind"], told["dtype"], told["largest_difference"]) == ("language model", "float32", 0)
    card = (tmp_path / "out/tuned/README.md").read_text()
    assert front_matter(card)["tags"] == ["burnish", "sft"]
    assert "12 rows" in card
    assert "/home/me" not in card
    assert "burnish sft --model words --data demos.jsonl --set epochs=3 --out tuned" in card


def test_what_is_lost_of_a_model_of_two_precisions_is_told(model: Path, tmp_path: Path):
    shutil.copytree(model, tmp_path / "mixed")
    weights = load_file(tmp_path / "mixed/model.safetensors")
    norms = {name: torch.full_like(one, 1.001) for name, one in weights.items() if "norm" in name}
    weights = {name: one.bfloat16() for name, one in weights.items()} | norms
    save_file(weights, tmp_path / "mixed/model.safetensors", metadata={"format": "pt"})
    told = export(tmp_path / "mixed", tmp_path / "out")
    assert told["dtype"] == "bfloat16"
    assert told["lost_by_rounding"] > 0  # 1.001 becomes 1


def test_a_gguf_file_lies_with_its_card_and_reads_back(stage: Path, tmp_path: Path):
    told = export(stage, tmp_path / "tuned-gguf", format="gguf")
    file = tmp_path / "tuned-gguf/tuned-gguf-F16.gguf"
    assert file.is_file()
    assert 0 < told["largest_difference"] < 0.1
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    assert read.config.num_hidden_layers == 2
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|begin|>", "<|end|>")
    assert "llama-cli -m tuned-gguf-F16.gguf" in (file.parent / "README.md").read_text()


def test_the_same_call_again_does_nothing(model: Path, tmp_path: Path):
    first = export(model, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    assert export(model, tmp_path / "out") == first
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}


def test_another_export_into_the_same_folder_is_refused(model: Path, stage: Path, tmp_path: Path):
    export(model, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds another export \(dtype differ"):
        export(model, tmp_path / "out", dtype="bfloat16")
    with pytest.raises(ConfigError, match=r"holds another export \(model differ"):
        export(stage, tmp_path / "out")


def test_an_export_that_was_damaged_is_told(model: Path, tmp_path: Path):
    export(model, tmp_path / "out")
    (tmp_path / "out/config.json").unlink()
    with pytest.raises(DataError, match=r"config\.json: .* gone now"):
        export(model, tmp_path / "out")


def test_nothing_is_written_among_what_others_made(model: Path, tmp_path: Path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/thesis.txt").write_text("mine")
    with pytest.raises(NotOurs, match=r"has files \(thesis\.txt\) and no export\.json"):
        export(model, tmp_path / "theirs")
    assert [p.name for p in (tmp_path / "theirs").iterdir()] == ["thesis.txt"]


def test_a_copy_that_differs_is_not_left_behind(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(copies, "SAME", -1.0)  # nothing is the same
    with pytest.raises(DataError, match="does not say what its source says"):
        export(model, tmp_path / "out")
    assert list(tmp_path.glob("**/out*")) == []
    assert list(tmp_path.glob(".out*")) == []


def test_what_a_killed_export_left_is_cleared(model: Path, tmp_path: Path):
    (tmp_path / ".out.burnish/out").mkdir(parents=True)
    (tmp_path / ".out.burnish/out/model.safetensors").write_text("half")
    export(model, tmp_path / "out")
    assert not (tmp_path / ".out.burnish").exists()


def test_a_stage_that_is_not_done_is_refused(stage: Path, tmp_path: Path):
    (stage / "DONE.json").unlink()
    for named in (stage, stage / "model"):
        with pytest.raises(ConfigError, match="this stage is not done"):
            export(named, tmp_path / "out")


def test_a_stage_without_a_model_is_refused(stage: Path, tmp_path: Path):
    (stage / "model").rename(stage / "answers")
    with pytest.raises(MissingInput, match=r"made no model; it holds DONE\.json, answers, inputs\.json"):
        export(stage, tmp_path / "out")


def test_gguf_of_a_reward_model_is_refused_by_name(model: Path, tmp_path: Path):
    load_scorer(model, fresh_head=True).save(tmp_path / "reward")
    with pytest.raises(ConfigError, match="a reward model, and GGUF has no score head"):
        export(tmp_path / "reward", tmp_path / "out", format="gguf")
    told = export(tmp_path / "reward", tmp_path / "out")
    assert told["kind"] == "reward model"
    assert "How to read a score" in (tmp_path / "out/README.md").read_text()


def test_an_adapter_goes_out_merged(model: Path, tmp_path: Path):
    policy = load_policy(model, lora=Lora(rank=2))
    policy.save(tmp_path / "stage/model")
    told = export(tmp_path / "stage/adapter", tmp_path / "out")
    assert (told["largest_difference"], told["weights"]) == (
        0,
        sum(p.numel() for p in tiny_llama(vocab_size=512).parameters()),
    )
    assert "adapter into words" in (tmp_path / "out/README.md").read_text()


def test_a_models_own_licence_goes_with_its_copy(model: Path, tmp_path: Path):
    shutil.copytree(model, tmp_path / "licensed")
    (tmp_path / "licensed/README.md").write_text("---\nlicense: apache-2.0\n---\n")
    export(tmp_path / "licensed", tmp_path / "out")
    assert front_matter((tmp_path / "out/README.md").read_text())["license"] == "apache-2.0"
    assert str(tmp_path) not in "".join((tmp_path / "out" / name).read_text() for name in ("README.md", "export.json"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"format": "onnx"}, "--format onnx: one of hf, gguf"),
        ({"dtype": "f16"}, "--dtype f16: for --format hf one of float32, bfloat16, float16"),
        ({"format": "gguf", "dtype": "float16"}, "for --format gguf one of f32, f16, bf16, q8_0"),
        ({"shard_size": "banana"}, "--shard-size banana: a number with KB, MB, GB or TB"),
        ({"shard_size": "5"}, "--shard-size 5: a number with KB, MB, GB or TB"),
        ({"base": "other"}, "is a whole model; only an adapter has a base"),
    ],
)
def test_wrong_options_cost_no_load(model: Path, tmp_path: Path, given: dict[str, str], said: str):
    with pytest.raises(UsageError, match=said):
        export(model, tmp_path / "out", **given)  # type: ignore[arg-type]


def test_a_file_name_is_refused(model: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="names a folder"):
        export(model, tmp_path / "model.gguf", format="gguf")


def test_the_folder_that_one_stands_in_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is where you are"):
        export(model, Path())
    assert list(tmp_path.iterdir()) == []


def test_what_was_changed_on_the_way_stands_in_the_chain(stage: Path):
    begun = json.loads((stage / "inputs.json").read_text())
    data = [{"path": "/home/me/more.jsonl", "sha256": "ef" * 32, "lines": 13}]
    (stage / "inputs.json").write_text(json.dumps(begun | {"allowed": {"epochs": 4, "data": data}}))
    (step,) = lineage(stage).steps
    assert step.allowed == {"epochs": 4, "data": "more.jsonl"}


def test_a_licence_is_not_read_from_whatever_has_the_name_of_the_base(
    stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "here/base").mkdir(parents=True)
    (tmp_path / "here/base/README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.chdir(tmp_path / "here")
    described = described_inputs({"model": Path("base")}, Path(), Hashes(), Path())
    for sha256, licence in ((described["model"]["sha256"], "mit"), ("ab" * 32, "")):
        begun = json.loads((stage / "inputs.json").read_text())
        begun["inputs"]["model"] = {"path": "base", "sha256": sha256}
        (stage / "inputs.json").write_text(json.dumps(begun))
        assert lineage(stage).licence == licence


def test_the_command_prints_what_was_checked(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["export", str(model), "--format", "gguf", "--dtype", "q8_0", "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["dtype"], told["architecture"]) == ("q8_0", "llama")
    assert main(["export", str(model), "--out", str(tmp_path / "out")]) == 78
    assert main(["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "other")]) == 66
