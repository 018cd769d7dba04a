"""A real `burnish rank serve` in a process of its own, and a visitor who talks to it as a browser would."""

import http.client
import json
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from forks import Command

POSTS = {
    "heartbeat": {},
    "draft": {"draft": {"half": "done"}},
    "submit": {"order": [["A"], ["B"], ["C"]]},
    "skip": {"reason": "other"},
}
"""Every route that names an assignment, with the rest of its body."""


class Served:
    """Serve a store until `stop` (a signal), and again on the same port with `start`."""

    def __init__(self, store: Path, *annotators: str, options: tuple[str, ...] = ()) -> None:
        self.store, self.annotators, self.options = store, annotators, options
        self.port = _free()
        self.links: dict[str, str] = {}
        self.errors, self.code = "", 0
        self.start()

    def start(self) -> None:
        named = [word for name in self.annotators for word in ("--annotator", name)]
        command = ["rank", "serve", "--store", str(self.store), "--no-open", "--json", "--port", str(self.port)]
        command += [*named, *self.options]
        self.process = Command(*command)
        line = self.process.out.readline()
        assert line, self.process.end()
        told = json.loads(line)
        self.address: str = told["address"]
        self.links = told["links"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; returns the exit code."""
        if not self.process.ended:
            self.process.signal(number)
            code, told = self.process.end(20)
            self.code, self.errors = code, self.errors + told
        return self.code

    def visitor(self, name: str) -> "Visitor":
        """`name`, signed in by their link."""
        return signed_in(f"{self.address}/#t={token_of(self.links[name])}")


def _free() -> int:
    """A port that nobody has, and that nobody who takes the first free one after 8765 will have."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def token_of(link: str) -> str:
    return urlsplit(link).fragment.removeprefix("t=")


def signed_in(link: str) -> "Visitor":
    """Whoever opens this link in a browser of their own."""
    visitor = Visitor(urlsplit(link).port or 0)
    status, body, headers = visitor.post("/api/session", {"token": token_of(link)})
    assert status == 200, body
    visitor.cookie, visitor.csrf = headers["set-cookie"].split(";")[0], body["csrf"]
    return visitor


@dataclass
class Visitor:
    """Sends what the page would send; a header set to None in `headers` is left out."""

    port: int
    cookie: str = ""
    csrf: str = ""
    seen: list[str] = field(default_factory=list)

    def get(self, path: str, headers: Mapping[str, str | None] | None = None) -> tuple[int, Any, dict[str, str]]:
        return self.ask("GET", path, None, headers)

    def post(
        self, path: str, body: Any = None, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        return self.ask("POST", path, json.dumps({} if body is None else body).encode(), headers)

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """(status, body, headers in lower case)."""
        own = f"http://127.0.0.1:{self.port}"
        sent = {"Origin": own, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
        sent |= {"Cookie": self.cookie, "X-CSRF-Token": self.csrf}
        wanted = {name: value for name, value in (sent | dict(headers or {})).items() if value is not None}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, wanted)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8")
        finally:
            connection.close()
        self.seen.append(text)
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, json.loads(text) if "json" in found.get("content-type", "") else text, found

    def next(self) -> dict[str, Any]:
        status, body, _ = self.post("/api/next")
        assert status == 200, body
        item: dict[str, Any] = body["item"]
        return item


def ranked(item: Mapping[str, Any], key: str, **more: object) -> dict[str, Any]:
    """The request that ranks an item as it is shown, A > B > C."""
    order = [[chr(65 + place)] for place in range(len(item["answers"]))]
    return {"assignment": item["id"], "key": key, "order": order, **more}
