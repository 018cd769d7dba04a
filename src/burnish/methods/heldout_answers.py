"""What a policy that learns from answers of its own says to prompts that it never learns from: `evaluate_on`.

    heldout_kl = mean over prompts of Σ_t KL(π(·|s_t) ‖ reference(·|s_t))     exact: the whole vocabulary at every state

One answer a prompt, from the same seeds each time, at temperature 1 and with nothing cut off: the model as it is.
`heldout_reward` is what the run climbs, by its own `by` and less the penalty for an answer without an end. `judge`
gives each answer a second score, which nothing climbs; where the first rises and the second falls, the policy has
learned to please its reward and nobody else (evaluation/overoptimisation.py), and that is told.

A judge of pairs compares each answer with the one that the incoming model gave, at step 0, to the same prompt:

    heldout_judge = mean of 1 (better), ½ (a tie), 0 (worse)        ½ at step 0, where it is compared with itself

The answers to the first ten prompts go to `samples.jsonl`, a record of kind sample for each evaluation with its step.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from burnish.batch.trees import prompt_trees, tree_of
from burnish.data.convert import record, write_rows
from burnish.errors import ConfigError
from burnish.evaluation.intervals import mean_and_error, wins
from burnish.evaluation.overoptimisation import paired_change, parted
from burnish.methods.inputs import say
from burnish.methods.on_policy_settings import OwnAnswersConfig
from burnish.methods.penalties import taken_off, told_of_lengths
from burnish.methods.rewarding import Rewards
from burnish.models.divergence import answer_kl
from burnish.models.model import Policy
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.identity import rows_hash
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Answer, Group, Rollout, Tree

READ = 10
"""Prompts whose answers are kept, so that one can read how they change."""


class HeldoutAnswers:
    """Measures `policy` on `groups`, of which no more than `evaluate_prompts` are asked, the first ones.

    A checkpoint keeps the evaluation that `judge` liked best, and where that compares pairs the answers of step 0.
    `remedy`: what to do where reward and judge part.
    Raises ConfigError where `rewards` can only compare an answer with others to its prompt, DataError for prompts that
    leave no room for an answer.
    """

    def __init__(
        self,
        policy: Policy,
        reference: Policy,
        rewards: Rewards,
        judge: Rewards | None,
        groups: Sequence[Group],
        config: OwnAnswersConfig,
        *,
        out: Path,
        remedy: str = "raise beta, or stop earlier",
    ) -> None:
        if rewards.of_pairs:
            raise ConfigError(
                f"by: {rewards.of_pairs}: compares answers with each other, and a held-out prompt gets one; let it "
                "score answers (`ask: score`), or leave evaluate_on out"
            )
        if judge is not None and judge.same_as(rewards):
            print(
                "warning: judge: it is the one that gives the reward, so the two cannot part; name another",
                file=sys.stderr,
            )
        self.policy, self.reference = policy, reference
        self.rewards, self.judge = rewards, judge
        self.config = config
        self.remedy = remedy
        self.samples = out / "samples.jsonl"
        self.template = rewards.template
        self.sampling = Sampling(max_new_tokens=config.sampling.max_new_tokens)
        asked = prompt_trees(
            groups[: config.evaluate_prompts],
            self.template,
            max_length=config.max_length,
            room=self.sampling.max_new_tokens,
            on_too_long=config.on_too_long,
        )
        say(asked)
        self.rows = asked.trees
        self.groups = [groups[tree.group] for tree in asked.trees]
        self.engine = LocalEngine(policy)
        self.best: _Evaluated | None = None
        self.first: _First | None = None
        self.count = 0
        """Evaluations so far."""

    @torch.no_grad()
    def __call__(self, step: int) -> Figures:
        """Figures of the policy as it is after `step` steps."""
        rollouts = self.answers()
        rows = [tree_of(r.prompt, [own], group=g) for g, (r, own) in enumerate(zip(self.rows, rollouts, strict=True))]
        score_G, told = self._scores(self.rewards, rows, rollouts)
        taken_G = taken_off(rollouts, self.config).tolist()
        reward_G = [score - taken for score, taken in zip(score_G, taken_G, strict=True)]
        kl, error = self._kl(rows)
        figures = {
            "heldout_reward": _mean(reward_G),
            "heldout_kl": kl,
            "heldout_kl_se": error,
            "heldout_length": _mean([len(own.tokens) for own in rollouts]),
            "heldout_ended": _mean([own.finished for own in rollouts]),
            "heldout_prompts": float(len(rows)),
        }
        told = {**told, **told_of_lengths(rollouts, self.config)}
        figures |= {f"heldout_{name}": value for name, value in told.items()}
        if self.judge is None:
            self._keep(step, rollouts, reward_G, None)
            return figures
        judge_G, told = self._judged(self.judge, rows, rollouts)
        self._keep(step, rollouts, reward_G, judge_G)
        figures |= {"heldout_judge": _mean(judge_G)} | {_of_judge(name): value for name, value in told.items()}
        return figures | {"heldout_parted": float(self._parted(_Evaluated(step, reward_G, judge_G)))}

    def answers(self) -> list[Rollout]:
        """One to each prompt, the same as long as the policy is the same."""
        return self.engine.sample(
            [row.prompt for row in self.rows],
            1,
            self.sampling,
            end_tokens=sorted(self.template.end_tokens),
            seed=derived_seed(self.config.seed, "heldout"),
        )

    def _judged(self, judge: Rewards, rows: Sequence[Tree], rollouts: Sequence[Rollout]) -> tuple[list[float], Figures]:
        """The judge's score of each answer; of a judge of pairs, whether it beats that of step 0."""
        if not judge.of_pairs:
            return self._scores(judge, rows, rollouts)
        token_G = [own.tokens for own in rollouts] if self.first is None else self.first.token_G
        against = [
            replace(group, answers=(Answer(self.template.text(tokens)),))
            for group, tokens in zip(self.groups, token_G, strict=True)
        ]
        score_G, told = self._scores(judge, rows, rollouts, against)
        if self.first is None:
            self.first = _First(token_G, score_G)
        won_G1 = wins([[score] for score in score_G], [[score] for score in self.first.score_G])
        return [won for (won,) in won_G1], told

    def _scores(
        self, by: Rewards, rows: Sequence[Tree], rollouts: Sequence[Rollout], against: Sequence[Group] | None = None
    ) -> tuple[list[float], Figures]:
        table, told = by(rows, self.groups, rollouts, against=against)
        return [table[group, 0].item() for group in range(len(rows))], told

    def _keep(
        self, step: int, rollouts: Sequence[Rollout], reward_G: Sequence[float], judge_G: Sequence[float] | None
    ) -> None:
        """Write the first answers behind those of earlier steps. Later ones are of a run that was cut, and go."""

        def rows() -> Iterator[dict[str, Any]]:
            if self.samples.exists():
                kept = map(json.loads, self.samples.read_text(encoding="utf-8").splitlines())
                yield from (row for row in kept if row["step"] < step)
            for place, (group, own) in enumerate(zip(self.groups[:READ], rollouts, strict=False)):
                answer = Answer(self.template.text(own.tokens), finished=own.finished, score=reward_G[place])
                judged = {} if judge_G is None else {"judge": judge_G[place]}
                yield record(replace(group, answers=(answer,), extra={**group.extra, "step": step, **judged}), "sample")

        self.samples.parent.mkdir(parents=True, exist_ok=True)
        write_rows(rows(), self.samples)

    def _kl(self, rows: Sequence[Tree]) -> tuple[float, float]:
        """In nats an answer, and its standard error; 0 of a single prompt, beside which nothing can vary."""
        with_adapter = self.reference is not self.policy
        table = answer_kl(self.policy, self.reference, rows, self.config.micro_batch_tokens, adapter=with_adapter)
        kl, error = mean_and_error([[table[group, 0]] for group in range(len(rows))])
        return kl, error if len(rows) > 1 else 0.0

    def _parted(self, now: "_Evaluated") -> bool:
        """Whether reward and judge have parted since the evaluation that the judge liked best. Tells it, and remembers
        `now` where the judge likes it better."""
        best = self.best
        apart = False
        if best is not None:
            climbed = paired_change(now.reward_G, best.reward_G, chosen_of=self.count)
            judged = paired_change(now.judge_G, best.judge_G, chosen_of=self.count)
            if apart := parted(climbed, judged):
                print(
                    f"warning: step {now.step}: over-optimised: since step {best.step} the reward rose by "
                    f"{climbed.mean:.3g} ({climbed.low:.3g} to {climbed.high:.3g}) and the judge's score fell by "
                    f"{-judged.mean:.3g} ({-judged.high:.3g} to {-judged.low:.3g}) on the same {judged.prompts} "
                    f"prompts; {self.remedy}",
                    file=sys.stderr,
                )
        if best is None or _mean(now.judge_G) > _mean(best.judge_G):
            self.best = now
        self.count += 1
        return apart

    def identity(self) -> dict[str, str]:
        """What a run that goes on must have again, so that its evaluations can be compared."""
        judge = {} if self.judge is None else {"judge": self.judge.identity()}
        return {"heldout_prompts": rows_hash(self.rows), **judge}

    # ---- what a checkpoint keeps, where there is a judge

    def tensors(self) -> dict[str, Tensor]:
        best = self.best
        if best is None:
            return {}
        kept = {
            "count_and_step": torch.tensor([self.count, best.step]),
            "reward_G": torch.tensor(best.reward_G, dtype=torch.float64),
            "judge_G": torch.tensor(best.judge_G, dtype=torch.float64),
        }
        return kept if self.first is None else kept | self.first.tensors()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.count, step = map(int, tensors["count_and_step"].tolist())
        self.best = _Evaluated(step, tensors["reward_G"].tolist(), tensors["judge_G"].tolist())
        self.first = _First.of(tensors) if "first_score_G" in tensors else None


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """Both scores of each held-out prompt's answer after `step` steps."""

    step: int
    reward_G: Sequence[float]
    judge_G: Sequence[float]


@dataclass(frozen=True, slots=True)
class _First:
    """What a judge of pairs compares with: the answers of step 0, and what these scored."""

    token_G: Sequence[Sequence[int]]
    score_G: Sequence[float]

    def tensors(self) -> dict[str, Tensor]:
        return {
            "first_token_T": torch.tensor([token for tokens in self.token_G for token in tokens], dtype=torch.int64),
            "first_length_G": torch.tensor([len(tokens) for tokens in self.token_G]),
            "first_score_G": torch.tensor(self.score_G, dtype=torch.float64),
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "_First":
        token_G = tensors["first_token_T"].split(tensors["first_length_G"].tolist())
        return cls([token_T.tolist() for token_T in token_G], tensors["first_score_G"].tolist())


def _mean(value_G: Sequence[float]) -> float:
    return mean_and_error([[value] for value in value_G])[0]


def _of_judge(name: str) -> str:
    """`reward/fluent` of a list of judges is heldout_judge/fluent; `unreadable` is heldout_judge_unreadable."""
    return f"heldout_judge{name.removeprefix('reward')}" if name.startswith("reward") else f"heldout_judge_{name}"
