"""Small configs of many architectures, each with what the packed path has to honour in it.

A test that takes `packed_architecture`, `windowed_architecture` or `padded_architecture` runs once for each, and makes
its model with `build`.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from burnish.batch.pack import Span

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
_GPT: dict[str, Any] = {
    "vocab_size": 97,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_WINDOW = {"sliding_window": 64}
_HEAD = {"head_dim": 8}
_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_SOME_ATTENTION = {"attn_layer_period": 4, "attn_layer_offset": 2}
_DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
_LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 128,
}

PACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", _SHAPE),
    "llama-dynamic-rope": ("Llama", _SHAPE | {"rope_parameters": _DYNAMIC}),
    "mistral": ("Mistral", _SHAPE | _WINDOW),
    "mixtral": ("Mixtral", _SHAPE | _EXPERTS | _WINDOW),
    "ministral": ("Ministral", _SHAPE | _WINDOW | _HEAD),
    "qwen2": ("Qwen2", _SHAPE | _WINDOW | {"use_sliding_window": True, "max_window_layers": 2}),
    "qwen3": ("Qwen3", _SHAPE | _HEAD),
    "qwen3-moe": ("Qwen3Moe", _SHAPE | _HEAD | _EXPERTS),
    "gemma": ("Gemma", _SHAPE | _HEAD),
    "gemma2": ("Gemma2", _SHAPE | _HEAD | _WINDOW),
    "gemma3": ("Gemma3Text", _SHAPE | _HEAD | _WINDOW | {"num_hidden_layers": 12}),
    "phi": ("Phi", _SHAPE),
    "phi3": ("Phi3", _SHAPE | _WINDOW),
    "phi3-longrope": ("Phi3", _SHAPE | {"rope_parameters": _LONG, "original_max_position_embeddings": 128}),
    "gpt2": ("GPT2", _GPT),
    "gpt-j": ("GPTJ", _GPT | {"rotary_dim": 4}),
    "codegen": ("CodeGen", _GPT | {"rotary_dim": 4}),
    "gpt-bigcode": ("GPTBigCode", _GPT),
    "gpt-neox": ("GPTNeoX", _SHAPE),
    "opt": ("OPT", _SHAPE | {"ffn_dim": 48, "word_embed_proj_dim": 16}),
    "biogpt": ("BioGpt", _SHAPE),
    "olmo": ("Olmo", _SHAPE),
    "olmo2": ("Olmo2", _SHAPE),
    "olmo3": ("Olmo3", _SHAPE | _WINDOW | {"num_hidden_layers": 8}),
    "olmoe": ("Olmoe", _SHAPE | _EXPERTS),
    "smollm3": ("SmolLM3", _SHAPE | _WINDOW | {"num_hidden_layers": 8, "use_sliding_window": True}),
    "granite": ("Granite", _SHAPE | {"logits_scaling": 4.0, "residual_multiplier": 0.5}),
    "granite-moe": ("GraniteMoe", _SHAPE | _EXPERTS | {"logits_scaling": 4.0}),
    "hyperclova-x": ("HyperCLOVAX", _SHAPE | {"logits_scaling": 0.25}),
    "cohere": ("Cohere", _SHAPE),
    "cohere2": ("Cohere2", _SHAPE | _WINDOW | {"num_hidden_layers": 8}),
    "glm": ("Glm", _SHAPE | _HEAD),
    "glm4": ("Glm4", _SHAPE | _HEAD),
    "starcoder2": ("Starcoder2", _SHAPE | _WINDOW),
    "helium": ("Helium", _SHAPE | _HEAD),
    "ernie": ("Ernie4_5", _SHAPE | _HEAD),
    "exaone4": ("Exaone4", _SHAPE | _HEAD | _WINDOW | {"num_hidden_layers": 8, "sliding_window_pattern": 4}),
    "persimmon": ("Persimmon", _SHAPE),
    "seed-oss": ("SeedOss", _SHAPE | _HEAD),
    "arcee": ("Arcee", _SHAPE),
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
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "first_k_dense_replace": 2,
            "moe_intermediate_size": 16,
        },
    ),
}

PADDED: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt-oss": ("GptOss", _SHAPE | _HEAD | _WINDOW | _EXPERTS),
    "bloom": ("Bloom", {"vocab_size": 97, "hidden_size": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0}),
    "falcon-alibi": ("Falcon", _SHAPE | {"alibi": True, "new_decoder_architecture": False}),
    "mpt": ("Mpt", {"vocab_size": 97, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256}),
    "stablelm": ("StableLm", _SHAPE),
    "nemotron": ("Nemotron", _SHAPE),
    "xglm": ("XGLM", {"vocab_size": 97, "d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4}),
    "gpt-neo": (
        "GPTNeo",
        {
            "vocab_size": 97,
            "hidden_size": 32,
            "num_layers": 4,
            "num_heads": 4,
            "window_size": 64,
            "attention_types": [[["global", "local"], 2]],
            "max_position_embeddings": 256,
        },
    ),
    "mamba": ("Mamba", {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    "mamba2": (
        "Mamba2",
        {
            "vocab_size": 97,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 8,
            "head_dim": 8,
            "n_groups": 2,
            "chunk_size": 16,
        },
    ),
    "lfm2": ("Lfm2", _SHAPE | {"layer_types": ["conv", "full_attention", "conv", "full_attention"]}),
    "jamba": ("Jamba", _SHAPE | {"num_experts": 2, "mamba_d_state": 4, "mamba_dt_rank": 4} | _SOME_ATTENTION),
    "recurrent-gemma": (
        "RecurrentGemma",
        _SHAPE | {"num_hidden_layers": 6, "lru_width": 32, "attention_window_size": 64},
    ),
}


WINDOWED = [
    name for name, (_, settings) in PACKED.items() if {"sliding_window", "attention_window_size"} & settings.keys()
]


def config_of(name: str, **changes: Any) -> PreTrainedConfig:
    kind, settings = (PACKED | PADDED)[name]
    return getattr(transformers, f"{kind}Config")(**settings | changes)


def build_model(name: str, kind: str = "CausalLM", **changes: Any) -> PreTrainedModel:
    """A model of random weights; kind is CausalLM or SequenceClassification. Skips where transformers has no class."""
    torch.manual_seed(0)
    config = config_of(name, **changes)
    config.num_labels = 1
    maker = getattr(transformers, f"AutoModelFor{kind}")
    if type(config) not in maker._model_mapping:
        pytest.skip(f"transformers has no {kind} for {name}")
    return maker.from_config(config).eval()


@pytest.fixture
def build() -> Callable[..., PreTrainedModel]:
    return build_model


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    tables = {"packed_architecture": PACKED, "windowed_architecture": WINDOWED, "padded_architecture": PADDED}
    for fixture, names in tables.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, names, scope="module")


def spans_of(*trees: tuple[int, list[int]]) -> tuple[Span, ...]:
    """Spans of trees of a prompt and branches of these sizes, end to end."""
    spans, at = [], 0
    for prompt, sizes in trees:
        start, branches = at, []
        at += prompt
        for size in sizes:
            branches.append((at, at + size))
            at += size
        spans.append(Span((start, start + prompt), tuple(branches)))
    return tuple(spans)
