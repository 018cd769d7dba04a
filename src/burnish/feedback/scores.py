"""A reward model's scores of a store's items, from a file that `burnish score` wrote.

They come in log-odds, so that P(i ≻ j) = σ(s_i - s_j): each row's scores times its `score_deviation`, by which a
normalised model's scores were divided. A row without it is taken to be in log-odds already.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.data.problems import described
from burnish.data.read import read
from burnish.errors import DataError
from burnish.feedback.records import Item
from burnish.types import Group

ROUNDING = 1e-3
"""One model scores a text alike wherever it stands, but for the last bits of what is computed beside it."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """One row: what each model gave an answer, by its text, and each model's `score_deviation`."""

    given: dict[str, tuple[float, ...]]
    deviation_M: tuple[float, ...]


def scores_of(items: Iterable[Item], file: str | Path) -> tuple[dict[str, list[float]], list[str]]:
    """item → scores in log-odds, in the item's own order of answers; and where the rows stand that are no item. Of an
    ensemble they are its members' mean. Raises as `scores_by_model`."""
    found, others = scores_by_model(items, file)
    return {item: [statistics.fmean(of) for of in zip(*rows, strict=True)] for item, rows in found.items()}, others


def scores_by_model(items: Iterable[Item], file: str | Path) -> tuple[dict[str, list[list[float]]], list[str]]:
    """The same with each member's scores where an ensemble scored the file, and one row where one model did.

    A row is an item's where it asks the same and has the same answers, in whatever order and of whatever id: what was
    scored may have been exported, or sampled before it was imported. Rankings of one item by several people are several
    rows with the same scores. Raises DataError for a row without a score of each of its answers, for one item that is
    scored twice and not alike, for members that did not score every answer, for a `score_deviation` that is not above
    0, and where no row is an item.
    """
    known: dict[Any, _Scored] = {}
    origin: dict[Any, str] = {}
    for group in read(file, format="sample"):  # by name: what was scored need not say which model sampled it
        scored = _scored(group)
        if len(scored.given) < len({answer.text for answer in group.answers}):
            raise DataError(
                f"{group.origin}: has no score of each of its answers; write them with `burnish score --out`"
            )
        asked = _asked(group)
        if not _alike(scored, known.setdefault(asked, scored)):
            raise DataError(
                f"{group.origin}: the same prompt and answers as {origin[asked]} with other scores; give each model's "
                "scores in a file of their own"
            )
        origin.setdefault(asked, group.origin or group.id)
    found = {}
    for item in items:
        asked = _asked(item.group)
        origin.pop(asked, None)
        if asked in known:
            found[item.group.id] = _log_odds(known[asked], [answer.text for answer in item.group.answers])
    if not found:
        raise DataError(
            f"{file}: none of its {len(known)} rows is an item of the store, by prompt and answers; score what "
            "`burnish rank export` writes"
        )
    return found, list(origin.values())


def _log_odds(scored: _Scored, texts: Sequence[str]) -> list[list[float]]:
    return [
        [scored.given[text][model] * deviation for text in texts] for model, deviation in enumerate(scored.deviation_M)
    ]


def _scored(group: Group) -> _Scored:
    rows = group.extra.get("scores_by_member")
    if rows is None:
        deviation = _above_zero(group, "score_deviation", group.extra.get("score_deviation", 1.0))
        return _Scored({a.text: (a.score,) for a in group.answers if a.score is not None}, (deviation,))
    whole = isinstance(rows, list) and len(rows) > 1
    if not whole or not all(isinstance(row, list) and len(row) == len(group.answers) for row in rows):
        raise DataError(f"{group.origin}: scores_by_member: a list a member, each with a score an answer, is wanted")
    for score in (score for row in rows for score in row):
        if not _is_finite(score):
            raise DataError(f"{group.origin}: scores_by_member: must be finite numbers; found {described(score)}")
    name = "score_deviation_by_member"
    given = group.extra.get(name, [1.0] * len(rows))
    if not isinstance(given, list) or len(given) != len(rows):
        raise DataError(f"{group.origin}: {name}: one number for each of {len(rows)} members is wanted")
    deviation_M = tuple(_above_zero(group, name, one) for one in given)
    by_text = {answer.text: tuple(scores) for answer, *scores in zip(group.answers, *rows, strict=True)}
    return _Scored(by_text, deviation_M)


def _above_zero(group: Group, name: str, value: Any) -> float:
    if not _is_finite(value) or value <= 0:
        raise DataError(f"{group.origin}: {name}: must be a number above 0; found {described(value)}")
    return float(value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _alike(one: _Scored, other: _Scored) -> bool:
    """Whether the same models may have scored both."""
    return one.deviation_M == other.deviation_M and all(
        abs(a - b) <= ROUNDING
        for text, score_M in one.given.items()
        for a, b in zip(score_M, other.given[text], strict=True)
    )


def _asked(group: Group) -> Any:
    turns = group.prompt if isinstance(group.prompt, str) else tuple((one.role, one.content) for one in group.prompt)
    return turns, tuple(sorted(answer.text for answer in group.answers))
