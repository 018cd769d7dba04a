"""Which item an annotator gets next.

In this order: what they have open or left unfinished; before they begin real work, the items to practise on
(practice.py); a gold item (5 %); one of their own again, shuffled anew (3 %); an item that waits for a second
annotator; a fresh one. An item is given to each annotator once, and again only as a repeat; one that they skipped does
not come back to them. A lease (leases.py) that ran out frees its item for the others.

A fresh item is drawn in two ways, mixed. Uniform: the pool has a random order, and its first item is taken, which is a
uniform draw without replacement. Active: one of the `TOP` items of highest uncertainty, each as likely. With n fresh
items and the share a of active draws, an item's propensity, in units of the uniform 1/n, is

    (1 - a) + a · n / |top|  for an item of the top,  1 - a  for any other,  1 where no uncertainty is known.

What an annotator is told to have left must not tell which items check them: gold items and repeats take nothing from
the pool, so the pool's own count would stand still at just those. It is taken once in `COUNTED_EVERY` assignments,
before the draw, and goes down by one for whatever is done in between.

No query looks at all items: each pool is an index, and what an annotator has been through is remembered by a cursor.
"""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from random import Random

from burnish.errors import ConfigError
from burnish.feedback.database import practice
from burnish.feedback.database.audit import record
from burnish.feedback.database.leases import LEASE_SECONDS, Draw, expire, lease_shuffled, reopen

MOST_OPEN = 3
TOP = 50
REPEAT_AFTER = 10  # assignments between an item and its repeat, so that it is judged anew and not remembered
LOOKED_AT = 200  # waiting items, many of them the annotator's own, that one draw goes through
COUNTED_EVERY = 10  # assignments


@dataclass(frozen=True, slots=True)
class Policy:
    """How items are given out. `overlap`: the share of items that go to `annotators` people instead of one.
    `calibration`: how many gold items a new annotator practises on; see practice.py."""

    overlap: float = 0.2
    annotators: int = 2
    gold: float = 0.05
    repeats: float = 0.03
    active: float = 0.5
    calibration: int = 5

    def __post_init__(self) -> None:
        for name in ("overlap", "gold", "repeats", "active"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)}: choose a share from 0 to 1")
        if self.calibration < 0:
            raise ConfigError(f"calibration: {self.calibration}: choose how many items, or 0 for none")
        if self.annotators < 2:
            raise ConfigError(f"annotators: {self.annotators}: an overlap takes 2 at least; for none set overlap: 0")
        if self.active == 1:
            raise ConfigError("active: 1: some items could never be drawn, so no weight makes up for it; choose less")


def policy_of(connection: sqlite3.Connection) -> Policy:
    row = connection.execute("SELECT value FROM setting WHERE name = 'policy'").fetchone()
    return Policy() if row is None else Policy(**json.loads(row[0]))


def set_policy(connection: sqlite3.Connection, policy: Policy, now: float) -> None:
    """Items that were given out already keep what was drawn for them."""
    old, new = asdict(policy_of(connection)), asdict(policy)
    connection.execute("INSERT OR REPLACE INTO setting VALUES ('policy', ?)", (json.dumps(new),))
    if old != new:
        record(connection, now, None, "policy", old=old, new=new)


def give(
    connection: sqlite3.Connection,
    annotator: int,
    now: float,
    chance: Random,
    beside: Collection[str] = (),
    *,
    draw: bool = True,
    checks: bool = True,
) -> int | None:
    """The assignment (its number in the table) that the annotator works on next, leased anew; None when none is left.

    `beside`: ids of assignments that the page holds already and does not ask for. Without `draw` it is one that the
    annotator has begun, or none; without `checks` no gold item or repeat is drawn.
    """
    expire(connection, now)
    held = connection.execute(
        "SELECT assignment, id FROM assignment WHERE annotator = ? AND state = 'open' ORDER BY undone DESC, assignment",
        (annotator,),
    ).fetchall()
    for number, id_ in held:
        if id_ not in beside:
            connection.execute(
                "UPDATE assignment SET lease_end = ? WHERE assignment = ?", (now + LEASE_SECONDS, number)
            )
            return int(number)
    if len(held) >= MOST_OPEN:
        return None
    unfinished = _left_unfinished(connection, annotator)
    if unfinished is not None:
        reopen(connection, unfinished, now)
        return unfinished
    if not draw:
        return None
    _count_work(connection, annotator)
    drawn = _drawn(connection, annotator, chance, checks)
    if drawn is None:  # what comes later, by an import say, is counted anew
        connection.execute("UPDATE annotator SET work = NULL WHERE annotator = ?", (annotator,))
        return None
    return lease_shuffled(connection, annotator, drawn, now)


