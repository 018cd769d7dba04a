"""What a lead reaches, and nobody else: the statistics, and what annotators dispute."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from feedback.served import Served, Visitor, ranked
from feedback.stores import a_store, an_item, key, someone

from burnish.cli.main import main
from burnish.errors import MissingInput
from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.statistics import curve_of, statistics
from burnish.feedback.database.assignment import Policy
from burnish.feedback.page.reckoning import ModelFiles, reckon
from burnish.feedback.records import Item, Submission
from burnish.feedback.scores import scores_of
from burnish.feedback.store import Store

ITEMS = 3
EVERYBODY_ALL = Policy(overlap=1.0, gold=0.0, repeats=0.0, active=0.0)
POSTS: dict[str, dict[str, Any]] = {
    "next": {},
    "undo": {},
    "heartbeat": {"assignment": "x"},
    "draft": {"assignment": "x", "draft": {}},
    "submit": {"assignment": "x", "order": [["A"], ["B"], ["C"]]},
    "skip": {"assignment": "x", "reason": "other"},
}
"""Every address of a lead that changes something, with a body that would do."""


def by_text(item: dict[str, Any], better: str) -> dict[str, Any]:
    """The request that ranks answers by their number, from the first or from the last."""
    letters = sorted(zip(item["answers"], "ABC", strict=True), reverse=better == "last")
    return ranked(item, key(), order=[[letter] for _, letter in letters])


@pytest.fixture(scope="module")
def disputed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on three items; of two of them ann and bo say the contrary, and of the third the same."""
    path = tmp_path_factory.mktemp("disputed") / "rankings.db"
    with Store.create(path) as store:
        store.set_policy(EVERYBODY_ALL)
        store.add_items([an_item(f"item-{index}") for index in range(ITEMS)])
    served = Served(path, "ann", "bo", options=("--lead", "lea", "--lead", "leo"))
    for name in ("ann", "bo"):
        visitor = served.visitor(name)
        for _ in range(ITEMS):
            item = visitor.next()
            agreed = item["answers"][0].startswith("item-2:")
            visitor.post("/api/submit", by_text(item, "first" if agreed or name == "ann" else "last"))
    yield served
    served.stop()


@pytest.fixture(scope="module")
def ann(disputed: Served) -> Visitor:
    with Store.open(disputed.store) as store:
        disputed.links["ann"] = f"#t={store.invite('ann')}"
    return disputed.visitor("ann")


@pytest.fixture(scope="module")
def lea(disputed: Served) -> Visitor:
    return disputed.visitor("lea")


# ---- by role


@pytest.mark.parametrize("name", POSTS)
def test_no_address_of_a_lead_answers_an_annotator(disputed: Served, ann: Visitor, name: str):
    body = POSTS[name] | ({"key": key()} if name == "submit" else {})
    status, said, _ = ann.post(f"/api/lead/{name}", body)
    assert (status, said["error"]) == (403, "role")
    assert Visitor(disputed.port or 0).post(f"/api/lead/{name}", body)[0] == 401


def test_the_statistics_are_for_the_lead_alone(disputed: Served, ann: Visitor):
    assert ann.get("/api/lead/statistics")[0] == 403
    assert Visitor(disputed.port or 0).get("/api/lead/statistics")[0] == 401


def test_every_address_of_a_lead_is_tried(disputed: Served):
    from burnish.feedback.page.server import Page

    with Store.open(disputed.store) as store:
        paths = {route.path for route in Page(store).routes() if route.path.startswith("/api/lead/")}
    assert paths == {"/api/lead/statistics", *(f"/api/lead/{name}" for name in POSTS)}


def test_an_annotators_item_is_unknown_at_the_leads_desk_and_the_other_way_round(disputed: Served, lea: Visitor):
    dispute = lea.post("/api/lead/next")[1]["item"]
    assert lea.post("/api/submit", ranked(dispute, key()))[0] == 404
    with Store.open(disputed.store) as store:
        store.add_items([an_item("fresh")])
    own = lea.next()
    assert lea.post("/api/lead/submit", ranked(own, key()))[0] == 404
    assert lea.post("/api/skip", {"assignment": own["id"], "reason": "other"})[0] == 200


