"""The check finds what it is there to find: each thing that packing may get wrong, switched off, moves its outputs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from tiny import tiny_llama
from torch import Tensor
from transformers import AttentionInterface, LlamaForCausalLM, PreTrainedConfig, PreTrainedModel

from burnish.batch.pack import Span, TreeBatch, pack
from burnish.errors import ConfigError
from burnish.models import attention, head, model
from burnish.models.attention import TREE_ATTENTION, TreeLayout, tree_attention
from burnish.models.check import check_trees, difference, disagreement, why_not_packed
from burnish.models.model import Model, Policy
from burnish.models.random_copy import WINDOW, NoCopyError, layer_kinds, random_copy

Build = Callable[..., PreTrainedModel]
SHOWN = 1e-2  # nats by which a forgotten mask must move a log-probability


def logprobs(copied: PreTrainedModel) -> Tensor:
    stock_attention = copied.config._attn_implementation
    policy = Policy(copied, None)
    with torch.no_grad():
        told = policy.logprobs(pack(check_trees(copied)))
    copied.set_attn_implementation(stock_attention)
    return told


def assert_shown_and_caught(built: PreTrainedModel, switch_off: Callable[[], None]) -> None:
    copied = random_copy(built)
    right = logprobs(copied)
    assert difference(copied, packed=True) == ""
    switch_off()
    assert (logprobs(copied) - right).abs().max() > SHOWN
    assert "packed and stock outputs differ" in difference(copied, packed=True)


def without(argument: str, patch: pytest.MonkeyPatch) -> None:
    """Leave out one keyword that the model hands to its attention."""

    def deaf(*args: Any, **keywords: Any) -> Any:
        return tree_attention(*args, **(keywords | {argument: None}))

    patch.setitem(AttentionInterface._global_mapping, TREE_ATTENTION, deaf)


def test_a_forgotten_window_is_caught(windowed_architecture: str, build: Build, monkeypatch: pytest.MonkeyPatch):
    assert_shown_and_caught(build(windowed_architecture), lambda: without("sliding_window", monkeypatch))


def test_a_window_that_counts_places_in_the_row_is_caught(build: Build, monkeypatch: pytest.MonkeyPatch):
    """From the second branch on, the prompt lies further away in the row than in positions."""
    in_positions = attention._tree_mask

    def in_places(prompt: int, branches: Any, window: int | None, dtype: torch.dtype, device: torch.device) -> Tensor:
        mask = in_positions(prompt, branches, None, dtype, device)
        place = torch.arange(len(mask))
        return mask.masked_fill(place[:, None] - place[None, :] >= (window or len(mask)), float("-inf"))

    assert_shown_and_caught(build("mistral"), lambda: monkeypatch.setattr(attention, "_tree_mask", in_places))


def test_a_forgotten_soft_cap_of_attention_is_caught(build: Build, monkeypatch: pytest.MonkeyPatch):
    assert_shown_and_caught(build("gemma2"), lambda: without("softcap", monkeypatch))


@pytest.mark.parametrize("architecture", ["gemma2", "granite", "hyperclova-x", "cohere"])
def test_a_forgotten_scale_or_soft_cap_of_the_logits_is_caught(
    architecture: str, build: Build, monkeypatch: pytest.MonkeyPatch
):
    plain = (1.0, None)
    assert_shown_and_caught(
        build(architecture), lambda: monkeypatch.setattr(head, "scale_and_softcap", lambda _: plain)
    )


def test_forgotten_positions_are_caught(packed_architecture: str, build: Build, monkeypatch: pytest.MonkeyPatch):
    right = Model.hidden

    def hidden(self: Model, batch: TreeBatch, *, at: str) -> Tensor:
        return right(self, replace(batch, position_T=torch.zeros_like(batch.position_T)), at=at)

    assert_shown_and_caught(build(packed_architecture), lambda: monkeypatch.setattr(Model, "hidden", hidden))


def test_a_forgotten_branch_mask_is_caught(packed_architecture: str, build: Build, monkeypatch: pytest.MonkeyPatch):
    def one_branch(spans: tuple[Span, ...], device: torch.device, flex: bool) -> TreeLayout:
        return TreeLayout(tuple(Span((s.prompt[0], s.prompt[0] + s.size), ()) for s in spans), device)

    assert_shown_and_caught(build(packed_architecture), lambda: monkeypatch.setattr(model, "TreeLayout", one_branch))


@pytest.mark.parametrize("argument", ["sliding_window", "softcap"])
def test_the_reason_is_told_when_a_model_is_loaded(argument: str, build: Build, monkeypatch: pytest.MonkeyPatch):
    without(argument, monkeypatch)
    assert why_not_packed(build("gemma2")).startswith("on a random copy: packed and stock outputs differ by")


def test_a_model_that_neither_path_computes_is_refused(build: Build, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(head, "scale_and_softcap", lambda _: (1.0, None))
    with pytest.raises(ConfigError, match="GraniteForCausalLM: this architecture cannot be trained here"):
        why_not_packed(build("granite"))


def test_the_loaded_weights_are_compared_too(build: Build, monkeypatch: pytest.MonkeyPatch):
    """What only the loaded model has, a changed layer say, does not show in a copy of its config."""
    loaded = build("llama")
    assert why_not_packed(loaded) == ""
    right = loaded.model.layers[0].self_attn.forward
    monkeypatch.setattr(
        loaded.model.layers[0].self_attn,
        "forward",
        lambda *args, **kwargs: (torch.flip(right(*args, **kwargs)[0], [1]), None),
    )
    with pytest.raises(ConfigError, match="on the loaded weights: packed and stock outputs differ"):
        why_not_packed(loaded)


# The copy


@pytest.mark.parametrize(
    "architecture, kinds",
    [
        ("llama", 1),
        ("smollm3", 2),  # every fourth layer has no rotary embedding
        ("gemma3", 2),  # every sixth layer sees all and has a rotary embedding of its own
        ("cohere2", 2),  # every fourth layer sees all and has no rotary embedding
        ("olmo3", 2),
        ("exaone4", 2),
        ("qwen2", 2),  # windows from layer max_window_layers on
        ("deepseek3", 2),  # the first layers have no experts, which no list in its config tells
        ("lfm2", 2),
        ("recurrent-gemma", 2),
        ("jamba", 3),
    ],
)
def test_the_copy_has_two_layers_of_each_kind(architecture: str, kinds: int, build: Build):
    whole = layer_kinds(build(architecture))
    copied = layer_kinds(random_copy(build(architecture)))
    assert len(set(whole)) == kinds
    for kind in set(whole):
        assert copied.count(kind) >= min(whole.count(kind), 2)


def test_the_copy_has_windows_of_eight(windowed_architecture: str, build: Build):
    copied = random_copy(build(windowed_architecture))
    assert copied.config.sliding_window == WINDOW
    assert {getattr(module, "sliding_window", None) for module in copied.modules()} <= {WINDOW, None}


def test_a_window_that_cannot_be_cut_is_not_passed_over(build: Build):
    class Hidden(LlamaForCausalLM):
        def __init__(self, config: PreTrainedConfig) -> None:
            super().__init__(config)
            for layer in self.model.layers:
                layer.self_attn.local_window = 512  # a number of its own code, not of its config

    with pytest.raises(NoCopyError, match=r"self_attn\.local_window of 512 could not be cut"):
        random_copy(Hidden(build("llama").config))


def test_a_kind_of_layer_that_the_config_does_not_tell_is_not_passed_over(build: Build):
    class Odd(LlamaForCausalLM):
        def __init__(self, config: PreTrainedConfig) -> None:
            super().__init__(config)
            if config.num_hidden_layers == 4:
                self.model.layers[3].self_attn.reads = "sideways"

    assert layer_kinds(random_copy(Odd(build("llama").config)))[3:] != []  # all four layers are kept


LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "llama 8B": (
        "Llama",
        {
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "eos_token_id": [128001, 128009],
            "bos_token_id": 128000,
            "pad_token_id": 128004,
        },
    ),
    "qwen 30B with 128 experts": (
        "Qwen3Moe",
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 768,
            "intermediate_size": 6144,
        },
    ),
    "gemma 2 27B": (
        "Gemma2",
        {
            "vocab_size": 256000,
            "hidden_size": 4608,
            "intermediate_size": 36864,
            "num_hidden_layers": 46,
            "num_attention_heads": 32,
            "num_key_value_heads": 16,
            "head_dim": 128,
        },
    ),
    "phi 4 mini with its long rope": (
        "Phi3",
        {
            "vocab_size": 200064,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 32,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "partial_rotary_factor": 0.75,
            "eos_token_id": 199999,
            "bos_token_id": 199999,
            "pad_token_id": 199999,
            "original_max_position_embeddings": 4096,
            "max_position_embeddings": 131072,
            "sliding_window": 262144,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * 48,
                "long_factor": [2.0] * 48,
                "partial_rotary_factor": 0.75,
                "original_max_position_embeddings": 4096,
            },
        },
    ),
    "deepseek v3": ("DeepseekV3", {"pad_token_id": 2}),
}


@pytest.mark.parametrize("name", LARGE)
def test_the_copy_of_a_large_model_is_small(name: str):
    kind, settings = LARGE[name]
    with torch.device("meta"):
        large = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{kind}Config")(**settings))
    copied = random_copy(large)
    assert sum(p.numel() for p in copied.parameters()) < 30_000_000
    assert set(layer_kinds(copied)) == set(layer_kinds(large))
    assert difference(copied, packed=True) == ""


# What counts as equal


def test_in_half_precision_one_token_may_be_far_off_and_the_mean_may_not():
    stock = torch.zeros(100)
    one, all_of_them = stock.clone(), stock + 0.5
    one[0] = 0.5
    assert disagreement(one, stock, torch.bfloat16) == ""
    assert disagreement(all_of_them, stock, torch.bfloat16) == "0.5 on average (at most 0.2 is rounding)"
    assert disagreement(one, stock, torch.float32) == "0.5 at worst (at most 0.001 is rounding)"


def test_nan_is_never_equal():
    nan = torch.full((3,), float("nan"))
    assert disagreement(nan, nan, torch.float32)


def test_a_vocabulary_of_five_tokens_still_leaves_out_those_that_mean_something():
    """Stock transformers reads a score at the last token that is no padding: a drawn pad token would move it."""
    five = tiny_llama(vocab_size=5, eos_token_id=3, pad_token_id=4)
    drawn = {token for tree in check_trees(five) for branch in tree.branches for token in tree.prompt + branch.tokens}
    assert drawn == {0, 1, 2}
