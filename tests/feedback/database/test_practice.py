"""Practice before real work: which items it takes, what is told after each, and what it may never touch."""

import sqlite3
from contextlib import closing

import pytest
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.errors import ConfigError, DataError, UsageError
from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.statistics import statistics
from burnish.feedback.agreement.verdicts import known_layers
from burnish.feedback.calibration import Calibration, right_pairs
from burnish.feedback.database.assignment import Policy
from burnish.feedback.database.leases import LEASE_SECONDS
from burnish.feedback.exports import export
from burnish.feedback.records import Feedback, Practice, Submission
from burnish.feedback.store import Store

KEY = ((2,), (0, 1))
"""The third answer is best, the others are level: two pairs of three are decided."""


@pytest.fixture
def taught(tmp_path, clock):
    """Twenty items, and ten whose order is known."""
    with a_store(tmp_path / "s.db", items=20, clock=clock) as store:
        store.add_items([an_item(f"gold-{index}", gold=KEY) for index in range(10)])
        store.set_policy(Policy(overlap=1, gold=0, repeats=0, active=0, calibration=3))
        yield store


def best_first(assignment, answer: str) -> Submission:
    """The answer that ends in `answer` before the two others, which tie."""
    at = next(place for place, text in enumerate(assignment.answers) if text.endswith(answer))
    others = "ABC".replace("ABC"[at], "")
    return Submission(order=(("ABC"[at],), tuple(others)))


def practise(store, who, answer="2"):
    """Everything that they practise on, with the answer put first; what they are told of each, by its prompt."""
    told = {}
    while (given := store.next_item(who)).practice is not None:
        told[given.prompt] = store.submit(who, given.id, best_first(given, answer), key()).feedback
    return told


def kinds(store):
    with closing(sqlite3.connect(store.path)) as raw:
        return raw.execute("SELECT p.name, a.kind FROM assignment a JOIN annotator p USING (annotator)").fetchall()


def test_everybody_practises_on_the_same_items_and_then_ranks(taught):
    first, second = practise(taught, someone(taught)), practise(taught, someone(taught, "bob"))
    assert list(first) == list(second)
    assert len(first) == 3
    assert all("gold" in prompt for prompt in first)


def test_who_practises_is_told_which_one_it_is(taught):
    ann, seen = someone(taught), []
    while (given := taught.next_item(ann)).practice is not None:
        seen.append(given.practice)
        taught.submit(ann, given.id, as_shown(), key())
    assert seen == [Practice(1, 3), Practice(2, 3), Practice(3, 3)]


@pytest.mark.parametrize(("answer", "right"), [("2", 2), ("0", 0)])
def test_the_order_known_to_be_right_is_told_in_the_annotators_letters(taught, answer, right):
    """Where the third answer stands first both decided pairs are right; where the first does, it beats the third, and
    the second ties with it: none is."""
    ann = someone(taught)
    given = taught.next_item(ann)
    sent = best_first(given, answer)
    told = taught.submit(ann, given.id, sent, key()).feedback
    (best,) = best_first(given, "2").order[0]
    assert told == Feedback(((best,), tuple("ABC".replace(best, ""))), right, 2)


def test_a_receipt_that_was_lost_is_given_again(taught, clock):
    ann, one = someone(taught), key()
    given = taught.next_item(ann)
    receipt = taught.submit(ann, given.id, as_shown(), one)
    clock.now += 60
    assert taught.submit(ann, given.id, as_shown(), one) == receipt
    assert receipt.feedback is not None


def test_what_is_no_practice_has_no_key_to_tell(taught):
    ann = someone(taught)
    practise(taught, ann)
    assert taught.submit(ann, taught.next_item(ann).id, as_shown(), key()).feedback is None
    taught.set_policy(Policy(gold=1.0, repeats=0, calibration=3))
    given = taught.next_item(ann)
    assert ("ann", "gold") in kinds(taught)
    assert taught.submit(ann, given.id, as_shown(), key()).feedback is None


