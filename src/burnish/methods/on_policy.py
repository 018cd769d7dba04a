"""What all methods share that learn from answers of their own: one step is an iteration.

    sample → score → log-probabilities under π_old and the reference → advantages → passes of clipped steps

`batch_size` prompts × `samples` answers are drawn and scored. A token's reward is -β·(log π_old - log π_reference), and
the score on top at the last. What differs is handed in: how advantages come from rewards, and what learns beside the
policy. PPO brings a critic for both.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch, pack
from burnish.batch.trees import prompt_trees, tree_of
from burnish.data.templates import resolve
from burnish.methods.checks import check_before_step_one, check_ratio, check_sampler, check_starts_at_reference
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.rewarding import Rewards
from burnish.methods.scoring import By
from burnish.models.model import Policy
from burnish.objectives import kl
from burnish.objectives import policy as surrogate
from burnish.objectives.ratio import farthest_from_1, ratio
from burnish.rollout.gap import sampler_gap
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.config import MethodConfig
from burnish.training.identity import identity
from burnish.training.loop import Loss, StepLoss, Update, train
from burnish.training.metrics import Figures
from burnish.training.order import Order, derived_seed
from burnish.types import Rollout, Tree


class OnPolicyConfig(MethodConfig):
    learning_rate: float = Field(1e-6, gt=0, description="peak of the learning rate of the policy")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "constant", description="course of the rate after warm-up"
    )
    batch_size: int = Field(8, ge=1, description="prompts an iteration")
    samples: int = Field(4, ge=1, description="answers a prompt")
    beta: float = Field(0.3, ge=0, description="price of a nat of KL to the reference, in score deviations")
    inner_epochs: int = Field(2, ge=1, description="passes over an iteration's answers")
    minibatches: int = Field(1, ge=1, description="parts of a pass, each an optimiser step")
    clip_ratio: float = Field(0.2, gt=0, description="how far the probability ratio is followed")
    unfinished_penalty: float = Field(1.0, ge=0, description="taken from the score of an answer without an end")
    sampling: Sampling = Field(default_factory=Sampling, description="temperature and lengths of the answers")


@dataclass(frozen=True)
class Answers:
    """An iteration's answers and what they got, before anyone says how much better than expected that was."""

    trees: list[Tree]
    batch: TreeBatch
    """All of them; `reward_L` and `score_N` lie in its order."""
    score_N: Tensor
    reward_L: Tensor
    old: dict[Key, Tensor]
    reference: dict[Key, Tensor]
    figures: Figures


Estimate = Callable[[Answers], Tensor]
"""How much better each token did than was expected there, (L,)."""


class Beside(Protocol):
    """What learns beside the policy, from the same minibatches."""

    update: Update

    def learn(self, rows: Sequence[Tree], *, step: int, steps: int) -> Figures: ...


