"""Hashes that say whether a checkpoint belongs to this run: of its settings, its rows and the weights that came in."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256

import torch
from pydantic import BaseModel

from burnish.data.secrets import masked
from burnish.errors import ConfigError
from burnish.models.model import Model
from burnish.training.config import flat
from burnish.types import Tree

NOT_IDENTITY = {
    "track",
    "save_every",
    "keep_checkpoints",
    "on_nonfinite",
    "max_skipped",
    "auto_micro_batch",
    "evaluate_every",
    "skip_check",
    "require",
}
"""Keys that may change between a run and its continuation: they change no number that is learned or measured, or only
its last bits and say so, or decide alone whether there is a continuation."""

READING = {"on_bad_row", "max_bad_fraction", "on_too_long"}
"""Keys that say which rows are taken. A checkpoint holds the hash of the rows themselves, which shows what they did."""

INPUTS = {"data": "rows", "prompts": "rows", "answers": "rows", "by": "reward"}
"""What an input's key is called in an identity, where that has another name."""
_allowed: ContextVar[frozenset[str]] = ContextVar("_allowed", default=frozenset())


@contextmanager
def allowing(fields: Collection[str]) -> Iterator[None]:
    """Within, these settings and inputs may differ between a checkpoint and the run that goes on from it."""
    token = _allowed.set(frozenset(fields))
    try:
        yield
    finally:
        _allowed.reset(token)


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """A line for each field that differs and was not allowed to, settings one by one."""
    then_flat, now_flat = _fields(before), _fields(now)
    allowed = {INPUTS.get(field, field) for field in _allowed.get()} | _allowed.get()
    return [
        f"  {key}: {then_flat.get(key)} then, {value} now"
        for key, value in now_flat.items()
        if then_flat.get(key) != value and not any(key == a or key.startswith(f"{a}.") for a in allowed)
    ]


def refuse_another(before: Mapping[str, str], now: Mapping[str, str], what: str) -> None:
    """Raise ConfigError, which begins with `what` was made otherwise, where they have `differences`."""
    if changed := differences(before, now):
        raise ConfigError(
            f"{what}:\n" + "\n".join(changed) + "\n"
            "To go on, put back what was changed; to start afresh, choose another --out."
        )


def _fields(identity: Mapping[str, str]) -> dict[str, object]:
    """An identity with its settings taken apart, groups by dots."""
    hashes = {key: value for key, value in identity.items() if key != "settings"}
    return hashes | flat(json.loads(identity.get("settings", "{}")))


def settings_identity(config: BaseModel) -> str:
    """The settings themselves, sorted, so that a difference can be read; a secret among them is masked, for checkpoints
    keep this."""
    return json.dumps(masked(config.model_dump(mode="json", exclude=NOT_IDENTITY | READING)), sort_keys=True)


def rows_hash(trees: Iterable[Tree]) -> str:
    """sha256 of every token, mask and place, in order."""
    digest = sha256()
    for tree in trees:
        digest.update(repr((tree.group, tree.prompt, [(b.tokens, b.learned, b.place) for b in tree.branches])).encode())
    return digest.hexdigest()


def weights_hash(model: Model) -> str:
    """sha256 over all weights by name, in the precision that they have in memory."""
    digest = sha256()
    for name, tensor in sorted(model.weights().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def identity(config: BaseModel, trees: Iterable[Tree], **models: Model) -> dict[str, str]:
    """What `train` holds against a checkpoint before it goes on from it."""
    return {
        "settings": settings_identity(config),
        "rows": rows_hash(trees),
        **{name: weights_hash(model) for name, model in models.items()},
    }
