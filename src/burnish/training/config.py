"""The keys that every training stage shares, with one meaning everywhere, and how what was written becomes settings."""

import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from burnish.data.problems import described, listed, nearest, printable
from burnish.errors import ConfigError, UsageError
from burnish.models.adapters import Lora


class Adam(BaseModel):
    """AdamW (Loshchilov and Hutter 2019)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean of gradients")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the mean of squared gradients")
    epsilon: float = Field(1e-8, gt=0, description="added to the root of the mean square")


OnTrouble = Literal["fail", "skip"]
OnNonFinite = Literal["abort", "skip"]
SaveEvery = int | Literal["auto"]
TrackerName = Literal["tensorboard", "wandb"]
Check = Literal["outputs", "mask", "begin_token", "end_token", "score", "sampler", "reference", "ratio", "precision"]
"""Names of what is proved before step one; `methods.checks` says what each proves, `precision` is the machine's."""


class StageConfig(BaseModel):
    """What every stage may be told, whether it trains or not."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_length: int = Field(1024, ge=2, description="most tokens of a prompt with one of its answers")
    micro_batch_tokens: int = Field(2048, ge=1, description="tokens computed at once; changes memory, not results")
    template: str = Field("auto", description="chat template: auto, none, chat, or a built-in one by name")
    on_bad_row: OnTrouble = Field("fail", description="a row that cannot be read: fail, or skip it and write it aside")
    max_bad_fraction: float = Field(0.01, ge=0, le=1, description="share of a file's rows that may be skipped as bad")
    on_too_long: OnTrouble = Field("fail", description="a row that cannot be cut to max_length: fail, or skip it")
    seed: int = Field(0, ge=0, lt=2**63, description="what all random numbers come from")
    dtype: str = Field("auto", description="auto, float32, bfloat16, float16 or float64")
    device: str = Field("auto", description="auto, cpu, cuda or mps")


class MethodConfig(StageConfig):
    """What a training stage may be told. A method adds its own keys and its own defaults."""

    learning_rate: float = Field(1e-5, gt=0, description="peak of the learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="course of the rate after warm-up")
    warmup: float = Field(0.0, ge=0, lt=1, description="share of the steps in which the rate rises to its peak")
    epochs: float | None = Field(None, gt=0, description="passes over the data; 1 where neither this nor steps is set")
    steps: int | None = Field(None, ge=1, description="optimiser steps, or iterations of a method that samples")
    batch_size: int = Field(8, ge=1, description="groups a step, over all ranks")
    shuffle: bool = Field(True, description="a new order of the rows every epoch, from the seed")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay of matrices")
    max_grad_norm: float = Field(1.0, ge=0, description="gradients are scaled down to this norm; 0 is off")
    adam: Adam = Field(default_factory=Adam, description="AdamW's constants")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of every layer that has it, seeded by step")
    learn_from: Literal["last", "all"] | None = Field(None, description="assistant turns that carry loss")
    lora: Lora | None = Field(None, description="train low-rank adapters instead of all weights")
    track: tuple[TrackerName, ...] = Field((), description="who is told the figures too: tensorboard, wandb")
    save_every: SaveEvery = Field("auto", description="steps between checkpoints; auto: by the clock, 0: at the end")
    keep_checkpoints: bool = Field(False, description="leave a stage's checkpoints where they are once it is done")
    on_nonfinite: OnNonFinite = Field(
        "abort", description="a batch whose loss or gradient is not finite: abort, or skip it and write it aside"
    )
    max_skipped: int = Field(3, ge=1, description="batches that on_nonfinite: skip leaves out before the run aborts")
    auto_micro_batch: bool = Field(False, description="halve micro_batch_tokens where memory runs out, and record it")
    evaluate_every: int = Field(0, ge=0, description="steps between evaluations on evaluate_on; 0 is at the end only")
    activation_checkpointing: bool = Field(False, description="compute activations again instead of keeping them")
    skip_check: tuple[Check, ...] = Field((), description="checks before step one to leave out")

    @field_validator("skip_check", "track", mode="before")
    @classmethod
    def _one_name_or_several(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("save_every")
    @classmethod
    def _not_below_0(cls, value: SaveEvery) -> SaveEvery:
        if value != "auto" and value < 0:
            raise ValueError(f"must be a number of steps, 0 for none but the last, or auto; found {value}")
        return value

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps are both set; keep one (null unsets the other)")
        return self


# ---- what was written → settings, or everything that is wrong with it

KeyPath = tuple[str | int, ...]
Where = Callable[[KeyPath], str]
"""A key's path → how a message names it: `recipe.yaml:12: sft.learning_rate`."""
C = TypeVar("C", bound=BaseModel)
MOST_BRACKETS = 1000  # in a typed value; PyYAML takes seconds for a hundred thousand that are not closed

