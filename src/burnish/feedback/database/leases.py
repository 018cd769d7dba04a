"""Leases: who has which item, for how long, and the pool that the item is in meanwhile.

An assignment is an item in the order in which one annotator sees its answers. While it is open, or ranked, its item has
one annotator more; an item is fresh with nobody, waiting while it has fewer than it is to have, and then taken.
"""

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

LEASE_SECONDS = 15 * 60.0
LOOKED_AT = 200  # leases that ran out, at most, that one request frees
LAST = 1 << 62  # skipped items go behind all others
APART = ("gold", "repeat", "live", "calibration", "adjudication")
"""Kinds of assignments that leave their item's pool as it is."""


@dataclass(frozen=True, slots=True)
class Draw:
    """An item for an annotator, and how it was drawn."""

    item: int
    kind: str
    propensity: float


def lease_shuffled(connection: sqlite3.Connection, annotator: int, draw: Draw, now: float) -> int:
    """A new assignment of an item, whose answers stand in an order of this annotator's own."""
    (answers,) = connection.execute("SELECT answers FROM item WHERE item = ?", (draw.item,)).fetchone()
    repeat = int(draw.kind == "repeat")
    shown = shuffled(_seed(connection), annotator, draw.item, repeat, answers)
    assignment = lease(connection, annotator, draw, shown, now)
    if draw.kind not in APART:
        take(connection, draw.item)
    return assignment


def lease(connection: sqlite3.Connection, annotator: int, draw: Draw, shown: Sequence[int], now: float) -> int:
    """A new assignment, whose answers stand in the order `shown`. The item's pool is left as it is."""
    (number,) = connection.execute(
        "UPDATE annotator SET given = given + 1 WHERE annotator = ? RETURNING given", (annotator,)
    ).fetchone()
    (assignment,) = connection.execute(
        "INSERT INTO assignment (id, annotator, item, repeat, number, kind, propensity, shown, state, given, lease_end)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?) RETURNING assignment",
        (
            secrets.token_urlsafe(16), annotator, draw.item, int(draw.kind == "repeat"), number, draw.kind,
            draw.propensity, json.dumps(shown), now, now + LEASE_SECONDS,
        ),
    ).fetchone()  # fmt: skip
    return int(assignment)


def shuffled(seed: str, annotator: int, item: int, repeat: int, answers: int) -> list[int]:
    """The item's own indices in the order in which this annotator sees them: the same whenever it is asked for."""

    def lot(index: int) -> bytes:
        return hashlib.blake2b(f"{seed}\0{annotator}\0{item}\0{repeat}\0{index}".encode(), digest_size=16).digest()

    return sorted(range(answers), key=lot)


def _seed(connection: sqlite3.Connection) -> str:
    connection.execute("INSERT OR IGNORE INTO setting VALUES ('seed', ?)", (secrets.token_hex(16),))
    return str(connection.execute("SELECT value FROM setting WHERE name = 'seed'").fetchone()[0])


def expire(connection: sqlite3.Connection, now: float) -> None:
    """Free the items of leases that ran out."""
    late = connection.execute(
        "SELECT assignment, item, kind FROM assignment WHERE state = 'open' AND lease_end < ? LIMIT ?", (now, LOOKED_AT)
    )
    for assignment, item, kind in late.fetchall():
        connection.execute("UPDATE assignment SET state = 'expired' WHERE assignment = ?", (assignment,))
        if kind not in APART:
            release(connection, item)


def reopen(connection: sqlite3.Connection, assignment: int, now: float) -> None:
    """Lease an assignment again that ran out or was taken back. If others took its item, it has one annotator more."""
    item, kind, state = connection.execute(
        "SELECT item, kind, state FROM assignment WHERE assignment = ?", (assignment,)
    ).fetchone()
    connection.execute(
        "UPDATE assignment SET state = 'open', lease_end = ?, closed = NULL WHERE assignment = ?",
        (now + LEASE_SECONDS, assignment),
    )
    if kind not in APART and state in ("expired", "skipped"):
        take(connection, item)


def take(connection: sqlite3.Connection, item: int) -> None:
    connection.execute("UPDATE item SET people = people + 1, wanted = coalesce(wanted, 1) WHERE item = ?", (item,))
    _settle(connection, item)


def release(connection: sqlite3.Connection, item: int, *, last: bool = False) -> None:
    """One annotator less has the item. `last`: it goes behind all fresh ones, as a skipped item does."""
    connection.execute("UPDATE item SET people = people - 1 WHERE item = ?", (item,))
    if last:
        connection.execute("UPDATE item SET place = ? WHERE item = ?", (LAST + _next(connection, "skips"), item))
    _settle(connection, item)


def _settle(connection: sqlite3.Connection, item: int) -> None:
    """The state that follows from how many annotators the item has and how many it is to have."""
    people, wanted, state = connection.execute(
        "SELECT people, wanted, state FROM item WHERE item = ?", (item,)
    ).fetchone()
    if state == "gold":
        return
    if people == 0:
        connection.execute("UPDATE item SET state = 'fresh', waiting = NULL WHERE item = ?", (item,))
    elif people < wanted:
        number = _next(connection, "turn")
        connection.execute("UPDATE item SET state = 'waiting', waiting = ? WHERE item = ?", (number, item))
    else:
        connection.execute("UPDATE item SET state = 'taken', waiting = NULL WHERE item = ?", (item,))


def _next(connection: sqlite3.Connection, name: str) -> int:
    """A number that grows; the names are not those of an item's states, which the same table counts."""
    (value,) = connection.execute(
        "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value", (name,)
    ).fetchone()
    return int(value)
