"""Sources that are revealed once an item is ranked: to whom, of which items, and that there is no way back."""

import sqlite3
from contextlib import closing

import pytest
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.feedback.database.assignment import Policy
from burnish.feedback.store import Store

CHECKED = Policy(overlap=0, gold=0.5, repeats=0.5, active=0, calibration=0)
"""Every draw is a gold item or a repeat, where there is one."""


def rank(store, who, reveal_since=None, **how):
    """They rank what comes next, as it stands; the assignment and its receipt."""
    given = store.next_item(who, **how)
    return given, store.submit(who, given.id, as_shown(), key(), reveal_since=reveal_since)


def test_the_sources_come_in_the_letters_that_were_shown(store):
    given, receipt = rank(store, someone(store), reveal_since=0.0)
    assert receipt.sources == tuple(f"model-{text[-1]}" for text in given.answers)


def test_nothing_is_revealed_that_was_not_asked_for(store):
    assert rank(store, someone(store))[1].sources is None


def test_a_ranking_whose_sources_were_shown_stays_also_after_the_server_was_started_anew(store):
    ann = someone(store)
    rank(store, ann, reveal_since=0.0)
    assert store.undo(ann) is None
    with Store.open(store.path) as again:
        assert again.undo(ann) is None
        given, _ = rank(again, ann)
        assert again.undo(ann).id == given.id, "what was not revealed can still be taken back"
        assert again.undo(ann) is None


def test_a_receipt_that_is_asked_for_again_reveals_and_closes_the_way_back(store):
    """The first was lost, and the server that answers now reveals."""
    ann, one = someone(store), key()
    given = store.next_item(ann)
    assert store.submit(ann, given.id, as_shown(), one).sources is None
    assert store.submit(ann, given.id, as_shown(), one, reveal_since=0.0).sources is not None
    assert store.undo(ann) is None


def test_a_ranking_that_was_taken_back_reveals_nothing_when_it_comes_once_more(store):
    """A request that was late: the item is to be ranked anew, and blind."""
    ann, one = someone(store), key()
    given = store.next_item(ann)
    store.submit(ann, given.id, as_shown(), one)
    store.undo(ann)
    assert store.submit(ann, given.id, as_shown(), one, reveal_since=0.0).sources is None
    assert store.next_item(ann).id == given.id


@pytest.mark.parametrize("gold", [0.0, 1.0])
def test_what_was_given_before_it_was_to_be_revealed_is_not_whether_it_checks_or_not(tmp_path, clock, gold):
    """A gold item that is open when the server is started anew: neither its sources nor their absence tell what it is
    for."""
    with a_store(tmp_path / "s.db", items=9, clock=clock) as store:
        store.add_items([an_item(f"gold-{index}", gold=((0,), (1,), (2,))) for index in range(9)])
        store.set_policy(Policy(gold=gold, repeats=0, calibration=0))
        ann = someone(store)
        before = store.next_item(ann)
        clock.now += 60
        started = clock.now
        assert store.next_item(ann, checks=False).id == before.id
        assert store.submit(ann, before.id, as_shown(), key(), reveal_since=started).sources is None
        assert rank(store, ann, reveal_since=started, checks=False)[1].sources is not None
        assert [one.kind == "gold" for one in store.rankings()] == [gold == 1.0, False]


def test_a_lead_who_decides_is_shown_no_sources(store):
    session = store.redeem(store.invite("lea", lead=True))
    decides = store.adjudicator(session.annotator)
    given = store.next_dispute(decides, ["item-3"])
    assert store.submit(decides, given.id, as_shown(), key(), reveal_since=0.0).sources is None
    assert store.undo(decides).id == given.id


@pytest.mark.parametrize(("checks", "kinds"), [(True, {"gold", "repeat"}), (False, set())])
def test_without_checks_no_gold_item_and_no_repeat_is_drawn(tmp_path, checks, kinds):
    with a_store(tmp_path / "s.db", items=40) as store:
        store.add_items([an_item(f"gold-{index}", gold=((0,), (1,), (2,))) for index in range(9)])
        store.set_policy(CHECKED)
        ann = someone(store)
        for _ in range(30):
            rank(store, ann, checks=checks)
        assert {one.kind for one in store.rankings()} - {"uniform"} == kinds


def test_no_repeat_asks_again_what_was_revealed(tmp_path):
    """They know who wrote what: it would be no second look, nor blind."""
    with a_store(tmp_path / "s.db", items=40) as store:
        store.set_policy(Policy(overlap=0, gold=0, repeats=1.0, active=0))
        ann = someone(store)
        for turn in range(30):
            rank(store, ann, reveal_since=0.0 if turn < 6 else None, checks=turn > 12)
        with closing(sqlite3.connect(store.path)) as raw:
            again = raw.execute(
                "SELECT f.revealed FROM assignment a JOIN assignment f USING (annotator, item) "
                "WHERE a.repeat = 1 AND f.repeat = 0"
            ).fetchall()
        assert again
        assert set(again) == {(None,)}