class OnPolicy:
    """The models of a run: policy, reference, and whoever gives rewards.

    `reference` is the incoming model unless another is named. Raises ConfigError where nobody is behind `by`, DataError
    for prompts that leave no room for an answer.
    """

    def __init__(
        self,
        model: PolicyInput,
        prompts: DataInput,
        config: OnPolicyConfig,
        *,
        by: By,
        out: Path,
        reference: PolicyInput | None = None,
    ) -> None:
        config.sampling.for_training()
        self.config = config
        self.out = out
        self.groups = as_groups(prompts, "prompt", config, out)
        self.policy = as_policy(model, config)
        self.template = resolve(self.policy.tokenizer, config.template)
        self.rewards = Rewards(by, self.policy, self.template, config, samples=config.samples)
        self.reference = _reference(self.policy, reference, config)
        self.named = reference is not None
        self.update = Update(self.policy, config)
        self.engine = LocalEngine(self.policy)
        self.ends = sorted(self.template.end_tokens)
        self.read: dict[str, Any] = {
            "temperature": config.sampling.temperature,
            "min_new_tokens": config.sampling.min_new_tokens,
            "end_tokens": self.ends,
        }
        asked = prompt_trees(
            self.groups,
            self.template,
            max_length=config.max_length,
            room=config.sampling.max_new_tokens,
            on_too_long=config.on_too_long,
        )
        say(asked)
        self.rows = asked.trees

    def train(self, advantages: Estimate, *, beside: Beside | None = None) -> Figures:
        """Iterate, write `out/model`, and return the last iteration's figures.

        Raises ConfigError where a check before step one fails; DataError, Unreachable where a judge gives no score.
        """
        plan = Order.of(len(self.rows), self.config)
        named = {"reference": self.reference} if self.named else {}
        known = identity(self.config, self.rows, model=self.policy, **named) | {"reward": self.rewards.identity()}

        def iteration(i: int) -> Figures:
            answers = self.answers(plan.take(self.rows, i), i)
            if i == 0:
                self.check_before_step_one(answers)
            advantage = answers.batch.scatter(advantages(answers))
            return self.learn(answers, advantage, beside, i, plan.steps)

        updates = {"policy": self.update} | ({} if beside is None else {"critic": beside.update})
        figures = train(updates, plan.steps, iteration, self.config, out=self.out, identity=known)
        self.policy.save(self.out / "model")
        return figures

    def check_before_step_one(self, answers: Answers) -> None:
        """Raise ConfigError unless the models agree on the first answers; `learn` adds the check of the ratio."""
        config, rows, dtype = self.config, answers.trees, self.policy.model.dtype
        check_before_step_one(self.policy, rows, self.template, config, only=("outputs",))
        for scorer in self.rewards.readers:
            check_before_step_one(scorer, rows, self.template, config, only=("outputs", "score"))
        check_sampler((answers.figures["sampler_gap"], answers.figures["sampler_gap_mean"]), dtype, config)
        check_starts_at_reference(answers.old, answers.reference, config)

    # ---- what the policy says, and what that is worth

    @torch.no_grad()
    def answers(self, prompts: Sequence[Tree], i: int) -> Answers:
        """Draw answers, read them with policy and reference, and have them scored."""
        config, budget = self.config, self.config.micro_batch_tokens
        rollouts = self.engine.sample(
            [tree.prompt for tree in prompts],
            config.samples,
            config.sampling,
            end_tokens=self.ends,
            seed=derived_seed(config.seed, "rollout", i),
        )
        rows = _trees(prompts, rollouts)
        batch = pack(rows)
        old = self.policy.frozen_logprobs(rows, budget, **self.read)
        anchor = self.reference.frozen_logprobs(rows, budget, adapter=self.reference is not self.policy, **self.read)
        scores, told = self.rewards(rows, [self.groups[tree.group] for tree in prompts], rollouts)
        score_N = batch.gather(scores) - config.unfinished_penalty * (~batch.ended_N)
        old_L, anchor_L = batch.gather(old), batch.gather(anchor)
        reward_L = kl.rewards(score_N, old_L, anchor_L, batch.length_N, beta=config.beta)
        worst, mean = sampler_gap(rollouts, old)
        figures = {
            "reward": score_N.mean().item(),
            "kl_k1": kl.k1(old_L, anchor_L).sum().item() / len(score_N),
            "sampler_gap": worst,
            "sampler_gap_mean": mean,
            "answer_length": batch.length_N.double().mean().item(),
            "ended": batch.ended_N.double().mean().item(),
            **told,
        }
        return Answers(rows, batch, score_N, reward_L, old, anchor, figures)

    # ---- passes over it

    def learn(
        self, answers: Answers, advantage: dict[Key, Tensor], beside: Beside | None, i: int, steps: int
    ) -> Figures:
        """Several passes of clipped steps over one iteration's answers."""
        told: list[Figures] = []
        first: list[Tensor] = []

        def note(ratio_L: Tensor) -> None:
            """Keep the ratios of the first minibatch; before step one they are 1, as long as nothing is dropped out."""
            if not told:
                first.append(ratio_L)
                if i == 0 and not self.config.dropout:
                    check_ratio(ratio_L, self.policy.model.dtype, self.config)

        for epoch in range(self.config.inner_epochs):
            draw = torch.Generator().manual_seed(derived_seed(self.config.seed, "minibatch", i, epoch))
            shuffled = torch.randperm(len(answers.trees), generator=draw)
            for part in shuffled.tensor_split(min(self.config.minibatches, len(shuffled))):
                rows = [answers.trees[k] for k in part.tolist()]
                figures = self.update(rows, self.loss(answers, advantage, note), step=i, steps=steps)
                told.append(figures | ({} if beside is None else beside.learn(rows, step=i, steps=steps)))
        mean = {name: sum(f[name] for f in told) / len(told) for name in told[0]}
        tokens = sum(tree.size for tree in answers.trees)
        return mean | answers.figures | {"ratio_first": farthest_from_1(torch.cat(first)).item(), "tokens": tokens}

    def loss(self, answers: Answers, advantage: dict[Key, Tensor], note: Callable[[Tensor], None]) -> Loss:
        def loss(batch: TreeBatch) -> StepLoss:
            logprob_L, entropy_L = self.policy.logprobs_and_entropy(batch, **self.read)
            old_L, advantage_L = batch.gather(answers.old), batch.gather(advantage)
            loss_L = surrogate.clipped(logprob_L, old_L, advantage_L, clip=self.config.clip_ratio)
            note(ratio(logprob_L.detach(), old_L))
            figures = {
                "clip_fraction": surrogate.outside(logprob_L, old_L, clip=self.config.clip_ratio),
                "entropy": entropy_L,
            }
            return StepLoss(total=loss_L.sum(), count=len(loss_L), figures=figures)

        return loss


def _trees(prompts: Sequence[Tree], rollouts: Sequence[Rollout]) -> list[Tree]:
    """The prompts with their answers as branches, numbered as they were asked."""
    by_prompt: list[list[Rollout]] = [[] for _ in prompts]
    for rollout in rollouts:
        by_prompt[rollout.prompt].append(rollout)
    return [
        tree_of(tree.prompt, answers, group=index, origin=tree.origin)
        for index, (tree, answers) in enumerate(zip(prompts, by_prompt, strict=True))
    ]


def _reference(policy: Policy, named: PolicyInput | None, config: MethodConfig) -> Policy:
    """What the KL is taken to. With an adapter the incoming model is the policy itself, with that switched off."""
    if named is not None and named is not policy:
        return as_policy(named, config, trained=False)
    return policy if policy.adapter is not None else deepcopy(policy)
