"""Score the answers of a file with a reward model, and write them with their scores."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from burnish.data.convert import write
from burnish.data.read import read
from burnish.methods.inputs import DataInput, ScorerInput, as_scorer
from burnish.methods.scoring import score_groups
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures
from burnish.types import Group


class ScoreConfig(StageConfig):
    pass


def score(model: ScorerInput, data: DataInput, config: ScoreConfig, *, out: Path) -> Figures:
    """Score every answer of `data`, whatever its kind, and write `out/scores.jsonl` as samples with scores."""
    groups: Sequence[Group] = list(data) if _are_groups(data) else read(data)  # type: ignore[arg-type]
    given = score_groups(as_scorer(model, config), groups, config)
    scored = [
        replace(g, answers=tuple(replace(a, score=s) for a, s in zip(g.answers, row, strict=True)))
        for g, row in zip(groups, given, strict=True)
    ]
    write(scored, "sample", out / "scores.jsonl")
    flat = [s for row in given for s in row]
    return {"answers": float(len(flat)), "score_mean": sum(flat) / len(flat)}


def _are_groups(data: DataInput) -> bool:
    return not isinstance(data, str | Path) and all(isinstance(item, Group) for item in data)
