"""Ranking: put a prompt's answers in order, best first; answers with equal scores tie.

Writes `ranking.jsonl`, which reward models and DPO read. Who ranks is `by`: people, on a page that the stage serves; a
reward model, a function, a judge; or `data`, rankings that exist already, which are read, checked and passed on.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator

from burnish.data.convert import write
from burnish.data.read import read
from burnish.errors import ConfigError
from burnish.methods.inputs import DataInput, as_groups
from burnish.methods.people import RANKING, people_figures, ranked_by_people
from burnish.methods.scoring import By, readable, score_groups
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures
from burnish.types import Group, Order


class RankConfig(StageConfig):
    tie_within: float = Field(0.0, ge=0, description="scores no further apart than this, from one to the next, tie")
    annotators: int | tuple[str, ...] = Field(1, description="by people: how many rank, or their names")
    overlap: float = Field(0.2, ge=0, le=1, description="by people: share of the items that two of them rank")
    items: int | None = Field(None, ge=1, description="by people: prompts that are ranked, drawn from the seed; or all")
    enough: int | None = Field(
        None, ge=1, description="by people: rankings after which the run goes on; or one an item"
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
            raise ValueError("nobody would rank; give a number from 1 on, or names")
        if isinstance(value, tuple) and len(set(value)) < len(value):
            raise ValueError("two have one name; give each their own")
        return value

    def names(self) -> tuple[str, ...]:
        """Who ranks, by name; nobody is named where it is one, who sits there."""
        if isinstance(self.annotators, tuple):
            return self.annotators
        if self.annotators == 1:
            return ()
        return tuple(f"annotator-{i + 1}" for i in range(self.annotators))


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
            ranked_by_people(as_groups(answers, "sample", config, out), config, out)
            return _figures(read(out / RANKING, kind="ranking")) | people_figures(out)
        groups = readable(by, as_groups(answers, "sample", config, out), config)
        scores = score_groups(by, groups, config)
        ranked = [
            replace(group, order=order_by(given, config.tie_within), extra={**group.extra, **scores.of(place)})
            for place, (group, given) in enumerate(zip(groups, scores.total, strict=True))
        ]
        means = scores.means()
    else:
        raise ConfigError("rank needs `answers` and `by`, or `data`")
    write(ranked, "ranking", out / RANKING)
    return _figures(ranked) | means


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
