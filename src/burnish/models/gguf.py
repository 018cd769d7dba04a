"""A language model as one GGUF file, for llama.cpp and what is built on it.

GGUF has other names for the same tensors, other layouts for some, and no code: what a family computes is built into
its reader. So a family is written only where the file can be read back: see FAMILIES, and gguf_check.py.

    q, k of llama    ggml turns neighbouring pairs, transformers the two halves: rows of a head go 0, d/2, 1, d/2 + 1, …
    Conv1D of gpt2   stored the other way round: (in, out) → (out, in)
    norms of gemma   ggml multiplies by the weight, transformers by 1 + weight
    llama3's rope    ggml divides each frequency by a factor that stands in the file

Weights that are tied to the embedding are not written twice. Norms, biases and positions stay in float32.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from burnish.errors import ConfigError, UsageError
from burnish.models.gguf_vocab import Vocabulary

if TYPE_CHECKING:
    import gguf
    from numpy.typing import NDArray

Kind = Literal["f32", "f16", "bf16", "q8_0"]
KINDS: tuple[Kind, ...] = ("f32", "f16", "bf16", "q8_0")
_BLOCK = 32  # numbers that share a scale in q8_0


@dataclass(frozen=True)
class Family:
    """How a model type of transformers is written. `arch`: its name in GGUF.

    `acts`: the activations that its reader computes. `unread`: settings that transformers does not take from the file,
    so that a check has to give them. `window`: what its reader makes of a sliding window.
    """

    arch: str
    acts: tuple[str, ...]
    permuted: bool = False
    transposed: bool = False
    norm_offset: float = 0.0
    unread: tuple[str, ...] = ()
    window: Literal["none", "refused", "ignored", "kept"] = "none"


_TANH_GELU = ("gelu_new", "gelu_pytorch_tanh")
_GEMMA = (
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "rope_parameters",
    "layer_types",
)
FAMILIES: Mapping[str, Family] = {
    "llama": Family("llama", ("silu",), permuted=True, unread=("attention_bias", "mlp_bias")),
    "mistral": Family("llama", ("silu",), permuted=True, window="ignored"),
    "qwen2": Family("qwen2", ("silu",), window="refused"),
    "qwen3": Family("qwen3", ("silu",), window="refused", unread=("head_dim", "attention_bias")),
    "gemma2": Family("gemma2", _TANH_GELU, norm_offset=1.0, window="kept", unread=_GEMMA),
    "gemma3_text": Family("gemma3", _TANH_GELU, norm_offset=1.0, window="kept", unread=_GEMMA),
    "gpt2": Family("gpt2", _TANH_GELU, transposed=True, unread=("n_positions", "n_inner", "activation_function")),
    "phi3": Family("phi3", ("silu",), window="ignored", unread=("sliding_window", "original_max_position_embeddings")),
    "starcoder2": Family(
        "starcoder2", _TANH_GELU, window="ignored", unread=("use_bias", "sliding_window", "rope_parameters")
    ),
}
"""transformers' `model_type` → how it is written."""

_ROPES: Mapping[str, tuple[str, ...]] = {
    "llama": ("default", "linear", "llama3"),
    "mistral": ("default", "linear"),
    "qwen2": ("default", "linear"),
    "qwen3": ("default", "linear"),
    "phi3": ("default", "longrope"),
    "gemma3_text": ("default", "linear"),
}
"""Rotary embeddings that a family's reader was seen to compute as transformers does."""


def family_of(config: PreTrainedConfig) -> Family:
    """How a model of this config is written. Raises ConfigError for what a GGUF file cannot say."""
    kind = config.model_type
    if kind not in FAMILIES:
        raise ConfigError(
            f"GGUF: {kind} models cannot be written; there is {', '.join(FAMILIES)}. export --format hf writes any, "
            "which llama.cpp's own convert_hf_to_gguf.py may know how to read"
        )
    family = FAMILIES[kind]
    act = getattr(config, "hidden_act", None) or getattr(config, "activation_function", None)
    act = getattr(config, "hidden_activation", None) or act
    troubles = []
    if act not in family.acts:
        troubles.append(f"its activation is {act}, and {family.arch} has {' or '.join(family.acts)}")
    rope, ropes = rope_of(config), _ROPES.get(kind, ("default",))
    if rope and rope["rope_type"] not in ropes:
        troubles.append(f"its rotary embedding is {rope['rope_type']}, and {', '.join(ropes)} can be written")
    if float(rope.get("partial_rotary_factor") or 1.0) != 1.0 and kind != "phi3":
        troubles.append("only a part of each head is rotated (partial_rotary_factor)")
    if family.window == "refused" and "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        troubles.append("some layers have a sliding window, which llama.cpp does not give them")
    if family.window == "kept":
        troubles += _gemma_troubles(config)
    if getattr(config, "quantization_config", None) is not None:
        troubles.append("its weights are quantised already")
    troubles += [
        f"{name} is set" for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention") if _set(config, name)
    ]
    if troubles:
        raise ConfigError(f"GGUF: this {kind} model cannot be written: {'; '.join(troubles)}")
    return family


