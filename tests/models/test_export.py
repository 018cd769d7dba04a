"""A model as a directory of its own: what lies there, that it is the model, and that nothing else is kept."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import byte_tokenizer
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, GenerationConfig

from burnish.errors import ConfigError, DataError, MissingInput
from burnish.models.adapters import Lora
from burnish.models.copies import TEXTS, difference, outputs, token_rows
from burnish.models.export import (
    adapter_base,
    check_copy,
    load_source,
    lost_by_rounding,
    merge_adapter,
    stored_dtype,
    stored_otherwise,
    write_copy,
)
from burnish.models.load import load_policy, load_scorer

NOISE = {"attention_dropout": 0.5, "router_jitter_noise": 0.1}


def test_a_copy_is_the_model_and_stands_alone(tiny_model: Path, tmp_path: Path):
    told = write_copy(load_source(tiny_model), tmp_path / "copy")
    names = {p.name for p in (tmp_path / "copy").iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert told["largest_difference"] == 0
    assert told["tokens"] == sum(len(row) for row in token_rows(byte_tokenizer()))
    before, after = (AutoModelForCausalLM.from_pretrained(folder) for folder in (tiny_model, tmp_path / "copy"))
    assert difference(outputs(before, [[1, 2, 3]]), outputs(after, [[1, 2, 3]])) == 0


def test_answers_stop_at_the_end_of_the_turn(tiny_model: Path, tmp_path: Path):
    source = load_source(tiny_model)
    source.tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    source.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<|turn|>{% endfor %}"
    source.tokenizer.save_pretrained(tmp_path / "chat")
    source.model.save_pretrained(tmp_path / "chat")
    write_copy(load_source(tmp_path / "chat"), tmp_path / "copy")
    turn = source.tokenizer.get_vocab()["<|turn|>"]
    assert GenerationConfig.from_pretrained(tmp_path / "copy").eos_token_id == [256, turn]
    assert AutoTokenizer.from_pretrained(tmp_path / "copy").chat_template == source.tokenizer.chat_template


def test_the_template_that_it_learned_goes_with_it(tiny_model: Path, tmp_path: Path):
    source = load_source(tiny_model, template="alpaca")
    write_copy(source, tmp_path / "copy")
    copied = AutoTokenizer.from_pretrained(tmp_path / "copy")
    assert source.template is not None
    said = copied.apply_chat_template([{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False)
    assert said == source.template.prompt_text("hi")


@pytest.mark.parametrize(("dtype", "kept"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_another_precision_is_written_and_its_price_told(tiny_model: Path, tmp_path: Path, dtype, kept):
    source = load_source(tiny_model, dtype=dtype)
    told = write_copy(source, tmp_path / "copy")
    assert {t.dtype for t in load_file(tmp_path / "copy/model.safetensors").values()} == {kept}
    assert stored_dtype(tmp_path / "copy") == dtype
    assert told["largest_difference"] == 0
    assert 0 < lost_by_rounding(tiny_model, source) < 0.5


def test_a_single_weight_of_another_precision_is_seen(tiny_model: Path, tmp_path: Path):
    write_copy(load_source(tiny_model, dtype="bfloat16"), tmp_path / "mixed")
    assert not stored_otherwise(tmp_path / "mixed", "bfloat16")
    file = tmp_path / "mixed/model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], 1.001, dtype=torch.float32)
    save_file(weights, file, metadata={"format": "pt"})
    assert stored_dtype(tmp_path / "mixed") == "bfloat16"
    assert stored_otherwise(tmp_path / "mixed", "bfloat16")
    assert lost_by_rounding(tmp_path / "mixed", load_source(tmp_path / "mixed")) > 0  # 1.001 becomes 1


def test_shards_are_as_large_as_asked(tiny_model: Path, tmp_path: Path):
    write_copy(load_source(tiny_model), tmp_path / "copy", shard_size="40KB")
    assert len(list((tmp_path / "copy").glob("model-*.safetensors"))) > 1
    load_policy(tmp_path / "copy", packed=False)


def test_a_weight_that_was_changed_on_the_way_is_found(tiny_model: Path, tmp_path: Path):
    source = load_source(tiny_model)
    write_copy(source, tmp_path / "copy")
    file = tmp_path / "copy/model.safetensors"
    weights = load_file(file)
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] += 0.1
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(DataError, match="does not say what its source says: outputs on 7 texts differ by up to"):
        check_copy(tmp_path / "copy", source)


def test_a_tokenizer_that_was_changed_on_the_way_is_found(tiny_model: Path, tmp_path: Path):
    source = load_source(tiny_model)
    write_copy(source, tmp_path / "copy")
    file = tmp_path / "copy/tokenizer.json"
    said = json.loads(file.read_text())
    vocab = said["model"]["vocab"]
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    file.write_text(json.dumps(said))
    with pytest.raises(DataError, match="tokenizer takes 'The house stood"):
        check_copy(tmp_path / "copy", source)


def test_a_reward_model_is_copied_with_its_head(tiny_model: Path, tmp_path: Path):
    scorer = load_scorer(tiny_model, fresh_head=True, seed=3)
    scorer.model.config.score_mean, scorer.model.config.score_deviation = 1.5, 0.5
    scorer.save(tmp_path / "reward")
    told = write_copy(load_source(tmp_path / "reward"), tmp_path / "copy")
    assert told["largest_difference"] == 0
    copied = AutoModelForSequenceClassification.from_pretrained(tmp_path / "copy")
    assert (copied.config.score_mean, copied.config.score_deviation) == (1.5, 0.5)
    assert torch.equal(copied.score.weight, scorer.head.weight)


def noisy(tiny_model: Path, folder: Path) -> Path:
    shutil.copytree(tiny_model, folder)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | NOISE))
    return folder


def noise_in(folder: Path) -> dict[str, float]:
    said = json.loads((folder / "config.json").read_text())
    return {name: said[name] for name in NOISE}


def test_a_copy_has_the_noise_of_training_that_its_model_came_with(tiny_model: Path, tmp_path: Path):
    source = load_source(noisy(tiny_model, tmp_path / "noisy"))
    told = write_copy(source, tmp_path / "copy")
    assert noise_in(tmp_path / "copy") == NOISE
    assert source.model.config.attention_dropout == told["largest_difference"] == 0
    load_scorer(tmp_path / "noisy", fresh_head=True).save(tmp_path / "reward")
    write_copy(load_source(tmp_path / "reward"), tmp_path / "scorer")
    assert noise_in(tmp_path / "scorer") == NOISE


# ---- adapters


@pytest.fixture
def adapted(tiny_model: Path, tmp_path: Path) -> Path:
    """A stage's folder with an adapter that does something, and the merged model beside it."""
    policy = load_policy(tiny_model, lora=Lora(rank=4))
    with torch.no_grad():
        for name, weight in policy.trainable().items():
            if "lora_B" in name:
                weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    policy.save(tmp_path / "stage/model")
    return tmp_path / "stage"


