"""A model as a directory that stands alone: adapters merged, safetensors, its template and end tokens, checked.

What is written is loaded again by transformers and must give the same tokens and, to rounding, the same outputs.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from burnish.data.builtin_templates import BUILTIN
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError, DataError, MissingInput, WriteFailed
from burnish.models.copies import difference, outputs, read_rows, require_same, require_same_tokens
from burnish.models.files import PICKLES, check_safetensors, is_scorer, json_object, model_directory
from burnish.models.load import Placement, load_policy, load_scorer, naming, require_reward_head
from burnish.models.noise import Noise, as_it_came

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16", "float16")
_STORED: Mapping[str, Dtype] = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True)
class Source:
    """A model in memory, in the precision `dtype`, with the template that it was trained with.

    `kind`: `policy` for a language model, `scorer` for a reward model, whose template is None. `noise`: what its config
    came with, and is written with again.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    template: Template | None
    dtype: Dtype
    noise: Noise

    @property
    def kind(self) -> str:
        return "scorer" if self.template is None else "policy"


def _held(folder: Path) -> dict[str, int]:
    """How many of a directory's weights are stored in each precision, from their headers."""
    held: dict[str, int] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # it is no mapping
                piece = tensors.get_slice(name)
                held[piece.get_dtype()] = held.get(piece.get_dtype(), 0) + math.prod(piece.get_shape())
    return held


def stored_dtype(folder: Path) -> Dtype:
    """The precision of most of a directory's weights."""
    held = _held(folder)
    most = max(held, key=lambda kind: held[kind], default="F32")
    if most not in _STORED:
        raise ConfigError(f"{folder}: its weights are {most}; choose --dtype, one of {', '.join(DTYPES)}")
    return _STORED[most]


def stored_otherwise(folder: Path, dtype: Dtype) -> bool:
    """Is any of a directory's weights stored in another precision?"""
    return any(_STORED.get(kind) != dtype for kind in _held(folder))


def load_source(folder: Path, *, dtype: Dtype | None = None, template: str = "auto") -> Source:
    """Load a model directory as it is stored, or rounded to `dtype`. `template`: by which one it was trained.

    Raises what `load_policy` and `load_scorer` raise.
    """
    kept = dtype or stored_dtype(folder)
    place = Placement(device="cpu", dtype=kept)
    if is_scorer(json_object(folder / "config.json")):
        require_reward_head(folder)
        scorer = load_scorer(folder, place, packed=False)
        return Source(scorer.model, scorer.tokenizer, None, kept, scorer.noise)
    policy = load_policy(folder, place, packed=False)
    return Source(policy.model, policy.tokenizer, resolve(policy.tokenizer, template), kept, policy.noise)


def give_template_and_ends(source: Source) -> None:
    """Let the model stop where its answers were taught to end, and write a prompt as it was taught to read it.

    A built-in template that it was trained with becomes the tokenizer's own where that has none.
    """
    template = source.template
    if template is None:
        return
    if template.source is not None and not source.tokenizer.chat_template and template.name in BUILTIN:
        source.tokenizer.chat_template = template.source
    ends = sorted(template.end_tokens)
    generation: Any = source.model.generation_config
    generation.eos_token_id = ends if len(ends) > 1 else ends[0]
    for name in ("bos_token_id", "pad_token_id"):
        if getattr(generation, name, None) is None:
            setattr(generation, name, getattr(source.tokenizer, name))


def write_copy(source: Source, out: Path, *, shard_size: str = "5GB") -> dict[str, Any]:
    """Write `source` into the folder `out` and check what lies there. Returns what was found.

    Raises DataError where the copy is not the model; whoever called then removes `out`.
    """
    give_template_and_ends(source)
    try:
        with as_it_came(source.model.config, source.noise):
            source.model.save_pretrained(out, max_shard_size=shard_size)
        source.tokenizer.save_pretrained(out)
    except (OSError, SafetensorError) as error:
        raise WriteFailed(f"{out}: cannot be written: {error}. Nothing is left of it; free some space") from error
    for file in out.glob("*.safetensors"):
        file.chmod(0o644)  # it is written for its owner alone, unlike all else in the folder
    return check_copy(out, source)