def _gemma_troubles(config: PreTrainedConfig) -> list[str]:
    """llama.cpp knows by the number of layers what gemma divides scores by, and has its order of layers built in."""
    largest = config.num_hidden_layers in (46, 62)  # 27B of gemma 2 and 3
    scale = config.hidden_size / config.num_attention_heads if largest else head_dim(config)
    every = 2 if config.model_type == "gemma2" else 6
    order = ["full_attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(config.num_hidden_layers)]
    troubles = []
    if config.query_pre_attn_scalar != scale:
        troubles.append(f"query_pre_attn_scalar is {config.query_pre_attn_scalar}, and its reader takes {scale:g}")
    if list(config.layer_types) != order:
        troubles.append(f"its reader takes every layer but each {every}. to have a window")
    return troubles


def _set(config: PreTrainedConfig, name: str) -> bool:
    return bool(getattr(config, name, False))


def rows_of(model: PreTrainedModel) -> int:
    """Rows of the embedding: ids that a token may have."""
    weight: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]  # typed as any attribute
    return len(weight)


def rope_of(config: PreTrainedConfig) -> dict[str, Any]:
    """Settings of the rotary embedding (of full attention, where layers differ); empty where there is none."""
    rope: Any = getattr(config, "rope_parameters", None) or {}
    return dict(rope.get("full_attention", rope))


