"""Items that an annotator made by typing a prompt: theirs alone, from the moment that the answers are there."""

import json
import sqlite3
from collections.abc import Sequence

from burnish.errors import MissingInput
from burnish.feedback.database.audit import record
from burnish.feedback.database.contents import unpacked
from burnish.feedback.database.intake import Row, refuse_other_content
from burnish.feedback.database.leases import Draw, lease
from burnish.types import Message


def add(connection: sqlite3.Connection, annotator: int, row: Row, shown: Sequence[int], now: float) -> int:
    """Insert the item, in no pool, and its assignment; returns the latter's number in the table.

    Raises DataError for an id that is there.
    """
    made = connection.execute(
        "INSERT INTO item (id, hash, prompt, task, answers, state, place, wanted, people, kind, propensity, added) "
        "VALUES (?, ?, ?, 'rank', ?, 'taken', 0, 1, 1, 'live', 1.0, ?) ON CONFLICT (id) DO NOTHING RETURNING item",
        (row.one.id, row.one.hash, row.prompt, len(row.one.item.group.answers), now),
    ).fetchone()
    if made is None:
        refuse_other_content(connection, [row.one])
        raise MissingInput(f"item {row.one.id}: is there already; give what is typed an id of its own")
    (item,) = made
    connection.execute("INSERT INTO content VALUES (?, ?)", (item, row.body))
    record(connection, now, annotator, "live", item=item)
    return lease(connection, annotator, Draw(item, "live", 1.0), shown, now)


def conversation(connection: sqlite3.Connection, annotator: int, id_: str) -> tuple[Message, ...]:
    """The turns of a typed prompt and, as the last, the answer that its annotator ranked best: of several the one that
    was shown first. Raises MissingInput for an assignment that is not theirs, was not typed or is not ranked."""
    found = connection.execute(
        "SELECT a.shown, r.places, c.body FROM assignment a JOIN ranking r ON r.assignment = a.assignment "
        "JOIN content c ON c.item = a.item "
        "WHERE a.id = ? AND a.annotator = ? AND a.kind = 'live' AND r.removed IS NULL",
        (id_, annotator),
    ).fetchone()
    if found is None:
        raise MissingInput(f"assignment {id_[:40]!r}: nothing of yours to go on from; begin anew")
    shown, places, body = found
    group = unpacked(body)
    best = min(json.loads(places)[0], key=json.loads(shown).index)
    prompt = group.prompt
    before = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return (*before, Message("assistant", group.answers[best].text))
