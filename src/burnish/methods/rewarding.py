"""What PPO climbs: the score of sampled answers by whoever `by` names, loaded once for a whole run.

    score = Σ_p w_p · s_p        s_p of an ensemble: mean_m s_m - c · deviation_m s_m

Over the parts p of `by`. A reward model that has the policy's tokens reads the very tokens that were sampled; one with
other tokens reads the answer's text through its own template; functions, addresses and judges with a rubric read text.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from burnish.batch.pack import Key
from burnish.data.templates import Template
from burnish.errors import ConfigError
from burnish.methods.ensemble import deviation_of, lower_bound, members
from burnish.methods.inputs import as_scorer, placement
from burnish.methods.scoring import (
    By,
    answered,
    by_text,
    refuse_penalty_of_one,
    rubric_judge,
    scores_in,
    whole_trees,
)
from burnish.models.load import load_scorer
from burnish.models.model import Policy, Scorer
from burnish.models.padding import same_tokens
from burnish.rewards.by import Part, parts, weighted
from burnish.rewards.language_model import LanguageModel
from burnish.rewards.rubric import RubricJudge, Table
from burnish.rewards.scores import TextReward
from burnish.training.config import MethodConfig
from burnish.training.identity import weights_hash
from burnish.training.metrics import Figures
from burnish.types import Group, Rollout, Tree


@dataclass(frozen=True, slots=True)
class _Judge:
    """A part that is ready to be asked: reward models, several of an ensemble, or a function of text."""

    part: Part
    scorers: tuple[Scorer, ...] = ()
    text: TextReward | None = None


class Rewards:
    """Scores answers that `policy` sampled. Raises ConfigError for a `by` that is nobody or cannot score an answer."""

    def __init__(self, by: By, policy: Policy, template: Template, config: MethodConfig, *, samples: int) -> None:
        self._policy = policy
        self._template = template
        self._config = config
        self._samples = samples
        if isinstance(by, Scorer):
            self._judges = [_Judge(Part(by.source), (by,))]
        else:
            self._judges = [self._loaded(part) for part in parts(by)]

    def _loaded(self, part: Part) -> _Judge:
        judge = rubric_judge(part, self._config)
        if judge is not None and judge.criteria.ask == "pairs" and self._samples < 2:
            raise ConfigError(f"by: {part.name}: compares an answer with others: set samples to 2 at least")
        if text := judge or part.judge:
            return _Judge(part, text=text)
        if found := members(part.model):
            return _Judge(part, tuple(as_scorer(one, self._config) for one in found))
        refuse_penalty_of_one(part.model, part.uncertainty_penalty)
        return _Judge(part, (as_scorer(part.model or "", self._config),))

    # ---- what a run needs beside scores

    @property
    def readers(self) -> list[Scorer]:
        """The reward models that read the policy's own tokens, those of the largest weight first."""
        by_weight = sorted(self._judges, key=lambda judge: -judge.part.weight)
        return [scorer for judge in by_weight for scorer in judge.scorers if self._reads_tokens(scorer)]

    def _reads_tokens(self, scorer: Scorer) -> bool:
        return same_tokens(self._policy.tokenizer, scorer.tokenizer)

    def critic(self) -> Scorer:
        """What learns to predict the score: a copy of the reward model of the largest weight that has the policy's
        tokens; without one, the policy that came in, with a head that says 0.

        Raises ConfigError where there is neither.
        """
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
        """Names whoever scores: other weights, another name."""
        return "; ".join(f"{_weighing(judge)}{_who(judge)}" for judge in self._judges)

    # ---- scores

    @torch.no_grad()
    def __call__(
        self, rows: Sequence[Tree], asked: Sequence[Group], rollouts: Sequence[Rollout]
    ) -> tuple[dict[Key, Tensor], Figures]:
        """The score of each answer, (1,) in float64, by the keys of `rows`; and figures, of the parts one by one.

        `rows`: a tree for each group of `asked`, with its answers as branches in the order of `rollouts`. Raises
        DataError, Unreachable where somebody gives no finite number for every answer.
        """
        groups = answered(asked, rollouts, self._template)
        given: list[tuple[Part, Table]] = []
        figures: Figures = {}
        for judge in self._judges:
            if judge.scorers:
                tables = [self._by_model(scorer, rows, groups) for scorer in judge.scorers]
                table = lower_bound(tables, judge.part.uncertainty_penalty) if len(tables) > 1 else tables[0]
                if len(tables) > 1:
                    name = "reward_deviation" if len(self._judges) == 1 else f"reward_deviation/{judge.part.name}"
                    figures[name] = _mean(deviation_of(tables))
            else:
                table = self._by_text(judge, groups)
            given.append((judge.part, table))
        if len(given) > 1:
            figures |= {f"reward/{part.name}": _mean(table) for part, table in given}
        total = iter(weighted([(part.weight, [s for row in table for s in row]) for part, table in given]))
        scores = {
            (tree.group, branch.answer): torch.tensor([next(total)], dtype=torch.float64)
            for tree in rows
            for branch in tree.branches
        }
        return scores, figures

    def _by_model(self, scorer: Scorer, rows: Sequence[Tree], groups: Sequence[Group]) -> Table:
        read = rows if self._reads_tokens(scorer) else whole_trees(scorer, list(map(_as_text, groups)), self._config)
        table = scorer.frozen_scores(read, self._config.micro_batch_tokens)
        return scores_in(table, read, groups)

    @staticmethod
    def _by_text(judge: _Judge, groups: Sequence[Group]) -> Table:
        if isinstance(judge.text, RubricJudge) and judge.text.criteria.ask == "pairs":
            return judge.text.standings(groups)[0]
        return by_text(judge.text, groups) if judge.text is not None else []


def _as_text(group: Group) -> Group:
    return replace(group, answers=tuple(replace(answer, tokens=None, logprobs=None) for answer in group.answers))


def _mean(table: Table) -> float:
    flat = [score for row in table for score in row]
    return sum(flat) / len(flat)


def _weighing(judge: _Judge) -> str:
    weight, penalty = judge.part.weight, judge.part.uncertainty_penalty
    return (f"{weight:g} × " if weight != 1 else "") + (f"less {penalty:g} deviations of " if penalty else "")


def _who(judge: _Judge) -> str:
    if judge.scorers:
        return ", ".join(weights_hash(scorer) for scorer in judge.scorers)
    if isinstance(judge.text, RubricJudge):
        asked = judge.text.asked
        model = weights_hash(asked.policy) if isinstance(asked, LanguageModel) else judge.part.name
        return f"{model} by {judge.text.criteria}"
    return judge.part.name
