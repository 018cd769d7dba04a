"""A reward model's scores of a store's items, from a file that `burnish score` wrote."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from burnish.data.problems import described
from burnish.data.read import read
from burnish.errors import DataError
from burnish.feedback.records import Item
from burnish.types import Group

ROUNDING = 1e-3
"""One model scores a text alike wherever it stands, but for the last bits of what is computed beside it."""


def scores_of(items: Iterable[Item], file: str | Path) -> tuple[dict[str, list[float]], list[str]]:
    """item → scores in the item's own order of answers; and where the rows stand that are no item. Of an ensemble the
    scores are its members' mean. Raises as `scores_by_model`."""
    found, others = _found(items, file, _score)
    return {item: rows[0] for item, rows in found.items()}, others


def scores_by_model(items: Iterable[Item], file: str | Path) -> tuple[dict[str, list[list[float]]], list[str]]:
    """The same with each member's scores where an ensemble scored the file, and one row where one model did.

    A row is an item's where it asks the same and has the same answers, in whatever order and of whatever id: what was
    scored may have been exported, or sampled before it was imported. Rankings of one item by several people are several
    rows with the same scores. Raises DataError for a row without a score of each of its answers, for one item that is
    scored twice and not alike, for members that did not score every answer, and where no row is an item.
    """
    return _found(items, file, _members)


Scored = dict[str, tuple[float, ...]]
"""By an answer's text, what each model gave it."""


def _score(group: Group) -> Scored:
    return {answer.text: (answer.score,) for answer in group.answers if answer.score is not None}


def _members(group: Group) -> Scored:
    rows = group.extra.get("scores_by_member")
    if rows is None:
        return _score(group)
    whole = isinstance(rows, list) and len(rows) > 1
    if not whole or not all(isinstance(row, list) and len(row) == len(group.answers) for row in rows):
        raise DataError(f"{group.origin}: scores_by_member: a list a member, each with a score an answer, is wanted")
    for score in (score for row in rows for score in row):
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise DataError(f"{group.origin}: scores_by_member: must be finite numbers; found {described(score)}")
    return {answer.text: tuple(scores) for answer, *scores in zip(group.answers, *rows, strict=True)}


def _found(
    items: Iterable[Item], file: str | Path, given_of: Callable[[Group], Scored]
) -> tuple[dict[str, list[list[float]]], list[str]]:
    known: dict[Any, Scored] = {}
    origin: dict[Any, str] = {}
    for group in read(file, format="sample"):  # by name: what was scored need not say which model sampled it
        given = given_of(group)
        if len(given) < len({answer.text for answer in group.answers}):
            raise DataError(
                f"{group.origin}: has no score of each of its answers; write them with `burnish score --out`"
            )
        asked = _asked(group)
        before = known.setdefault(asked, given)
        if not _alike(given, before):
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
            scores_K = [known[asked][answer.text] for answer in item.group.answers]
            found[item.group.id] = [list(score_K) for score_K in zip(*scores_K, strict=True)]
    if not found:
        raise DataError(
            f"{file}: none of its {len(known)} rows is an item of the store, by prompt and answers; score what "
            "`burnish rank export` writes"
        )
    return found, list(origin.values())


def _alike(one: Scored, other: Scored) -> bool:
    """Whether the same models may have scored both."""
    return all(
        len(score_M) == len(other[text])
        and all(abs(a - b) <= ROUNDING for a, b in zip(score_M, other[text], strict=True))
        for text, score_M in one.items()
    )


def _asked(group: Group) -> Any:
    turns = group.prompt if isinstance(group.prompt, str) else tuple((one.role, one.content) for one in group.prompt)
    return turns, tuple(sorted(answer.text for answer in group.answers))