def _count_work(connection: sqlite3.Connection, annotator: int) -> None:
    given, work = connection.execute("SELECT given, work FROM annotator WHERE annotator = ?", (annotator,)).fetchone()
    if work is None or given % COUNTED_EVERY == 0:
        there = sum(done(connection, annotator)) + opened(connection, annotator) + left(connection, annotator)
        connection.execute("UPDATE annotator SET work = ? WHERE annotator = ?", (there, annotator))


def done(connection: sqlite3.Connection, annotator: int) -> tuple[int, int]:
    """(rankings that stand, assignments skipped), practice left out."""
    (rankings,) = connection.execute(
        # one less the other, each by its index: looking at the layer of 20,000 rankings would take longer than all else
        "SELECT (SELECT count(*) FROM ranking WHERE annotator = :who AND removed IS NULL) - "
        "(SELECT count(*) FROM ranking WHERE annotator = :who AND removed IS NULL AND layer = 'calibration')",
        {"who": annotator},
    ).fetchone()
    (skipped,) = connection.execute(
        "SELECT count(*) FROM assignment WHERE annotator = ? AND state = 'skipped' AND kind <> 'calibration'",
        (annotator,),
    ).fetchone()
    return rankings, skipped


def opened(connection: sqlite3.Connection, annotator: int) -> int:
    """Assignments that they hold, practice left out."""
    query = "SELECT count(*) FROM assignment WHERE annotator = ? AND state = 'open' AND kind <> 'calibration'"
    return int(connection.execute(query, (annotator,)).fetchone()[0])


def left(connection: sqlite3.Connection, annotator: int) -> int:
    """Items that the pool could still give them.

    Of what waits or is fresh, they had some. A fresh item has nobody, so they can only have skipped it; and fewer items
    wait than an annotator has had: after 20,000 rankings this takes 10 ms, by their assignments it took 55.
    """
    (had,) = connection.execute(
        "SELECT (SELECT count(*) FROM item i WHERE i.state = 'waiting' AND EXISTS (SELECT 1 FROM assignment a "
        "WHERE a.annotator = :who AND a.item = i.item AND a.repeat = 0 AND a.state <> 'expired')) + "
        "(SELECT count(*) FROM assignment a JOIN item i USING (item) WHERE a.annotator = :who AND a.state = 'skipped' "
        "AND a.repeat = 0 AND i.state = 'fresh')",
        {"who": annotator},
    ).fetchone()
    return pool(connection, "fresh") + pool(connection, "waiting") - int(had)


def _left_unfinished(connection: sqlite3.Connection, annotator: int) -> int | None:
    """An assignment of theirs that ran out and that nobody has taken since: their draft of it is still there."""
    row = connection.execute(
        "SELECT a.assignment FROM assignment a JOIN item i USING (item) WHERE a.annotator = ? AND a.state = 'expired' "
        "AND (a.kind IN ('gold', 'repeat', 'live', 'calibration') OR i.state IN ('fresh', 'waiting')) "
        "ORDER BY a.undone DESC, a.assignment",
        (annotator,),
    ).fetchone()
    return None if row is None else int(row[0])


def _drawn(connection: sqlite3.Connection, annotator: int, chance: Random, checks: bool) -> Draw | None:
    policy = policy_of(connection)
    if not checks:
        policy = replace(policy, gold=0.0, repeats=0.0)
    practised = practice.due(connection, annotator, policy.calibration)
    if practised is not None:
        # where nothing is left to rank there is nothing to practise for
        return Draw(practised, "calibration", 1.0) if left(connection, annotator) else None
    luck = chance.random()
    draw = None
    if luck < policy.gold + policy.repeats and not left(connection, annotator):
        return None  # whoever is told that nothing is left, and then gets an item, knows what it is for
    if luck < policy.gold:
        draw = _gold(connection, annotator, chance)
    elif luck < policy.gold + policy.repeats:
        draw = _repeat(connection, annotator, chance)
    return draw or _waiting(connection, annotator) or _fresh(connection, annotator, policy, chance)


_NOT_HAD = "NOT EXISTS (SELECT 1 FROM assignment a WHERE a.annotator = :who AND a.item = i.item AND a.repeat = 0)"


