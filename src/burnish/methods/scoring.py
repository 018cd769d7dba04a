"""Scores for answers, whoever gives them: a reward model reads tokens, every other judge reads text.

A judge that compares pairs has no score for an answer alone. It scores answers against each other, or against those of
another model where these are named.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from burnish.batch.pack import Key
from burnish.batch.trees import trees
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.ensemble import deviation_of, lower_bound, members
from burnish.methods.inputs import ScorerInput, as_policy, as_scorer, say
from burnish.models.model import Scorer
from burnish.rewards.by import Part, parts, weighted
from burnish.rewards.language_model import LanguageModel
from burnish.rewards.rubric import Judged, RubricJudge
from burnish.rewards.scores import Table, TextReward
from burnish.rollout.settings import Sampling
from burnish.training.config import StageConfig
from burnish.types import Answer, Group, Rollout, Tree

By = str | Path | Scorer | TextReward | Sequence[Any]


@dataclass(frozen=True, slots=True)
class Scores:
    """`total`: what counts. `parts`: what each of several judges gave, by its name and without its weight.

    `judged`: what each language model with a rubric said, besides its scores. `deviations`: of each ensemble, how far
    its members lie apart about every answer.
    """

    total: Table
    parts: Mapping[str, Table]
    judged: Mapping[str, Judged] = field(default_factory=dict)
    deviations: Mapping[str, Table] = field(default_factory=dict)

    def of(self, place: int) -> dict[str, Any]:
        """For the record of the group at `place`: what each of several parts gave its answers; and of how many
        questions about each of these a judge's reply could not be read, where there are any."""
        told = {"scores_by_part": {name: rows[place] for name, rows in self.parts.items()}} if self.parts else {}
        undecided = [sum(of) for of in zip(*(one.undecided[place] for one in self.judged.values()), strict=True)]
        return told | ({"undecided": undecided} if any(undecided) else {})

    def means(self, figure: str = "score_mean") -> dict[str, float]:
        """The mean score of each part over all answers, as a figure."""
        return {f"{figure}/{name}": mean(rows) for name, rows in self.parts.items()}

    def reliability(self) -> dict[str, float]:
        """Of each language model with a rubric, as figures, by part where there are several: `unreadable`, the share of
        its questions without a reply that can be read, and where it compares pairs its `consistency`, how often both
        orders of one named the same answer. NaN where it was asked nothing."""
        figures: dict[str, float] = {}
        for name, one in self.judged.items():
            own = f"/{name}" if self.parts else ""
            if one.consistency is not None:
                figures[f"consistency{own}"] = one.consistency
            figures[f"unreadable{own}"] = one.unreadable
        return figures


@dataclass(frozen=True, slots=True)
class Judge:
    """A part that can be asked: reward models (several are an ensemble), or a function of text.

    A model that is named by its folder is loaded when it is asked and then let go, so that an ensemble takes the memory
    of one member; who asks again and again loads it once (`loaded_judges`).
    """

    part: Part
    models: tuple[ScorerInput, ...] = ()
    text: TextReward | None = None

    @property
    def of_pairs(self) -> RubricJudge | None:
        """Itself where it compares answers and knows no score of one alone."""
        return self.text if isinstance(self.text, RubricJudge) and self.text.criteria.ask == "pairs" else None

    def loaded(self, load: Callable[[ScorerInput], Scorer]) -> "Judge":
        return replace(self, models=tuple(map(load, self.models)))


def judges(by: By, config: StageConfig) -> list[Judge]:
    """Everyone behind `by`, one alone or the parts of a list. Raises ConfigError for a `by` that is nobody."""
    if isinstance(by, Scorer):
        return [Judge(Part(by.source), (by,))]
    return [_judge(part, config) for part in parts(by)]


def loaded_judges(by: By, config: StageConfig) -> list[Judge]:
    """The same with their reward models in memory, for whoever asks them more than once."""
    return [judge.loaded(lambda model: as_scorer(model, config)) for judge in judges(by, config)]


def _judge(part: Part, config: StageConfig) -> Judge:
    if part.judge is not None:
        return Judge(part, text=part.judge)
    if part.criteria is not None and part.model is not None:
        policy = as_policy(part.model, config, trained=False)
        asked = LanguageModel(policy, part.template, config.micro_batch_tokens)
        return Judge(part, text=RubricJudge(asked, part.criteria))
    if found := members(part.model):
        return Judge(part, tuple(found))
    if part.uncertainty_penalty:
        raise ConfigError(
            f"by: {part.model}: uncertainty_penalty is of an ensemble of reward models, and this is one model; train "
            "several with `members: 4`"
        )
    return Judge(part, (part.model or "",))


