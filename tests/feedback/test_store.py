"""The store: what is given out, what comes back, who may see it, and that nothing is lost or doubled."""

import json
import sqlite3
import stat
import threading

import psutil
import pytest
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.errors import ConfigError, DataError, MissingInput, NotOurs
from burnish.feedback.database.contents import unpacked
from burnish.feedback.database.schema import VERSION
from burnish.feedback.records import LETTERS, Submission
from burnish.feedback.store import Store


def order_by_text(assignment, ranked):
    """The texts that an order of letters names."""
    texts = dict(zip(LETTERS, assignment.answers, strict=False))
    return [[texts[letter] for letter in tied] for tied in ranked]


# ---- items


def test_items_come_back_as_they_went_in(store):
    items = list(store.items())
    assert [item.group.id for item in items] == [f"item-{index}" for index in range(30)]
    assert items[3].group.answers == an_item("item-3").group.answers
    assert items[3].group.prompt == "prompt of item-3"


def test_the_same_item_is_taken_in_once(store):
    assert store.add_items([an_item("item-3"), an_item("new")]) == {"added": 1, "known": 1}
    assert store.counts()["items"] == 31


def test_other_content_under_a_known_id_is_refused_and_nothing_is_added(store):
    with pytest.raises(DataError, match="id item-3 has another prompt, other answers or other sources"):
        store.add_items([an_item("new"), an_item("item-3", answers=4)])
    assert store.counts()["items"] == 30
    with pytest.raises(DataError, match="id new has another prompt"):
        store.add_items([an_item("new"), an_item("new", answers=4)])


@pytest.mark.parametrize(("answers", "task"), [(1, "rank"), (10, "rank"), (17, "pick"), (3, "pair")])
def test_a_number_of_answers_that_cannot_be_shown_is_refused(store, answers, task):
    with pytest.raises(DataError, match=f"{answers} answers; to {task} there must be 2"):
        store.add_items([an_item("new", answers=answers, task=task)])


# ---- blind


def test_an_annotator_sees_texts_and_nothing_of_where_they_come_from(store):
    assignment = store.next_item(someone(store))
    said = repr(assignment)
    assert "model-" not in said
    assert "item-" not in repr((assignment.id, assignment.task, assignment.lease_end))
    assert sorted(assignment.answers) == sorted(
        f"{assignment.prompt.removeprefix('prompt of ')}: answer {i}" for i in range(3)
    )


def test_each_annotator_has_an_order_of_their_own_and_keeps_it(tmp_path):
    with a_store(tmp_path / "s.db", items=1, answers=9) as store:
        store.set_policy(type(store.policy())(overlap=1.0, annotators=8, gold=0, repeats=0))
        people = [someone(store, f"p{index}") for index in range(8)]
        seen = [store.next_item(who).answers for who in people]
        assert len(set(seen)) == 8  # 9! orders: two alike would be a fault
        assert [store.next_item(who).answers for who in people] == seen


def test_letters_are_kept_as_the_items_own_order(store):
    ann = someone(store)
    assignment = store.next_item(ann)
    store.submit(ann, assignment.id, Submission(order=(("B",), ("A", "C")), acceptable=1), key())
    (ranking,) = store.rankings()
    (item,) = [item for item in store.items() if item.group.id == ranking.item]
    best = [answer.text for answer, place in zip(item.group.answers, ranking.place_K, strict=True) if place == 0]
    assert [best] == order_by_text(assignment, [["B"]])
    assert sorted(ranking.place_K) == [0, 1, 1]
    assert [item.group.answers[ranking.shown_K.index(place)].text for place in range(3)] == list(assignment.answers)


def test_a_ranking_tells_all_that_statistics_need(store, clock):
    ann = someone(store)
    assignment = store.next_item(ann)
    asked = ((("A", "B", ">"), ("C", "A", "=")), ((0, 1, ">"), (2, 0, "=")))
    given = Submission(
        order=(("A", "C"), ("B",)),
        acceptable=2,
        confidence=3,
        flags={"B": ("broken", "unsafe")},
        seconds=12.5,
        mode="insertion",
        comparisons=asked[0],
        client_ms=7,
    )
    clock.now += 60
    store.submit(ann, assignment.id, given, key())
    (ranking,) = store.rankings(layers=["people"])
    shown = [ranking.shown_K.index(place) for place in range(3)]
    assert (ranking.annotator, ranking.saved, ranking.layer) == (ann.alias, clock.now, "people")
    assert (ranking.acceptable, ranking.confidence, ranking.seconds, ranking.mode) == (2, 3, 12.5, "insertion")
    assert ranking.comparisons == tuple((shown[one], shown[other], verdict) for one, other, verdict in asked[1])
    assert ranking.flag_K[shown[1]] == ("unsafe", "broken")
    assert ranking.source_K == ("model-0", "model-1", "model-2")
    assert ranking.length_K == tuple(len(f"{ranking.item}: answer {index}") for index in range(3))
    assert list(store.rankings(layers=["judge"])) == []


# ---- saved once