def check_copy(out: Path, source: Source) -> dict[str, Any]:
    """Load a copy with stock transformers; its tokens and outputs must be those of `source`.

    Both compute in float32, which holds every weight of 16 bits as it is and is the faster one on a CPU.
    """
    for file in out.glob("*.safetensors"):
        check_safetensors(file)
    if pickles := sorted(p.name for p in out.iterdir() if p.name.endswith(PICKLES)):
        raise ConfigError(f"{out}: pickles in the copy: {', '.join(pickles)}")
    kind: Any = AutoModelForCausalLM if source.kind == "policy" else AutoModelForSequenceClassification
    with naming(out):
        tokenizer = AutoTokenizer.from_pretrained(out, trust_remote_code=False)
        model = kind.from_pretrained(out, dtype=torch.float32, use_safetensors=True, trust_remote_code=False).eval()
    if stored_dtype(out) != source.dtype:
        raise DataError(f"{out}: its weights are {stored_dtype(out)}, and {source.dtype} was to be written")
    rows = read_rows(source.tokenizer)
    return {
        "tokens": require_same_tokens(tokenizer, source.tokenizer, str(out)),
        "largest_difference": require_same(outputs(model, rows), outputs(source.model.float(), rows), str(out)),
    }


def lost_by_rounding(folder: Path, source: Source) -> float:
    """The largest difference between the outputs of `source` and of the weights as they are stored in `folder`, both
    computed in float32."""
    stored = load_source(folder, dtype="float32")
    rows = read_rows(stored.tokenizer)
    return difference(outputs(source.model.float(), rows), outputs(stored.model, rows))


# ---- adapters


def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def adapter_named(folder: Path, base: str | Path | None = None) -> str | Path:
    """The name of what an adapter was trained on: `base`, or what its config says; empty where it says nothing."""
    return base or str(json_object(folder / "adapter_config.json").get("base_model_name_or_path") or "")


def adapter_base(folder: Path, base: str | Path | None = None) -> Path:
    """The directory of the model that an adapter was trained on: `base`, or what its config names.

    A relative name is looked for from here. Raises ConfigError for an adapter that cannot be merged, MissingInput
    where the base is not there.
    """
    config = json_object(folder / "adapter_config.json")
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind != "LORA" or config.get("megatron_config"):
        raise ConfigError(f"{folder}: an adapter of kind {kind}; only LoRA is merged")
    if task != "CAUSAL_LM":
        raise ConfigError(
            f"{folder}: an adapter for {task}, whose head lies in the merged model; export `model/` beside it"
        )
    if not (folder / "adapter_model.safetensors").is_file():
        raise MissingInput(f"{folder}: adapter_model.safetensors is missing; adapters as pickles are not loaded")
    named = adapter_named(folder, base)
    if not named:
        raise ConfigError(f"{folder}: its adapter_config.json names no base; name it with --base MODEL")
    try:
        return model_directory(named)
    except MissingInput as error:
        raise MissingInput(f"{error}\nIt is what {folder} says it was trained on; --base MODEL names another") from None


def merge_adapter(folder: Path, base: Path, out: Path) -> Path:
    """Write W + (alpha / rank) · B·A of `base` and the adapter in `folder` as a model directory, in float32."""
    from peft import PeftModel

    check_safetensors(folder / "adapter_model.safetensors")
    policy = load_policy(base, Placement(device="cpu", dtype="float32"), packed=False)
    with naming(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that v6 drops
        merged = PeftModel.from_pretrained(policy.model, str(folder), is_trainable=False).merge_and_unload()
        with as_it_came(merged.config, policy.noise):
            merged.save_pretrained(out)
        tokenizer = policy.tokenizer
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.save_pretrained(out)
    return out


def parameters(model: PreTrainedModel) -> int:
    return sum(p.numel() for p in model.parameters())


def special_ids(source: Source) -> dict[str, Any]:
    """What a GGUF file says of a language model's special tokens, and the template that it is spoken to with."""
    tokenizer, template = source.tokenizer, source.template
    if template is None:
        raise ConfigError("a reward model has no end of an answer")
    plain = tokenizer("a").input_ids
    eos = tokenizer.eos_token_id if isinstance(tokenizer.eos_token_id, int) else template.end_token
    return {
        "bos": tokenizer.bos_token_id,
        "eos": eos,
        "eot": template.end_token if template.end_token != eos else None,
        "unk": tokenizer.unk_token_id,
        "pad": tokenizer.pad_token_id,
        "add_bos": bool(template.encoder.begin),
        "add_eos": bool(plain) and plain[-1] == eos,
        "chat_template": tokenizer.chat_template,
    }
