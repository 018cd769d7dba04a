"""A directory or hub id → a Policy or a Scorer, after its files and its forward pass were checked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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

from burnish.errors import BurnishError, ConfigError, DataError
from burnish.models.adapters import Lora, added_adapter, seeded
from burnish.models.check import Route, route_of
from burnish.models.files import check_model_directory, is_scorer, model_directory
from burnish.models.model import Model, Policy, Scorer
from burnish.models.noise import Noise, noise_set
from burnish.models.padding import give_pad_token

logging.disable_progress_bar()
logging.set_verbosity_error()  # its load report tells of a missing head as a remark; _load makes that an error

M = TypeVar("M", bound=Model)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


class Loaded(NamedTuple):
    """`noise`: what the config came with, which is set otherwise by now."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    noise: Noise


@dataclass(frozen=True)
class Placement:
    """Where and in what precision a model runs. `auto` is float32 on a CPU or MPS and bfloat16 on CUDA.

    `resize_embeddings` adds rows to an embedding that has fewer than its tokenizer has tokens.
    """

    device: str = "auto"
    dtype: str = "auto"
    dropout: float = 0.0
    activation_checkpointing: bool = False
    resize_embeddings: bool = False


def load_policy(
    path: str | Path,
    place: Placement | None = None,
    *,
    lora: Lora | None = None,
    packed: bool | None = None,
    seed: int = 0,
) -> Policy:
    """Load a causal language model. `packed` None lets the self-check decide; False forces the padded path.

    `seed` draws a fresh adapter. Raises MissingInput, DataError or ConfigError for what cannot be loaded safely.
    """
    loaded = _load(AutoModelForCausalLM, path, place or Placement())
    model = loaded.model
    if model.get_output_embeddings() is None:
        raise ConfigError(f"{path}: {type(model).__name__} has no output layer: not a causal language model")
    return _finish(Policy, loaded, path, lora, packed, seed)


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
    if not fresh_head:
        require_reward_head(path)
    loaded = _load(AutoModelForSequenceClassification, path, place or Placement(), fresh_head=fresh_head, num_labels=1)
    model, tokenizer, _ = loaded
    head = getattr(model, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise ConfigError(f"{path}: {type(model).__name__} has no linear `score` head; choose another architecture")
    if fresh_head:
        generator = torch.Generator().manual_seed(seed)
        weight = torch.empty(head.weight.shape).normal_(0, (head.in_features + 1) ** -0.5, generator=generator)
        head.weight.data.copy_(weight)
    give_pad_token(model, tokenizer)
    return _finish(Scorer, loaded, path, lora, packed, seed)


def fresh_policy(path: str | Path, place: Placement, *, seed: int) -> Policy:
    """A model of random weights from a directory that holds only config.json and a tokenizer."""
    check_model_directory(Path(path), weights=False)
    device = _device(place.device)
    with naming(path), seeded(seed):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        noise = noise_set(config, place.dropout)
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(config, dtype=_dtype(place.dtype, device), trust_remote_code=False)
    _fit_embedding(model, tokenizer, path, place)
    return _finish(Policy, Loaded(_placed(model, place), tokenizer, noise), path, None, None, seed)


def _load(kind: Any, path: str | Path, place: Placement, *, fresh_head: bool = False, **options: Any) -> Loaded:
    folder = model_directory(path)
    check_model_directory(folder)
    device = _device(place.device)
    with naming(path), seeded(0):  # what is not in the files is drawn, and replaced or refused below
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        noise = noise_set(config, place.dropout)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        for name, value in options.items():
            setattr(config, name, value)
        model, told = kind.from_pretrained(
            folder,
            config=config,
            dtype=_dtype(place.dtype, device),
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told below, by name
            trust_remote_code=False,
            output_loading_info=True,
        )
    absent = [name for name in told["missing_keys"] if not (fresh_head and name.startswith("score."))]
    if absent:
        raise DataError(
            f"{path}: weights missing for {len(absent)} tensors, which would start at random: {sorted(absent)[:3]}"
        )
    if other := sorted(told["mismatched_keys"]):
        name, found, wanted = other[0]
        raise DataError(
            f"{path}: {len(other)} tensors do not have the shapes of config.json: {name} is {tuple(found)} in the file "
            f"and {tuple(wanted)} by the config"
        )
    _fit_embedding(model, tokenizer, path, place)
    return Loaded(_placed(model, place), tokenizer, noise)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """What transformers and the libraries below it raise, as an error that names the model."""
    try:
        yield
    except BurnishError:
        raise
    except ImportError as error:
        raise ConfigError(f"{path}: its format needs a library that is not installed: {_first_line(error)}") from error
    except Exception as error:  # the tokenizers library raises bare Exception, model code whatever its config provokes
        raise DataError(f"{path}: transformers cannot load it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def _fit_embedding(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: str | Path, place: Placement
) -> None:
    weight: torch.Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]  # typed as any attribute
    if len(tokenizer) <= len(weight):
        return
    if not place.resize_embeddings:
        raise ConfigError(
            f"{path}: the tokenizer has {len(tokenizer)} tokens and the embedding {len(weight)} rows: not a pair. If "
            "the tokens are meant to be learned, set resize_embeddings: true to add rows"
        )
    with seeded(0):
        model.resize_token_embeddings(len(tokenizer))


def _placed(model: PreTrainedModel, place: Placement) -> PreTrainedModel:
    if place.activation_checkpointing:
        if not model.supports_gradient_checkpointing:
            raise ConfigError(f"activation_checkpointing: transformers has none for {type(model).__name__}")
        model.activation_checkpointing_enable({"use_reentrant": False})
    torch.nn.Module.to(model, _device(place.device))
    model.eval()
    return model


def _finish(
    kind: type[M],
    loaded: Loaded,
    path: str | Path,
    lora: Lora | None,
    packed: bool | None,
    seed: int,
) -> M:
    model, tokenizer, noise = loaded
    route = route_of(model) if packed is None else Route(padded_because="" if packed else "asked for")
    made = kind(model, tokenizer, padded_because=route.padded_because, flex=route.flex, source=str(path), noise=noise)
    made.flex_refused = route.flex_refused
    if lora is not None:
        made.adapter = added_adapter(made.model, lora, seed=seed)
    return made


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = name.partition(":")[0]
    if kind not in there:
        raise ConfigError(f"device: {name}: unknown; one of auto, {', '.join(there)}")
    if not there[kind]:
        raise ConfigError(
            f"device: {name}, but torch sees no such device; use `device: cpu`, or install a build of torch for {kind}"
        )
    return torch.device(name)


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise ConfigError(f"dtype: {name}: unknown; one of auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def require_reward_head(path: str | Path) -> None:
    config = check_model_directory(model_directory(path))
    kinds = config.get("architectures") or []
    if not is_scorer(config):
        raise ConfigError(
            f"{path}: not a reward model: its config says {', '.join(map(str, kinds)) or 'no architecture'}. Train one "
            "with `burnish reward`, and point at its `model/` folder."
        )
    labels = config.get("num_labels", len(config.get("id2label") or "01"))  # two, where a config says nothing
    if labels != 1:
        raise ConfigError(f"{path}: a reward model has one label, this classifier has {labels}")
