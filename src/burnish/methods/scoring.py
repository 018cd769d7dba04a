"""Scores for answers, whoever gives them: a reward model reads tokens, every other judge reads text.

A judge that compares pairs has no score for an answer alone. It scores answers against each other, or against those of
another model where these are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from burnish.batch.pack import Key
from burnish.batch.trees import trees
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.ensemble import lower_bound, members
from burnish.methods.inputs import ScorerInput, as_policy, as_scorer, say
from burnish.models.model import Scorer
from burnish.rewards.by import Part, parts, weighted
from burnish.rewards.language_model import LanguageModel
from burnish.rewards.rubric import RubricJudge, Table
from burnish.rewards.scores import TextReward
from burnish.training.config import StageConfig
from burnish.types import Answer, Group, Rollout, Tree

By = str | Path | Scorer | TextReward | Sequence[Any]


@dataclass(frozen=True, slots=True)
class Scores:
    """`total`: what counts. `parts`: what each of several judges gave, by its name and without its weight.

    `consistency`: of each judge that compared pairs, how often both orders of a pair named the same answer; NaN where
    it was asked about none.
    """

    total: Table
    parts: Mapping[str, Table]
    consistency: Mapping[str, float] = field(default_factory=dict)

    def of(self, place: int) -> dict[str, Any]:
        """What each part gave the answers of the group at `place`, for its record; nothing where one judges alone."""
        return {"scores_by_part": {name: rows[place] for name, rows in self.parts.items()}} if self.parts else {}

    def means(self) -> dict[str, float]:
        """The mean score of each part over all answers, as a figure."""
        flat = {name: [score for row in rows for score in row] for name, rows in self.parts.items()}
        return {f"score_mean/{name}": sum(scores) / len(scores) for name, scores in flat.items()}

    def agreed(self) -> dict[str, float]:
        """`consistency` as figures, by part where there are several."""
        return {f"consistency/{name}" if self.parts else "consistency": v for name, v in self.consistency.items()}


def score_groups(
    by: By, groups: Sequence[Group], config: StageConfig, *, against: Sequence[Group] | None = None
) -> Scores:
    """A score for every answer of every group, in their order: the weighted sum where `by` is a list.

    A reward model scores the very tokens that were sampled. A judge of pairs compares the answers of a group with each
    other, or each with the answer of the same number in `against`. Raises DataError for a group that cannot be read
    whole, ConfigError for a `by` that is nobody.
    """
    if isinstance(by, Scorer):
        return Scores(_by_model(by, groups, config), {})
    judges = parts(by)
    given: dict[str, Table] = {}
    consistency: dict[str, float] = {}
    for part in judges:
        judge = rubric_judge(part, config)
        if judge is not None and judge.criteria.ask == "pairs":
            found = judge.standings(groups) if against is None else judge.against(groups, against)
            given[part.name], consistency[part.name] = found
        elif text := judge or part.judge:
            given[part.name] = by_text(text, groups)
        else:
            given[part.name] = _by_model(part.model, groups, config, part.uncertainty_penalty)
    flat = weighted([(p.weight, [score for row in given[p.name] for score in row]) for p in judges])
    return Scores(_rows(flat, groups), given if len(judges) > 1 else {}, consistency)


def rubric_judge(part: Part, config: StageConfig) -> RubricJudge | None:
    """The language model of this part, loaded where it is a local one; None where it is another kind of judge."""
    if isinstance(part.judge, RubricJudge):
        return part.judge
    if part.criteria is None or part.model is None:
        return None
    policy = as_policy(part.model, config, trained=False)
    return RubricJudge(LanguageModel(policy, part.template, config.micro_batch_tokens), part.criteria)


def readable(by: By, groups: Sequence[Group], config: StageConfig) -> list[Group]:
    """The groups that every reward model of `by` can read whole: all, unless `on_too_long` is skip."""
    if config.on_too_long != "skip":
        return list(groups)
    models = (
        [by]
        if isinstance(by, Scorer)
        else [part.model for part in parts(by) if part.model is not None and part.criteria is None]
    )
    kept = list(groups)
    for model in models:
        one = next(iter(members(model)), model)  # members have one tokenizer
        template = resolve(as_scorer(one, config).tokenizer, config.template)
        report = trees(kept, template, max_length=config.max_length, on_too_long="skip")
        say(report)
        kept = [kept[index] for index in dict.fromkeys(tree.group for tree in report.trees)]
    return kept


def by_text(judge: TextReward, groups: Sequence[Group]) -> Table:
    prompts = [group.prompt for group in groups for _ in group.answers]
    return _rows(judge(prompts, [answer.text for group in groups for answer in group.answers]), groups)


def _rows(flat: Sequence[float], groups: Sequence[Group]) -> Table:
    scores = iter(flat)
    return [[float(next(scores)) for _ in group.answers] for group in groups]


def _by_model(
    model: ScorerInput | None, groups: Sequence[Group], config: StageConfig, uncertainty_penalty: float = 0.0
) -> Table:
    if found := members(model):
        # one at a time: an ensemble takes the memory of one member
        return lower_bound([_by_model(one, groups, config) for one in found], uncertainty_penalty)
    refuse_penalty_of_one(model, uncertainty_penalty)
    scorer = as_scorer(model or "", config)
    rows = whole_trees(scorer, groups, config)
    table = scorer.frozen_scores(rows, config.micro_batch_tokens)
    return scores_in(table, rows, groups)


def refuse_penalty_of_one(model: ScorerInput | None, uncertainty_penalty: float) -> None:
    """Raise ConfigError where one reward model is to be lowered by what several differ in."""
    if uncertainty_penalty:
        raise ConfigError(
            f"by: {model}: uncertainty_penalty is of an ensemble of reward models, and this is one model; train "
            "several with `members: 4`"
        )


def whole_trees(scorer: Scorer, groups: Sequence[Group], config: StageConfig) -> list[Tree]:
    """A tree for each group, under the reward model's own template. Raises DataError where it cannot read one whole."""
    template = resolve(scorer.tokenizer, config.template)
    report = trees([_in_tokens_of(template, group) for group in groups], template, max_length=config.max_length)
    if len(report.trees) != len(groups):
        raise DataError(f"{scorer.source} can read {len(report.trees)} of {len(groups)} prompts; raise max_length")
    return report.trees


