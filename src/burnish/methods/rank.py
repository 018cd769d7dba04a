"""Ranking: put a prompt's answers in order, best first; answers with equal scores tie.

Writes `ranking.jsonl`, which reward models and DPO read. Who ranks is `by`: people, on a page that the stage serves; a
reward model, a function, a judge; or `data`, rankings that exist already, which are read, checked and passed on.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from burnish.data.convert import write
from burnish.data.read import read
from burnish.errors import ConfigError
from burnish.methods.inputs import DataInput, as_groups
from burnish.methods.people import ON_THE_PAGE, STORE, PeopleConfig, judged_by_people, judgements
from burnish.methods.scoring import By, readable, score_groups
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Group, Order

RANKING = "ranking.jsonl"


class RankConfig(PeopleConfig):
    tie_within: float = Field(0.0, ge=0, description="scores no further apart than this, from one to the next, tie")
    items: int | None = Field(None, ge=1, description="by people: prompts that are ranked, drawn from the seed; or all")


def rank(
    config: RankConfig,
    *,
    out: Path,
    answers: DataInput | None = None,
    by: By | None = None,
    data: DataInput | None = None,
) -> Figures:
    """Rank `answers` by `by`, or take the rankings of `data`; write `out/ranking.jsonl`."""
    means: Figures = {}
    if data is not None:
        ranked = as_groups(data, "ranking", config, out)
    elif answers is not None and by is not None:
        if by == "people":
            return _ranked_by_people(as_groups(answers, "sample", config, out), config, out)
        groups = readable(by, as_groups(answers, "sample", config, out), config)
        scores = score_groups(by, groups, config)
        ranked = [
            replace(group, order=order_by(given, config.tie_within), extra={**group.extra, **scores.of(place)})
            for place, (group, given) in enumerate(zip(groups, scores.total, strict=True))
        ]
        means = scores.means() | scores.reliability()
    else:
        raise ConfigError("rank needs `answers` and `by`, or `data`")
    write(ranked, "ranking", out / RANKING)
    return _figures(ranked) | means


def _ranked_by_people(groups: Sequence[Group], config: RankConfig, out: Path) -> Figures:
    """Write `out/RANKING` once people have ranked enough. Figures: how many items they ranked, and how many did it."""
    from burnish.feedback.exports import export
    from burnish.feedback.imports import taken_apart
    from burnish.feedback.store import Store

    items, _ = taken_apart([replace(group, order=None) for group in _some(groups, config)])
    judged_by_people(items, config, out)
    with Store.open(out / STORE) as store:
        export(store, out / RANKING, layers=ON_THE_PAGE)
    made = judgements(out)
    people = {"items": float(len({r.item for r in made})), "annotators": float(len({r.annotator for r in made}))}
    return _figures(read(out / RANKING, kind="ranking")) | people


def _some(groups: Sequence[Group], config: RankConfig) -> list[Group]:
    """`items` of the prompts, drawn from the seed, in their order; those whose answers are all alike are left out."""
    apart = [g for g in groups if len({answer.text for answer in g.answers}) > 1]
    if left := len(groups) - len(apart):
        print(f"rank: {left} of {len(groups)} prompts left out: their answers are all alike", file=sys.stderr)
    if not apart:
        raise ConfigError("answers: no prompt has two answers that differ, so there is nothing to rank")
    if config.items is None or config.items >= len(apart):
        return apart
    drawn = sorted(range(len(apart)), key=lambda i: derived_seed(config.seed, "items", i))[: config.items]
    return [apart[i] for i in sorted(drawn)]


def _figures(ranked: Sequence[Group]) -> Figures:
    tied = sum(len(group.order or ()) < len(group.answers) for group in ranked)
    return {"rankings": float(len(ranked)), "with_ties": float(tied)}


def order_by(scores: Sequence[float], tie_within: float = 0.0) -> Order:
    """Indices of the scores, highest first; neighbours that differ by at most `tie_within` share a place."""
    places: list[list[int]] = []
    last = float("inf")
    for index in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if places and last - scores[index] <= tie_within:
            places[-1].append(index)
        else:
            places.append([index])
        last = scores[index]
    return tuple(tuple(place) for place in places)
