"""Ranking: put a prompt's answers in order, best first; answers with equal scores tie.

Writes `ranking.jsonl`, one ranking a prompt, which reward models and DPO read. Who ranks is `by`: a reward model, a
function, a judge; or `data`, rankings that exist already, which are read, checked and passed on.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from burnish.data.convert import write
from burnish.errors import ConfigError
from burnish.methods.inputs import DataInput, as_groups
from burnish.methods.scoring import By, readable, score_groups
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures
from burnish.types import Order


class RankConfig(StageConfig):
    tie_within: float = Field(0.0, ge=0, description="scores no further apart than this, from one to the next, tie")


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
            raise ConfigError("by: people: this version has no page to rank on; name a judge, a reward model or a file")
        groups = readable(by, as_groups(answers, "sample", config, out), config)
        scores = score_groups(by, groups, config)
        ranked = [
            replace(group, order=order_by(given, config.tie_within), extra={**group.extra, **scores.of(place)})
            for place, (group, given) in enumerate(zip(groups, scores.total, strict=True))
        ]
        means = scores.means()
    else:
        raise ConfigError("rank needs `answers` and `by`, or `data`")
    write(ranked, "ranking", out / "ranking.jsonl")
    tied = sum(len(group.order or ()) < len(group.answers) for group in ranked)
    return {"rankings": float(len(ranked)), "with_ties": float(tied)} | means


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