def library() -> Any:
    """The gguf package, which only an extra brings. Raises ConfigError where it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise ConfigError(
            f"GGUF needs the package gguf, which is not installed: pip install 'burnish[gguf]' ({error})"
        ) from None
    return gguf


def write_gguf(
    model: PreTrainedModel,
    words: Vocabulary,
    special: Mapping[str, Any],
    about: Mapping[str, Any],
    path: Path,
    kind: Kind,
) -> dict[str, Any]:
    """Write a language model in float32 as the file `path`, its matrices as `kind`.

    `special`: ids by their GGUF name (`bos`, `eos`, `eot`, …), `add_bos`, `add_eos`, `chat_template`. `about`: text,
    lists of text and numbers that stand in the file under their keys.
    """
    if kind not in KINDS:
        raise UsageError(f"--dtype {kind}: of a GGUF file, one of {', '.join(KINDS)}")
    package = library()
    family = family_of(model.config)
    writer = package.GGUFWriter(path, family.arch)
    writer.add_type(package.GGUFType.MODEL)
    for key, value in about.items():
        _add(writer, key, value)
    file_type = {"f32": "ALL_F32"}.get(kind, f"MOSTLY_{kind.upper()}")
    writer.add_file_type(package.LlamaFileType[file_type])
    writer.add_quantization_version(package.GGML_QUANT_VERSION)
    _add_shape(writer, model.config, family, package)
    _add_words(writer, words, special)
    tensors, coarse = 0, 0
    for name, data, stored in _laid_out(model, family, kind, package):
        block, size = package.GGML_QUANT_SIZES[stored]
        writer.add_tensor_info(name, data.shape, data.dtype, data.size // block * size, raw_dtype=stored)
        tensors += 1
        coarse += kind == "q8_0" and stored == package.GGMLQuantizationType.F16
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, data, stored in _laid_out(model, family, kind, package):  # again: no second copy in memory
        writer.write_tensor_data(package.quants.quantize(data, stored))
    writer.close()
    return {"architecture": family.arch, "tensors": tensors, **({"in_f16": coarse} if coarse else {})}


def _add(writer: "gguf.GGUFWriter", key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


# ---- numbers of the model


def head_dim(config: PreTrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _add_shape(writer: "gguf.GGUFWriter", config: PreTrainedConfig, family: Family, package: Any) -> None:
    """The numbers under the family's name."""
    rope = rope_of(config)
    width = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * config.hidden_size
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(width)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(getattr(config, "norm_epsilon", None) or config.layer_norm_epsilon)
    if rope:
        dim = head_dim(config)
        writer.add_rope_dimension_count(int(dim * float(rope.get("partial_rotary_factor") or 1.0)))
        writer.add_rope_freq_base(float(rope["rope_theta"]))
        writer.add_key_length(dim)
        writer.add_value_length(dim)
        if rope["rope_type"] == "linear":
            writer.add_rope_scaling_type(package.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(float(rope["factor"]))
    if family.arch == "phi3":
        _add_phi3(writer, config, rope)
    elif family.window == "kept":
        writer.add_sliding_window(config.sliding_window)
        local = config.rope_parameters.get("sliding_attention")
        if local and config.model_type != "gemma2":
            writer.add_rope_freq_base_swa(float(local["rope_theta"]))
        for setting, add in (
            ("attn_logit_softcapping", writer.add_attn_logit_softcapping),
            ("final_logit_softcapping", writer.add_final_logit_softcapping),
        ):
            if getattr(config, setting, None):
                add(float(getattr(config, setting)))


def _add_phi3(writer: "gguf.GGUFWriter", config: PreTrainedConfig, rope: Mapping[str, Any]) -> None:
    trained = int(rope.get("original_max_position_embeddings") or config.max_position_embeddings)
    writer.add_rope_scaling_orig_ctx_len(trained)
    writer.add_sliding_window(config.sliding_window or 0)
    if rope["rope_type"] == "longrope":
        scale = config.max_position_embeddings / trained
        attention = math.sqrt(1 + math.log(scale) / math.log(trained)) if scale > 1 else 1.0
        writer.add_rope_scaling_attn_factors(float(rope.get("attention_factor") or attention))


def window_note(config: PreTrainedConfig) -> tuple[str, ...]:
    """What a reader makes of a window that the file cannot give it."""
    window = getattr(config, "sliding_window", None)
    if FAMILIES[config.model_type].window != "ignored" or not window or window >= config.max_position_embeddings:
        return ()
    return (
        f"llama.cpp has no window for it: beyond {window} tokens it looks further back than the model was trained to",
    )


# ---- words


def _add_words(writer: "gguf.GGUFWriter", words: Vocabulary, special: Mapping[str, Any]) -> None:
    writer.add_tokenizer_model(words.model)
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list(list(words.tokens))
    writer.add_token_types(list(words.kinds))
    if words.scores:
        writer.add_token_scores(list(words.scores))
    if words.merges:
        writer.add_token_merges(list(words.merges))
    if words.space_prefix is not None:
        writer.add_add_space_prefix(words.space_prefix)
    for name in ("bos", "eos", "eot", "unk", "pad"):
        if special.get(name) is not None:
            getattr(writer, f"add_{name}_token_id")(int(special[name]))
    writer.add_add_bos_token(bool(special.get("add_bos")))
    writer.add_add_eos_token(bool(special.get("add_eos")))
    template = special.get("chat_template")
    if template:
        several = isinstance(template, Mapping)
        writer.add_chat_template([{"name": n, "template": t} for n, t in template.items()] if several else template)


# ---- tensors


def _laid_out(
    model: PreTrainedModel, family: Family, kind: Kind, package: Any
) -> Iterator[tuple[str, "NDArray[Any]", "gguf.GGMLQuantizationType"]]:
    """Name, numbers in float32 as the file has them laid out, and the type that they get there, tensor by tensor."""
    config = model.config
    named = package.get_tensor_name_map(
        next(arch for arch, name in package.MODEL_ARCH_NAMES.items() if name == family.arch), config.num_hidden_layers
    )
    head = model.get_output_embeddings()
    tied = head is not None and head.weight is model.get_input_embeddings().weight
    for name, value in model.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        theirs = named.get_name(name, try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise ConfigError(f"GGUF: {family.arch} has no tensor for {name}; this model is not as its config says")
        data = _as_ggml(name, value, config, family).numpy()
        stored = _type_of(theirs, data, kind, package)
        yield theirs, data, stored
    for theirs, factors in _rope_factors(config):
        yield theirs, factors, package.GGMLQuantizationType.F32


def _as_ggml(name: str, value: Tensor, config: PreTrainedConfig, family: Family) -> Tensor:
    value = value.detach().cpu().float()
    if family.permuted and ".q_proj." in name:
        return _permuted(value, config.num_attention_heads)
    if family.permuted and ".k_proj." in name:
        return _permuted(value, config.num_key_value_heads)
    if family.transposed and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        return value.T.contiguous()
    if family.norm_offset and name.endswith("norm.weight"):
        return value + family.norm_offset
    return value.contiguous()


def _permuted(value: Tensor, heads: int) -> Tensor:
    halves = value.reshape(heads, 2, value.shape[0] // heads // 2, *value.shape[1:])
    return halves.transpose(1, 2).reshape(value.shape).contiguous()


def _type_of(name: str, data: "NDArray[Any]", kind: Kind, package: Any) -> Any:
    types = package.GGMLQuantizationType
    if data.ndim < 2 or name.endswith("_norm.weight") or name.startswith("position_embd"):
        return types.F32
    if kind == "q8_0" and data.shape[-1] % _BLOCK:
        return types.F16
    return types[kind.upper()]


def _rope_factors(config: PreTrainedConfig) -> Iterator[tuple[str, "NDArray[Any]"]]:
    """What each frequency of a rotary embedding is divided by, where it is not 1."""
    rope = rope_of(config)
    if rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", llama3_factors(rope, head_dim(config))
    if rope.get("rope_type") == "longrope":
        yield "rope_factors_long.weight", np.array(rope["long_factor"], dtype=np.float32)
        yield "rope_factors_short.weight", np.array(rope["short_factor"], dtype=np.float32)


def llama3_factors(rope: Mapping[str, Any], dim: int) -> "NDArray[np.float32]":
    """The divisors of Llama 3.1's frequencies, (dim / 2,): 1 for short waves, `factor` for long ones, between them a
    smooth change of the frequency (transformers' `_compute_llama3_parameters`)."""
    frequency = 1.0 / float(rope["rope_theta"]) ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    length, factor = float(rope["original_max_position_embeddings"]), float(rope["factor"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    turns = length * frequency / (2 * math.pi)
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).float().numpy()
