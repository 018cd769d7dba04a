"""A store in a folder of its own, a clock to set, and a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from feedback.served import Served
from feedback.stores import Clock, a_store, an_item

from burnish.feedback.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """Thirty items of three answers each."""
    with a_store(tmp_path / "rankings.db", items=30, clock=clock) as made:
        yield made


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    """A store in which nothing is."""
    with Store.create(tmp_path / "s.db") as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with four annotators on sixty items."""
    path = tmp_path_factory.mktemp("served") / "rankings.db"
    with Store.create(path) as store:
        store.add_items([an_item(f"item-{index}") for index in range(60)])
    server = Served(path, "ann", "bo", "cy", "di")
    yield server
    server.stop()
