"""PPO: sample answers, score them, and climb the score without leaving the SFT model.

    maximise E[score(answer)] - β·KL(π ‖ reference)                              Ziegler et al. 2019; Ouyang et al. 2022

One step is an iteration: `batch_size` prompts × `samples` answers are drawn, scored, and given a reward a token:
-β·(log π_old - log π_reference), and the score on top at the last. A critic predicts what is still to come; generalised
advantages (Schulman et al. 2015b) of that, whitened over the iteration, weigh the clipped surrogate (Schulman et al.
2017, eq. 7) in `inner_epochs` passes of `minibatches` parts.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch, pack
from burnish.batch.trees import prompt_trees, tree_of
from burnish.data.templates import Template, resolve
from burnish.methods.checks import check_before_step_one, check_ratio, check_sampler, check_starts_at_reference
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.rewarding import Rewards
from burnish.methods.scoring import By
from burnish.models.model import Policy
from burnish.objectives import advantages, kl
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
from burnish.types import Group, Rollout, Tree


class Critic(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float | None = Field(None, gt=0, description="peak for the critic; unset is the policy's")
    clip_value: float = Field(0.2, ge=0, description="how far a value may move in an iteration; 0 is off")


class PPOConfig(MethodConfig):
    learning_rate: float = Field(1e-6, gt=0, description="peak of the learning rate of the policy")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "constant", description="course of the rate after warm-up"
    )
    batch_size: int = Field(8, ge=1, description="prompts an iteration")
    samples: int = Field(4, ge=1, description="answers a prompt")
    beta: float = Field(0.3, ge=0, description="price of a nat of KL to the reference, in score deviations")
    gamma: float = Field(1.0, gt=0, le=1, description="discount a token")
    lam: float = Field(0.95, ge=0, le=1, description="λ of the generalised advantage estimate")
    inner_epochs: int = Field(2, ge=1, description="passes over an iteration's answers")
    minibatches: int = Field(1, ge=1, description="parts of a pass, each an optimiser step")
    clip_ratio: float = Field(0.2, gt=0, description="how far the probability ratio is followed")
    unfinished_penalty: float = Field(1.0, ge=0, description="taken from the score of an answer without an end")
    whiten: bool = Field(True, description="advantages to mean 0 and deviation 1 over the iteration")
    critic: Critic = Field(
        default_factory=lambda: Critic(), description="the model that predicts what is still to come"
    )
    sampling: Sampling = Field(default_factory=Sampling, description="temperature and lengths of the answers")


@dataclass(frozen=True)
class Experience:
    """What an iteration knows of its answers before it learns from them: tables from an answer to its (tokens,)."""

    trees: list[Tree]
    old: dict[Key, Tensor]
    reference: dict[Key, Tensor]
    value: dict[Key, Tensor]
    advantage: dict[Key, Tensor]
    target: dict[Key, Tensor]
    figures: Figures


def ppo(
    model: PolicyInput,
    prompts: DataInput,
    config: PPOConfig,
    *,
    by: By,
    out: Path,
    reference: PolicyInput | None = None,
) -> Figures:
    """Train `model` for what `by` says of its answers, write `out/model`, and return the last iteration's figures.

    `by` is a reward model, an ensemble, a function, an address, a judge with a rubric, or a list of weighted parts, see
    rewarding.py. `reference` is the incoming model unless another is named. Raises ConfigError where nobody is behind
    `by`, and where a check before step one fails; DataError, Unreachable where a judge gives no score.
    """
    groups = as_groups(prompts, "prompt", config, out)
    run = _Run(as_policy(model, config), groups, by, reference, config)
    room = config.sampling.max_new_tokens
    asked = prompt_trees(groups, run.template, max_length=config.max_length, room=room, on_too_long=config.on_too_long)
    say(asked)
    rows = asked.trees
    plan = Order.of(len(rows), config)
    named = {} if reference is None else {"reference": run.reference}
    known = identity(config, rows, model=run.policy, **named) | {"reward": run.rewards.identity()}

    def iteration(i: int) -> Figures:
        return run.iteration(plan.take(rows, i), i, plan.steps)

    updates = {"policy": run.policy_update, "critic": run.critic_update}
    figures = train(updates, plan.steps, iteration, config, out=out, identity=known)
    run.policy.save(out / "model")
    return figures


class _Run:
    """The models of a run: policy, reference, whoever gives rewards, and a critic that starts as one of those."""

    def __init__(
        self, policy: Policy, groups: Sequence[Group], by: By, reference: PolicyInput | None, config: PPOConfig
    ) -> None:
        config.sampling.for_training()
        self.config = config
        self.policy = policy
        self.groups = groups
        self.template: Template = resolve(policy.tokenizer, config.template)
        self.rewards = Rewards(by, policy, self.template, config, samples=config.samples)
        self.critic = self.rewards.critic()
        self.reference = _reference(policy, reference, config)
        self.policy_update = Update(policy, config)
        self.critic_update = Update(self.critic, config, learning_rate=config.critic.learning_rate)
        self.engine = LocalEngine(policy)
        self.ends = sorted(self.template.end_tokens)
        self.read: dict[str, Any] = {
            "temperature": config.sampling.temperature,
            "min_new_tokens": config.sampling.min_new_tokens,
            "end_tokens": self.ends,
        }

    def iteration(self, prompts: Sequence[Tree], i: int, steps: int) -> Figures:
        seed = derived_seed(self.config.seed, "rollout", i)
        rollouts = self.engine.sample(
            [t.prompt for t in prompts], self.config.samples, self.config.sampling, end_tokens=self.ends, seed=seed
        )
        experience = self.experience(prompts, rollouts)
        if i == 0:
            self.check_before_step_one(experience)
        return self.learn(experience, i, steps)

    def check_before_step_one(self, experience: Experience) -> None:
        """Raise ConfigError unless the models agree on the first answers; `learn` adds the check of the ratio."""
        config, rows, dtype = self.config, experience.trees, self.policy.model.dtype
        check_before_step_one(self.policy, rows, self.template, config, only=("outputs",))
        for scorer in self.rewards.readers:
            check_before_step_one(scorer, rows, self.template, config, only=("outputs", "score"))
        check_sampler((experience.figures["sampler_gap"], experience.figures["sampler_gap_mean"]), dtype, config)
        check_starts_at_reference(experience.old, experience.reference, config)

    @torch.no_grad()
    def experience(self, prompts: Sequence[Tree], rollouts: Sequence[Rollout]) -> Experience:
        """Score the answers and estimate the advantage of every token."""
        config, budget = self.config, self.config.micro_batch_tokens
        by_prompt: list[list[Rollout]] = [[] for _ in prompts]
        for rollout in rollouts:
            by_prompt[rollout.prompt].append(rollout)
        rows = [
            tree_of(tree.prompt, answers, group=index, origin=tree.origin)
            for index, (tree, answers) in enumerate(zip(prompts, by_prompt, strict=True))
        ]
        batch = pack(rows)
        old = self.policy.frozen_logprobs(rows, budget, **self.read)
        anchor = self.reference.frozen_logprobs(rows, budget, adapter=self.reference is not self.policy, **self.read)
        value = self.critic.frozen_values(rows, budget)
        scores, told = self.rewards(rows, [self.groups[tree.group] for tree in prompts], rollouts)
        score_N = batch.gather(scores) - config.unfinished_penalty * (~batch.ended_N)
        old_L, anchor_L, value_L = (batch.gather(table) for table in (old, anchor, value))
        reward_L = kl.rewards(score_N, old_L, anchor_L, batch.length_N, beta=config.beta)
        advantage_L, target_L = advantages.gae(reward_L, value_L, batch.length_N, gamma=config.gamma, lam=config.lam)
        if config.whiten:
            advantage_L = advantages.whiten(advantage_L)
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
        return Experience(rows, old, anchor, value, batch.scatter(advantage_L), batch.scatter(target_L), figures)

    def learn(self, experience: Experience, i: int, steps: int) -> Figures:
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
            shuffled = torch.randperm(len(experience.trees), generator=draw)
            for part in shuffled.tensor_split(min(self.config.minibatches, len(shuffled))):
                rows = [experience.trees[k] for k in part.tolist()]
                figures = self.policy_update(rows, self.policy_loss(experience, note), step=i, steps=steps)
                valued = self.critic_update(rows, self.value_loss(experience), step=i, steps=steps)
                told.append(figures | {"value_loss": valued["loss"], "critic_grad_norm": valued["grad_norm"]})
        mean = {name: sum(f[name] for f in told) / len(told) for name in told[0]}
        tokens = sum(tree.size for tree in experience.trees)
        return mean | experience.figures | {"ratio_first": farthest_from_1(torch.cat(first)).item(), "tokens": tokens}

    def policy_loss(self, experience: Experience, note: Callable[[Tensor], None]) -> Loss:
        def loss(batch: TreeBatch) -> StepLoss:
            logprob_L, entropy_L = self.policy.logprobs_and_entropy(batch, **self.read)
            old_L = batch.gather(experience.old)
            advantage_L = batch.gather(experience.advantage)
            loss_L = surrogate.clipped(logprob_L, old_L, advantage_L, clip=self.config.clip_ratio)
            note(ratio(logprob_L.detach(), old_L))
            figures = {
                "clip_fraction": surrogate.outside(logprob_L, old_L, clip=self.config.clip_ratio),
                "entropy": entropy_L,
            }
            return StepLoss(total=loss_L.sum(), count=len(loss_L), figures=figures)

        return loss

    def value_loss(self, experience: Experience) -> Loss:
        def loss(batch: TreeBatch) -> StepLoss:
            loss_L = surrogate.value(
                self.critic.values(batch),
                batch.gather(experience.value),
                batch.gather(experience.target),
                clip=self.config.critic.clip_value,
            )
            return StepLoss(total=loss_L.sum(), count=len(loss_L))

        return loss


def _reference(policy: Policy, named: PolicyInput | None, config: PPOConfig) -> Policy:
    """What the KL is taken to. With an adapter the incoming model is the policy itself, with that switched off."""
    if named is not None and named is not policy:
        return as_policy(named, config, trained=False)
    return policy if policy.adapter is not None else deepcopy(policy)
