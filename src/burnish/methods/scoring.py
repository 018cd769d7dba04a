"""Scores for answers, whoever gives them: a reward model reads tokens, every other judge reads text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from burnish.batch.pack import Key
from burnish.batch.trees import trees
from burnish.data.templates import Template, resolve
from burnish.errors import DataError
from burnish.methods.inputs import ScorerInput, as_scorer, say
from burnish.models.model import Scorer
from burnish.rewards.by import parts, weighted
from burnish.rewards.scores import TextReward
from burnish.training.config import StageConfig
from burnish.types import Answer, Group, Rollout, Tree

By = str | Path | Scorer | TextReward | Sequence[Any]


Table = list[list[float]]
"""A row a group, a value an answer."""


@dataclass(frozen=True, slots=True)
class Scores:
    """`total`: what counts. `parts`: what each of several judges gave, by its name and without its weight."""

    total: Table
    parts: Mapping[str, Table]

    def of(self, place: int) -> dict[str, Any]:
        """What each part gave the answers of the group at `place`, for its record; nothing where one judges alone."""
        return {"scores_by_part": {name: rows[place] for name, rows in self.parts.items()}} if self.parts else {}

    def means(self) -> dict[str, float]:
        """The mean score of each part over all answers, as a figure."""
        flat = {name: [score for row in rows for score in row] for name, rows in self.parts.items()}
        return {f"score_mean/{name}": sum(scores) / len(scores) for name, scores in flat.items()}


def score_groups(by: By, groups: Sequence[Group], config: StageConfig) -> Scores:
    """A score for every answer of every group, in their order: the weighted sum where `by` is a list.

    A reward model scores the very tokens that were sampled. Raises DataError for a group that it cannot read whole,
    ConfigError for a `by` that is nobody.
    """
    if isinstance(by, Scorer):
        return Scores(_by_model(by, groups, config), {})
    judges = parts(by)
    given = {p.name: _by_text(p.judge, groups) if p.judge else _by_model(p.model, groups, config) for p in judges}
    flat = weighted([(p.weight, [score for row in given[p.name] for score in row]) for p in judges])
    return Scores(_rows(flat, groups), given if len(judges) > 1 else {})


def readable(by: By, groups: Sequence[Group], config: StageConfig) -> list[Group]:
    """The groups that every reward model of `by` can read whole: all, unless `on_too_long` is skip."""
    if config.on_too_long != "skip":
        return list(groups)
    models = [by] if isinstance(by, Scorer) else [part.model for part in parts(by) if part.model is not None]
    kept = list(groups)
    for model in models:
        template = resolve(as_scorer(model, config).tokenizer, config.template)
        report = trees(kept, template, max_length=config.max_length, on_too_long="skip")
        say(report)
        kept = [kept[index] for index in dict.fromkeys(tree.group for tree in report.trees)]
    return kept


def _by_text(judge: TextReward, groups: Sequence[Group]) -> Table:
    prompts = [group.prompt for group in groups for _ in group.answers]
    return _rows(judge(prompts, [answer.text for group in groups for answer in group.answers]), groups)


def _rows(flat: Sequence[float], groups: Sequence[Group]) -> Table:
    scores = iter(flat)
    return [[float(next(scores)) for _ in group.answers] for group in groups]


def _by_model(model: ScorerInput | None, groups: Sequence[Group], config: StageConfig) -> Table:
    scorer = as_scorer(model or "", config)
    rows = whole_trees(scorer, groups, config)
    table = scorer.frozen_scores(rows, config.micro_batch_tokens)
    return scores_in(table, rows, groups)


def whole_trees(scorer: Scorer, groups: Sequence[Group], config: StageConfig) -> list[Tree]:
    """A tree for each group, under the reward model's own template. Raises DataError where it cannot read one whole."""
    template = resolve(scorer.tokenizer, config.template)
    report = trees(groups, template, max_length=config.max_length)
    if len(report.trees) != len(groups):
        raise DataError(f"{scorer.source} can read {len(report.trees)} of {len(groups)} prompts; raise max_length")
    return report.trees


def scores_in(table: Mapping[Key, Tensor], rows: Sequence[Tree], groups: Sequence[Group]) -> Table:
    """What the table has of each group's own answers, in their order."""
    return [
        [float(table[tree.group, answer]) for answer in range(len(group.answers))]
        for tree, group in zip(rows, groups, strict=True)
    ]


def answered(
    groups: Sequence[Group], rollouts: Sequence[Rollout], template: Template, *, keep_tokens: bool = True
) -> list[Group]:
    """Groups with the answers that were sampled for them: rollout.prompt is the group's place in `groups`."""
    answers: list[list[Answer]] = [[] for _ in groups]
    for rollout in rollouts:
        answers[rollout.prompt].append(
            Answer(
                text=template.text(rollout.tokens),
                tokens=rollout.tokens if keep_tokens else None,
                logprobs=rollout.logprobs if keep_tokens else None,
                finished=rollout.finished,
            )
        )
    return [replace(group, answers=tuple(own)) for group, own in zip(groups, answers, strict=True)]