def test_an_adapter_is_merged_into_its_base(adapted: Path, tiny_model: Path, tmp_path: Path):
    base = adapter_base(adapted / "adapter")
    assert base.resolve() == tiny_model.resolve()
    merge_adapter(adapted / "adapter", base, tmp_path / "merged")
    ours, theirs = (AutoModelForCausalLM.from_pretrained(f) for f in (tmp_path / "merged", adapted / "model"))
    plain = AutoModelForCausalLM.from_pretrained(tiny_model)
    rows = token_rows(byte_tokenizer(), TEXTS[:1])
    assert difference(outputs(ours, rows), outputs(theirs, rows)) < 1e-5
    assert difference(outputs(ours, rows), outputs(plain, rows)) > 1e-2


def test_a_merged_adapter_has_the_noise_of_its_base(adapted: Path, tiny_model: Path, tmp_path: Path):
    merged = merge_adapter(adapted / "adapter", noisy(tiny_model, tmp_path / "noisy"), tmp_path / "merged")
    assert noise_in(merged) == NOISE


def test_a_base_that_is_gone_can_be_named(adapted: Path, tiny_model: Path):
    file = adapted / "adapter/adapter_config.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"base_model_name_or_path": "/nowhere/model"}))
    with pytest.raises(MissingInput, match="--base MODEL names another"):
        adapter_base(adapted / "adapter")
    assert adapter_base(adapted / "adapter", tiny_model) == tiny_model


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"peft_type": "IA3"}, "an adapter of kind IA3"), ({"task_type": "SEQ_CLS"}, "export `model/` beside it")],
)
def test_other_adapters_are_refused(adapted: Path, changes: dict[str, str], said: str):
    file = adapted / "adapter/adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ConfigError, match=said):
        adapter_base(adapted / "adapter")
