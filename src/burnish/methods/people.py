"""People judge a stage's answers: its page is served until enough is decided, and the run goes on by itself.

    rank       they put a prompt's answers in order
    reject     they pick the best answer, or say that none is good enough
    evaluate   they say which of two models' answers is better, blind to whose they are; and where people answered the
               same prompts, which of two texts was written by a person

What they do is in a store in the stage's folder, `rankings.db` or `told_apart.db`, from the moment that the page says
so. A run that is stopped, or killed, finds it all there again.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from burnish.errors import ConfigError, Interrupted
from burnish.training.config import StageConfig

if TYPE_CHECKING:
    from burnish.feedback.page.serving import Links
    from burnish.feedback.records import Item, Layer, Ranking
    from burnish.feedback.store import Store

STORE, TOLD_APART = "rankings.db", "told_apart.db"
ON_THE_PAGE: "tuple[Layer, ...]" = ("people",)
ASKED = ("uniform", "active", "overlap")  # gold items and repeats check annotators; they teach nothing new


class PeopleConfig(StageConfig):
    """What a stage may be told of the people who judge in it."""

    annotators: int | tuple[str, ...] = Field(1, description="by people: how many judge, or their names")
    overlap: float = Field(0.2, ge=0, le=1, description="by people: share of the items that two of them judge")
    enough: int | None = Field(
        None, ge=1, description="by people: judgements after which the run goes on; or one an item"
    )
    guidelines: str = Field("", description="by people: what they are to look at, as Markdown")

    @field_validator("annotators", mode="before")
    @classmethod
    def _one_name_or_several(cls, value: object) -> object:
        return value if not isinstance(value, str) or value.isdigit() else tuple(value.split(","))

    @field_validator("annotators")
    @classmethod
    def _somebody(cls, value: int | tuple[str, ...]) -> int | tuple[str, ...]:
        if value in (0, ()) or (isinstance(value, int) and value < 0):
            raise ValueError("nobody would judge; give a number from 1 on, or names")
        if isinstance(value, tuple) and len(set(value)) < len(value):
            raise ValueError("two have one name; give each their own")
        return value

    def names(self) -> tuple[str, ...]:
        """Who judges, by name; nobody is named where it is one, who sits there."""
        if isinstance(self.annotators, tuple):
            return self.annotators
        if self.annotators == 1:
            return ()
        return tuple(f"annotator-{i + 1}" for i in range(self.annotators))


@dataclass(frozen=True, slots=True)
class _Words:
    """What is told: by which stage, of which judgements, and what people do."""

    stage: str
    judgements: str
    does: str


WORDS = {
    "rank": _Words("rank", "rankings", "rank"),
    "pick": _Words("reject", "picks", "pick"),
    "pair": _Words("evaluate", "verdicts", "judge"),
    "person": _Words("evaluate", "guesses", "judge"),
}


def judged_by_people(items: Sequence["Item"], config: PeopleConfig, out: Path, name: str = STORE) -> None:
    """Serve the page with `items`, all of one task, until `enough` judgements are in the store `out/name`.

    Raises Interrupted where too few are there and nobody sits at this terminal, or who sat there stopped it;
    ConfigError for more judgements than there are items; DataError where the store has other items of these names.
    """
    from burnish.feedback.store import Store

    words, enough = WORDS[items[0].task], enough_of(items, config)
    out.mkdir(parents=True, exist_ok=True)
    with Store.at(out / name) as store:
        _fill(store, items, config)
        if _count(store) < enough:
            _served(store, enough, config, words)


def enough_of(items: Sequence["Item"], config: PeopleConfig) -> int:
    """The judgements after which a stage goes on. Raises ConfigError for more than there are items."""
    enough = config.enough or len(items)
    if items and enough > len(items):
        judgements = WORDS[items[0].task].judgements
        raise ConfigError(f"enough: {enough} {judgements} of {len(items)} items; lower it, or sample more prompts")
    return enough


def judgements(out: Path, name: str = STORE) -> list["Ranking"]:
    """What people said in the stage's folder, in the order in which it was saved."""
    from burnish.feedback.store import Store

    with Store.open(out / name) as store:
        return list(_asked(store))


def _fill(store: "Store", items: Sequence["Item"], config: PeopleConfig) -> None:
    from burnish.feedback.database.assignment import Policy

    store.add_items(items)
    alone = len(config.names()) < 2
    store.set_policy(Policy(overlap=0.0 if alone else config.overlap, gold=0.0))


def _served(store: "Store", enough: int, config: PeopleConfig, words: _Words) -> None:
    """Serve the page until enough is judged, or nobody has anything left to judge."""
    from burnish.feedback.page.serving import serve

    names = config.names()
    if not at_a_terminal():
        page = " ".join(["burnish rank serve --store", str(store.path), *(f"--annotator {name}" for name in names)])
        raise Interrupted(
            f"{_count(store)} of {enough} {words.judgements} by people are there, and nobody sits at this terminal. "
            f"Serve the page:\n  {page}\nand run the same command again when they have done it."
        )

    def told(links: "Links") -> None:
        for name, link in links.links.items():
            _tell(f"{words.stage}: {name} {words.does}s at {link}")
        _tell(
            f"{words.stage}: the run goes on by itself after {enough} {words.judgements}; Ctrl-C stops it and loses "
            "nothing"
        )

    awaited = _Awaited(store, enough, words)
    serve(store, names, guidelines=config.guidelines, browser=True, told=told, until=awaited)
    if awaited.count < enough and not awaited.nothing_left:
        raise Interrupted(
            f"stopped with {awaited.count} of {enough} {words.judgements}, all saved. Run the same command again."
        )


def at_a_terminal() -> bool:
    """Whether somebody sees what is told, and can stop it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class _Awaited:
    """Asked again and again whether the page has done its work; tells each new count."""

    def __init__(self, store: "Store", enough: int, words: _Words) -> None:
        self.store, self.enough, self.words = store, enough, words
        self.count, self.nothing_left = _count(store), False
        self._first, self._began = self.count, time.monotonic()
        self._seen = -1
        _tell(self._told())

    def __call__(self) -> bool:
        there = self.store.counts().get("rankings_people", 0)
        if there != self._seen:
            self._seen, before, self.count = there, self.count, _count(self.store)
            if self.count != before:
                _tell(f"{self._told()}{self._left()}")
        if self.count < self.enough and all(one.left + one.open == 0 for one in self.store.progress_all()):
            self.nothing_left = True
            words = self.words
            _tell(
                f"{words.stage}: nobody has anything left to {words.does}; {self.count} of {self.enough} "
                f"{words.judgements} are there"
            )
        return self.count >= self.enough or self.nothing_left

    def _told(self) -> str:
        return f"{self.words.stage}: {self.count} of {self.enough} {self.words.judgements}"

    def _left(self) -> str:
        made, missing = self.count - self._first, self.enough - self.count
        if made < 2 or missing <= 0:
            return ""
        minutes = missing * (time.monotonic() - self._began) / made / 60
        return f", some {max(1, round(minutes))} min left at this pace"


def _count(store: "Store") -> int:
    return sum(1 for _ in _asked(store))


def _asked(store: "Store") -> Iterator["Ranking"]:
    return (one for one in store.rankings(layers=ON_THE_PAGE) if one.kind in ASKED)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
