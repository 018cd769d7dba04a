"""What comes next: leases, overlap, gold, repeats, and items that the reward model is unsure of."""

import re
import sqlite3
from collections import Counter
from random import Random

import pytest
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.errors import ConfigError, DataError
from burnish.feedback.database.assignment import Policy, give
from burnish.feedback.database.leases import LEASE_SECONDS, shuffled
from burnish.feedback.store import Store

ONE_EACH = Policy(overlap=0, gold=0, repeats=0, active=0)


def rank_all(store, *people):
    """Everyone in turn ranks what comes until nobody gets anything."""
    waiting = list(people)
    while waiting:
        for who in list(waiting):
            assignment = store.next_item(who)
            if assignment is None:
                waiting.remove(who)
            else:
                store.submit(who, assignment.id, as_shown(len(assignment.answers)), key())


# ---- leases


def test_a_reload_shows_the_same_and_a_page_holds_three_at_most(store):
    ann = someone(store)
    first = store.next_item(ann)
    assert store.next_item(ann) == first
    held = [first.id]
    for _ in range(2):
        held.append(store.next_item(ann, beside=held).id)
    assert len(set(held)) == 3
    assert store.next_item(ann, beside=held) is None
    assert store.next_item(ann).id == first.id


def test_two_people_never_hold_one_item_that_one_is_to_rank(store):
    store.set_policy(ONE_EACH)
    prompts = [store.next_item(someone(store, f"p{index}")).prompt for index in range(30)]
    assert len(set(prompts)) == 30
    assert store.next_item(someone(store, "late")) is None


def test_a_lease_that_runs_out_frees_the_item(tmp_path, clock):
    with a_store(tmp_path / "s.db", items=1, clock=clock) as store:
        store.set_policy(ONE_EACH)
        ann, bob = someone(store), someone(store, "bob")
        held = store.next_item(ann)
        clock.now += LEASE_SECONDS
        assert store.next_item(bob) is None
        store.heartbeat(ann, held.id)
        clock.now += LEASE_SECONDS
        assert store.next_item(bob) is None  # the heartbeat kept it
        clock.now += 1
        assert store.next_item(bob).prompt == held.prompt


def test_who_comes_back_after_the_lease_loses_nothing(tmp_path, clock):
    with a_store(tmp_path / "s.db", items=1, clock=clock) as store:
        store.set_policy(ONE_EACH)
        ann, bob = someone(store), someone(store, "bob")
        held = store.next_item(ann)
        store.save_draft(ann, held.id, {"half": "done"})
        clock.now += LEASE_SECONDS + 1
        assert store.next_item(bob) is not None
        assert store.next_item(ann) is None
        store.submit(ann, held.id, as_shown(), key())  # a browser that slept: its ranking counts, one more than asked
        assert [ranking.annotator for ranking in store.rankings()] == [ann.alias]


def test_what_was_left_unfinished_comes_first_with_its_draft(store, clock):
    ann = someone(store)
    held = store.next_item(ann)
    store.save_draft(ann, held.id, {"half": "done"})
    clock.now += LEASE_SECONDS + 1
    again = store.next_item(ann)
    assert (again.id, again.draft) == (held.id, {"half": "done"})
    assert again.lease_end == clock.now + LEASE_SECONDS


# ---- overlap, gold, repeats


def test_nobody_gets_an_item_twice_except_as_a_repeat(tmp_path):
    with a_store(tmp_path / "s.db", items=60) as store:
        store.add_items([an_item(f"gold-{index}", gold=((0,), (1,), (2,))) for index in range(4)])
        store.set_policy(Policy(overlap=0.5, annotators=3, gold=0.2, repeats=0.2, active=0.0))
        rank_all(store, *(someone(store, f"p{index}") for index in range(4)))
        rankings = list(store.rankings())
        first = Counter((one.annotator, one.item) for one in rankings if one.kind != "repeat")
        again = Counter((one.annotator, one.item) for one in rankings if one.kind == "repeat")
        assert set(first.values()) == {1}
        assert again
        assert set(again.values()) == {1}
        assert set(again) <= set(first)


def test_a_repeat_is_shuffled_anew():
    orders = [(shuffled("seed", 1, item, 0, 9), shuffled("seed", 1, item, 1, 9)) for item in range(50)]
    assert all(sorted(one) == list(range(9)) for pair in orders for one in pair)
    assert sum(one == other for one, other in orders) == 0


