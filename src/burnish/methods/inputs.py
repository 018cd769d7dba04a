"""What a method is given, as a path or already loaded, made into what it works with."""

from collections.abc import Sequence
from pathlib import Path

from burnish.data.read import read
from burnish.models.load import Placement, load_policy, load_scorer
from burnish.models.model import Policy, Scorer
from burnish.training.config import MethodConfig, StageConfig
from burnish.types import Group

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


def as_scorer(model: ScorerInput, config: StageConfig) -> Scorer:
    return model if isinstance(model, Scorer) else load_scorer(model, placement(config))


def as_groups(data: DataInput, kind: str) -> list[Group]:
    """Groups as they are, or read from one file or several, whose rows must be of `kind`."""
    if isinstance(data, str | Path):
        return read(data, kind=kind)
    items = list(data)
    groups = [item for item in items if isinstance(item, Group)]
    return groups if len(groups) == len(items) else read([i for i in items if not isinstance(i, Group)], kind=kind)
