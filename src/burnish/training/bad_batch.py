"""bad_batch.json: the batch whose loss or gradient is not finite, row by row, for whoever looks for the reason."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from burnish.training.checkpoint import write_durably
from burnish.types import Tree

FILE = "bad_batch.json"


def batch_facts(trees: Iterable[Tree], losses: Iterable[float], **figures: float) -> dict[str, Any]:
    """`figures`, and of each row where it comes from, its tokens, and its loss when it is computed alone."""
    rows = [
        {
            "group": tree.group,
            "origin": tree.origin or tree.id,
            "loss": loss,
            "prompt": list(tree.prompt),
            "answers": [list(branch.tokens) for branch in tree.branches],
        }
        for tree, loss in zip(trees, losses, strict=True)
    ]
    return {**figures, "rows": rows}


def write_bad_batch(folder: Path, step: int, error: str, facts: Mapping[str, Any]) -> None:
    """Write it as JSON that anybody reads: what is no number there is a text, "nan" or "inf"."""
    write_durably(folder / FILE, json.dumps(_told({"step": step, "error": error, **facts}), indent=1) + "\n")


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _told(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_told(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
