"""What PPO climbs: the score of sampled answers by whoever `by` names, loaded once for a whole run.

    score = Σ_p w_p · s_p        s_p of an ensemble: mean_m s_m - c · deviation_m s_m

Over the parts p of `by`. A reward model that has the policy's tokens reads the very tokens that were sampled; one with
other tokens reads the answer's text through its own template; functions, addresses and judges with a rubric read text.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from burnish.batch.pack import Key
from burnish.data.templates import Template
from burnish.errors import ConfigError
from burnish.methods.ensemble import members
from burnish.methods.inputs import ScorerInput, as_scorer, placement
from burnish.methods.scoring import By, Judge, answered, judges, mean, reward_models, scores_by, whole_trees
from burnish.models.load import load_scorer
from burnish.models.model import Policy, Scorer
from burnish.models.one_base import INSTEAD, adapter_folder, clear, critic_on, scorer_on
from burnish.models.padding import same_tokens
from burnish.rewards.chat import Chat
from burnish.rewards.language_model import LanguageModel
from burnish.rewards.rubric import RubricJudge
from burnish.training.config import MethodConfig, StageConfig
from burnish.training.identity import weights_hash
from burnish.training.metrics import Figures
from burnish.types import Group, Rollout, Tree


class Rewards:
    """Scores answers that `policy` sampled, `samples` a prompt where that is known here.

    With `one_base` reward models and critic are adapters on the policy's weights. Raises ConfigError for a `by` that is
    nobody or cannot score an answer, or lies on other weights.
    """

    def __init__(
        self,
        by: By,
        policy: Policy,
        template: Template,
        config: MethodConfig,
        *,
        samples: int | None = None,
        one_base: bool = False,
    ) -> None:
        self._policy = policy
        self.template = template
        self._config = config
        self._one_base = one_base
        self._identity: str | None = None
        if one_base:
            clear(policy)  # of what a run that failed has left
        self._judges = [judge.loaded(self._load) for judge in judges(by, config)]
        if samples is not None and samples < 2 and self.of_pairs:
            raise ConfigError(f"by: {self.of_pairs}: compares an answer with others: set samples to 2 at least")

    def _load(self, model: ScorerInput) -> Scorer:
        return scorer_on(self._policy, _named(model)) if self._one_base else as_scorer(model, self._config)

    # ---- what a run needs beside scores

    @property
    def judges(self) -> Sequence[Judge]:
        """All of these, with their models loaded."""
        return self._judges

    @property
    def of_pairs(self) -> str:
        """Who of these only compares an answer with others to its prompt, by name; empty where nobody does."""
        return next((judge.part.name for judge in self._judges if judge.of_pairs), "")

    @property
    def readers(self) -> list[Scorer]:
        """The reward models that read the policy's own tokens, those of the largest weight first."""
        by_weight = sorted(self._judges, key=lambda judge: -judge.part.weight)
        scorers = [as_scorer(model, self._config) for judge in by_weight for model in judge.models]
        return [scorer for scorer in scorers if self._reads_tokens(scorer)]

    def _reads_tokens(self, scorer: Scorer) -> bool:
        return same_tokens(self._policy.tokenizer, scorer.tokenizer)

    def critic(self) -> Scorer:
        """What learns to predict the score: a copy of the reward model of the largest weight that has the policy's
        tokens; without one, the policy that came in, with a head that says 0. On one base it is an adapter alike.

        Raises ConfigError where there is neither.
        """
        if self._one_base:
            return critic_on(self._policy, next(iter(self.readers), None))
        if self.readers:
            return deepcopy(self.readers[0])
        if not self._policy.source:
            raise ConfigError(
                "by: no reward model with the policy's tokens is among these, so the critic starts as the policy, and "
                "that has no folder to be loaded from; give the policy as a folder"
            )
        critic = load_scorer(self._policy.source, placement(self._config), fresh_head=True)
        torch.nn.init.zeros_(critic.head.weight)
        return critic

    def identity(self) -> str:
        """Names who scores, by the hashes of weights, which nothing changes; they are taken once."""
        if self._identity is None:
            self._identity = names_of(self._judges, self._config)
        return self._identity

    def same_as(self, other: "Rewards") -> bool:
        """Do both ask the same? A reward model on one base has weights of other names than alone, but one folder."""
        return self.identity() == other.identity() or (self._folders() == other._folders() != [])

    def _folders(self) -> list[tuple[float, float, list[str]]]:
        """What is asked, where reward models are all that is asked and each is known by its folder."""
        asked = [
            (
                judge.part.weight,
                judge.part.uncertainty_penalty,
                [as_scorer(m, self._config).source for m in judge.models],
            )
            for judge in self._judges
        ]
        return asked if all(sources and all(sources) for *_, sources in asked) else []

    # ---- scores

    @torch.no_grad()
    def __call__(
        self,
        rows: Sequence[Tree],
        asked: Sequence[Group],
        rollouts: Sequence[Rollout],
        *,
        against: Sequence[Group] | None = None,
    ) -> tuple[dict[Key, Tensor], Figures]:
        """The score of each answer, (1,) in float64, by the keys of `rows`; and figures, of the parts one by one.

        `rows`: a tree for each group of `asked`, with its answers as branches in the order of `rollouts`. A judge of
        pairs compares these with each other, or each with the one of the same number in `against`, see `scores_by`.
        Raises DataError, Unreachable where somebody gives no finite number for every answer.
        """
        groups = answered(asked, rollouts, self.template)

        def read(scorer: Scorer) -> Sequence[Tree]:
            return (
                rows if self._reads_tokens(scorer) else whole_trees(scorer, [_as_text(g) for g in groups], self._config)
            )

        given = scores_by(self._judges, groups, self._config, against=against, read=read)
        scores = {
            (tree.group, branch.answer): torch.tensor([score], dtype=torch.float64)
            for tree, row in zip(rows, given.total, strict=True)
            for branch, score in zip(tree.branches, row, strict=True)
        }
        apart = {
            f"reward_deviation/{name}" if given.parts else "reward_deviation": mean(table)
            for name, table in given.deviations.items()
        }
        told = {name: value for name, value in given.reliability().items() if not math.isnan(value)}
        return scores, given.means("reward") | apart | told