def test_a_lead_whose_link_was_revoked_leads_no_more(disputed: Served):
    visitor = disputed.visitor("leo")
    assert visitor.get("/api/me")[1]["lead"] is True
    with Store.open(disputed.store) as store:
        store.revoke("leo")
        assert visitor.get("/api/lead/statistics")[0] == 401
        disputed.links["leo"] = f"#t={store.invite('leo')}"
        again = disputed.visitor("leo")
        assert again.get("/api/me")[1]["lead"] is False
        assert again.get("/api/lead/statistics")[0] == 403
        with pytest.raises(MissingInput, match="'leo' is no lead of this store; make them one"):
            store.adjudicator(store.session(again.cookie.split("=")[1]))


def test_rank_invite_makes_a_lead(disputed: Served, capsys: pytest.CaptureFixture[str]):
    assert main(["rank", "invite", "lou", "--lead", "--store", str(disputed.store), "--json"]) == 0
    disputed.links["lou"] = f"#t={json.loads(capsys.readouterr().out)['token']}"
    assert disputed.visitor("lou").get("/api/me")[1]["lead"] is True
    with Store.open(disputed.store) as store:
        assert [entry["what"] for entry in store.audit()][-2:] == ["invite lead", "redeem"]


# ---- statistics


def test_the_statistics_are_those_of_rank_stats(disputed: Served, lea: Visitor):
    status, told, _ = lea.get("/api/lead/statistics")
    assert status == 200
    with Store.open(disputed.store) as store:
        found = statistics(store.rankings(), Bootstrap())
        names = {one.annotator.alias: one.annotator.name for one in store.progress_all()}
    assert told["statistics"]["alpha"]["value"] == found.alpha.value
    assert told["statistics"]["ceiling"] == {
        name: getattr(found.ceiling, name) for name in ("value", "low", "high", "clusters")
    }
    assert told["statistics"]["line"] == found.line()
    assert set(told["statistics"]["annotators"]) == set(found.annotators) <= set(told["names"])
    assert told["names"].items() <= names.items()  # whoever was invited since is in the next
    assert {one["name"]: one["rankings"] for one in told["progress"]}["ann"] == ITEMS


def test_how_somebody_practised_is_told_before_anything_is_ranked(tmp_path: Path):
    """The last answer is known to be worse than the others, so two pairs are decided; all level, none is right."""
    with a_store(tmp_path / "s.db", items=2) as store:
        store.add_items([an_item(f"gold-{index}", gold=((0, 1), (2,))) for index in range(2)])
        ann = someone(store)
        given = store.next_item(ann)
        assert given is not None
        store.submit(ann, given.id, Submission(order=(("A", "B", "C"),)), key())
    told = reckon(tmp_path / "s.db")
    assert told["statistics"] is None
    assert told["calibration"] == {ann.alias: {"items": 1, "right": 0, "pairs": 2}}


def test_a_reward_model_stands_beside_people_as_in_rank_stats(tmp_path: Path):
    """It likes what they like. Of items that nobody ranked twice its scores say nothing yet, and the page says so."""
    scored, curve = tmp_path / "scored.jsonl", tmp_path / "curve.jsonl"
    sizes = [(100, 0.58), (200, 0.62), (400, 0.65)]
    rows = [{"rankings": n, "accuracy": a, "low": a - 0.04, "high": a + 0.04} for n, a in sizes]
    curve.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with a_store(tmp_path / "s.db") as store:
        store.set_policy(EVERYBODY_ALL)
        plain = [  # of no system: nothing is fitted to these, which would take seconds
            replace(one.group, answers=tuple(replace(answer, source=None) for answer in one.group.answers))
            for one in (an_item(f"item-{index}") for index in range(ITEMS))
        ]
        store.add_items([Item(group) for group in plain])
        store_items = [item.group for item in store.items()]
        rows = [
            {"prompt": g.prompt, "answers": [a.text for a in g.answers], "scores": [3, 2, 1], "model": "m", "seed": 0}
            for g in store_items
        ]
        scored.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        for name in ("ann", "bo"):
            who = someone(store, name)
            while (given := store.next_item(who)) is not None:
                order = tuple((letter,) for _, letter in sorted(zip(given.answers, "ABC", strict=True)))
                store.submit(who, given.id, Submission(order=order), key())
            told = reckon(store.path, ModelFiles(scored, curve))
            assert told["unscored"] is (name == "ann")
            assert (told["statistics"]["beside"] is None) is (name == "ann")
        given_scores = scores_of(store.items(), scored)[0]
        found = statistics(store.rankings(), Bootstrap(), scores=given_scores, curve=curve_of(curve, Bootstrap()))
    assert told["statistics"]["line"] == found.line()
    assert told["statistics"]["beside"]["model"]["value"] == 1
    assert told["statistics"]["curve"]["more"] == 200


