"""What the tests of the store share: items, a clock that is set by hand, an annotator who has come in."""

import uuid
from pathlib import Path
from random import Random

from burnish.feedback.records import Annotator, Item, Submission
from burnish.feedback.store import Store
from burnish.types import Answer, Group


class Clock:
    """Time stands still until it is told to go on."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def an_item(name: str, answers: int = 3, **more: object) -> Item:
    group = Group(
        f"prompt of {name}",
        tuple(Answer(f"{name}: answer {index}", source=f"model-{index}") for index in range(answers)),
        id=name,
    )
    return Item(group, **more)  # type: ignore[arg-type]


def a_store(path: Path, items: int = 0, clock: Clock | None = None, seed: int = 0, **more: object) -> Store:
    store = Store.create(path, clock=clock or Clock(), chance=Random(seed))
    if items:
        store.add_items([an_item(f"item-{index}", **more) for index in range(items)])
    return store


def someone(store: Store, name: str = "ann") -> Annotator:
    session = store.redeem(store.invite(name))
    assert session is not None
    return session.annotator


def key() -> str:
    return str(uuid.uuid4())


def letters(count: int) -> str:
    return "ABCDEFGHIJKLMNOP"[:count]


def as_shown(count: int = 3, **more: object) -> Submission:
    """A > B > C …: best is what stands first."""
    return Submission(order=tuple((letter,) for letter in letters(count)), **more)  # type: ignore[arg-type]