def lie_on_one_base(by: By) -> None:
    """Raise ConfigError where a reward model of `by` cannot be an adapter on the policy's weights, as far as its folder
    tells. Nothing is loaded."""
    for model in reward_models(by):
        folders: Sequence[str | Path] = members(model) or [_named(model)]
        for folder in folders:
            adapter_folder(folder)


def _named(model: ScorerInput) -> str | Path:
    if isinstance(model, Scorer):
        raise ConfigError(f"by: {model.source}: is loaded, with weights of its own. {INSTEAD}")
    return model


def _as_text(group: Group) -> Group:
    """Another tokenizer may have these ids for the same text too, yet would never write it so."""
    return replace(group, answers=tuple(replace(answer, tokens=None, logprobs=None) for answer in group.answers))


def names_of(asked: Sequence[Judge], config: StageConfig) -> str:
    """Names whoever scores: other weights, another name."""
    return "; ".join(f"{_weighing(judge)}{_who(judge, config)}" for judge in asked)


def by_weights(asked: Sequence[Judge]) -> bool:
    """Whether `names_of` is by weights alone; a function or an address may score otherwise and keep its name."""
    return all(judge.models for judge in asked)


def _weighing(judge: Judge) -> str:
    weight, penalty = judge.part.weight, judge.part.uncertainty_penalty
    return (f"{weight:g} × " if weight != 1 else "") + (f"less {penalty:g} deviations of " if penalty else "")


def _who(judge: Judge, config: StageConfig) -> str:
    if judge.models:
        return ", ".join(weights_hash(as_scorer(model, config)) for model in judge.models)
    if isinstance(judge.text, RubricJudge):
        asked = judge.text.asked
        model = judge.part.name
        if isinstance(asked, LanguageModel):
            model = weights_hash(asked.policy)
        elif isinstance(asked, Chat) and asked.model:
            model = f"{asked.model}@{asked.name}"
        return f"{model} by {judge.text.criteria}"
    return judge.part.name