NAMES_ELSEWHERE = {
    "lr": "learning_rate",
    "num_train_epochs": "epochs",
    "max_steps": "steps",
    "per_device_train_batch_size": "batch_size",
    "bs": "batch_size",
    "max_seq_length": "max_length",
    "max_seq_len": "max_length",
    "warmup_ratio": "warmup",
    "lr_scheduler_type": "schedule",
    "scheduler": "schedule",
    "clip_grad": "max_grad_norm",
    "gradient_clipping": "max_grad_norm",
    "gradient_checkpointing": "activation_checkpointing",
    "precision": "dtype",
    "torch_dtype": "dtype",
    "chat_template": "template",
    "kl_coef": "beta",
    "init_kl_coef": "beta",
    "cliprange": "clip_ratio",
    "eps_clip": "clip_ratio",
    "epsilon": "clip_ratio",
    "cliprange_value": "clip_value",
    "lambd": "lam",
    "missing_eos_penalty": "unfinished_penalty",
    "entropy_coef": "entropy_bonus",
    "ptx_coef": "mix_weight",
    "unsupervised_coef": "mix_weight",
    "overlong_buffer_len": "overlong",
    "overlong_penalty_factor": "penalty",
    "soft_punish_cache": "overlong",
    "label_smoothing": "smoothing",
    "loss_type": "loss",
    "f_divergence_type": "divergence",
    "f_alpha_divergence_coef": "alpha, and is 1 less it",
    "simpo_gamma": "target_margin",
    "gamma_beta_ratio": "target_margin, and is beta times it",
    "use_weighting": "wpo",
    "ld_alpha": "length_tail",
    "ref_model_sync_steps": "reference_every",
    "ref_model_mixup_alpha": "reference_share",
    "rpo_alpha": "sft",
    "cpo_alpha": "sft",
    "desirable_weight": "desirable",
    "undesirable_weight": "undesirable",
    "num_samples": "samples",
    "num_return_sequences": "samples",
    "num_generations": "samples",
    "n_samples_per_prompt": "samples",
    "num_ppo_epochs": "inner_epochs",
    "num_iterations": "inner_epochs",
    "num_mini_batches": "minibatches",
    "importance_sampling_level": "ratio",
    "scale_rewards": "normalise",
    "n": "samples",
    "best_of_n": "best_of",
    "n_candidates": "best_of",
    "max_tokens": "max_new_tokens",
    "response_length": "max_new_tokens",
    "max_completion_length": "max_new_tokens",
    "r": "rank",
    "lora_r": "rank",
    "lora_alpha": "alpha, in the group lora",
    "lora_dropout": "dropout",
    "target_modules": "targets",
    "report_to": "track",
}
"""What other trainers call our keys; no spelling distance finds these."""

