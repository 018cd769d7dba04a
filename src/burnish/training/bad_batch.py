"""Batches whose loss or gradient is not finite: whether a run goes on without one, and bad_batch.json, which has each.

    on_nonfinite: abort    the first one ends the run
    on_nonfinite: skip     the optimiser does not hear of it, and the run goes on; the one after `max_skipped` ends it

What is left out is one update: the rows that it would have learned from. Of a method that passes over its own answers
in parts that is one part of one pass. The parts that follow stay what they were, for each compares the weights as they
are with those that drew, whatever was learned between; and a critic with weights of its own still learns from a part
that its policy left out.
"""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from burnish import processes
from burnish.errors import DataError, NonFiniteLoss
from burnish.training.checkpoint import write_durably
from burnish.types import Tree

FILE = "bad_batch.json"


class Skips:
    """The batches that a run in `folder` goes on without: `count` so far, at most `most`."""

    def __init__(self, folder: Path, most: int, count: int = 0) -> None:
        self.folder, self.most, self.count = folder, most, count

    def add(self, error: NonFiniteLoss) -> None:
        """Write the batch down and count it. Raises `error` where there were as many as there may be."""
        processes.together(lambda: write_bad_batch(self.folder, str(error), error.facts))
        if self.count >= self.most:
            if self.most:
                error.add_note(f"{self.count} batches were left out before, and max_skipped is {self.most}")
            raise error
        self.count += 1
        told = f"{error} It is left out, as batch {self.count} of at most {self.most}."
        print(f"warning: {told}", file=sys.stderr, flush=True)


_skips: ContextVar[Skips | None] = ContextVar("_skips", default=None)


@contextmanager
def leaving_out(skips: Skips) -> Iterator[None]:
    """Within, updates ask `skips` whether the run goes on without a batch."""
    token = _skips.set(skips)
    try:
        yield
    finally:
        _skips.reset(token)


def leave_out(error: NonFiniteLoss) -> None:
    """Return where the run goes on without this batch. Raises `error` where it does not, or nobody runs it."""
    skips = _skips.get()
    if skips is None:
        raise error
    skips.add(error)


# ---- the file


def batch_facts(trees: Iterable[Tree], losses: Iterable[float], *, learner: str, **figures: float) -> dict[str, Any]:
    """Who was to learn it, `figures`, and of each row whence it is, its tokens, and its loss when computed alone."""
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
    return {"learner": learner, **figures, "rows": rows}


def write_bad_batch(folder: Path, error: str, facts: Mapping[str, Any]) -> None:
    """Add it to the list in bad_batch.json, as JSON that anybody reads: what is no number there is a text, "nan".

    A run that goes on from before a batch meets it again; what stands there already is not written twice.
    """
    batches = bad_batches(folder)
    told = _told({"error": error, **facts})
    if told not in batches:
        write_durably(folder / FILE, json.dumps([*batches, told], indent=1) + "\n")


def bad_batches(folder: Path) -> list[dict[str, Any]]:
    """What bad_batch.json holds, empty where there is none. Raises DataError where somebody changed it."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise DataError(f"{folder / FILE}: is no JSON ({error}); move it away") from None
    return found if isinstance(found, list) else [found]


def _told(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _told(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_told(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