def test_the_shuffle_favours_no_position():
    """Each of 4 answers stands first in 1/4 of 4,000 items, within four standard errors."""
    first = Counter(shuffled("seed", annotator, item, 0, 4)[0] for annotator in range(4) for item in range(1000))
    assert all(abs(first[answer] - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5 for answer in range(4))


def test_the_overlap_is_ranked_by_so_many_and_the_rest_by_one(tmp_path):
    with a_store(tmp_path / "s.db", items=300) as store:
        store.set_policy(Policy(overlap=0.2, annotators=3, gold=0, repeats=0))
        rank_all(store, *(someone(store, f"p{index}") for index in range(5)))
        times = Counter(Counter(one.item for one in store.rankings()).values())
        assert set(times) == {1, 3}
        assert times[1] + times[3] == 300
        assert abs(times[3] / 300 - 0.2) < 4 * (0.2 * 0.8 / 300) ** 0.5
        assert Counter(one.kind for one in store.rankings()) == {"uniform": 300, "overlap": 2 * times[3]}


def test_gold_and_repeats_have_their_share(tmp_path):
    with a_store(tmp_path / "s.db", items=400) as store:
        store.add_items([an_item(f"gold-{index}", gold=((2,), (0, 1))) for index in range(100)])
        store.set_policy(Policy(overlap=0, gold=0.1, repeats=0.1))
        rank_all(store, someone(store))
        kinds = Counter(one.kind for one in store.rankings())
        total = sum(kinds.values())
        assert kinds["uniform"] == 400
        for kind in ("gold", "repeat"):
            assert abs(kinds[kind] / total - 0.1) < 4 * (0.1 * 0.9 / total) ** 0.5
        gold = next(one for one in store.rankings() if one.kind == "gold")
        assert gold.gold_K == (1, 1, 0)


# ---- how it is drawn


def test_the_order_of_the_file_decides_nothing(tmp_path):
    first = set()
    for seed in range(20):
        with a_store(tmp_path / f"{seed}.db", items=20, seed=seed) as store:
            first.add(store.next_item(someone(store)).prompt)
    assert len(first) > 8  # 20 uniform draws of 20 give 12.8 different ones, deviation 1.4


def test_active_draws_ask_what_is_unsure_and_tell_how_likely_that_was(tmp_path):
    """30 items of which 5 are unsure, half of the draws active: 0.5 + 0.5 · 30/5 = 3.5 for those, 0.5 for the others.

    Their mean over the pool is 1, as under uniform choice: (5 · 3.5 + 25 · 0.5) / 30.
    """
    a_store(tmp_path / "s.db", items=30).close()
    with Store.open(tmp_path / "s.db") as store:
        unsure = {f"item-{index}": 1.0 + index for index in range(5)}
        assert store.set_uncertainty(unsure) == 5
        assert [line["new"] for line in store.audit() if line["what"] == "uncertainty"] == ['{"items": 5}']
        store.set_policy(Policy(overlap=0, gold=0, repeats=0, active=0.5))
        ann = someone(store)
    with sqlite3.connect(tmp_path / "s.db", isolation_level=None) as raw:
        chance, seen = Random(1), Counter()
        for _ in range(400):
            raw.execute("BEGIN")
            number = give(raw, ann.number, 1.0, chance)
            kind, propensity, item = raw.execute(
                "SELECT a.kind, a.propensity, i.id FROM assignment a JOIN item i USING (item) WHERE assignment = ?",
                (number,),
            ).fetchone()
            raw.execute("ROLLBACK")
            assert propensity == pytest.approx(3.5 if item in unsure else 0.5)
            seen[kind, item in unsure] += 1
    raw.close()
    assert seen["active", False] == 0
    assert abs(seen["active", True] - 200) < 4 * 10


def test_without_uncertainty_every_draw_is_uniform(store):
    ann = someone(store)
    store.submit(ann, store.next_item(ann).id, as_shown(), key())
    assert [(one.kind, one.propensity) for one in store.rankings()] == [("uniform", 1.0)]


def test_an_uncertainty_must_be_a_number_of_a_known_item(store):
    with pytest.raises(DataError, match="no item nowhere in this store"):
        store.set_uncertainty({"nowhere": 0.5})
    with pytest.raises(DataError, match="no finite number"):
        store.set_uncertainty({"item-1": float("nan")})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"overlap": 1.5}, "overlap: 1.5"), ({"annotators": 1}, "annotators: 1"), ({"active": 1.0}, "active: 1")],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong, told):
    with pytest.raises(ConfigError, match=told):
        Policy(**wrong)


def test_no_draw_looks_at_all_items(tmp_path):
    """Every statement of a draw goes by an index: its plan holds no scan of a table that grows."""
    a_store(tmp_path / "s.db", items=30).close()
    with Store.open(tmp_path / "s.db") as store:
        store.set_uncertainty({"item-1": 1.0})
        store.add_items([an_item("gold", gold=((0,), (1,), (2,)))])
        ann = someone(store)
        for _ in range(12):
            store.submit(ann, store.next_item(ann).id, as_shown(), key())
    said: list[str] = []
    with sqlite3.connect(tmp_path / "s.db", isolation_level=None) as raw:
        raw.set_trace_callback(said.append)
        raw.execute("BEGIN")
        for chance in (Random(0), *(_Lucky(value) for value in (0.0, 0.06, 0.5))):
            give(raw, ann.number, 1.0, chance)
            raw.execute("UPDATE assignment SET state = 'submitted' WHERE state = 'open'")
        raw.execute("ROLLBACK")
        raw.set_trace_callback(None)
        plans = [
            (statement, row[3])
            for statement in said
            if re.match(r"\s*(SELECT|UPDATE|INSERT)", statement) and "SET state = 'submitted' WHERE" not in statement
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    raw.close()
    assert {"'gold'", "'fresh'", "'waiting'"} <= set(re.findall(r"'\w+'", " ".join(said)))
    scans = [
        (statement, plan)
        for statement, plan in plans
        if plan.startswith("SCAN") and "INDEX item_" not in plan and "CONSTANT" not in plan
    ]
    assert scans == []


class _Lucky(Random):
    """A generator whose every draw is the same."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


def test_who_has_nothing_left_gets_no_gold_item_or_repeat_either(tmp_path):
    """Told that all is done and given one more, they would know what it is for."""
    with a_store(tmp_path / "s.db", items=12) as store:
        store.add_items([an_item(f"gold-{index}", gold=((0,), (1,), (2,))) for index in range(9)])
        store.set_policy(Policy(overlap=0, gold=0.1, repeats=0.1, active=0))
        ann = someone(store)
        rank_all(store, ann)
        assert {ranking.item for ranking in store.rankings()} >= {f"item-{index}" for index in range(12)}
        assert [store.next_item(ann) for _ in range(100)] == [None] * 100
