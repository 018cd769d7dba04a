"""People rank a stage's answers: the page is served until enough is ranked, and the run goes on by itself.

What they do is in `rankings.db`, the store in the stage's folder, from the moment that the page says so. A run that is
stopped, or killed, finds it all there again.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import ConfigError, Interrupted
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Group

if TYPE_CHECKING:
    from burnish.feedback.page.serving import Links
    from burnish.feedback.records import Layer, Ranking
    from burnish.feedback.store import Store
    from burnish.methods.rank import RankConfig

STORE, RANKING = "rankings.db", "ranking.jsonl"
ON_THE_PAGE: "tuple[Layer, ...]" = ("people",)
ASKED = ("uniform", "active", "overlap")  # gold items and repeats check annotators; they teach nothing new


def ranked_by_people(groups: Sequence[Group], config: "RankConfig", out: Path) -> None:
    """Write `out/RANKING` once `enough` rankings are there; until then serve the page to whoever ranks.

    Raises Interrupted where too few are there and nobody sits at this terminal, or who sat there stopped it;
    ConfigError for more rankings than there are items.
    """
    from burnish.feedback.exports import export
    from burnish.feedback.store import Store

    groups = _some(groups, config)
    enough = config.enough or len(groups)
    if enough > len(groups):
        raise ConfigError(f"enough: {enough} rankings of {len(groups)} items; lower it, or sample more prompts")
    out.mkdir(parents=True, exist_ok=True)
    with Store.at(out / STORE) as store:
        _fill(store, groups, config)
        if _count(store) < enough:
            _served(store, enough, config)
        export(store, out / RANKING, layers=ON_THE_PAGE)


def _some(groups: Sequence[Group], config: "RankConfig") -> list[Group]:
    """`items` of the prompts, drawn from the seed, in their order; those whose answers are all alike are left out."""
    apart = [g for g in groups if len({answer.text for answer in g.answers}) > 1]
    if left := len(groups) - len(apart):
        _tell(f"{left} of {len(groups)} prompts left out: their answers are all alike")
    if not apart:
        raise ConfigError("answers: no prompt has two answers that differ, so there is nothing to rank")
    if config.items is None or config.items >= len(apart):
        return apart
    drawn = sorted(range(len(apart)), key=lambda i: derived_seed(config.seed, "items", i))[: config.items]
    return [apart[i] for i in sorted(drawn)]


def _fill(store: "Store", groups: Sequence[Group], config: "RankConfig") -> None:
    from burnish.feedback.database.assignment import Policy
    from burnish.feedback.imports import taken_apart

    items, _ = taken_apart([replace(group, order=None) for group in groups])
    store.add_items(items)
    alone = len(config.names()) < 2
    store.set_policy(Policy(overlap=0.0 if alone else config.overlap, gold=0.0))


def _served(store: "Store", enough: int, config: "RankConfig") -> None:
    """Serve the page until enough is ranked, or nobody has anything left to rank."""
    from burnish.feedback.page.serving import open_browser, serve

    names = config.names()
    if not at_a_terminal():
        page = " ".join(["burnish rank serve --store", str(store.path), *(f"--annotator {name}" for name in names)])
        raise Interrupted(
            f"{_count(store)} of {enough} rankings by people are there, and nobody sits at this terminal. Serve the "
            f"page:\n  {page}\nand run the same command again when they have ranked."
        )

    def told(links: "Links") -> None:
        for name, link in links.links.items():
            _tell(f"{name} ranks at {link}")
        _tell(f"the run goes on by itself after {enough} rankings; Ctrl-C stops it and loses nothing")
        if len(links.links) == 1:
            open_browser(next(iter(links.links.values())))

    awaited = _Awaited(store, enough)
    serve(store, names, guidelines=config.guidelines, told=told, until=awaited)
    if awaited.count < enough and not awaited.nothing_left:
        raise Interrupted(f"stopped with {awaited.count} of {enough} rankings, all saved. Run the same command again.")


def at_a_terminal() -> bool:
    """Whether somebody sees what is told, and can stop it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


class _Awaited:
    """Asked again and again whether the page has done its work; tells each new count."""

    def __init__(self, store: "Store", enough: int) -> None:
        self.store, self.enough = store, enough
        self.count, self.nothing_left = _count(store), False
        self._first, self._began = self.count, time.monotonic()
        self._seen = -1
        _tell(f"{self.count} of {enough} rankings")

    def __call__(self) -> bool:
        there = self.store.counts().get("rankings_people", 0)
        if there != self._seen:
            self._seen, before, self.count = there, self.count, _count(self.store)
            if self.count != before:
                _tell(f"{self.count} of {self.enough} rankings{self._left()}")
        if self.count < self.enough and all(one.left + one.open == 0 for one in self.store.progress_all()):
            self.nothing_left = True
            _tell(f"nobody has anything left to rank; {self.count} of {self.enough} rankings are there")
        return self.count >= self.enough or self.nothing_left

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
    print(f"rank: {text}", file=sys.stderr, flush=True)


def people_figures(out: Path) -> Figures:
    """How many items were ranked, and by how many people."""
    from burnish.feedback.store import Store

    with Store.open(out / STORE) as store:
        rankings = list(_asked(store))
    return {"items": float(len({r.item for r in rankings})), "annotators": float(len({r.annotator for r in rankings}))}
