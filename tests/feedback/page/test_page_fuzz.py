"""Whatever is sent to the ranking page, it answers with JSON that says what is wrong, and keeps only whole rankings."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from feedback.served import POSTS
from feedback.stores import an_item, key
from fuzz import bounded, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from burnish.feedback.database.access import csrf_of
from burnish.feedback.page.server import Page, application
from burnish.feedback.store import Store

HOST = "127.0.0.1:8765"
PER_SESSION = 40
"""Requests of one session: a page that is asked oftener in a second is slowed."""

LETTERS = ["A", "B", "C", "Z", "", "AB"]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(LETTERS)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "assignment",
    "key",
    "order",
    "acceptable",
    "confidence",
    "flags",
    "seconds",
    "mode",
    "comparisons",
    "client_ms",
]
FIELDS += ["reason", "draft", "text", "token", "annotator", "after"]
orders = st.lists(st.lists(st.sampled_from(LETTERS), max_size=3), max_size=4)
changes = st.dictionaries(st.sampled_from(FIELDS), values | orders, max_size=3)
names = st.sampled_from(["next", "undo", "formatted", "session", *POSTS])


@dataclass
class Asker:
    """Sends requests to the page in this process, a session after another.

    In a thread of its own: where tests in a browser ran before, this one has an event loop that is running.
    """

    store: Store
    app: Any
    cookie: str
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    sent: int = 0
    secret: str = ""

    def post(self, name: str, body: bytes) -> tuple[int, Any]:
        if self.sent % PER_SESSION == 0:
            session = self.store.redeem(self.store.invite("ann"))
            assert session is not None
            self.secret = session.secret
        self.sent += 1
        headers = {"host": HOST, "origin": f"http://{HOST}", "sec-fetch-site": "same-origin"}
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
        headers |= {"cookie": f"{self.cookie}={self.secret}", "x-csrf-token": csrf_of(self.secret)}
        asked = answered(self.app, f"/api/{name}", headers, body)
        return self.thread.submit(asyncio.run, asked).result()


async def answered(app: Any, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
    """(status, JSON) of a POST, spoken as a server speaks to an ASGI application. What it raises is raised."""
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"},
        **{"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""},
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765)},
    }
    told: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    await app(scope, receive, send)
    return told[0]["status"], json.loads(b"".join(message.get("body", b"") for message in told[1:]))


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    path = tmp_path_factory.mktemp("asked") / "rankings.db"
    with Store.create(path) as store:
        store.add_items([an_item(f"item-{index}") for index in range(60)])
        page = Page(store)
        made = Asker(store, application(page, ["127.0.0.1"]), page.cookie)
        yield made
        made.thread.shutdown()
        for ranking in store.rankings():
            assert set(ranking.place_K) == set(range(max(ranking.place_K) + 1)), "what was kept is a whole order"


def check(status: int, told: Any) -> None:
    if status >= 400:
        assert status < 500, told
        assert told.keys() == {"error", "message"}
        assert all(told.values())


@fuzzed(150)
@given(name=names, value=values)
def test_any_json(asker: Asker, name: str, value: Any):
    with bounded("requests"):
        check(*asker.post(name, json.dumps(value).encode()))


@fuzzed(50)
@given(name=names, body=st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\\ 1eN'), max_size=30).map(str.encode))
def test_any_bytes(asker: Asker, name: str, body: bytes):
    with bounded("requests"):
        check(*asker.post(name, body))


@fuzzed(150)
@given(name=st.sampled_from(sorted(POSTS)), changed=changes, without=st.sets(st.sampled_from(FIELDS), max_size=1))
def test_a_good_request_with_other_values(asker: Asker, name: str, changed: dict[str, Any], without: set[str]):
    _, body = asker.post("next", b"{}")
    if body["item"] is None:  # all is done: what was done is taken back
        asker.post("undo", b"{}")
        _, body = asker.post("next", b"{}")
    good = {"assignment": body["item"]["id"], **POSTS[name], **({"key": key()} if name == "submit" else {})}
    given = {field: value for field, value in (good | changed).items() if field not in without}
    with bounded("requests"):
        check(*asker.post(name, json.dumps(given).encode()))
