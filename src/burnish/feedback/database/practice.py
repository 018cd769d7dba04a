"""The items on which a new annotator practises before real work: which those are, and what is told after each.

They are gold items, the same for everybody: whoever asks a colleague learns of no item that will check them. From the
moment that one is practised on it checks nobody any more; and of each task's gold items never more than half are taken,
so that as many stay unseen.
"""

import json
import sqlite3

from burnish.feedback.calibration import right_pairs
from burnish.feedback.database.contents import order_of, places_of
from burnish.feedback.records import LETTERS, Feedback, Practice


def due(connection: sqlite3.Connection, annotator: int, most: int) -> int | None:
    """The practice item that the annotator gets next; None where they had them all or have begun real work."""
    begun = "SELECT EXISTS (SELECT 1 FROM assignment WHERE annotator = ? AND kind <> 'calibration')"
    if most == 0 or connection.execute(begun, (annotator,)).fetchone()[0]:
        return None
    chosen = _items(connection, most)
    connection.executemany("UPDATE item SET practice = 1 WHERE item = ? AND practice = 0", ((one,) for one in chosen))
    had = {item for (item,) in connection.execute("SELECT item FROM assignment WHERE annotator = ?", (annotator,))}
    return next((item for item in chosen if item not in had), None)


def _items(connection: sqlite3.Connection, most: int) -> list[int]:
    """At most so many items to practise on: those that were practised on already, then others by their random place."""
    query = "SELECT item FROM item WHERE practice = 1 ORDER BY place LIMIT ?"
    known = [item for (item,) in connection.execute(query, (most,)).fetchall()]
    if len(known) == most:
        return known  # else, of 5,000 gold items, each look would take 50 ms, and the next annotator's turn with it
    rows = connection.execute(
        "SELECT item FROM (SELECT item, practice, place, count(*) OVER (PARTITION BY task) AS there, "
        "row_number() OVER (PARTITION BY task ORDER BY practice DESC, place) AS nth FROM item WHERE state = 'gold') "
        "WHERE 2 * nth <= there ORDER BY practice DESC, place LIMIT ?",
        (most,),
    )
    return [item for (item,) in rows.fetchall()]


def stand(connection: sqlite3.Connection, number: int, most: int) -> Practice:
    """Where an annotator stands at their assignment of that number: practice comes first, so it is counted by it."""
    return Practice(number, max(number, len(_items(connection, most))))


def feedback(connection: sqlite3.Connection, assignment: int) -> Feedback | None:
    """What is told of a practice item that was ranked; None of any other."""
    row = connection.execute(
        "SELECT a.shown, i.gold, r.places FROM assignment a JOIN item i USING (item) JOIN ranking r USING (assignment) "
        "WHERE a.assignment = ? AND a.kind = 'calibration'",
        (assignment,),
    ).fetchone()
    if row is None:
        return None
    shown, key, said = json.loads(row[0]), order_of(row[1]), order_of(row[2])
    letter = {index: LETTERS[position] for position, index in enumerate(shown)}
    agree, of = right_pairs(places_of(said, len(shown)), places_of(key, len(shown)))
    return Feedback(tuple(tuple(sorted(letter[index] for index in tied)) for tied in key), agree, of)