def _in_tokens_of(template: Template, group: Group) -> Group:
    """`group` without the tokens of answers that say something else in this vocabulary: another model sampled them."""
    if all(answer.tokens is None for answer in group.answers):
        return group
    return replace(
        group,
        answers=tuple(
            answer
            if answer.tokens is None or template.text(answer.tokens) == answer.text
            else replace(answer, tokens=None, logprobs=None)
            for answer in group.answers
        ),
    )


def scores_in(table: Mapping[Key, Tensor], rows: Sequence[Tree], groups: Sequence[Group]) -> Table:
    """What the table has of each group's own answers, in their order."""
    return [
        [float(table[tree.group, answer]) for answer in range(len(group.answers))]
        for tree, group in zip(rows, groups, strict=True)
    ]


def answered(groups: Sequence[Group], rollouts: Sequence[Rollout], template: Template) -> list[Group]:
    """Groups with the answers that were sampled for them: rollout.prompt is the group's place in `groups`."""
    answers: list[list[Answer]] = [[] for _ in groups]
    for rollout in rollouts:
        answers[rollout.prompt].append(
            Answer(
                text=template.text(rollout.tokens),
                tokens=rollout.tokens,
                logprobs=rollout.logprobs,
                finished=rollout.finished,
            )
        )
    return [replace(group, answers=tuple(own)) for group, own in zip(groups, answers, strict=True)]
