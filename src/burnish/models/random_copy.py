"""A small random copy of a model: the same code and the same kinds of layer, drawn so that every mask matters.

The loaded weights alone prove little: a window of 4096 is never reached by a test row, and trained attention may look
away from what a wrong mask lets in. In the copy every window is cut to 8, every soft-cap of attention to 2, and the
weights are large. What costs memory and proves nothing is made small: the vocabulary, and in wide models the widths.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel

WINDOW = 8
SOFTCAP = 2.0  # a cap of 50 moves the sharpest of these rows by 1e-3
_VOCABULARY = 256
_POSITIONS = 64  # the check's rows are up to 53 tokens long
_WIDE = 30_000_000  # parameters from which the copy's widths are cut: 120 MB in float32
_LARGEST = 500_000_000
_EXPERTS = 16
_FEED_FORWARD = 256

MODEL_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What model and config code raise when they are given a size, row or keyword that they were not written for."""

Kind = frozenset[tuple[str, str, str, str]]
"""What makes a layer one of its kind: (submodule, class, attribute, its text, or whether a number is zero)."""


class NoCopyError(Exception):
    """No small copy of this model shows what the check has to see."""


def random_copy(model: PreTrainedModel, *, seed: int = 0) -> PreTrainedModel:
    """The same architecture with two layers of each kind, windows of 8 and large random weights, in float32 on a CPU.

    Raises NoCopyError where no such copy can be built or it lacks a kind of layer that the model has.
    """
    reason = "its layers differ in a way that its config does not list"
    for attempt in _attempts(model):
        try:
            copied = _build(model, attempt(), seed)
        except MODEL_FAULTS as error:
            reason = f"{type(error).__name__}: {str(error)[:200]}"
            continue
        if uncut := _uncut_windows(copied):
            raise NoCopyError(f"its window {uncut} could not be cut")
        if _has_every_kind(copied, model):
            return copied
    raise NoCopyError(reason)


def _attempts(model: PreTrainedModel) -> Iterator[Callable[[], PreTrainedConfig]]:
    """Configs from the smallest to the most faithful; the first that can be built and has every kind is taken."""

    def whole_vocabulary(kept: list[int]) -> PreTrainedConfig:
        return _cut_depth(_cut_reach(copy.deepcopy(model.config)), kept)

    def shallow(kept: list[int]) -> PreTrainedConfig:
        return _cut_vocabulary(whole_vocabulary(kept))

    def narrow(kept: list[int]) -> PreTrainedConfig:
        return _cut_widths(shallow(kept))

    listed = _one_of_each_list_kind(model.config.get_text_config())
    prefix = list(range((_first_two(layer_kinds(model)) or listed)[-1] + 1))
    for kept in [listed] if listed == prefix else [listed, prefix]:
        size = _parameters(model, partial(shallow, kept))
        if size is None or size > _WIDE:
            yield partial(narrow, kept)
        if size is None or size <= _LARGEST:
            yield partial(shallow, kept)
            yield partial(whole_vocabulary, kept)


def _build(model: PreTrainedModel, config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copied: PreTrainedModel = type(model)(config).float().eval()
        draw_large(copied)
    with torch.no_grad():
        copied(input_ids=torch.arange(4)[None] % config.get_text_config().vocab_size, use_cache=False)
    return copied


@torch.no_grad()
def draw_large(model: PreTrainedModel) -> None:
    """Weights at which attention is sharp and what each token sees decides what it says."""
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            embedding = "embed" in name or "wte" in name or "wpe" in name
            parameter.normal_(0, 1.0 if embedding else 1.5 / parameter.shape[-1] ** 0.5)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.2)


def layer_kinds(model: PreTrainedModel) -> list[Kind]:
    """The kind of each decoder layer, in their order; empty where the layers are not found.

    Two layers are of one kind if they have the same modules and the same settings, where a number counts only as zero
    or not: a cut width makes no other kind, a rotary embedding that is switched off does.
    """
    return [_kind(layer) for layer in _decoder_layers(model)]


def _decoder_layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    depth = model.config.get_text_config().num_hidden_layers
    stacks = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == depth]
    return list(stacks[0]) if stacks else []


def _kind(layer: torch.nn.Module) -> Kind:
    told: set[tuple[str, str, str, str]] = set()
    for path, module in layer.named_modules():
        if ".experts." in path:
            continue  # their number was cut
        told.add((path, type(module).__name__, "", ""))
        for name, value in vars(module).items():
            if name.startswith("_") or name in ("layer_idx", "layer_id", "training"):
                continue
            if isinstance(value, str):
                told.add((path, "", name, value))
            elif isinstance(value, int | float):
                told.add((path, "", name, str(bool(value))))
    return frozenset(told)