def test_sent_twice_a_ranking_is_saved_once(store, clock):
    ann, one = someone(store), key()
    assignment = store.next_item(ann)
    saved = store.submit(ann, assignment.id, as_shown(), one)
    clock.now += 5
    assert store.submit(ann, assignment.id, as_shown(), one) == saved
    assert len(list(store.rankings())) == 1
    with pytest.raises(DataError, match="is submitted already; undo that first"):
        store.submit(ann, assignment.id, as_shown(), key())


def test_anothers_key_is_no_way_to_their_ranking(store):
    ann, bob, one = someone(store), someone(store, "bob"), key()
    store.submit(ann, store.next_item(ann).id, as_shown(), one)
    with pytest.raises(DataError, match="belongs to another ranking"):
        store.submit(bob, store.next_item(bob).id, as_shown(), one)
    with pytest.raises(MissingInput):
        store.submit(bob, store.next_item(ann).id, as_shown(), one)


def test_one_key_for_two_items_is_refused_and_not_told_as_saved(store):
    ann, one = someone(store), key()
    first = store.next_item(ann)
    store.submit(ann, first.id, as_shown(), one)
    second = store.next_item(ann)
    with pytest.raises(DataError, match="belongs to another ranking"):
        store.submit(ann, second.id, as_shown(), one)
    store.submit(ann, second.id, as_shown(), key())
    assert len(list(store.rankings())) == 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"order": (("A",), ("B",))}, "answer 2 is not ranked"),
        ({"order": (("A",), ("B",), ("C",), ("A",))}, "answer 0 stands 2 times"),
        ({"order": (("A",), ("B",), ("D",))}, 'no answer text "D"; there are A, B, C'),
        ({"acceptable": 4}, "acceptable: number 4: must be a whole number from 0 to 3"),
        ({"confidence": 0}, "confidence: number 0"),
        ({"confidence": True}, "confidence: true"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": -1.0}, "seconds: number -1.0: must be from 0"),
        ({"flags": {"A": ("ugly",)}}, 'flags: text "ugly": choose of unsafe'),
        ({"mode": "guess"}, 'mode: text "guess"'),
        ({"comparisons": (("A", "A", ">"),)}, "two different letters"),
    ],
)
def test_a_submission_that_is_no_ranking_is_refused_by_field(store, wrong, told):
    ann = someone(store)
    given = {"order": (("A",), ("B",), ("C",)), **wrong}
    assignment = store.next_item(ann)
    with pytest.raises(DataError, match=told):
        store.submit(ann, assignment.id, Submission(**given), key())
    with pytest.raises(DataError, match="must be a UUID"):
        store.submit(ann, assignment.id, as_shown(), "1")
    assert list(store.rankings()) == []
    store.submit(ann, assignment.id, as_shown(), key())  # nothing was spoilt


def test_one_answer_is_picked_or_none(tmp_path):
    with a_store(tmp_path / "s.db", items=2, answers=16, task="pick") as store:
        ann = someone(store)
        assignment = store.next_item(ann)
        rest = tuple(letter for letter in LETTERS if letter != "P")
        with pytest.raises(DataError, match="one answer is picked, or none"):
            store.submit(ann, assignment.id, as_shown(16), key())
        store.submit(ann, assignment.id, Submission(order=(("P",), rest), mode="pick"), key())
        none = Submission(order=(tuple(LETTERS),), acceptable=0, mode="pick")
        store.submit(ann, store.next_item(ann).id, none, key())
        picked, refused = store.rankings()
        assert picked.place_K.count(0) == 1
        assert picked.shown_K[picked.place_K.index(0)] == 15
        assert (set(refused.place_K), refused.acceptable) == ({0}, 0)


def test_a_verdict_on_two_answers_may_be_a_tie(tmp_path):
    with a_store(tmp_path / "s.db", items=2, answers=2, task="pair") as store:
        ann = someone(store)
        store.submit(ann, store.next_item(ann).id, Submission(order=(("B",), ("A",)), mode="pair"), key())
        store.submit(ann, store.next_item(ann).id, Submission(order=(("A", "B"),), mode="pair"), key())
        first, tie = store.rankings()
        assert [first.shown_K[place] for place in map(first.place_K.index, (0, 1))] == [1, 0]
        assert (tie.place_K, tie.task, tie.mode) == ((0, 0), "pair", "pair")


# ---- others' objects


def test_anothers_assignment_is_as_unknown_as_none(store):
    ann, bob = someone(store), someone(store, "bob")
    assignment = store.next_item(ann)
    for reach in (
        lambda: store.submit(bob, assignment.id, as_shown(), key()),
        lambda: store.save_draft(bob, assignment.id, {}),
        lambda: store.heartbeat(bob, assignment.id),
        lambda: store.skip(bob, assignment.id, "other"),
    ):
        with pytest.raises(MissingInput, match="no such assignment of yours"):
            reach()
    assert store.undo(bob) is None
    assert store.progress(ann).open == 1


# ---- skip, undo, drafts


