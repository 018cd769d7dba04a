"""Hashes that say whether a checkpoint belongs to this run: of its settings, its rows and the weights that came in."""

import json
from collections.abc import Iterable
from hashlib import sha256

import torch
from pydantic import BaseModel

from burnish.models.model import Model
from burnish.types import Tree

NOT_IDENTITY = {"save_every", "evaluate_every", "skip_check"}
"""Keys that may change between a run and its continuation: they change no number that is learned."""


def settings_identity(config: BaseModel) -> str:
    """The settings themselves, sorted, so that a difference can be read."""
    return json.dumps(config.model_dump(mode="json", exclude=NOT_IDENTITY), sort_keys=True)


def rows_hash(trees: Iterable[Tree]) -> str:
    """sha256 of every token, mask and place, in order."""
    digest = sha256()
    for tree in trees:
        digest.update(repr((tree.group, tree.prompt, [(b.tokens, b.learned, b.place) for b in tree.branches])).encode())
    return digest.hexdigest()


def weights_hash(model: Model) -> str:
    """sha256 over all weights by name, in the precision that they have in memory."""
    digest = sha256()
    for name, tensor in sorted(model.model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def identity(config: BaseModel, trees: Iterable[Tree], **models: Model) -> dict[str, str]:
    """What `train` holds against a checkpoint before it goes on from it."""
    return {
        "settings": settings_identity(config),
        "rows": rows_hash(trees),
        **{name: weights_hash(model) for name, model in models.items()},
    }
