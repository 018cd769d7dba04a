"""From files to the store: answers that were sampled become items, rankings that come along are kept as imported.

Every format that `burnish.read` knows is read by it: what `generate` wrote, rankings, Label Studio's Ranker, Argilla's
records, votes, comparisons (a ranking of two).
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.data.fields import number
from burnish.data.fields import order as checked_order
from burnish.data.problems import RowError, described
from burnish.data.read import examine, refuse, rejected_name, set_aside
from burnish.errors import DataError
from burnish.feedback.database.contents import PERSONAL, content_hash, shown_text
from burnish.feedback.database.intake import item_id
from burnish.feedback.records import UNKNOWN, Given, Item, Task
from burnish.feedback.store import Store
from burnish.types import Group, Order

READ_AS = ("sample", "ranking", "comparison")


@dataclass(frozen=True, slots=True)
class Brought:
    """What a file holds for a store: items, each once, rankings of them, and how many rows left nothing to rank."""

    items: list[Item]
    rankings: list[Given]
    all_alike: int


def import_file(store: Store, file: str | Path, **options: Any) -> dict[str, int]:
    """Take a file into the store: how many items and rankings were added, and how many were there already.

    `options` and errors are those of `read_in`; besides, DataError for an id that stands for other content. Run again,
    it adds nothing.
    """
    return take_in(store, read_in(file, beside=store.path, **options))


def read_in(
    file: str | Path,
    *,
    beside: Path,
    format: str | None = None,  # noqa: A002  the option's own name
    task: Task = "rank",
    gold: bool = False,
    on_bad_row: str = "fail",
    rejected: Path | None = None,
) -> Brought:
    """What the file holds for the store at `beside`, which need not be there yet: a file that is refused makes none.

    Samples whose answers are all alike are left out, and counted: there is nothing to rank.

    `gold`: the file's orders are known to be right; its items check annotators, and its orders are nobody's ranking. A
    field `gold` of a row, an order like `ranking`, says the same of that row alone. `on_bad_row`: fail, or skip and
    write the rows to `rejected`, NAME.rejected.jsonl beside the store by default. Raises DataError for rows that cannot
    be used, with file and line.
    """
    with _no_search_for_cycles():
        reading = examine(file, format=format)
        if reading.kind not in READ_AS:
            own = any("answers" in group.extra for group in reading.groups)
            raise DataError(
                f"{file}: holds {reading.kind} records ({', '.join(reading.formats)}); to rank there must be a prompt "
                "with several answers: what `burnish generate` wrote, rankings or comparisons"
                + ("; its rows have `answers`: if they are to be ranked, say --format sample" if own else "")
            )
        refuse(reading, on_bad_row)
        set_aside(reading, rejected or beside.with_name(rejected_name(file)))
        apart = [group for group in reading.groups if not _all_alike(group)]
        items, rankings = taken_apart(apart, task=task, gold=gold)
        return Brought(items, rankings, len(reading.groups) - len(apart))


def take_in(store: Store, brought: Brought) -> dict[str, int]:
    with _no_search_for_cycles():
        items, rankings = store.add_items(brought.items), store.add_rankings(brought.rankings)
    return {
        "items": items["added"],
        "items_known": items["known"],
        "rankings": rankings["added"],
        "rankings_known": rankings["known"],
        "left_out_all_alike": brought.all_alike,
    }


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """100,000 rows are millions of records without a cycle: to look for one among them took a third of the reading."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _all_alike(group: Group) -> bool:
    """Whether nobody has ranked it and nobody could: a sampler may say the same every time."""
    return group.order is None and len(group.answers) > 1 and len({shown_text(a) for a in group.answers}) == 1


def taken_apart(groups: Sequence[Group], *, task: Task = "rank", gold: bool = False) -> tuple[list[Item], list[Given]]:
    """Items, each once, and the rankings that came with them. Rows of several people share an item by its id."""
    items: list[Item] = []
    first: dict[str, tuple[bytes, Group]] = {}
    rankings = []
    for group in groups:
        right = _gold(group) if "gold" in group.extra else group.order if gold else None
        if gold and right is None:
            raise DataError(f"{group.origin}: has no order that could be gold; leave --gold out, or rank it first")
        content = content_hash(group)
        name = item_id(group, content)
        before = first.setdefault(name, (content, group))
        if before[1] is group or before[0] != content:  # other content of one name: the store refuses it
            unranked = group.order is None and group.margin is None
            items.append(Item(group if unranked else replace(group, order=None, margin=None), right, task, content))
        if group.order is not None and not gold:
            rankings.append(given(group, name, before[1]))
    return items, rankings


def _gold(group: Group) -> Order:
    try:
        return checked_order(group.extra["gold"], len(group.answers), "gold")
    except RowError as error:
        raise DataError(f"{group.origin}: {error}") from None


def given(group: Group, item: str, first: Group) -> Given:
    """A row's ranking. What the row says besides goes with it, as far as the item's first row does not say it too."""
    places = len(group.order or ())
    facts: dict[str, Any] = {}
    said = group.extra.get("annotator")
    if said is not None and not isinstance(said, str | int):
        raise DataError(f"{group.origin}: annotator must be text, found {described(said)}")
    name = str(said) if said is not None else UNKNOWN
    for field, least, most in (("acceptable", 0, places), ("confidence", 1, 3)):
        value = group.extra.get(field)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            facts[field] = value
    if group.extra.get("seconds") is not None:
        try:
            facts["seconds"] = number(group.extra["seconds"], "seconds")
        except RowError as error:
            raise DataError(f"{group.origin}: {error}") from None
    flags = group.extra.get("flags")
    if _flags_each(flags, len(group.answers)):
        facts["flag_K"] = tuple(tuple(one) for one in flags or ())
    known = {"annotator", *("flags" if field == "flag_K" else field for field in facts)}
    rest = {
        name: value
        for name, value in group.extra.items()
        if name not in known and name != "gold" and (name in PERSONAL or first.extra.get(name) != value)
    }
    if group.margin is not None:
        rest["margin"] = group.margin
    return Given(item, group.order or (), name, extra=rest, **facts)


def _flags_each(value: object, count: int) -> bool:
    """Whether there is a list of flags for each answer; another form is kept as it is."""
    return (
        isinstance(value, list | tuple)
        and len(value) == count
        and all(isinstance(one, list | tuple) and all(isinstance(flag, str) for flag in one) for one in value)
    )