def _has_every_kind(copied: PreTrainedModel, model: PreTrainedModel) -> bool:
    there, wanted = Counter(layer_kinds(copied)), Counter(layer_kinds(model))
    return all(there[kind] >= min(count, 2) for kind, count in wanted.items())


def _first_two(kinds: list[Kind]) -> list[int]:
    return [i for i in range(len(kinds)) if kinds[:i].count(kinds[i]) < 2]


def _one_of_each_list_kind(text: PreTrainedConfig) -> list[int]:
    depth = text.num_hidden_layers
    lists = _layer_lists(text, depth)
    kinds = [tuple(str(values[i]) for values in lists.values()) for i in range(depth)]
    return [i for i in range(depth) if kinds[:i].count(kinds[i]) < 2]


def _layer_lists(text: PreTrainedConfig, depth: int) -> dict[str, list[Any] | tuple[Any, ...]]:
    return {
        name: values
        for name, values in vars(text).items()
        if isinstance(values, list | tuple) and len(values) == depth and not name.endswith(("token_id", "_ids"))
    }


def _cut_depth(config: PreTrainedConfig, kept: list[int]) -> PreTrainedConfig:
    text = config.get_text_config()
    for name, values in _layer_lists(text, text.num_hidden_layers).items():
        setattr(text, name, type(values)(values[i] for i in kept))
    text.num_hidden_layers = len(kept)
    for sub in vars(config).values():  # a vision tower is not what is checked
        if isinstance(sub, PreTrainedConfig) and sub is not text and isinstance(getattr(sub, "depth", None), int):
            sub.depth = 1
    return config


def _is_window(name: str) -> bool:
    return ("window" in name or name == "attention_chunk_size") and not any(
        part in name for part in ("layers", "pattern", "use_", "num_")
    )


def _cut_reach(config: PreTrainedConfig) -> PreTrainedConfig:
    text = config.get_text_config()
    for name, value in list(vars(text).items()):
        if isinstance(value, PreTrainedConfig):
            _cut_reach(value)
        elif "att" in name and "cap" in name and isinstance(value, float | int) and value > SOFTCAP:
            setattr(text, name, SOFTCAP)
        elif _is_window(name) and isinstance(value, list | tuple):
            setattr(text, name, type(value)(_cut(item) for item in value))
        elif _is_window(name):
            setattr(text, name, _cut(value))
    return config


def _cut(value: Any) -> Any:
    return WINDOW if isinstance(value, int) and value > WINDOW else value


def _uncut_windows(model: PreTrainedModel) -> str:
    for layer in _decoder_layers(model):
        for path, module in layer.named_modules():
            for name, value in vars(module).items():
                if _is_window(name) and isinstance(value, int) and value > WINDOW:
                    return f"{path}.{name} of {value}"
    return ""


def _cut_vocabulary(config: PreTrainedConfig) -> PreTrainedConfig:
    """Fewer tokens. An id that falls out of them becomes the last token; the check's rows are of other ones."""
    text = config.get_text_config()
    size = min(text.vocab_size, _VOCABULARY)
    text.vocab_size = size
    for part in {id(config): config, id(text): text}.values():
        for name, value in list(vars(part).items()):
            if name.endswith(("token_id", "token_index")) and _beyond(value, size):
                setattr(part, name, size - 1)
    if isinstance(getattr(text, "max_position_embeddings", None), int):
        text.max_position_embeddings = max(text.max_position_embeddings, _POSITIONS)
    return config


def _beyond(value: Any, size: int) -> bool:
    return any(isinstance(item, int) and item >= size for item in (value if isinstance(value, list) else [value]))


def _cut_widths(config: PreTrainedConfig) -> PreTrainedConfig:
    """Fewer heads of the same size, narrower layers, fewer experts: who sees whom does not depend on them."""
    text = config.get_text_config()
    heads = text.num_attention_heads
    shared = getattr(text, "num_key_value_heads", None) or heads
    few_shared = min(shared, 2)
    few = few_shared * min(heads // shared, 2)
    text.hidden_size = few * max(text.hidden_size // heads, 8)
    text.num_attention_heads = few
    if isinstance(getattr(text, "num_key_value_heads", None), int):
        text.num_key_value_heads = few_shared
    for name in ("intermediate_size", "moe_intermediate_size", "shared_expert_intermediate_size", "ffn_dim", "n_inner"):
        if isinstance(getattr(text, name, None), int):
            setattr(text, name, min(getattr(text, name), _FEED_FORWARD))
    for name in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"):
        if isinstance(getattr(text, name, None), int):
            setattr(text, name, min(getattr(text, name), _EXPERTS))
    return config


def _parameters(model: PreTrainedModel, config: Callable[[], PreTrainedConfig]) -> int | None:
    """How many the copy would have; None where it cannot be built without memory."""
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in type(model)(config()).parameters())
    except MODEL_FAULTS:
        return None
