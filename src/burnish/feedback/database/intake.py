"""How items and rankings enter the store: checked first, then added in parts, each a transaction of its own.

In parts, because one transaction of 100,000 items would hold up everyone who submits meanwhile. An import that was cut
is run again: what is there already, by id and content, is passed over.
"""

import hashlib
import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from burnish.data.fields import order as checked_order
from burnish.data.problems import RowError, printable
from burnish.errors import DataError
from burnish.feedback.database.access import annotator_of
from burnish.feedback.database.audit import record
from burnish.feedback.database.contents import content_hash, packed, prompt_hash
from burnish.feedback.records import ANSWERS, Given, Item
from burnish.types import Group

PART = 1000  # items in one transaction: a tenth of a second in which others wait
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """An item with its name in the store and the hash of its content."""

    id: str
    hash: bytes
    item: Item


def parts(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    return (whole[start : start + PART] for start in range(0, len(whole), PART))


def item_id(group: Group, content: bytes) -> str:
    """The item's name: its row's own id, or the hash of its content where it has none (a line's number may change)."""
    return group.id if group.id and group.id != group.origin else content.hex()


def checked(items: Iterable[Item]) -> list[Checked]:
    """Each item once. Raises DataError for a number of answers that its task cannot have, a gold order that is none, or
    two contents under one id."""
    found: dict[str, Checked] = {}
    for item in items:
        where = item.group.origin or item.group.id
        least, most = ANSWERS[item.task]
        if not least <= len(item.group.answers) <= most:
            wanted = f"{least} to {most}" if least < most else str(most)
            raise DataError(
                f"{where}: {len(item.group.answers)} answers; to {item.task} there must be {wanted}: "
                "leave some out, or make several rows of it"
            )
        if item.gold is not None:
            try:
                checked_order(item.gold, len(item.group.answers), "gold")
            except RowError as error:
                raise DataError(f"{where}: {error}") from None
        content = item.content or content_hash(item.group)
        one = Checked(item_id(item.group, content), content, item)
        before = found.setdefault(one.id, one)
        if before.hash != one.hash:
            raise DataError(_other(one, f"than {before.item.group.origin or 'an earlier row'} has"))
    return list(found.values())


def _other(one: Checked, told: str) -> str:
    where = one.item.group.origin or "an item"
    return (
        f"{where}: id {printable(one.id, 80)} has another prompt, other answers or other sources {told}; "
        "give what is different an id of its own"
    )


def refuse_other_content(connection: sqlite3.Connection, items: Sequence[Checked]) -> None:
    """Raises DataError for an id that stands for other content in the store."""
    for one in items:
        row = connection.execute("SELECT hash FROM item WHERE id = ?", (one.id,)).fetchone()
        if row is not None and row[0] != one.hash:
            raise DataError(_other(one, "than the store has"))


@dataclass(frozen=True, slots=True)
class Row:
    """An item ready to be written: what takes time was done before the writer has it."""

    one: Checked
    prompt: str
    body: str


def rows(items: Sequence[Checked]) -> list[Row]:
    return [Row(one, prompt_hash(one.item.group), packed(one.item.group)) for one in items]


def add(connection: sqlite3.Connection, part: Sequence[Row], chance: Random, now: float) -> int:
    """Insert what is not there, and return how many those were. Raises DataError as `refuse_other_content`."""
    added = 0
    for row in part:
        item = row.one.item
        gold = None if item.gold is None else json.dumps(item.gold)
        made = connection.execute(
            "INSERT INTO item (id, hash, prompt, task, answers, gold, state, place, added) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING item",
            (
                row.one.id, row.one.hash, row.prompt, item.task, len(item.group.answers), gold,
                "fresh" if gold is None else "gold", chance.getrandbits(62), now,
            ),
        ).fetchone()  # fmt: skip
        if made is None:
            refuse_other_content(connection, [row.one])
            continue
        connection.execute("INSERT INTO content VALUES (?, ?)", (made[0], row.body))
        added += 1
    if added:
        record(connection, now, None, "import", new={"items": added})
    return added


def add_rankings(connection: sqlite3.Connection, part: Sequence[tuple[Given, str]], now: float) -> int:
    """Insert rankings with their keys, and return how many were not there. Raises DataError for an unknown item."""
    added = 0
    for given, key in part:
        item = connection.execute("SELECT item, answers FROM item WHERE id = ?", (given.item,)).fetchone()
        if item is None:
            raise DataError(f"no item {printable(given.item, 80)} in this store; import it first")
        try:
            checked_order(given.order, item[1])
        except RowError as error:
            raise DataError(f"item {printable(given.item, 80)}: {error}") from None
        who = annotator_of(connection, given.annotator, given.layer, now)
        made = connection.execute(
            "INSERT INTO ranking (key, layer, item, annotator, places, acceptable, confidence, seconds, flags, mode, "
            "comparisons, extra, saved) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'place', '[]', ?, ?) "
            "ON CONFLICT (key) DO NOTHING",
            (
                key, given.layer, item[0], who.number, json.dumps(given.order), given.acceptable, given.confidence,
                given.seconds, json.dumps(given.flag_K or [[]] * item[1]),
                json.dumps(given.extra, ensure_ascii=False, default=str), now,
            ),
        )  # fmt: skip
        added += made.rowcount
    if added:
        record(connection, now, None, f"import {part[0][0].layer}", new={"rankings": added})
    return added


def keyed(rankings: Iterable[Given]) -> list[tuple[Given, str]]:
    """Each ranking with a key of its content, so that the same file brings it once however often it is imported.

    People without a name may say the same of one item: the n-th of equals has a key of its own.
    """
    seen: Counter[str] = Counter()
    made = []
    for given in rankings:
        said = (given.layer, given.item, given.annotator, given.order, given.acceptable, given.confidence)
        more = (given.seconds, given.flag_K, sorted((name, repr(value)) for name, value in given.extra.items()))
        text = repr((said, more))
        seen[text] += 1
        key = hashlib.blake2b(f"{text}\0{seen[text]}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        made.append((given, key))
    return made


def checked_uncertainty(uncertainty: Mapping[str, float]) -> list[tuple[str, float]]:
    for id_, value in uncertainty.items():
        if not math.isfinite(value):
            raise DataError(f"uncertainty of {printable(id_, 80)}: {value} is no finite number")
    return list(uncertainty.items())


def set_uncertainty(connection: sqlite3.Connection, part: Sequence[tuple[str, float]], now: float) -> int:
    for id_, value in part:
        changed = connection.execute("UPDATE item SET uncertainty = ? WHERE id = ?", (value, id_)).rowcount
        if not changed:
            raise DataError(f"no item {printable(id_, 80)} in this store: its uncertainty cannot be set")
    record(connection, now, None, "uncertainty", new={"items": len(part)})
    return len(part)
