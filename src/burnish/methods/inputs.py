"""What a method is given, as a path or already loaded, made into what it works with."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.batch.trees import SHOWN, TreeReport
from burnish.data.read import read, rejected_name
from burnish.data.tokenizer import load_tokenizer
from burnish.methods.ensemble import refuse_ensemble
from burnish.models.load import Placement, load_policy, load_scorer
from burnish.models.model import Policy, Scorer
from burnish.training.config import MethodConfig, StageConfig
from burnish.types import Group

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PolicyInput = str | Path | Policy
ScorerInput = str | Path | Scorer
DataInput = str | Path | Sequence[str | Path] | Sequence[Group]


def placement(config: StageConfig) -> Placement:
    if isinstance(config, MethodConfig):
        return Placement(config.device, config.dtype, config.dropout, config.activation_checkpointing)
    return Placement(config.device, config.dtype)


def as_policy(model: PolicyInput, config: StageConfig, *, trained: bool = True) -> Policy:
    """`trained`: it gets the adapter that `lora` asks for."""
    if isinstance(model, Policy):
        return model
    lora = config.lora if trained and isinstance(config, MethodConfig) else None
    return load_policy(model, placement(config), lora=lora)


def as_tokenizer(model: PolicyInput) -> "PreTrainedTokenizerBase":
    """A policy's tokenizer, without its weights."""
    return model.tokenizer if isinstance(model, Policy) else load_tokenizer(model)


def as_scorer(model: ScorerInput, config: StageConfig) -> Scorer:
    """One reward model. Raises ConfigError for an ensemble, which who can take one asks for its members first."""
    if isinstance(model, Scorer):
        return model
    refuse_ensemble(model, "this")
    return load_scorer(model, placement(config))


def as_groups(data: DataInput, kind: str | None, config: StageConfig, out: Path) -> list[Group]:
    """Groups as they are, or read from one file or several, whose rows must be of `kind` (None: all of any one kind).

    Bad rows that `on_bad_row` skips are written to `NAME.rejected.jsonl` in `out`, with the reasons.
    """
    items = [data] if isinstance(data, str | Path) else list(data)
    groups = [item for item in items if isinstance(item, Group)]
    if len(groups) == len(items):
        return groups
    paths = [Path(item) for item in items if not isinstance(item, Group)]
    if config.on_bad_row == "skip":
        out.mkdir(parents=True, exist_ok=True)
    return read(
        paths,
        kind=kind,
        on_bad_row=config.on_bad_row,
        rejected=out / rejected_name(paths),
        max_bad_fraction=config.max_bad_fraction,
    )


def say(report: TreeReport) -> None:
    """Tell what was cut or left out, on stderr, where it happened."""
    words = {
        "cut": "answers lost their end to max_length, and teach no end token",
        "shortened": "prompts lost their oldest turns to max_length",
        "equal": "answers became equal to another by cutting, and make no pair with it",
        "foreign": "sampled answers are of another vocabulary: their text is read, not their tokens",
        "joint_differs": "answers would be other tokens if encoded together with their prompt",
        "rewritten": "conversations became a tree for each learned turn, because the template rewrites the past",
        "skipped": "rows were left out, because they cannot be cut to max_length or have nothing to learn",
    }
    for name, count in report.figures().items():
        if count and name in words:
            print(f"{count} of {len(report.trees) + len(report.skipped)}: {words[name]}", file=sys.stderr)
    for reason in report.skipped[:SHOWN]:
        print(f"  {reason}", file=sys.stderr)
