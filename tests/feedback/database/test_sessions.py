"""Random sessions of several people: whatever they do in whatever order, the store's books agree with what happened."""

from collections import Counter
from contextlib import closing, suppress
from random import Random

import pytest
from feedback.stores import Clock, a_store, an_item, as_shown, key, someone

from burnish.feedback.database.assignment import Policy
from burnish.feedback.database.decisions import DoneAlready
from burnish.feedback.database.leases import LEASE_SECONDS
from burnish.feedback.database.schema import connect
from burnish.feedback.records import SKIP_REASONS

STEPS = 160


def act(store, clock: Clock, chance: Random, people: list, held: dict, saved: dict) -> None:
    """One step of somebody. `held`: assignments they ever got, in that order, for their names are drawn anew each time;
    `saved`: what stands, by assignment."""
    who = chance.choice(people)
    deed = chance.choices(["next", "submit", "skip", "undo", "draft", "wait"], [4, 6, 1, 2, 1, 1])[0]
    if deed == "wait":
        clock.now += chance.choice([1.0, LEASE_SECONDS + 1])
    elif deed == "next":
        found = store.next_item(who, beside=chance.sample(list(held[who]), min(2, len(held[who]))))
        if found is not None:
            held[who][found.id] = True
    elif deed == "undo":
        back = store.undo(who)
        if back is not None:
            saved.pop(back.id, None)
    elif held[who]:
        one = chance.choice(list(held[who]))
        with suppress(DoneAlready):  # they try what they did before, as an old tab does
            if deed == "submit":
                store.submit(who, one, as_shown(), key())
                saved[one] = who
            elif deed == "skip":
                store.skip(who, one, chance.choice(SKIP_REASONS))
            else:
                store.save_draft(who, one, {"step": clock.now})
    clock.now += 0.25


@pytest.mark.parametrize("seed", range(6))
def test_the_books_agree_with_what_happened(tmp_path, seed):
    chance, clock = Random(seed), Clock()
    with a_store(tmp_path / "s.db", items=14, clock=clock, seed=seed) as store:
        store.add_items([an_item(f"gold-{index}", gold=((0,), (1,), (2,))) for index in range(3)])
        store.set_policy(Policy(overlap=0.5, annotators=2, gold=0.15, repeats=0.15))
        store.set_uncertainty({f"item-{index}": 0.1 * index for index in range(0, 14, 3)})
        people = [someone(store, name) for name in ("ann", "bob", "eve")]
        held, saved = {who: {} for who in people}, {}
        for _ in range(STEPS):
            act(store, clock, chance, people, held, saved)
        assert Counter(ranking.annotator for ranking in store.rankings()) == Counter(
            who.alias for who in saved.values()
        )
        left = {who: store.progress(who).left for who in people}
    with closing(connect(tmp_path / "s.db")) as raw:
        for who in people:
            (could,) = raw.execute(
                "SELECT count(*) FROM item WHERE state IN ('fresh', 'waiting') AND item NOT IN (SELECT item FROM "
                "assignment WHERE annotator = ? AND repeat = 0 AND state <> 'expired')",
                (who.number,),
            ).fetchone()
            assert left[who] == could
        standing = raw.execute(
            "SELECT a.id FROM ranking r JOIN assignment a USING (assignment) WHERE r.removed IS NULL"
        )
        assert {id_ for (id_,) in standing} == set(saved)
        books = raw.execute(
            "SELECT i.state, i.people, i.wanted, (SELECT count(*) FROM assignment a WHERE a.item = i.item "
            "AND a.kind NOT IN ('gold', 'repeat', 'calibration') AND a.state IN ('open', 'submitted')) FROM item i"
        ).fetchall()
        for state, count, wanted, have in books:
            assert count == have
            if state != "gold":
                assert state == ("fresh" if have == 0 else "waiting" if have < wanted else "taken")
        counted = dict(raw.execute("SELECT name, value FROM counter WHERE name IN ('fresh','waiting','taken','gold')"))
        assert {name: n for name, n in counted.items() if n} == Counter(state for state, *_ in books)
        twice = raw.execute("SELECT count(*) FROM assignment GROUP BY annotator, item, repeat HAVING count(*) > 1")
        assert twice.fetchall() == []
        (submits,) = raw.execute("SELECT count(*) FROM audit WHERE what IN ('submit', 'practise')").fetchone()
        (undone,) = raw.execute("SELECT count(*) FROM audit WHERE what = 'undo submit'").fetchone()
        assert submits - undone == len(saved)
    assert len(saved) > 5, "so few that nothing was proved"
