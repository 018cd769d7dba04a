"""What a live page's routes give, and to whom."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feedback.parrot import Parrot
from feedback.served import Served, Visitor, ranked, token_of
from feedback.stores import a_store, key

from burnish.cli.main import main
from burnish.feedback.live import LONGEST_PROMPT, Live
from burnish.feedback.page.serving import Links, bound, serve


@pytest.fixture
def visitors(tmp_path: Path) -> Iterator[dict[str, Visitor]]:
    """ann and bo, signed in to a live server on a store in which two other items wait."""
    there, over, links = threading.Event(), threading.Event(), {}

    def told(given: Links) -> None:
        links.update(given.links)
        there.set()

    with bound("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    with a_store(tmp_path / "s.db", items=2) as store, Live(store, Parrot()) as live:
        server = threading.Thread(
            target=serve,
            args=(store, ["ann", "bo"]),
            kwargs={"port": port, "live": live, "told": told, "until": over.is_set},
        )
        server.start()
        assert there.wait(30)
        made = {}
        for name, link in links.items():
            visitor = made[name] = Visitor(port)
            _, body, headers = visitor.post("/api/session", {"token": token_of(link)})
            visitor.cookie, visitor.csrf = headers["set-cookie"].split(";")[0], body["csrf"]
        yield made
        over.set()
        server.join()


def asked(visitor: Visitor, text: str = "hello", **more: Any) -> tuple[int, Any]:
    status, body, _ = visitor.post("/api/ask", {"text": text, "after": None, "key": key(), **more})
    return status, body


def written(visitor: Visitor, id: str) -> dict[str, Any]:  # noqa: A002
    """What is told once it is over."""
    while True:
        status, body, _ = visitor.post("/api/written", {"asked": id})
        assert status == 200, body
        if body["item"] or body["trouble"]:
            return dict(body)
        time.sleep(0.1)


def test_a_prompt_is_answered_ranked_and_gone_on_with(visitors: dict[str, Visitor]):
    ann = visitors["ann"]
    assert ann.next() is None, "what else waits in the store is not given out here"
    assert ann.get("/api/me")[1]["live"] == {"answers": 3, "turns": True, "longest": LONGEST_PROMPT, "asked": None}
    status, told = asked(ann)
    assert (status, told.keys()) == (200, {"asked"})
    whole = written(ann, told["asked"])
    assert sorted(whole["answers"]) == ["h", "h", "h"]
    item = whole["item"]
    assert ann.next() == item, "a page that is loaded again shows the same"
    assert ann.post("/api/submit", ranked(item, key()))[0] == 200
    after = written(ann, asked(ann, "and then", after=item["id"])[1]["asked"])
    assert [turn["text"] for turn in after["item"]["prompt"]] == ["hello", item["answers"][0], "and then"]
    assert "parrot" not in "".join(ann.seen)
    assert "seed" not in "".join(ann.seen)


def test_what_another_typed_is_as_unknown_as_what_nobody_typed(visitors: dict[str, Visitor]):
    ann, bo = visitors["ann"], visitors["bo"]
    id_ = asked(ann)[1]["asked"]
    item = written(ann, id_)["item"]
    for one in (id_, "nobody's"):
        status, body, _ = bo.post("/api/written", {"asked": one})
        assert (status, body["error"]) == (404, "assignment")
    assert bo.post("/api/submit", ranked(item, key()))[0] == 404
    ann.post("/api/submit", ranked(item, key()))
    assert asked(bo, "and", after=item["id"])[0] == 404
    assert bo.next() is None


def test_what_the_guard_refuses_is_refused_here_too(visitors: dict[str, Visitor]):
    ann = visitors["ann"]
    body = {"text": "hello", "after": None, "key": key()}
    for path in ("/api/ask", "/api/written"):
        assert ann.post(path, body, {"Cookie": None})[0] == 401
        assert ann.post(path, body, {"X-CSRF-Token": None})[0] == 403
        assert ann.post(path, body, {"Origin": "http://elsewhere.example"})[0] == 403
    assert asked(ann, "x" * (LONGEST_PROMPT + 1))[0] == 422
    assert asked(ann, " ")[0] == 422
    assert asked(ann, extra=1)[0] == 422
    status, told = asked(ann, "x" * LONGEST_PROMPT)
    assert status == 200
    assert written(ann, told["asked"])["item"]["prompt"] == [{"role": None, "text": "x" * LONGEST_PROMPT}]
    trouble = written(ann, asked(ann, "too much")[1]["asked"])
    assert (trouble["trouble"], trouble["item"]) == ("too long", None)
    assert "/secret" not in "".join(ann.seen)


def test_without_live_nobody_answers(served: Served):
    visitor = served.visitor("ann")
    assert visitor.get("/api/me")[1]["live"] is None
    assert asked(visitor)[0] == 404


def test_a_model_that_is_not_there_makes_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    store = tmp_path / "s.db"
    assert main(["rank", "serve", "--store", str(store), "--live", str(tmp_path / "none"), "--no-open"]) == 66
    assert "no such model directory" in capsys.readouterr().err
    assert not store.exists()
