"""A desktop's browser gets the one-time link, and no other user of the machine can read it on the way."""

import os
import re
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from feedback.served import Visitor, token_of
from forks import Command

from burnish.feedback.store import Store

Start = Callable[..., "Desktop"]


class Desktop:
    """`burnish rank serve` where there is a display, and a browser that writes down how it was started."""

    def __init__(self, folder: Path, *annotators: str, **environment: str) -> None:
        self.started_with = folder / "started-with"
        browser = folder / "browser"
        browser.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {self.started_with}.part\n'
            f"mv {self.started_with}.part {self.started_with}\n"
        )
        browser.chmod(0o700)
        Store.create(folder / "s.db").close()
        named = [word for name in annotators for word in ("--annotator", name)]
        over_ssh = ("SSH_CONNECTION", "SSH_TTY")
        self.process = Command(
            *("rank", "serve", "--store", str(folder / "s.db"), *named),
            environment={name: value for name, value in os.environ.items() if name not in over_ssh}
            | {"DISPLAY": ":0", "BROWSER": f"{browser} %s &"}
            | environment,
        )
        self.link = self.process.out.readline().split()[-1]
        assert token_of(self.link)

    def handed(self) -> Path:
        """The file that the browser was started with, once it was."""
        within(lambda: self.started_with.exists())
        (argument,) = self.started_with.read_text().splitlines()
        assert urlsplit(argument).scheme == "file"
        return Path(url2pathname(urlsplit(argument).path))

    def stop(self) -> None:
        self.process.signal(signal.SIGTERM)
        code, told = self.process.end(20)
        assert code == 0, told


def within(true: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Desktop] = []

    def begin(*annotators: str, **environment: str) -> Desktop:
        started.append(Desktop(tmp_path, *annotators, **environment))
        return started[-1]

    yield begin
    for desktop in started:
        if not desktop.process.ended:
            desktop.stop()


def test_a_browsers_command_line_names_a_file_that_only_its_owner_reads_and_that_is_gone_once_used(start: Start):
    desktop = start("ann")
    file = desktop.handed()
    token = token_of(desktop.link)
    assert token not in desktop.started_with.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert set(re.findall(r'(?:url=|href=")([^"]*)"', file.read_text())) == {desktop.link}
    visitor = Visitor(urlsplit(desktop.link).port or 0)
    assert visitor.post("/api/session", {"token": "another"})[0] == 403
    assert file.exists(), "the link still waits for its browser"
    assert visitor.post("/api/session", {"token": token})[0] == 200
    assert not file.parent.exists()


def test_a_link_that_nobody_followed_goes_with_the_server(start: Start):
    desktop = start("ann")
    file = desktop.handed()
    assert file.exists()
    desktop.stop()
    assert not file.parent.exists()
    assert not list(file.parent.parent.glob(".page-*"))


@pytest.mark.parametrize(
    ("annotators", "environment"),
    [(("ann", "bo"), {}), (("ann",), {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"})],
    ids=["two-links", "over-ssh"],
)
def test_no_browser_is_started(start: Start, tmp_path: Path, annotators: tuple[str, ...], environment: dict[str, str]):
    desktop = start(*annotators, **environment)
    assert Visitor(urlsplit(desktop.link).port or 0).get("/")[0] == 200
    desktop.stop()
    assert not desktop.started_with.exists()
    assert not list(tmp_path.glob(".page-*"))
