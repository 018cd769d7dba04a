"""19 to 21 of the checklist of threats: secrets, the audit, other people's items."""

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from feedback.served import POSTS, Served, Visitor, ranked
from feedback.stores import an_item, key, someone

from burnish.feedback.database.assignment import COUNTED_EVERY, Policy
from burnish.feedback.store import Store

# ---- 19: secrets


def test_a_store_is_its_owners_alone(served: Served):
    assert {path.stat().st_mode & 0o777 for path in served.store.parent.iterdir()} == {0o600}


def test_two_stores_have_two_cookies(served: Served, ann: Visitor, tmp_path: Path):
    Store.create(tmp_path / "s.db").close()
    server = Served(tmp_path / "s.db", "ann")
    try:
        assert server.visitor("ann").cookie.split("=")[0] != ann.cookie.split("=")[0]
    finally:
        server.stop()


# ---- 20: the audit


def test_what_was_done_stands_in_the_audit(served: Served, bo: Visitor):
    item = bo.next()
    bo.post("/api/submit", ranked(item, key(), client_ms=1_700_000_000_123))
    bo.post("/api/undo")
    bo.post("/api/skip", {"assignment": item["id"], "reason": "unclear"})
    with Store.open(served.store) as store:
        last = list(store.audit())[-3:]
    assert [entry["what"] for entry in last] == ["submit", "undo submit", "skip"]
    assert last[0]["client_ms"] == 1_700_000_000_123
    assert last[0]["new"] is not None
    assert len({entry["annotator"] for entry in last}) == 1


# ---- 21: other people's items


@pytest.mark.parametrize("name", POSTS)
def test_anothers_item_is_as_unknown_as_one_that_never_was(served: Served, ann: Visitor, bo: Visitor, name: str):
    mine = ann.next()["id"]
    body = POSTS[name] | ({"key": key()} if name == "submit" else {})
    theirs = bo.post(f"/api/{name}", body | {"assignment": mine})
    never = bo.post(f"/api/{name}", body | {"assignment": "never-given"})
    assert theirs[:2] == never[:2]
    assert theirs[0] == 404
    assert ann.next()["id"] == mine
    assert ann.next()["draft"] is None


def test_no_request_may_name_an_annotator(ann: Visitor):
    item = ann.next()
    assert ann.post("/api/submit", ranked(item, key(), annotator="bo"))[0] == 422


def test_no_figure_of_a_whole_session_tells_gold_items_and_repeats_from_the_rest(tmp_path: Path):
    path = tmp_path / "s.db"
    with Store.create(path) as store:
        store.set_policy(Policy(gold=0.3, repeats=0.5, active=0.0))
        store.add_items([an_item(f"item-{index}") for index in range(40)])
        store.add_items([an_item(f"gold-{index}", gold=((0,), (1,), (2,))) for index in range(20)])
    server = Served(path, "ann")
    try:
        ann = server.visitor("ann")
        practice = [_practised(ann) for _ in range(5)]
        assert len(set(practice)) == 1, "nor does any figure of practice tell what comes after it"
        told, ids, forms = [], [], set()
        for turn in range(len(practice), 28):
            if turn % COUNTED_EVERY == 0:
                with Store.open(path) as store:
                    (before,) = store.progress_all()
            body = ann.post("/api/next")[1]
            told.append(body["progress"])
            ids.append(body["item"].pop("id"))
            forms.add((tuple(body), tuple(body["progress"]), tuple(body["item"]), body["item"]["draft"]))
            if turn % COUNTED_EVERY == 0:
                assert body["progress"]["left"] == before.left, "counted before the draw, whatever was drawn"
            assert list(ann.post("/api/submit", ranked(body["item"] | {"id": ids[-1]}, key()))[1]) == ["saved"]
        assert "model-" not in "".join(ann.seen), "nor does anything tell what wrote an answer"
    finally:
        server.stop()
    with closing(sqlite3.connect(path)) as connection:
        kinds = dict(connection.execute("SELECT id, kind FROM assignment").fetchall())
    assert {"uniform", "gold", "repeat"} <= {kinds[one] for one in ids}
    assert len(forms) == 1
    steps = {
        tuple(after[name] - before[name] for name in ("rankings", "skipped", "left"))
        for turn, (before, after) in enumerate(pairwise(told), len(practice) + 1)
        if turn % COUNTED_EVERY
    }
    assert steps == {(1, 0, -1)}


def test_sources_are_told_with_the_receipt_where_they_are_to_be_revealed_and_not_before(tmp_path: Path):
    path = tmp_path / "s.db"
    with Store.create(path) as store:
        store.set_policy(Policy(gold=0.5, repeats=0.5, active=0.0))
        store.add_items([an_item(f"item-{index}") for index in range(12)])
        store.add_items([an_item(f"gold-{index}", gold=((0,), (1,), (2,))) for index in range(4)])
        begun = store.next_item(someone(store))
    assert begun is not None
    server = Served(path, "ann", options=("--reveal",))
    try:
        ann = server.visitor("ann")
        for turn in range(14):
            item = ann.next()
            assert "model-" not in ann.seen[-1]
            receipt = ann.post("/api/submit", ranked(item, key()))[1]
            told = None if item["id"] == begun.id else [f"model-{text[-1]}" for text in item["answers"]]
            assert receipt.get("sources") == told
            assert ("feedback" in receipt) == (item["practice"] is not None) == (turn < 2)
            assert ann.post("/api/undo")[1]["item"] is None
        assert ann.next() is None
    finally:
        server.stop()
    with Store.open(path) as store:
        assert {one.kind for one in store.rankings()} == {"calibration", "uniform"}, (
            "nothing checks who is told so much"
        )


def _practised(visitor: Visitor) -> tuple[object, ...]:
    """The form of all that is told of a practice item, and the figures that must stand still meanwhile."""
    body = visitor.post("/api/next")[1]
    assert body["item"]["practice"]["of"] == 5
    receipt = visitor.post("/api/submit", ranked(body["item"], key()))[1]
    progress = tuple(body["progress"].items())
    return tuple(body["item"]), progress, tuple(receipt), tuple(receipt["feedback"]), receipt["feedback"]["of"]
