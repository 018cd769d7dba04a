"""Small models whose weights are so large that a forgotten window, cap or position would show in what they sample."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from burnish.models.model import Policy

_SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_WINDOW = {"sliding_window": 6}
_HEAD = {"head_dim": 8}

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", _SHAPE),
    "mistral": ("Mistral", _SHAPE | _WINDOW),
    "gemma2": ("Gemma2", _SHAPE | _HEAD | _WINDOW | {"attn_logit_softcapping": 2.0}),
    "qwen3": ("Qwen3", _SHAPE | _HEAD),
    "olmo3": ("Olmo3", _SHAPE | _WINDOW),
    "opt": ("OPT", _SHAPE | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "gpt2": ("GPT2", {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    # all query heads share one head of keys
    "gpt-bigcode": ("GPTBigCode", {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    # values are smaller than keys
    "deepseek3": (
        "DeepseekV3",
        _SHAPE
        | {
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 12,
            "first_k_dense_replace": 4,
        },
    ),
    "mamba": ("Mamba", {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    "lfm2": ("Lfm2", _SHAPE | {"layer_types": ["conv", "full_attention", "conv", "full_attention"]}),
    "recurrent-gemma": (
        "RecurrentGemma",
        _SHAPE | {"num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 6},
    ),
}
PADDED = ("mamba", "lfm2", "recurrent-gemma")


def build_model(name: str, **changes: Any) -> PreTrainedModel:
    kind, settings = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{kind}Config")(**settings | changes))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                scale = 1.0 if "embed" in parameter_name or "wte" in parameter_name else 1.5 / parameter.shape[1] ** 0.5
                parameter.normal_(0, scale)
    return model.eval()


def policy_of(model: PreTrainedModel, *, padded: bool = False) -> Policy:
    return Policy(model, None, padded_because="asked for" if padded else "")  # type: ignore[arg-type]


@pytest.fixture
def build() -> Callable[..., PreTrainedModel]:
    return build_model


@pytest.fixture
def policy() -> Callable[..., Policy]:
    """A policy of one of the architectures: on the packed path, but where its layers need the padded one."""

    def make(name: str, *, padded: bool | None = None, **changes: Any) -> Policy:
        return policy_of(build_model(name, **changes), padded=name in PADDED if padded is None else padded)

    return make


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "architecture" in metafunc.fixturenames:
        metafunc.parametrize("architecture", ARCHITECTURES)
