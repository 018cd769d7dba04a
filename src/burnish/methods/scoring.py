"""Scores for answers, whoever gives them: a reward model reads tokens, every other judge reads text."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from burnish.batch.trees import trees
from burnish.data.templates import Template, resolve
from burnish.errors import DataError
from burnish.methods.inputs import as_scorer
from burnish.models.model import Scorer
from burnish.rewards.by import text_reward
from burnish.training.config import StageConfig
from burnish.types import Answer, Group, Prompt, Rollout

TextReward = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]
By = str | Path | Scorer | TextReward | Sequence[Any]


def score_groups(by: By, groups: Sequence[Group], config: StageConfig) -> list[list[float]]:
    """A score for every answer of every group, in their order.

    A reward model scores the very tokens that were sampled where its tokenizer is theirs. Raises DataError for a group
    that it cannot read whole.
    """
    if isinstance(by, Scorer):
        return _by_model(by, groups, config)
    if isinstance(by, str | Path) and (Path(by) / "config.json").exists():
        return _by_model(as_scorer(by, config), groups, config)
    judge = by if callable(by) else text_reward(by)
    prompts = [group.prompt for group in groups for _ in group.answers]
    scores = iter(judge(prompts, [answer.text for group in groups for answer in group.answers]))
    return [[float(next(scores)) for _ in group.answers] for group in groups]


def _by_model(scorer: Scorer, groups: Sequence[Group], config: StageConfig) -> list[list[float]]:
    template = resolve(scorer.tokenizer, config.template)
    report = trees(groups, template, max_length=config.max_length)
    if len(report.trees) != len(groups):
        raise DataError(f"{scorer.source} can read {len(report.trees)} of {len(groups)} prompts; raise max_length")
    table = scorer.frozen_scores(report.trees, config.micro_batch_tokens)
    return [
        [float(table[tree.group, answer]) for answer in range(len(group.answers))]
        for tree, group in zip(report.trees, groups, strict=True)
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
