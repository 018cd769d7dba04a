"""The checklist of shared threats from item 14 on, against a real server process; 13 is in test_serving, 19 to 21 in
test_secrecy."""

import re
import socket
import sqlite3
import threading
from importlib import resources
from pathlib import Path

import pytest
from feedback.served import POSTS, Served, Visitor, ranked, token_of
from feedback.stores import key

from burnish.feedback.store import Store

EVIL = "http://evil.example"


# ---- 14: who comes in


def test_a_link_works_once_and_its_session_goes_on(served: Served):
    visitor = served.visitor("cy")
    again = Visitor(visitor.port)
    status, body, headers = again.post("/api/session", {"token": token_of(served.links["cy"])})
    assert (status, body["error"], "set-cookie" in headers) == (403, "token", False)
    assert visitor.get("/api/me")[0] == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Served):
    with Store.open(served.store) as store:
        token = store.invite("eve")
    visitor = Visitor(served.port or 0)
    _, _, headers = visitor.post("/api/session", {"token": token})
    flags = {part.strip().lower() for part in headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    with Store.open(served.store) as store:
        token = store.invite("eve")
    proxied = {"Origin": f"https://127.0.0.1:{served.port}"}
    _, _, headers = visitor.post("/api/session", {"token": token}, proxied)
    assert "secure" in headers["set-cookie"].lower()


def test_tokens_and_cookies_stand_nowhere_on_disk(served: Served, ann: Visitor):
    kept = b"".join(path.read_bytes() for path in served.store.parent.iterdir())
    assert b"item-0" in kept  # what is looked through is the store
    assert token_of(served.links["ann"]).encode() not in kept
    assert ann.cookie.split("=")[1].encode() not in kept


def test_a_revoked_annotator_is_out_at_once(served: Served):
    visitor = served.visitor("di")
    assert visitor.get("/api/me")[0] == 200
    with Store.open(served.store) as store:
        store.revoke("di")
    assert visitor.get("/api/me")[0] == 401
    assert visitor.post("/api/next")[0] == 401


@pytest.mark.parametrize("path", ["/api/me", "/api/guidelines"])
def test_nothing_is_told_without_a_session(served: Served, path: str):
    assert Visitor(served.port or 0).get(path)[0] == 401


@pytest.mark.parametrize("name", ["next", "undo", "formatted", *POSTS])
def test_nothing_is_done_without_a_session(served: Served, name: str):
    assert Visitor(served.port or 0).post(f"/api/{name}")[0] == 401


# ---- 15: which page sent it


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8765", ""])
def test_another_host_name_gets_nothing(ann: Visitor, host: str):
    status, body, _ = ann.get("/api/me", {"Host": host})
    assert status == 400
    assert "csrf" not in str(body)


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:1", "[::1]:8765"])
def test_a_forwarded_port_is_served(ann: Visitor, host: str):
    forwarded = {"Host": host, "Origin": f"http://{host}"}
    assert ann.post("/api/next", None, forwarded)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": None},
        {"X-CSRF-Token": None},
        {"X-CSRF-Token": "0" * 64},
    ],
    ids=str,
)
def test_a_request_from_elsewhere_changes_nothing(ann: Visitor, headers: dict[str, str | None]):
    assert ann.post("/api/next", None, headers)[0] == 403


def test_a_csrf_token_is_of_its_session_alone(ann: Visitor, bo: Visitor):
    assert ann.post("/api/next", None, {"X-CSRF-Token": bo.csrf})[0] == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_only_json_is_taken(ann: Visitor, kind: str | None):
    assert ann.post("/api/next", None, {"Content-Type": kind})[0] == 415


@pytest.mark.parametrize("body", [b"{", b"[NaN]", b'{"a": 1, "a": 2}', b"\xff", b"[" * 1000 + b"]" * 1000])
def test_what_is_no_strict_json_is_refused(ann: Visitor, body: bytes):
    assert ann.ask("POST", "/api/skip", body)[0] == 400


# ---- 16: what a browser is told


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/", {}, 200), ("/main.js", {}, 200), ("/page.css", {}, 200), ("/api/me", {}, 200), ("/nowhere", {}, 404),
     ("/api/me", {"Host": "evil.example"}, 400)],
)  # fmt: skip
def test_every_response_carries_the_policy(ann: Visitor, path: str, headers: dict[str, str | None], status: int):
    found, _, told = ann.get(path, headers)
    assert found == status
    policy = {part.split()[0]: part.split()[1:] for part in told["content-security-policy"].split(";")}
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == ["'self'"]
    assert policy["img-src"] == ["'self'", "data:"]
    assert told["x-content-type-options"] == "nosniff"
    assert told["referrer-policy"] == "no-referrer"
    assert told["cross-origin-opener-policy"] == "same-origin"
    assert told["cache-control"] == "no-store"
    assert "server" not in told


