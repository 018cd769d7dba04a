"""Score the answers of a file with a reward model, and write them with their scores.

Where people put them in order, the scores are held to that order: how often they agree, how sure they are, what length
explains, and whether an answer to another prompt would have scored as well.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from burnish.data.convert import write
from burnish.evaluation.ordering import ordering, shown
from burnish.methods.ensemble import deviation_of, mean_of, mean_table, members, refuse_ensemble
from burnish.methods.inputs import DataInput, ScorerInput, as_groups, as_scorer
from burnish.methods.mismatched import with_mismatched
from burnish.methods.ordered import OTHERS, ranked, tell
from burnish.methods.probe import probe
from burnish.methods.rankings import decided
from burnish.methods.scoring import readable, scores_in, whole_trees
from burnish.models.model import Scorer
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures
from burnish.types import Group


class ScoreConfig(StageConfig):
    probe: bool = Field(False, description="also score edited twins of the answers, which are worse")


def score(model: ScorerInput, data: DataInput, config: ScoreConfig, *, out: Path) -> Figures:
    """Score every answer of `data`, whatever its kind, and write `out/scores.jsonl` as samples with scores.

    Each row also holds `score_deviation`: a gap of scores times it is a pair's log-odds.

    Rankings and comparisons also give `out/evaluation.json`, of which the figures hold the chief ones; with `probe`
    there is `out/probe.json` too.
    """
    out.mkdir(parents=True, exist_ok=True)
    if found := members(model):
        if config.probe:
            refuse_ensemble(model, "probe")
        return _by_members(found, data, config, out)
    scorer = as_scorer(model, config)
    groups = readable(scorer, as_groups(data, None, config, out), config)
    given, figures = _scored(scorer, groups, config, out)
    if config.probe:
        figures |= probe(scorer, groups, config, out=out)
    told = {"score_deviation": scorer.deviation}
    scored = [
        replace(
            group,
            answers=tuple(replace(a, score=s) for a, s in zip(group.answers, row, strict=True)),
            extra={**group.extra, **told},
        )
        for group, row in zip(groups, given, strict=True)
    ]
    write(scored, "sample", out / "scores.jsonl")
    flat = [s for row in given for s in row]
    return {"answers": float(len(flat)), "score_mean": sum(flat) / len(flat)} | figures


def _by_members(models: Sequence[Path], data: DataInput, config: ScoreConfig, out: Path) -> Figures:
    """Scores of an ensemble: the members' mean. Each row also holds `scores_by_member`, how far these lie apart
    (`score_deviations`, one an answer), and what brings each to log-odds (`score_deviation_by_member`)."""
    groups = readable(models[0], as_groups(data, None, config, out), config)
    given, tables, scale_M = [], [], []
    for model in models:
        scorer = as_scorer(model, config)
        scale_M.append(scorer.deviation)
        rows = whole_trees(scorer, groups, config)
        ordered = with_mismatched(decided(rows), groups, OTHERS, max_length=config.max_length, seed=config.seed)
        with_others = {tree.group: tree for tree in ordered}
        table = scorer.frozen_scores([with_others.get(tree.group, tree) for tree in rows], config.micro_batch_tokens)
        given.append(scores_in(table, rows, groups))
        tables.append({key: value * scorer.deviation for key, value in table.items()})
    mean, deviation = mean_of(given), deviation_of(given)
    scored = []
    for place, group in enumerate(groups):
        by_member = {
            "scores_by_member": [rows[place] for rows in given],
            "score_deviations": deviation[place],
            "score_deviation_by_member": scale_M,
        }
        answers = tuple(replace(a, score=s) for a, s in zip(group.answers, mean[place], strict=True))
        scored.append(replace(group, answers=answers, extra={**group.extra, **by_member}))
    write(scored, "sample", out / "scores.jsonl")
    flat, apart = ([value for row in some for value in row] for some in (mean, deviation))
    figures = {"answers": float(len(flat)), "score_mean": sum(flat) / len(flat), "members": float(len(models))}
    figures["score_deviation_mean"] = sum(apart) / len(apart)
    if ordered:
        found = ordering(ranked(ordered, groups, mean_table(tables)))
        tell(found, out)
        figures |= shown("accuracy", found.accuracy) | found.figures()
    return figures


def _scored(
    scorer: Scorer, groups: Sequence[Group], config: ScoreConfig, out: Path
) -> tuple[list[list[float]], Figures]:
    rows = whole_trees(scorer, groups, config)
    ordered = with_mismatched(decided(rows), groups, OTHERS, max_length=config.max_length, seed=config.seed)
    with_others = {tree.group: tree for tree in ordered}
    table = scorer.frozen_scores([with_others.get(tree.group, tree) for tree in rows], config.micro_batch_tokens)
    given = scores_in(table, rows, groups)
    if not ordered:
        return given, {}
    found = ordering(ranked(ordered, groups, table), scale=scorer.deviation)
    tell(found, out)
    return given, shown("accuracy", found.accuracy) | found.figures()
