"""A real Chromium, and people who rank with it. Where there is no Chromium these tests are skipped."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.people import Person
from feedback.served import Served
from playwright.sync_api import Browser, sync_playwright

from burnish.feedback.database.assignment import Policy
from burnish.feedback.records import Item
from burnish.feedback.store import Store

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVERYBODY_ALL = Policy(overlap=1.0, gold=0.0, repeats=0.0, active=0.0)
"""Two annotators each get every item, in the store's own random order."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine; on Debian: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """`serve(items, "ann", "bo")`: a server process on a store of those items, ended after the test."""
    started: list[Served] = []

    def start(items: Iterable[Item], *annotators: str, options: tuple[str, ...] = ()) -> Served:
        with Store.create(tmp_path / f"kept-{len(started)}.db") as store:
            store.set_policy(EVERYBODY_ALL)
            store.add_items(items)
        started.append(Served(tmp_path / f"kept-{len(started)}.db", *annotators, options=options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def come(chromium: Browser) -> Iterator[Callable[..., Person]]:
    """`come(server, "ann")`: that annotator, with a browser of their own, at their first item."""
    contexts = []

    def arrive(server: Served, name: str, **options: Any) -> Person:
        settings = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", "locale": "en-GB"} | options
        context = chromium.new_context(**settings)
        contexts.append(context)
        return Person(context.new_page(), server.links[name])

    yield arrive
    for context in contexts:
        context.close()
