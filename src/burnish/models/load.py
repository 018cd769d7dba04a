"""A directory or hub id → a Policy or a Scorer, after its files and its forward pass were checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from burnish.errors import ConfigError, DataError, MissingInput
from burnish.models.adapters import Lora, with_adapter
from burnish.models.check import Route, route_of
from burnish.models.files import check_model_directory
from burnish.models.model import Model, Policy, Scorer

logging.disable_progress_bar()
logging.set_verbosity_error()  # its load report tells of a missing head as a remark; _load makes that an error

M = TypeVar("M", bound=Model)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


@dataclass(frozen=True)
class Placement:
    """Where and in what precision a model runs. `auto` is float32 on a CPU or MPS and bfloat16 on CUDA."""

    device: str = "auto"
    dtype: str = "auto"
    dropout: float = 0.0
    activation_checkpointing: bool = False


def load_policy(
    path: str | Path, place: Placement | None = None, *, lora: Lora | None = None, packed: bool | None = None
) -> Policy:
    """Load a causal language model. `packed` None lets the self-check decide; False forces the padded path.

    Raises MissingInput, DataError or ConfigError for a directory that cannot be loaded safely.
    """
    model, tokenizer = _load(AutoModelForCausalLM, path, place or Placement())
    if model.get_output_embeddings() is None:
        raise ConfigError(f"{path}: {type(model).__name__} has no output layer: not a causal language model")
    return _finish(Policy, model, tokenizer, path, place or Placement(), lora, packed)


def load_scorer(
    path: str | Path,
    place: Placement | None = None,
    *,
    lora: Lora | None = None,
    packed: bool | None = None,
    fresh_head: bool = False,
    seed: int = 0,
) -> Scorer:
    """Load a reward model, or with `fresh_head` a language model's trunk with a head whose scores start near 0.

    The head's deviation is 1/√(D+1) over D hidden units (Stiennon et al. 2020, their code). Raises ConfigError where
    the directory is no reward model and `fresh_head` is off: a head that was not loaded would score at random.
    """
    place = place or Placement()
    if not fresh_head:
        _require_reward_head(path)
    torch.manual_seed(seed)
    model, tokenizer = _load(AutoModelForSequenceClassification, path, place, fresh_head=fresh_head, num_labels=1)
    head = getattr(model, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise ConfigError(f"{path}: {type(model).__name__} has no linear `score` head; choose another architecture")
    if fresh_head:
        generator = torch.Generator().manual_seed(seed)
        weight = torch.empty(head.weight.shape).normal_(0, (head.in_features + 1) ** -0.5, generator=generator)
        head.weight.data.copy_(weight)
    _give_pad_token(model, tokenizer)
    return _finish(Scorer, model, tokenizer, path, place, lora, packed)


def _load(
    kind: Any, path: str | Path, place: Placement, *, fresh_head: bool = False, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    local = Path(path).exists()
    if local:
        check_model_directory(Path(path))
    elif str(path).startswith((".", "/", "~")) or str(path).count("/") != 1:
        raise MissingInput(f"{path}: no such model directory (looked from {Path.cwd()})")
    device = _device(place.device)
    dtype = _dtype(place.dtype, device)
    try:
        config = AutoConfig.from_pretrained(path)
        text = config.get_text_config()
        for name in vars(text):
            if name.endswith(("dropout", "_pdrop")) and isinstance(getattr(text, name), float | int):
                setattr(text, name, place.dropout)
        tokenizer = AutoTokenizer.from_pretrained(path)
        for name, value in options.items():
            setattr(config, name, value)
        model, told = kind.from_pretrained(
            path, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        if not local:
            raise MissingInput(
                f"{path}: neither a directory nor a model in the local hub cache, and the hub could not be reached: "
                f"{str(error).splitlines()[0]}. Download it beforehand: hf download {path} --local-dir DIR"
            ) from error
        raise DataError(f"{path}: transformers cannot load it: {str(error).splitlines()[0]}") from error
    absent = [name for name in told["missing_keys"] if not (fresh_head and name.startswith("score."))]
    if absent:
        raise DataError(
            f"{path}: weights missing for {len(absent)} tensors, which would start at random: {sorted(absent)[:3]}"
        )
    rows = _embedding_rows(model)
    if len(tokenizer) > rows:
        raise ConfigError(
            f"{path}: the tokenizer has {len(tokenizer)} tokens and the embedding {rows} rows: not a pair"
        )
    if place.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.to(device).eval(), tokenizer


def _finish(
    kind: type[M],
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: str | Path,
    place: Placement,
    lora: Lora | None,
    packed: bool | None,
) -> M:
    route = route_of(model) if packed is None else Route(padded_because="" if packed else "asked for")
    loaded = kind(model, tokenizer, padded_because=route.padded_because, flex=route.flex, source=str(path))
    loaded.flex_refused = route.flex_refused
    if lora is not None:
        with_adapter(loaded, lora)
    return loaded


def _embedding_rows(model: PreTrainedModel) -> int:
    weight: torch.Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]  # typed as any attribute
    return weight.shape[0]


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            "device: cuda, but torch sees no CUDA device; use `device: cpu`, or install a CUDA build of torch"
        )
    return torch.device(name)


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise ConfigError(f"dtype: {name}: unknown; one of auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def _require_reward_head(path: str | Path) -> None:
    file = Path(path) / "config.json"
    if not file.exists():
        return
    config: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    kinds = config.get("architectures") or []
    if not any("SequenceClassification" in kind for kind in kinds):
        raise ConfigError(
            f"{path}: not a reward model: its config says {', '.join(kinds) or 'no architecture'}. Train one with "
            "`burnish reward`, and point at its `model/` folder."
        )
    labels = config.get("num_labels", len(config.get("id2label") or {0: ""}))
    if labels != 1:
        raise ConfigError(f"{path}: a reward model has one label, this classifier has {labels}")


def _give_pad_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """A pad token that can never end an answer, so that transformers finds the same last token as we do."""
    from burnish.data.templates import resolve

    ends = resolve(tokenizer, "auto").end_tokens
    current = model.config.pad_token_id
    if current is None or current in ends:
        special = [i for i in tokenizer.all_special_ids if i not in ends and i != tokenizer.bos_token_id]
        current = special[0] if special else None
    if current is None:
        tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
        current = tokenizer.pad_token_id
        if len(tokenizer) > _embedding_rows(model):
            model.resize_token_embeddings(len(tokenizer))
    tokenizer.pad_token_id = current
    model.config.pad_token_id = current


def fresh_policy(path: str | Path, place: Placement, *, seed: int) -> Policy:
    """A model of random weights from a directory that holds only config.json and a tokenizer."""
    config = AutoConfig.from_pretrained(path)
    torch.manual_seed(seed)
    device = _device(place.device)
    model = AutoModelForCausalLM.from_config(config, dtype=_dtype(place.dtype, device)).to(device).eval()
    return _finish(Policy, model, AutoTokenizer.from_pretrained(path), path, place, None, None)