NOT_HERE = {
    **dict.fromkeys(
        ("load_in_4bit", "load_in_8bit", "quantization", "quantization_config"),
        "weights are not quantised here; `lora: {rank: 16}` saves most of the memory",
    ),
    **dict.fromkeys(
        ("attn_implementation", "flash_attn", "use_flash_attention_2", "flash_attention"),
        "the attention is chosen by what the model and the machine can do; leave it out",
    ),
    "bf16": "write `dtype: bfloat16`",
    "fp16": "write `dtype: float16`",
    "gradient_accumulation_steps": "`batch_size` is the whole batch, cut as `micro_batch_tokens` says; leave it out",
    "trust_remote_code": "code that comes with a model is never run; leave it out",
    "resume_from_checkpoint": "a run goes on from its newest checkpoint by itself; leave it out",
}
"""Keys of other trainers for which there is none here, and what to do instead."""


def settings_from(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` of `--set`, dots opening groups, as a nested mapping; a value is read as YAML reads it.

    Raises UsageError for a pair without `=`, a value that is not YAML, or a key that is given twice.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        names = key.strip().split(".")
        if not equals or not all(names):
            raise UsageError(f"--set {printable(pair)}: expected key=value, such as learning_rate=1e-5 or lora.rank=8")
        try:
            value = typed_value(text) if text.strip() else ""
        except ValueError as error:
            raise UsageError(f"--set {printable(pair)}: the value is not YAML ({error}); put it in quotes") from None
        group = settings
        for name in names[:-1]:
            group = group.setdefault(name, {})
            if not isinstance(group, dict):
                raise UsageError(f"--set {printable(pair)}: {name} was given before as a single value; keep one")
        if names[-1] in group:
            raise UsageError(f"--set {printable(pair)}: {key.strip()} is given twice; keep one")
        group[names[-1]] = value
    return settings


def typed_value(text: str) -> Any:
    """What is typed, as YAML reads it. Raises ValueError, saying why, for a text that is none."""
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise ValueError(f"more than {MOST_BRACKETS} brackets")
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except (
        yaml.YAMLError,
        ValueError,
        KeyError,
    ) as error:  # of a date or a number that is none: no error of YAML's own
        raise ValueError(printable(str(error).splitlines()[0])) from None


def as_typed(settings: Mapping[str, Any]) -> list[str]:
    """Settings as a command line has them, `settings_from` the other way round; the seed stands behind `--seed`."""
    typed: list[str] = []
    for key, value in flat(settings).items():
        text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=math.inf).splitlines()[0]
        typed += ["--seed", text] if key == "seed" else ["--set", f"{key}={text}"]
    return typed


def flat(settings: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Settings with groups opened by dots; an empty group stays one."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{at}{key}.")
        else:
            found[f"{at}{key}"] = list(value) if isinstance(value, tuple) else value
    return found


def flat_defaults(kind: type[BaseModel]) -> dict[str, Any]:
    """What the settings of this kind are where nobody sets any, as `flat` has them."""
    values = {name: field.get_default(call_default_factory=True) for name, field in kind.model_fields.items()}
    return flat({name: v.model_dump(mode="json") if isinstance(v, BaseModel) else v for name, v in values.items()})


def plainly(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)


def resolve(kind: type[C], given: Mapping[str, Any], *, where: Where = plainly) -> C:
    """`given` as a `kind`. Raises one ConfigError with a line for everything that is wrong in it."""
    config, troubles = examine(kind, given, where=where)
    if config is None:
        raise ConfigError("\n".join(troubles))
    return config


def examine(kind: type[C], given: Mapping[str, Any], *, where: Where = plainly) -> tuple[C | None, list[str]]:
    """The settings, or None with a line for everything that is wrong: where, what, what was found, what to do."""
    told: dict[KeyPath, str] = {}
    for path, value in _yes_for_a_number(kind, given, ()):
        told[path] = f"{where(path)}: must be a number; found {described(value)}"
    config: C | None = None
    try:
        config = kind.model_validate(dict(given))
    except ValidationError as error:
        for one in error.errors(include_url=False):
            path = _written_path(one["loc"], given)
            if one["type"] == "value_error" and path == ():
                path = _mentioned(str(one["ctx"]["error"]), given)
            told.setdefault(path, f"{where(path)}: {_trouble(kind, path, dict(one))}")
    order = {key: at for at, key in enumerate(given)}
    lines = [told[path] for path in sorted(told, key=lambda path: order.get(str(path[0]), -1) if path else -1)]
    return (None if lines else config), lines


def groups_in(annotation: Any) -> list[type[BaseModel]]:
    """The groups of keys that a field of this type may hold."""
    parts = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def _trouble(kind: type[BaseModel], path: KeyPath, error: dict[str, Any]) -> str:
    known, field = _fields_at(kind, path)
    found = described(error["input"])
    about = f" ({field.description})" if field is not None and field.description else ""
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key{hint(str(path[-1]), known)}"
        case "missing":
            return f"missing{about}"
        case "value_error":
            return str(error["ctx"]["error"])
        case "literal_error":
            choices = error["ctx"]["expected"].replace("'", "")
            near = nearest(str(error["input"]), choices.replace(" or ", ", ").split(", "))
            return f"must be {choices}; found {found}{near}"
        case "model_type" | "model_attributes_type" | "dict_type":
            keys = listed(
                name for group in groups_in(field.annotation if field else None) for name in group.model_fields
            )
            return f"must be a group of keys{f' ({keys})' if keys else ''}; found {found}"
        case "string_type" if isinstance(error["input"], bool):
            return f"must be text; found {found}, which YAML makes of yes, no, on and off; put the word in quotes"
    wanted = error["msg"].replace("Input should be ", "must be ").split(", unable to parse")[0]
    return f"{wanted}; found {found}{about}"


def hint(word: str, known: Sequence[str]) -> str:
    """`; did you mean X?` by spelling or by what other trainers call it, what to do, or the keys that there are."""
    if instead := NOT_HERE.get(word.lower()):
        return f"; {instead}"
    elsewhere = NAMES_ELSEWHERE.get(word.lower(), "")
    if elsewhere.split(",")[0] in known:
        return f"; here it is called {elsewhere}"
    return nearest(word, known) or f"; known keys: {listed(known, limit=40)}"


def _fields_at(kind: type[BaseModel], path: KeyPath) -> tuple[list[str], FieldInfo | None]:
    """The keys known where `path` ends, and the field that it names, if it names one."""
    level: type[BaseModel] | None = kind
    known, field = list(kind.model_fields), None
    for part in path:
        known = list(level.model_fields) if level is not None else []
        field = level.model_fields.get(str(part)) if level is not None else None
        groups = groups_in(field.annotation) if field is not None else []
        level = groups[0] if groups else None
    return known, field


def _written_path(location: KeyPath, given: Any) -> KeyPath:
    """pydantic's location without the names of union members, which nobody wrote."""
    path: list[str | int] = []
    for at, part in enumerate(location):
        inside = isinstance(given, Mapping) and (part in given or at == len(location) - 1)
        if not inside and not (isinstance(given, Sequence) and isinstance(part, int)):
            break
        path.append(part)
        given = given.get(part) if isinstance(given, Mapping) else given[part] if part < len(given) else None  # type: ignore[operator]
    return tuple(path)


def _mentioned(message: str, given: Mapping[str, Any]) -> KeyPath:
    """The last key of `given` that a message about several keys names."""
    words = message.replace(":", " ").replace(",", " ").split()
    return next(((key,) for key in reversed(list(given)) if key in words), ())


def _yes_for_a_number(kind: type[BaseModel], given: Mapping[str, Any], at: KeyPath) -> list[tuple[KeyPath, Any]]:
    """Booleans where a number is wanted: pydantic would take `yes` for 1."""
    found: list[tuple[KeyPath, Any]] = []
    for name, field in kind.model_fields.items():
        value = given.get(name)
        members = {field.annotation, *get_args(field.annotation)}
        if isinstance(value, bool) and bool not in members and members & {int, float}:
            found.append(((*at, name), value))
        for group in groups_in(field.annotation):
            if isinstance(value, Mapping):
                found += _yes_for_a_number(group, value, (*at, name))
    return found