def test_a_practice_item_cannot_be_taken_back_once_its_key_was_shown(taught):
    ann = someone(taught)
    taught.skip(ann, taught.next_item(ann).id, "other")
    given = taught.next_item(ann)
    taught.submit(ann, given.id, as_shown(), key())
    assert taught.undo(ann) is None
    practise(taught, ann)
    real = taught.next_item(ann)
    taught.submit(ann, real.id, as_shown(), key())
    assert taught.undo(ann).id == real.id
    assert taught.undo(ann) is None


def test_a_skipped_practice_item_was_had_and_can_be_taken_back(taught):
    ann = someone(taught)
    first = taught.next_item(ann)
    taught.skip(ann, first.id, "other")
    assert taught.next_item(ann).practice == Practice(2, 3)
    assert taught.undo(ann).practice == Practice(1, 3)
    taught.skip(ann, first.id, "other")
    assert len(practise(taught, ann)) == 2


def test_practice_that_was_left_goes_on_where_it_was(taught, clock):
    ann = someone(taught)
    given = taught.next_item(ann)
    clock.now += LEASE_SECONDS + 1
    assert taught.next_item(ann).id == given.id
    assert len(practise(taught, ann)) == 3


# ---- how many


@pytest.mark.parametrize(
    ("gold", "wanted", "practised"), [(0, 5, 0), (1, 5, 0), (2, 5, 1), (7, 5, 3), (12, 5, 5), (9, 0, 0)]
)
def test_at_least_half_of_the_gold_items_stay_unseen(tmp_path, gold, wanted, practised):
    with a_store(tmp_path / "s.db", items=3) as store:
        store.add_items([an_item(f"gold-{index}", gold=KEY) for index in range(gold)])
        store.set_policy(Policy(gold=0, repeats=0, calibration=wanted))
        assert len(practise(store, someone(store))) == practised


def test_each_task_keeps_half_of_its_own(tmp_path):
    """Nine to rank and one to pick: the one is never practised on, however many are wanted."""
    with a_store(tmp_path / "s.db", items=3) as store:
        store.add_items([an_item(f"gold-{index}", gold=KEY) for index in range(9)])
        store.add_items([an_item("picked", gold=((2,), (0, 1)), task="pick")])
        store.set_policy(Policy(gold=0, repeats=0, calibration=9))
        told = practise(store, someone(store))
        assert len(told) == 4
        assert "prompt of picked" not in told


def test_a_number_below_none_is_refused():
    with pytest.raises(ConfigError, match="calibration: -1"):
        Policy(calibration=-1)


def test_where_nothing_is_left_to_rank_nobody_practises(tmp_path):
    with a_store(tmp_path / "s.db") as store:
        store.add_items([an_item(f"gold-{index}", gold=KEY) for index in range(10)])
        assert store.next_item(someone(store)) is None


# ---- who


def test_who_ranks_already_is_not_sent_back(tmp_path):
    with a_store(tmp_path / "s.db", items=9) as store:
        ann = someone(store)
        store.submit(ann, store.next_item(ann).id, as_shown(), key())
        store.add_items([an_item(f"gold-{index}", gold=KEY) for index in range(10)])
        assert store.next_item(ann).practice is None
        assert store.next_item(someone(store, "bob")).practice == Practice(1, 5)


def test_nobody_is_checked_by_an_item_that_anybody_practised_on(taught):
    """Ann, who came before there was practice, could hear of its items from bob: they check her neither."""
    taught.set_policy(Policy(overlap=1, annotators=3, gold=0, repeats=0, calibration=0))
    ann, bob = someone(taught), someone(taught, "bob")
    taught.submit(ann, taught.next_item(ann).id, as_shown(), key())
    taught.set_policy(Policy(overlap=1, annotators=3, gold=0.5, repeats=0, calibration=3))
    practised = set(practise(taught, bob))
    for who in (ann, bob):
        while (given := taught.next_item(who)) is not None:
            taught.submit(who, given.id, as_shown(), key())
    checked = {f"prompt of {one.item}" for one in taught.rankings() if one.kind == "gold"}
    assert len(checked) == 7, "all the others were drawn"
    assert checked & practised == set()