def test_the_page_has_nothing_inline(ann: Visitor):
    page = ann.get("/")[1]
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", page) == []


# ---- 18: how much


def test_a_large_body_is_cut_off(ann: Visitor):
    held = {"assignment": ann.next()["id"]}
    assert ann.post("/api/draft", held | {"draft": {"x": "y" * 200_000}})[0] == 413
    status, body, _ = ann.post("/api/draft", held | {"draft": {"x": "y" * 20_000}})
    assert status == 422
    assert "16384" in body["message"]


def test_a_body_without_a_length_is_cut_off_too(ann: Visitor):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    assert ann.ask("POST", "/api/next", chunk * 4 + b"0\r\n\r\n", {"Transfer-Encoding": "chunked"})[0] == 413


def test_endless_headers_are_refused(ann: Visitor):
    with socket.create_connection(("127.0.0.1", ann.port), timeout=10) as open_end:
        open_end.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"y" * 20_000)
        assert open_end.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_session_that_floods_is_slowed_and_the_others_are_not(served: Served, bo: Visitor):
    with Store.open(served.store) as store:
        served.links["flood"] = f"#t={store.invite('flood')}"
    flood = served.visitor("flood")
    for _ in range(1000):  # sixty at once and ten a second: a busy machine sends few more than that
        status, _, headers = flood.get("/api/me")
        if status == 429:
            break
    assert status == 429
    assert int(headers["retry-after"]) >= 1
    assert bo.get("/api/me")[0] == 200


def test_links_cannot_be_tried_at_will(tmp_path: Path):
    Store.create(tmp_path / "s.db").close()
    server = Served(tmp_path / "s.db", "ann")
    try:
        guesser = Visitor(server.port or 0)
        statuses = [guesser.post("/api/session", {"token": f"guess-{turn}"})[0] for turn in range(40)]
        assert {403, 429} == set(statuses)
        assert server.visitor("ann").get("/api/me")[0] == 200  # a true link is never slowed
    finally:
        server.stop()


# ---- 22: sent twice


def test_a_ranking_that_is_sent_eight_times_at_once_is_there_once(served: Served, bo: Visitor):
    item, one, receipts = bo.next(), key(), []
    senders = [
        threading.Thread(target=lambda: receipts.append(bo.post("/api/submit", ranked(item, one))[:2]))
        for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert len(receipts) == 8
    assert len({(status, body["saved"]) for status, body in receipts}) == 1
    connection = sqlite3.connect(served.store)
    rows = connection.execute("SELECT count(*) FROM ranking WHERE key = ?", (one,)).fetchone()
    connection.close()
    assert rows == (1,)


def test_a_second_tab_is_told_that_the_item_is_done(bo: Visitor):
    item = bo.next()
    assert bo.post("/api/submit", ranked(item, key()))[0] == 200
    status, body, _ = bo.post("/api/submit", ranked(item, key()))
    assert (status, body["error"]) == (409, "done")


@pytest.mark.parametrize(
    "change",
    [{"order": [["A"], ["B"]]}, {"order": [["A"], ["A"], ["B"], ["C"]]}, {"order": [["A"], ["B"], ["Z"]]},
     {"order": "ABC"}, {"confidence": 9}, {"acceptable": 7}, {"flags": {"A": ["nice"]}}, {"flags": [1]},
     {"seconds": -1}, {"key": "1"}, {"mode": "guess"}, {"comparisons": [["A", "A", ">"]]}],
    ids=str,
)  # fmt: skip
def test_what_is_no_ranking_is_refused_and_the_item_stays(ann: Visitor, change: dict[str, object]):
    item = ann.next()
    status, body, _ = ann.post("/api/submit", ranked(item, key()) | change)
    assert status == 422
    assert next(iter(change)) in body["message"]
    assert ann.next()["id"] == item["id"]


# ---- 23, 24: nothing goes out, nothing else comes in


def test_the_page_names_no_other_machine():
    folder = resources.files("burnish") / "feedback/page/web"
    texts = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}
    assert len(texts) > 10
    named = {name: re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text) for name, text in texts.items()}
    assert {name: found for name, found in named.items() if found} == {}
    parsing = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert [name for name, text in texts.items() if re.search(parsing, text)] == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_nothing_can_be_uploaded(ann: Visitor, method: str):
    assert ann.ask(method, "/api/submit", b"{}")[0] == 405
    assert ann.ask(method, "/item.json", b"{}")[0] == 404


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/web/main.js", "/index.html", "/.git/config"])
def test_nothing_but_the_page_is_served(ann: Visitor, path: str):
    assert ann.get(path)[0] == 404
