"""A reward model's scores of a store's items, from a file that `burnish score` wrote."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from burnish.data.read import read
from burnish.errors import DataError
from burnish.feedback.records import Item
from burnish.types import Group


def scores_of(items: Iterable[Item], file: str | Path) -> tuple[dict[str, list[float]], list[str]]:
    """item → scores in the item's own order of answers; and where the rows stand that are no item.

    A row is an item's where it asks the same and has the same answers, in whatever order and of whatever id: what was
    scored may have been exported, or sampled before it was imported. Rankings of one item by several people are several
    rows with the same scores. Raises DataError for a row without a score of each of its answers, for one item that is
    scored twice and not alike, and where no row is an item.
    """
    known: dict[Any, dict[str, float]] = {}
    origin: dict[Any, str] = {}
    for group in read(file, format="sample"):  # by name: what was scored need not say which model sampled it
        given = {answer.text: answer.score for answer in group.answers if answer.score is not None}
        if len(given) < len({answer.text for answer in group.answers}):
            raise DataError(
                f"{group.origin}: has no score of each of its answers; write them with `burnish score --out`"
            )
        asked = _asked(group)
        if known.setdefault(asked, given) != given:
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
            found[item.group.id] = [known[asked][answer.text] for answer in item.group.answers]
    if not found:
        raise DataError(
            f"{file}: none of its {len(known)} rows is an item of the store, by prompt and answers; score what "
            "`burnish rank export` writes"
        )
    return found, list(origin.values())


def _asked(group: Group) -> Any:
    turns = group.prompt if isinstance(group.prompt, str) else tuple((one.role, one.content) for one in group.prompt)
    return turns, tuple(sorted(answer.text for answer in group.answers))
