"""Score the answers of a file with a reward model, and write them with their scores.

Where people put them in order, the scores are held to that order: how often they agree, how sure they are, what length
explains, and whether an answer to another prompt would have scored as well.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from burnish.batch.pack import Key
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
from burnish.rewards.scores import Table
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures
from burnish.types import Group, Tree


class ScoreConfig(StageConfig):
    probe: bool = Field(False, description="also score edited twins of the answers, which are worse")


@dataclass(frozen=True, slots=True)
class _Read:
    """What one model makes of the answers. `log_odds` also has those of other prompts that `ordered` put below."""

    given: Table
    log_odds: dict[Key, Tensor]
    ordered: list[Tree]
    deviation: float


def score(model: ScorerInput, data: DataInput, config: ScoreConfig, *, out: Path) -> Figures:
    """Score every answer of `data`, whatever its kind, and write `out/scores.jsonl` as samples with scores.

    Each row also holds `score_deviation`: a gap of scores times it is a pair's log-odds. An ensemble's score is its
    members' mean, and each row holds `scores_by_member`, how far these lie apart (`score_deviations`, one an answer),
    and what brings each to log-odds (`score_deviation_by_member`).

    Rankings and comparisons also give `out/evaluation.json`, of which the figures hold the chief ones; with `probe`
    there is `out/probe.json` too.
    """
    out.mkdir(parents=True, exist_ok=True)
    if config.probe:
        refuse_ensemble(model, "probe")
    models: list[ScorerInput] = [*members(model)] or [as_scorer(model, config)]
    groups = readable(models[0], as_groups(data, None, config, out), config)
    read = [_read(as_scorer(one, config), groups, config) for one in models]
    mean = mean_of([one.given for one in read])
    write(_records(groups, read, mean), "sample", out / "scores.jsonl")
    flat = [score for row in mean for score in row]
    figures = {"answers": float(len(flat)), "score_mean": statistics.fmean(flat)}
    if len(read) > 1:
        apart = [value for row in deviation_of([one.given for one in read]) for value in row]
        figures |= {"members": float(len(read)), "score_deviation_mean": statistics.fmean(apart)}
    if ordered := read[0].ordered:
        found = ordering(ranked(ordered, groups, mean_table([one.log_odds for one in read])))
        tell(found, out)
        figures |= shown("accuracy", found.accuracy) | found.figures()
    if config.probe:
        figures |= probe(models[0], groups, config, out=out)
    return figures


def _read(scorer: Scorer, groups: Sequence[Group], config: ScoreConfig) -> _Read:
    rows = whole_trees(scorer, groups, config)
    ordered = with_mismatched(decided(rows), groups, OTHERS, max_length=config.max_length, seed=config.seed)
    with_others = {tree.group: tree for tree in ordered}
    table = scorer.frozen_scores([with_others.get(tree.group, tree) for tree in rows], config.micro_batch_tokens)
    log_odds = {key: value * scorer.deviation for key, value in table.items()}
    return _Read(scores_in(table, rows, groups), log_odds, ordered, scorer.deviation)


def _records(groups: Sequence[Group], read: Sequence[_Read], mean: Table) -> list[Group]:
    """The groups with their scores, and what tells how to read these."""
    given = [one.given for one in read]
    apart = deviation_of(given) if len(read) > 1 else []
    records = []
    for place, (group, row) in enumerate(zip(groups, mean, strict=True)):
        told: dict[str, Any] = {"score_deviation": read[0].deviation}
        if apart:
            told = {
                "scores_by_member": [table[place] for table in given],
                "score_deviations": apart[place],
                "score_deviation_by_member": [one.deviation for one in read],
            }
        answers = tuple(replace(answer, score=score) for answer, score in zip(group.answers, row, strict=True))
        records.append(replace(group, answers=answers, extra={**group.extra, **told}))
    return records
