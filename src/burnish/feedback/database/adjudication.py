"""How a lead gets disputed items: each is leased as an annotator's items are, to the lead's own name among decisions.

A decision is a ranking of the layer `adjudicated`. It is drafted, submitted, skipped and taken back by the same
functions as any other (decisions.py), which makes it idempotent, audited and undoable; what annotators said stays.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from burnish.feedback.database.decisions import is_decided
from burnish.feedback.database.leases import LEASE_SECONDS, Draw, expire, lease_shuffled, reopen
from burnish.feedback.records import ANNOTATED, DRAWN, LETTERS, Opinion


def give(connection: sqlite3.Connection, adjudicator: int, queue: Sequence[str], now: float) -> int | None:
    """The assignment of the first item of `queue` that waits for a decision by this lead; None where none does.

    One that they have open comes first. Items that are decided, skipped by them, or open at another lead are passed
    over. `queue`: ids of items, the most disputed first.
    """
    expire(connection, now)
    opened = connection.execute(
        "SELECT assignment, item FROM assignment WHERE annotator = ? AND state = 'open' "
        "ORDER BY undone DESC, assignment",
        (adjudicator,),
    ).fetchall()
    for assignment, item in opened:
        if not is_decided(connection, item):
            connection.execute(
                "UPDATE assignment SET lease_end = ? WHERE assignment = ?", (now + LEASE_SECONDS, assignment)
            )
            return int(assignment)
    for id_ in queue:
        found = _given(connection, adjudicator, id_, now)
        if found is not None:
            return found
    return None


def _given(connection: sqlite3.Connection, adjudicator: int, id_: str, now: float) -> int | None:
    row = connection.execute("SELECT item, coalesce(propensity, 1) FROM item WHERE id = ?", (id_,)).fetchone()
    if row is None or is_decided(connection, row[0]):
        return None
    item, propensity = row
    held = connection.execute(
        "SELECT annotator, assignment, state FROM assignment WHERE item = ? AND kind = 'adjudication'", (item,)
    ).fetchall()
    if any(state == "open" for _, _, state in held):
        return None
    for who, assignment, state in held:
        if who == adjudicator:
            if state != "expired":
                return None
            reopen(connection, assignment, now)
            return int(assignment)
    return lease_shuffled(connection, adjudicator, Draw(item, "adjudication", propensity), now)


def decided(connection: sqlite3.Connection) -> set[str]:
    """The ids of items on which a decision stands."""
    rows = connection.execute(
        "SELECT i.id FROM ranking r JOIN item i USING (item) WHERE r.layer = 'adjudicated' AND r.removed IS NULL"
    )
    return {id_ for (id_,) in rows}


def opinions(connection: sqlite3.Connection, adjudicator: int, id_: str) -> tuple[Opinion, ...]:
    """What annotators said of the item of this assignment: the first standing ranking of each, as the agreement takes
    it, in the letters in which the lead sees the answers. Nothing for an assignment that is not the lead's."""
    rows = connection.execute(
        "SELECT p.name, r.places, r.acceptable, r.confidence, r.seconds, r.flags, a.shown, r.layer, o.kind "
        "FROM assignment a JOIN ranking r USING (item) JOIN annotator p ON p.annotator = r.annotator "
        "LEFT JOIN assignment o ON o.assignment = r.assignment "
        "WHERE a.id = ? AND a.annotator = ? AND a.kind = 'adjudication' AND r.removed IS NULL ORDER BY r.ranking",
        (id_, adjudicator),
    )
    found: dict[tuple[str, str], Opinion] = {}
    for name, places, acceptable, confidence, seconds, flags, shown, layer, kind in rows:
        if layer not in ANNOTATED or (kind or "imported") not in DRAWN or (layer, name) in found:
            continue
        letter = {index: LETTERS[place] for place, index in enumerate(json.loads(shown))}
        order = tuple(_letters(letter[index] for index in tied) for tied in json.loads(places))
        said = {letter[index]: tuple(one) for index, one in enumerate(json.loads(flags)) if one}
        found[layer, name] = Opinion(name, order, acceptable, confidence, seconds, dict(sorted(said.items())))
    return tuple(found.values())


def _letters(letters: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(letters))
