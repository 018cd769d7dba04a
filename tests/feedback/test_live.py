"""Live collection: what an annotator types is answered, stored, and theirs alone."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from feedback.parrot import Parrot
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.errors import DataError, MissingInput
from burnish.feedback.live import Asked, Busy, Live
from burnish.feedback.records import Annotator
from burnish.feedback.store import Store
from burnish.types import Message


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def live(tmp_path: Path, parrot: Parrot) -> Iterator[Live]:
    with a_store(tmp_path / "s.db", items=2) as store, Live(store, parrot) as made:
        yield made


def over(live: Live, who: Annotator) -> Asked:
    for _ in range(1000):
        asked = live.asked(who)
        if asked is not None and asked.over:
            return asked
        time.sleep(0.01)
    raise AssertionError("nothing came")


def test_what_is_typed_is_answered_and_ranked_as_it_was_seen(live: Live):
    ann = someone(live.store)
    live.ask(ann, "hello", None, key())
    asked = over(live, ann)
    assert asked.assignment is not None
    assert asked.assignment.prompt == "hello"
    assert asked.assignment.answers == tuple(f"hello{number}" for number in asked.shown)
    live.store.submit(ann, asked.assignment.id, as_shown(), key())
    (ranking,) = live.store.rankings()
    assert (ranking.kind, ranking.shown_K) == ("live", tuple(asked.shown.index(k) for k in range(3)))
    assert ranking.place_K == ranking.shown_K
    stored = next(item for item in live.store.items() if item.group.id == ranking.item)
    assert stored.group.extra == {"seed": 7}
    assert [answer.source for answer in stored.group.answers] == ["parrot"] * 3


def test_what_one_types_is_given_to_nobody_else_even_when_it_is_left_or_skipped(live: Live):
    ann, bo = someone(live.store), someone(live.store, "bo")
    live.ask(ann, "mine", None, key())
    asked = over(live, ann)
    assert asked.assignment is not None
    live.store._clock.now += 3600  # type: ignore[attr-defined]  the lease has run out
    assert live.store.next_item(bo, draw=False) is None
    drawn = [live.store.next_item(bo, beside) for beside in ([], ["x"])]
    assert all(one is not None and one.prompt != "mine" for one in drawn)
    back = live.store.next_item(ann, draw=False)
    assert back is not None
    assert back.id == asked.assignment.id
    with pytest.raises(MissingInput):
        live.store.submit(bo, back.id, as_shown(), key())
    with pytest.raises(MissingInput):
        live.store.conversation(bo, back.id)
    with pytest.raises(MissingInput):
        live.asked(bo, asked.id)
    live.store.skip(ann, back.id, "other")
    assert live.store.counts() == {"items": 3, "fresh": 1, "waiting": 0, "taken": 2, "gold": 0}


def test_one_goes_on_with_the_answer_that_was_ranked_best(live: Live):
    ann = someone(live.store)
    live.ask(ann, "first", None, key())
    one = over(live, ann).assignment
    assert one is not None
    with pytest.raises(MissingInput, match="nothing of yours to go on from"):
        live.ask(ann, "then", one.id, key())
    live.store.submit(ann, one.id, as_shown(), key())
    live.ask(ann, "then", one.id, key())
    two = over(live, ann).assignment
    assert two is not None
    assert two.prompt == (Message("user", "first"), Message("assistant", one.answers[0]), Message("user", "then"))


def test_an_annotator_asks_one_thing_at_a_time_and_a_prompt_that_is_sent_twice_is_asked_once(
    live: Live, parrot: Parrot
):
    ann, bo = someone(live.store), someone(live.store, "bo")
    parrot.goes.clear()
    same = key()
    first = live.ask(ann, "hello", None, same)
    assert live.ask(ann, "hello", None, same).id == first.id
    with pytest.raises(Busy, match="still being written"):
        live.ask(ann, "other", None, key())
    live.ask(bo, "hello", None, key())
    while not any((live.asked(ann) or first).texts):
        time.sleep(0.01)
    told = live.asked(bo)
    assert told is not None
    assert (told.before, told.texts) == (0, ("",) * 3)
    parrot.goes.set()
    assert over(live, ann).assignment is not None
    assert over(live, bo).assignment is not None
    for text in ("two", "three"):
        live.ask(ann, text, None, key())
        over(live, ann)
    with pytest.raises(Busy, match="3 prompts of yours wait to be ranked"):
        live.ask(ann, "four", None, key())


@pytest.mark.parametrize(("text", "trouble"), [("too much", "too long"), ("a fault", "failed"), ("alike", "all alike")])
def test_what_cannot_be_answered_is_told_without_its_reasons_and_the_next_is_answered(
    live: Live, text: str, trouble: str
):
    ann = someone(live.store)
    live.ask(ann, text, None, key())
    asked = over(live, ann)
    assert (asked.trouble, asked.assignment) == (trouble, None)
    live.ask(ann, "hello", None, key())
    assert over(live, ann).assignment is not None
    assert live.store.counts()["items"] == 3


@pytest.mark.parametrize("text", ["", " \n", "a\0b"])
def test_what_is_no_prompt_is_refused(live: Live, text: str):
    with pytest.raises(DataError, match="text: "):
        live.ask(someone(live.store), text, None, key())


def test_a_server_that_is_stopped_does_not_wait_for_an_answer_without_end(tmp_path: Path, parrot: Parrot):
    parrot.goes.clear()
    with a_store(tmp_path / "s.db") as store:
        ann = someone(store)
        with Live(store, parrot) as live:
            live.ask(ann, "hello", None, key())
        assert live.asked(ann).trouble == "failed"  # type: ignore[union-attr]
        assert store.counts()["items"] == 0


def test_an_id_that_is_there_is_not_taken_twice(store: Store):
    ann = someone(store)
    group = an_item(str(uuid.uuid4())).group
    store.add_live(ann, group, (0, 1, 2))
    with pytest.raises(MissingInput, match="is there already"):
        store.add_live(ann, group, (0, 1, 2))