def test_undo_takes_back_the_last_ranking_and_shows_what_was_sent(store, clock):
    ann = someone(store)
    first = store.next_item(ann)
    store.submit(ann, first.id, as_shown(), key())
    second = store.next_item(ann)
    clock.now += 1
    store.submit(ann, second.id, Submission(order=(("C",), ("A", "B"))), key())
    again = store.undo(ann)
    assert again.id == second.id
    assert again.submission["order"] == [["C"], ["A", "B"]]
    assert store.next_item(ann).id == second.id  # a reload shows it again
    assert [ranking.saved for ranking in store.rankings()] == [clock.now - 1]
    store.submit(ann, second.id, as_shown(), key())
    assert len(list(store.rankings())) == 2
    told = [(entry["what"], entry["old"]) for entry in store.audit() if entry["what"].startswith("undo")]
    assert len(told) == 1
    assert sorted(answer for tied in json.loads(told[0][1]) for answer in tied) == [0, 1, 2]


def test_ten_steps_can_be_undone_and_no_more(store, clock):
    ann = someone(store)
    for _ in range(12):
        clock.now += 1
        store.submit(ann, store.next_item(ann).id, as_shown(), key())
    undone = [store.undo(ann) for _ in range(11)]
    assert [one is not None for one in undone] == [True] * 10 + [False]
    assert len({one.id for one in undone[:10]}) == 10
    assert len(list(store.rankings())) == 2


def test_a_skipped_item_comes_back_only_by_undo(store, clock):
    ann = someone(store)
    first = store.next_item(ann)
    store.skip(ann, first.id, "unclear")
    with pytest.raises(DataError, match="reason"):
        store.skip(ann, store.next_item(ann).id, "boring")
    assert store.next_item(ann).prompt != first.prompt
    clock.now += 1
    assert store.undo(ann).prompt == first.prompt
    store.skip(ann, first.id, "unclear")
    prompts = set()
    while (assignment := store.next_item(ann)) is not None:
        prompts.add(assignment.prompt)
        store.submit(ann, assignment.id, as_shown(), key())
    assert first.prompt not in prompts
    assert len(prompts) == 29
    assert store.next_item(someone(store, "bob")).prompt is not None  # others still get it


def test_a_draft_is_there_again_after_the_store_was_closed(tmp_path, clock):
    with a_store(tmp_path / "s.db", items=3, clock=clock) as store:
        ann = someone(store)
        assignment = store.next_item(ann)
        store.save_draft(ann, assignment.id, {"places": {"A": 1}})
    with Store.open(tmp_path / "s.db", clock=clock) as store:
        again = store.next_item(ann)
        assert (again.id, again.draft) == (assignment.id, {"places": {"A": 1}})
        store.submit(ann, again.id, as_shown(), key())
        assert store.undo(ann).draft is None


# ---- files


def test_only_its_owner_reads_the_store(tmp_path):
    with a_store(tmp_path / "s.db", items=1):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert set(modes) == {"s.db", "s.db-wal", "s.db-shm"}
    assert set(modes.values()) == {0o600}


def test_threads_that_come_and_go_leave_no_file_open(store):
    """As a server's do: each of fifty looks at the store and ends."""
    store.counts()
    before = psutil.Process().num_fds()
    for _ in range(50):
        thread = threading.Thread(target=store.counts)
        thread.start()
        thread.join()
    assert psutil.Process().num_fds() == before


def test_what_is_no_store_of_this_version_is_refused_by_name(tmp_path):
    with pytest.raises(MissingInput, match="no such store; make one: burnish rank import"):
        Store.open(tmp_path / "none.db")
    text = tmp_path / "text.db"
    text.write_text("no database, but long enough to be looked at " * 20, encoding="utf-8")
    with pytest.raises(NotOurs, match="no database"):
        Store.open(text)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE theirs (a)")
    raw.close()
    with pytest.raises(NotOurs, match="a database, but no store of rankings"):
        Store.open(other)
    a_store(tmp_path / "s.db", items=1).close()
    with pytest.raises(NotOurs, match="is there already"):
        Store.create(tmp_path / "s.db")
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute(f"PRAGMA user_version = {VERSION + 1}")
    raw.close()
    with pytest.raises(DataError, match=f"a store of version {VERSION + 1}, made by a later burnish"):
        Store.open(tmp_path / "s.db")


def test_an_empty_file_left_by_a_process_that_died_becomes_the_store(tmp_path):
    (tmp_path / "s.db").touch()
    with Store.at(tmp_path / "s.db") as store:
        assert store.add_items([an_item("one")]) == {"added": 1, "known": 0}


def test_an_sqlite_that_is_too_old_is_told(tmp_path, monkeypatch):
    a_store(tmp_path / "s.db").close()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(ConfigError, match=r"a store needs 3\.35 or later"):
        Store.open(tmp_path / "s.db")


def test_content_is_kept_whole(store):
    with sqlite3.connect(store.path) as raw:
        (body,) = raw.execute("SELECT body FROM content WHERE item = 1").fetchone()
    raw.close()
    assert unpacked(body, "item-0").answers == an_item("item-0").group.answers
