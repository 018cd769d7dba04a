"""Score the answers of a file with a reward model, and write them with their scores."""

from dataclasses import replace
from pathlib import Path

from burnish.data.convert import write
from burnish.methods.inputs import DataInput, ScorerInput, as_groups, as_scorer
from burnish.methods.scoring import readable, score_groups
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures


class ScoreConfig(StageConfig):
    pass


def score(model: ScorerInput, data: DataInput, config: ScoreConfig, *, out: Path) -> Figures:
    """Score every answer of `data`, whatever its kind, and write `out/scores.jsonl` as samples with scores."""
    scorer = as_scorer(model, config)
    groups = readable(scorer, as_groups(data, None, config, out), config)
    given = score_groups(scorer, groups, config).total
    scored = [
        replace(g, answers=tuple(replace(a, score=s) for a, s in zip(g.answers, row, strict=True)))
        for g, row in zip(groups, given, strict=True)
    ]
    write(scored, "sample", out / "scores.jsonl")
    flat = [s for row in given for s in row]
    return {"answers": float(len(flat)), "score_mean": sum(flat) / len(flat)}