def test_gold_items_that_come_later_are_practised_on_by_nobody_else(taught):
    """The set stays: an item with a lower random place does not push out one that was practised on already."""
    first = set(practise(taught, someone(taught)))
    taught.add_items([an_item(f"late-{index}", gold=KEY) for index in range(40)])
    assert set(practise(taught, someone(taught, "bob"))) == first


# ---- what it stays out of


def test_practice_is_in_no_figure_no_count_and_no_file(taught, tmp_path):
    ann = someone(taught)
    practise(taught, ann, "0")
    with pytest.raises(DataError, match="no rankings of"):
        statistics(taught.rankings(), Bootstrap(resamples=20))
    with pytest.raises(DataError, match="the store has none"):
        export(taught, tmp_path / "out.jsonl", checks=True)
    taught.submit(ann, taught.next_item(ann).id, as_shown(), key())
    found = statistics(taught.rankings(), Bootstrap(resamples=20))
    (figures,) = found.annotators.values()
    assert (found.rankings, found.layers, figures.conduct.rankings, figures.gold) == (1, {"people": 1}, 1, None)
    assert found.calibration == {ann.alias: Calibration(items=3, right=0, pairs=6)}
    progress = taught.progress(ann)
    assert (progress.rankings, progress.skipped, progress.open, progress.left) == (1, 0, 0, 19)
    counts = taught.counts()
    assert (counts["rankings_people"], counts["rankings_calibration"]) == (1, 3)
    assert sum(export(taught, tmp_path / "out.jsonl", checks=True).files.values()) == 1
    with pytest.raises(UsageError, match="no layer calibration"):
        known_layers(["calibration"])


def test_what_is_left_is_the_same_before_and_after_practice(taught):
    ann = someone(taught)
    told = []
    while (given := taught.next_item(ann)).practice is not None:
        told.append(taught.progress_shown(ann))
        taught.submit(ann, given.id, as_shown(), key())
    assert [*told, taught.progress_shown(ann)] == [{"rankings": 0, "skipped": 0, "left": 20}] * 4


def test_no_repeat_asks_what_was_practised_on(taught):
    taught.set_policy(Policy(overlap=1, gold=0, repeats=1.0, active=0, calibration=5))
    ann = someone(taught)
    practised = set(practise(taught, ann))
    for _ in range(16):
        taught.submit(ann, taught.next_item(ann).id, as_shown(), key())
    again = {f"prompt of {one.item}" for one in taught.rankings() if one.kind == "repeat"}
    assert again
    assert again & practised == set()


def test_the_audit_tells_practice_from_rankings(taught):
    ann = someone(taught)
    practise(taught, ann)
    taught.submit(ann, taught.next_item(ann).id, as_shown(), key())
    assert [one["what"] for one in taught.audit() if one["item"]] == ["practise"] * 3 + ["submit"]


def test_a_store_from_before_there_was_practice_has_it_for_those_who_come(tmp_path):
    """A policy that was kept without the field reads as one with its default."""
    with a_store(tmp_path / "s.db", items=3) as store:
        store.add_items([an_item(f"gold-{index}", gold=KEY) for index in range(4)])
        store.set_policy(Policy(gold=0, repeats=0))
    with closing(sqlite3.connect(tmp_path / "s.db")) as raw:
        raw.execute("UPDATE setting SET value = json_remove(value, '$.calibration') WHERE name = 'policy'")
        raw.commit()
    with Store.open(tmp_path / "s.db") as store:
        assert store.policy() == Policy(gold=0, repeats=0)
        assert len(practise(store, someone(store))) == 2


# ---- beside the key


@pytest.mark.parametrize(
    ("places", "right"),
    [((1, 1, 0), 2), ((0, 1, 2), 0), ((1, 2, 0), 2), ((0, 0, 0), 0), ((1, 0, 0), 1)],
    ids=["the key", "its reverse", "one order of its tie", "all level", "one level with the best"],
)
def test_a_pair_is_right_where_it_stands_as_the_key_decides_it(places, right):
    assert right_pairs(places, (1, 1, 0)) == (right, 2)