def test_files_of_a_model_that_are_none_are_refused_before_anybody_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    a_store(tmp_path / "s.db", items=2).close()
    wrong = tmp_path / "scored.jsonl"
    wrong.write_text('{"prompt": "another", "answers": ["a", "b"], "scores": [1, 2]}\n', encoding="utf-8")
    command = ["rank", "serve", "--store", str(tmp_path / "s.db"), "--scores", str(wrong), "--no-open"]
    assert main([*command, "--lead", "lea"]) == 65
    assert "none of its 1 rows is an item of the store" in capsys.readouterr().err
    assert main(command) == 64
    assert "--scores and --curve are for a lead's statistics" in capsys.readouterr().err


# ---- what is disputed


def test_a_decision_is_a_layer_of_its_own_and_the_item_leaves_the_queue(disputed: Served, lea: Visitor):
    given = lea.post("/api/lead/next")[1]
    item, left = given["item"], given["progress"]["left"]
    assert left == 2
    assert {one["annotator"]: len(one["order"]) for one in item["opinions"]} == {"ann": 3, "bo": 3}
    first, second = (one["order"] for one in item["opinions"])
    assert first == second[::-1]
    texts = dict(zip("ABC", item["answers"], strict=True))
    ann = next(one["order"] for one in item["opinions"] if one["annotator"] == "ann")
    assert [texts[letter] for (letter,) in ann] == sorted(item["answers"])  # in the lead's own letters
    assert "model-" not in lea.seen[-1]  # as blind to what wrote an answer as annotators are
    assert lea.post("/api/lead/submit", by_text(item, "last"))[0] == 200
    after = lea.post("/api/lead/next")[1]
    assert after["item"]["id"] != item["id"]
    assert after["progress"] == {"rankings": 1, "skipped": 0, "left": 1}
    with Store.open(disputed.store) as store:
        kept = [one for one in store.rankings() if one.layer == "adjudicated"]
        others = [one for one in store.rankings(layers=["people"]) if one.item == kept[0].item]
        entry = list(store.audit())[-1]
    assert [(one.kind, one.place_K) for one in kept] == [("adjudication", (2, 1, 0))]
    assert len(others) == 2  # nothing that was said is gone
    assert (entry["what"], entry["item"]) == ("submit", kept[0].item)


def test_a_decision_can_be_taken_back_and_made_anew(disputed: Served, lea: Visitor):
    back = lea.post("/api/lead/undo")[1]
    assert back["item"]["submission"]["order"] is not None
    assert len(back["item"]["opinions"]) == 2
    assert back["progress"]["left"] == 2
    assert lea.post("/api/lead/submit", by_text(back["item"], "first"))[0] == 200
    with Store.open(disputed.store) as store:
        assert [one.place_K for one in store.rankings(layers=["adjudicated"])] == [(0, 1, 2)]


def test_two_leads_never_decide_one_item(disputed: Served, lea: Visitor):
    with Store.open(disputed.store) as store:
        disputed.links["lib"] = f"#t={store.invite('lib', lead=True)}"
    other = disputed.visitor("lib")
    mine = lea.post("/api/lead/next")[1]["item"]
    assert mine is not None
    assert other.post("/api/lead/next")[1]["item"] is None
    assert other.post("/api/lead/submit", ranked(mine, key()))[0] == 404
    assert lea.post("/api/lead/skip", {"assignment": mine["id"], "reason": "other"})[0] == 200
    theirs = other.post("/api/lead/next")[1]["item"]
    assert sorted(theirs["answers"]) == sorted(mine["answers"])
    assert lea.post("/api/lead/undo")[1]["item"]["id"] == mine["id"]
    assert other.post("/api/lead/submit", ranked(theirs, key()))[0] == 200
    status, said, _ = lea.post("/api/lead/submit", ranked(mine, key()))
    assert (status, said["error"]) == (409, "done")
    with Store.open(disputed.store) as store:
        assert len(list(store.rankings(layers=["adjudicated"]))) == 2


def test_an_export_writes_a_decision_in_the_place_of_what_it_decides(
    disputed: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    export = ["rank", "export", "--store", str(disputed.store), "--json", "--out", str(tmp_path / "out.jsonl")]
    assert main(export) == 0
    told = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(row["layer"] for row in rows) == ["adjudicated", "adjudicated", "people", "people"]
    assert sum(told["left_out"].values()) == 4
    assert main([*export, "--layer", "people"]) == 0
    assert main([*export, "--layer", "adjudicated"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["layer"] for row in rows] == ["adjudicated", "adjudicated"]