def _gold(connection: sqlite3.Connection, annotator: int, chance: Random) -> Draw | None:
    """A gold item that nobody practises on, from a random place on, or else from the first."""
    query = (
        f"SELECT item FROM item i WHERE state = 'gold' AND practice = 0 AND place >= :place AND {_NOT_HAD} "  # noqa: S608  our own text
        "ORDER BY place LIMIT 1"
    )
    for place in (chance.getrandbits(62), 0):
        row = connection.execute(query, {"who": annotator, "place": place}).fetchone()
        if row is not None:
            return Draw(row[0], "gold", 1.0)
    return None


def _repeat(connection: sqlite3.Connection, annotator: int, chance: Random) -> Draw | None:
    """An item that they ranked a while ago and have not been asked twice; none of which they know who wrote what."""
    (given,) = connection.execute("SELECT given FROM annotator WHERE annotator = ?", (annotator,)).fetchone()
    if given <= REPEAT_AFTER:
        return None
    row = connection.execute(
        "SELECT f.item, f.propensity FROM assignment f WHERE f.annotator = :who AND f.number >= :start "
        "AND f.number <= :end AND f.repeat = 0 AND f.state = 'submitted' AND f.revealed IS NULL "
        "AND f.kind NOT IN ('gold', 'calibration') AND NOT EXISTS "
        "(SELECT 1 FROM assignment a WHERE a.annotator = :who AND a.item = f.item AND a.repeat = 1) "
        "ORDER BY f.number LIMIT 1",
        {"who": annotator, "start": chance.randint(1, given - REPEAT_AFTER), "end": given - REPEAT_AFTER},
    ).fetchone()
    return None if row is None else Draw(row[0], "repeat", row[1])


def _waiting(connection: sqlite3.Connection, annotator: int) -> Draw | None:
    """The item that has waited longest for one more annotator, if not for this one.

    The cursor goes past what this annotator had: an item that begins to wait again gets a higher number.
    """
    rows = connection.execute(
        "SELECT i.item, i.waiting, i.propensity, EXISTS (SELECT 1 FROM assignment a WHERE a.annotator = :who "
        "AND a.item = i.item AND a.repeat = 0) FROM item i WHERE i.state = 'waiting' AND i.waiting > "
        "(SELECT waiting_seen FROM annotator WHERE annotator = :who) ORDER BY i.waiting LIMIT :most",
        {"who": annotator, "most": LOOKED_AT},
    )
    seen, draw = None, None
    for item, waiting, propensity, had in rows.fetchall():
        seen = waiting
        if not had:
            draw = Draw(item, "overlap", propensity)
            break
    if seen is not None:
        connection.execute("UPDATE annotator SET waiting_seen = ? WHERE annotator = ?", (seen, annotator))
    return draw


def _fresh(connection: sqlite3.Connection, annotator: int, policy: Policy, chance: Random) -> Draw | None:
    active = 0.0
    top: list[int] = []
    if policy.active:
        unsure = connection.execute(
            f"SELECT item FROM item i WHERE state = 'fresh' AND uncertainty IS NOT NULL AND {_NOT_HAD} "  # noqa: S608
            "ORDER BY uncertainty DESC, place LIMIT :most",
            {"who": annotator, "most": TOP},
        )
        top = [item for (item,) in unsure.fetchall()]
        active = policy.active if top else 0.0
    if top and chance.random() < active:
        item, kind = top[chance.randrange(len(top))], "active"
    else:
        row = connection.execute(
            f"SELECT item FROM item i WHERE state = 'fresh' AND {_NOT_HAD} ORDER BY place LIMIT 1",  # noqa: S608
            {"who": annotator},
        ).fetchone()
        if row is None:
            return None
        item, kind = row[0], "uniform"
    propensity = 1 - active + (active * pool(connection, "fresh") / len(top) if item in top else 0.0)
    wanted = policy.annotators if chance.random() < policy.overlap else 1
    connection.execute(
        "UPDATE item SET wanted = coalesce(wanted, ?), kind = ?, propensity = ? WHERE item = ?",
        (wanted, kind, propensity, item),
    )
    return Draw(item, kind, propensity)


def pool(connection: sqlite3.Connection, state: str) -> int:
    """How many items have that state."""
    row = connection.execute("SELECT value FROM counter WHERE name = ?", (state,)).fetchone()
    return 0 if row is None else int(row[0])
