"""What the store tells: progress, counts, items, rankings, the audit. Nothing here writes.

The iterators read one snapshot each, on a connection of their own: what is saved meanwhile is not in it.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.feedback.database.assignment import done, left, opened, pool
from burnish.feedback.database.contents import order_of, places_of, shown_text, unpacked
from burnish.feedback.database.schema import connect
from burnish.feedback.records import Annotator, Item, Layer, Progress, Ranking
from burnish.types import Group


@contextmanager
def _snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        yield connection


# ---- progress


def progress(connection: sqlite3.Connection, annotator: Annotator) -> Progress:
    number = annotator.number
    (last,) = connection.execute(
        "SELECT max(saved) FROM ranking WHERE annotator = ? AND removed IS NULL", (number,)
    ).fetchone()
    rankings, skipped = done(connection, number)
    return Progress(annotator, rankings, skipped, opened(connection, number), left(connection, number), last)


def progress_shown(connection: sqlite3.Connection, annotator: Annotator) -> dict[str, int]:
    number = annotator.number
    rankings, skipped = done(connection, number)
    holds = opened(connection, number)
    (work,) = connection.execute("SELECT work FROM annotator WHERE annotator = ?", (number,)).fetchone()
    rest = left(connection, number) + holds if work is None else work - rankings - skipped
    return {"rankings": rankings, "skipped": skipped, "left": max(rest, min(holds, 1))}


def progress_all(connection: sqlite3.Connection) -> list[Progress]:
    people = connection.execute("SELECT annotator, name, alias FROM annotator WHERE layer = 'people' ORDER BY name")
    return [progress(connection, Annotator(*row)) for row in people.fetchall()]


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    made = {state: pool(connection, state) for state in ("fresh", "waiting", "taken", "gold")}
    layers = connection.execute("SELECT layer, count(*) FROM ranking WHERE removed IS NULL GROUP BY layer")
    return {"items": sum(made.values()), **made, **{f"rankings_{layer}": count for layer, count in layers.fetchall()}}


def state(connection: sqlite3.Connection) -> int:
    """The last entry of the audit."""
    return int(connection.execute("SELECT coalesce(max(entry), 0) FROM audit").fetchone()[0])


# ---- items and rankings


def items(path: Path) -> Iterator[Item]:
    with _snapshot(path) as connection:
        rows = connection.execute(
            "SELECT i.id, i.gold, i.task, c.body FROM item i JOIN content c USING (item) ORDER BY i.item"
        )
        for id_, gold, task, body in rows:
            yield Item(unpacked(body, id_, f"item {id_}"), None if gold is None else order_of(gold), task)


@dataclass(frozen=True, slots=True)
class Standing:
    """A ranking with its item whole: the group in the item's own order of answers, its order the ranking's. `extra`:
    what an imported row said besides."""

    group: Group
    ranking: Ranking
    extra: Mapping[str, Any]


_STANDING = """
    SELECT i.id, i.prompt, i.task, i.gold, c.body, p.alias, r.layer, r.places, r.acceptable, r.confidence, r.seconds,
        r.flags, r.mode, r.comparisons, r.extra, r.saved, a.kind, a.propensity, a.shown
    FROM ranking r JOIN item i USING (item) JOIN content c USING (item) JOIN annotator p ON p.annotator = r.annotator
        LEFT JOIN assignment a ON a.assignment = r.assignment
    WHERE r.removed IS NULL ORDER BY r.ranking
"""


def standing(path: Path, layers: Collection[Layer] | None = None) -> Iterator[Standing]:
    """Every ranking that was not taken back, in the order in which they were saved."""
    with _snapshot(path) as connection:
        for row in connection.execute(_STANDING):
            if layers is None or row[6] in layers:
                yield _standing(*row)


def rankings(path: Path, layers: Collection[Layer] | None = None) -> Iterator[Ranking]:
    return (one.ranking for one in standing(path, layers))


def _standing(
    id_: str, prompt: str, task: Any, gold: str | None, body: str, alias: str, layer: Layer, places: str,
    acceptable: int | None, confidence: int | None, seconds: float | None, flags: str, mode: Any, comparisons: str,
    extra: str, saved: float, kind: Any, propensity: float | None, shown: str | None,
) -> Standing:  # fmt: skip
    group = unpacked(body, id_, f"item {id_}")
    order = order_of(places)
    count = len(group.answers)
    positions = [] if shown is None else json.loads(shown)
    ranking = Ranking(
        item=id_,
        prompt=prompt,
        annotator=alias,
        layer=layer,
        kind=kind or ("uniform" if layer == "judge" else "imported"),
        task=task,
        mode=mode,
        place_K=places_of(order, count),
        shown_K=tuple(positions.index(index) for index in range(count)) if positions else (),
        length_K=tuple(len(shown_text(answer)) for answer in group.answers),
        source_K=tuple(answer.source for answer in group.answers),
        gold_K=() if gold is None else places_of(order_of(gold), count),
        flag_K=tuple(tuple(said) for said in json.loads(flags)),
        acceptable=acceptable,
        confidence=confidence,
        seconds=seconds,
        propensity=1.0 if propensity is None else propensity,
        comparisons=tuple((one, other, verdict) for one, other, verdict in json.loads(comparisons)),
        saved=saved,
    )
    ranked = Group(group.prompt, group.answers, order=order, id=id_, origin=group.origin, extra=group.extra)
    return Standing(ranked, ranking, {} if layer in ("people", "calibration") else json.loads(extra))


def audit(path: Path) -> Iterator[dict[str, Any]]:
    with _snapshot(path) as connection:
        rows = connection.execute(
            "SELECT u.moment, p.alias, u.what, i.id, u.old, u.new, u.client_ms FROM audit u "
            "LEFT JOIN annotator p USING (annotator) LEFT JOIN item i ON i.item = u.item ORDER BY u.entry"
        )
        names = ("moment", "annotator", "what", "item", "old", "new", "client_ms")
        for row in rows:
            yield dict(zip(names, row, strict=True))