def score_groups(
    by: By, groups: Sequence[Group], config: StageConfig, *, against: Sequence[Group] | None = None
) -> Scores:
    """A score for every answer of every group, in their order, by whoever `by` names: see `scores_by`."""
    return scores_by(judges(by, config), groups, config, against=against)


def scores_by(
    asked: Sequence[Judge],
    groups: Sequence[Group],
    config: StageConfig,
    *,
    against: Sequence[Group] | None = None,
    read: Callable[[Scorer], Sequence[Tree]] | None = None,
) -> Scores:
    """A score for every answer of every group, in their order: the weighted sum where several are `asked`.

    A reward model scores the very tokens that were sampled, where they are its own; `read` gives the trees that one is
    to read, a tree a group, and without it `whole_trees` does. A judge of pairs compares the answers of a group with
    each other, or each with the answer of the same number in `against`. Raises DataError for a group that cannot be
    read whole, and where somebody gives no finite number.
    """
    given: dict[str, Table] = {}
    judged: dict[str, Judged] = {}
    deviations: dict[str, Table] = {}
    for judge in asked:
        name = judge.part.name
        if judge.models:
            tables = [_by_model(as_scorer(model, config), groups, config, read) for model in judge.models]
            given[name] = tables[0] if len(tables) == 1 else lower_bound(tables, judge.part.uncertainty_penalty)
            if len(tables) > 1:
                deviations[name] = deviation_of(tables)
        elif isinstance(judge.text, RubricJudge):
            judged[name] = judge.text.judged(groups, against)
            given[name] = judged[name].table
        elif judge.text is not None:
            given[name] = _by_text(judge.text, groups)
    flat = weighted([(j.part.weight, [score for row in given[j.part.name] for score in row]) for j in asked])
    return Scores(_rows(flat, groups), given if len(asked) > 1 else {}, judged, deviations)


def readable(by: By, groups: Sequence[Group], config: StageConfig) -> list[Group]:
    """The groups that every reward model of `by` can read whole: all, unless `on_too_long` is skip."""
    if config.on_too_long != "skip":
        return list(groups)
    kept = list(groups)
    for model in reward_models(by):
        one = next(iter(members(model)), model)  # members have one tokenizer
        template = resolve(as_scorer(one, config).tokenizer, config.template)
        report = trees(kept, template, max_length=config.max_length, on_too_long="skip")
        say(report)
        kept = [kept[index] for index in dict.fromkeys(tree.group for tree in report.trees)]
    return kept


def reward_models(by: By) -> list[ScorerInput]:
    """The reward models of `by`, as they are named: an ensemble is one of them. Nothing is loaded."""
    if isinstance(by, Scorer):
        return [by]
    return [part.model for part in parts(by) if part.model is not None and part.criteria is None]


def mean(table: Table) -> float:
    """Over all answers of all groups."""
    return statistics.fmean(score for row in table for score in row)


def _by_text(judge: TextReward, groups: Sequence[Group]) -> Table:
    prompts = [group.prompt for group in groups for _ in group.answers]
    return _rows(judge(prompts, [answer.text for group in groups for answer in group.answers]), groups)


def _rows(flat: Sequence[float], groups: Sequence[Group]) -> Table:
    scores = iter(flat)
    return [[float(next(scores)) for _ in group.answers] for group in groups]


def _by_model(
    scorer: Scorer,
    groups: Sequence[Group],
    config: StageConfig,
    read: Callable[[Scorer], Sequence[Tree]] | None,
) -> Table:
    rows = whole_trees(scorer, groups, config) if read is None else read(scorer)
    return scores_in(scorer.frozen_scores(rows, config.micro_batch_tokens), rows, groups)


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


def as_written(answer: Answer, sampling: Sampling) -> Answer:
    """A sampled answer as a record has it: its text ends before a stop string, its tokens are all that were drawn, and
    their log-probabilities have six digits."""
    logprobs = None if answer.logprobs is None else tuple(round(value, 6) for value in answer.logprobs)
    return replace(answer, text=sampling.before_stop(answer.text), logprobs=logprobs)


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
