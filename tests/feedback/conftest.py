"""A store in a folder of its own, and a clock to set."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from feedback.stores import Clock, a_store

from burnish.feedback.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """Thirty items of three answers each."""
    with a_store(tmp_path / "rankings.db", items=30, clock=clock) as made:
        yield made
