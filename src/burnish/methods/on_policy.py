"""What all methods share that learn from answers of their own: one step is an iteration.

    sample → score → log-probabilities under π_old and the reference → advantages → passes of clipped steps

`batch_size` prompts × `samples` answers are drawn and scored. A token's reward is -β·(log π_old - log π_reference), and
the score on top at the last. What differs is handed in: how advantages come from rewards, what the loss is divided by,
and what learns beside the policy. PPO brings a critic for the first and the last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from burnish.batch.pack import Key, pack
from burnish.batch.trees import prompt_trees, tree_of
from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.carried import Anchor, Average, Moments, Price
from burnish.methods.checks import check_before_step_one, check_ratio, check_sampler, check_starts_at_reference
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.policy_loss import Answers, PolicyLoss, RatioOf, ValueLoss
from burnish.methods.rewarding import Rewards
from burnish.methods.scoring import By
from burnish.models.model import VALUE_HEAD, Policy
from burnish.objectives import kl
from burnish.objectives.policy import Denominator
from burnish.objectives.ratio import farthest_from_1
from burnish.rollout.gap import sampler_gap
from burnish.rollout.local import LocalEngine
from burnish.training.config import MethodConfig
from burnish.training.identity import identity
from burnish.training.loop import Apart, Kept, Update, train
from burnish.training.metrics import Figures
from burnish.training.order import Order, derived_seed
from burnish.types import Rollout, Tree

Estimate = Callable[[Answers], tuple[Tensor, float]]
"""How much better each token did than was expected there, (L,), and what that was divided by beside.

A penalty in the loss is divided by the same, so that β keeps its meaning.
"""


SAME = 1e-6  # between scores of one text, read in two batches in float32


class Beside(Protocol):
    """What learns beside the policy, from the same minibatches; for the first `warmup` iterations alone.

    `values` is None where it has weights of its own. A critic on the policy's trunk learns by the policy's update, with
    `values` in the policy's loss.
    """

    update: Update
    warmup: int
    values: ValueLoss | None

    def learn(self, rows: Sequence[Tree], *, step: int, steps: int) -> Figures: ...


class OnPolicy:
    """The models of a run: policy, reference, and whoever gives rewards.

    `denominator` is what the loss is divided by, see `objectives.policy.token_weights`; `ratio_of` says whose
    probability ratio is clipped; `resample` is how often a prompt whose answers all score alike is asked again.
    `value_rate` gives the policy a value head, which learns at this peak rate.
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
        denominator: Denominator = "token",
        ratio_of: RatioOf = "token",
        resample: int = 0,
        value_rate: float | None = None,
    ) -> None:
        config.sampling.for_training()
        if config.reference_every and reference is not None:
            raise ConfigError(
                "reference_every: a reference is named, and it would be given up for the policy; drop one"
            )
        self.config = config
        self.out = out
        self.denominator: Denominator = denominator
        self.ratio_of: RatioOf = ratio_of
        self.resample = resample
        self.groups = as_groups(prompts, "prompt", config, out)
        self.policy = as_policy(model, config)
        self.template = resolve(self.policy.tokenizer, config.template)
        self.rewards = Rewards(by, self.policy, self.template, config, samples=config.samples)
        self.reference = _reference(self.policy, reference, config)
        self.named = reference is not None
        self.update = Update(self.policy, config, apart=_value_head(self.policy, value_rate))
        self.price = Price(config.first_beta, config.target_kl if config.adaptive_beta else None)
        self.anchor = Anchor(self.reference, self.policy) if config.reference_every else None
        self.moments = Moments()
        self.average = Average(self.policy, config.average) if config.average else None
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
        config = self.config
        plan = Order.of(len(self.rows), config)
        named = {"reference": self.reference} if self.named else {}
        known = identity(config, self.rows, model=self.policy, **named) | {"reward": self.rewards.identity()}

        def iteration(i: int) -> Figures:
            answers = self.answers(plan.take(self.rows, i), i)
            if i == 0:
                self.check_before_step_one(answers)
            advantage_L, scale = advantages(answers)
            advantage, beta = answers.batch.scatter(advantage_L), self.price.beta / scale
            figures = self.learn(answers, advantage, beta, beside, step=i, steps=plan.steps)
            self.price.follow(answers.figures["kl_k1"])
            if self.average is not None:
                self.average.add()
            if self.anchor is not None and (i + 1) % config.reference_every == 0:
                self.anchor.follow()
            return figures

        figures = train(self.kept(beside), plan.steps, iteration, config, out=self.out, identity=known)
        if self.average is not None:
            self.average.put()
        self.policy.value_head = None  # it was this run's, and the policy may have been given as a loaded model
        self.policy.save(self.out / "model")
        return figures

    def kept(self, beside: Beside | None) -> dict[str, Kept]:
        """What a checkpoint holds: only what this run's settings use."""
        kept: dict[str, Kept] = {"policy": self.update}
        if beside is not None and beside.update is not self.update:
            kept["critic"] = beside.update
        if self.config.adaptive_beta:
            kept["beta"] = self.price
        if self.anchor is not None:
            kept["reference"] = self.anchor
        if self.config.scores.normalise:
            kept["scores"] = self.moments
        if self.average is not None:
            kept["average"] = self.average
        return kept

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
        drawn = self.drawn(prompts, i)
        rows = _trees(prompts, drawn.rollouts)
        batch = pack(rows)
        value: dict[Key, Tensor] = {}
        if self.policy.value_head is None:
            old = self.policy.frozen_logprobs(rows, budget, **self.read)
        else:
            old, value = self.policy.frozen_logprobs_and_values(rows, budget, **self.read)
        anchor = self.reference.frozen_logprobs(rows, budget, adapter=self.reference is not self.policy, **self.read)
        score_N = self.shaped(batch.gather(drawn.scores)) - config.unfinished_penalty * (~batch.ended_N)
        old_L, anchor_L = batch.gather(old), batch.gather(anchor)
        paid = self.price.beta if config.kl == "reward" else 0.0
        reward_L = kl.rewards(score_N, old_L, anchor_L, batch.length_N, beta=paid)
        worst, mean = sampler_gap(drawn.rollouts, old)
        figures = drawn.figures | {
            "kl_k1": kl.k1(old_L, anchor_L).sum().item() / len(score_N),
            "sampler_gap": worst,
            "sampler_gap_mean": mean,
        }
        if config.adaptive_beta:
            figures["beta"] = self.price.beta
        return Answers(rows, batch, reward_L, old, anchor, figures, value)

    def drawn(self, prompts: Sequence[Tree], i: int) -> "_Drawn":
        """Answers with their scores, those of prompts whose answers all score alike asked for anew.

        Figures are of what was drawn first. What is alike still after `resample` times is left out, unless all is.
        """
        drawn = self.draw(prompts, derived_seed(self.config.seed, "rollout", i))
        for attempt in range(self.resample):
            alike = drawn.alike(self.config.unfinished_penalty)
            if not alike:
                break
            seed = derived_seed(self.config.seed, "rollout", i, attempt)
            drawn = drawn.exchanged(alike, self.draw([prompts[k] for k in alike], seed))
        alike = drawn.alike(self.config.unfinished_penalty) if self.resample else []
        return drawn if len(alike) in (0, len(prompts)) else drawn.without(alike)

    def draw(self, prompts: Sequence[Tree], seed: int) -> "_Drawn":
        config = self.config
        rollouts = self.engine.sample(
            [tree.prompt for tree in prompts], config.samples, config.sampling, end_tokens=self.ends, seed=seed
        )
        rows = _trees(prompts, rollouts)
        batch = pack(rows)
        scores, told = self.rewards(rows, [self.groups[tree.group] for tree in prompts], rollouts)
        drawn = _Drawn(rollouts, scores, {})
        cut_N = config.unfinished_penalty * (~batch.ended_N)
        figures = {
            "reward": (batch.gather(scores) - cut_N).mean().item(),
            "answer_length": batch.length_N.double().mean().item(),
            "ended": batch.ended_N.double().mean().item(),
            **told,
        }
        if config.samples > 1:
            figures["alike"] = len(drawn.alike(config.unfinished_penalty)) / len(prompts)
        return replace(drawn, figures=figures)

    def shaped(self, score_N: Tensor) -> Tensor:
        """Scores as `scores:` would have them: normalised, then clipped."""
        if self.config.scores.normalise:
            self.moments.add(score_N)
            score_N = self.moments.normalised(score_N)
        limit = self.config.scores.clip
        return score_N.clamp(-limit, limit) if limit else score_N

    # ---- passes over it

    def learn(
        self,
        answers: Answers,
        advantage: Mapping[Key, Tensor],
        beta: float,
        beside: Beside | None,
        *,
        step: int,
        steps: int,
    ) -> Figures:
        """Several passes of clipped steps over one iteration's answers."""
        told: list[Figures] = []
        first: list[Tensor] = []
        warmup = 0 if beside is None else beside.warmup

        def note(ratio_L: Tensor) -> None:
            """Keep the ratios of the first minibatch; before step one they are 1, as long as nothing is dropped out."""
            if not told:
                first.append(ratio_L)
                if step == warmup and not self.config.dropout:
                    check_ratio(ratio_L, self.policy.model.dtype, self.config)

        values = None if beside is None else beside.values
        loss = PolicyLoss(
            self.policy, self.config, self.read, answers, advantage, beta, self.denominator, self.ratio_of, note, values
        )
        for rows in self.minibatches(answers.trees, step):
            figures = self.update(rows, loss, step=step, steps=steps) if step >= warmup else {}
            told.append(figures | (beside.learn(rows, step=step, steps=steps) if beside is not None else {}))
            if self.config.stop_kl and figures.get("kl_old", 0.0) > self.config.stop_kl:
                break
        mean = {name: sum(f[name] for f in told) / len(told) for name in told[0]}
        opened = {"ratio_first": farthest_from_1(torch.cat(first)).item()} if first else {}
        taken = {"updates": float(len(told))} if self.config.stop_kl else {}
        return mean | answers.figures | opened | taken | {"tokens": sum(tree.size for tree in answers.trees)}

    def minibatches(self, rows: Sequence[Tree], i: int) -> Iterator[list[Tree]]:
        """Iteration i's passes one after the other, each shuffled anew and cut into its parts."""
        for epoch in range(self.config.inner_epochs):
            draw = torch.Generator().manual_seed(derived_seed(self.config.seed, "minibatch", i, epoch))
            shuffled = torch.randperm(len(rows), generator=draw)
            for part in shuffled.tensor_split(min(self.config.minibatches, len(shuffled))):
                yield [rows[k] for k in part.tolist()]


@dataclass(frozen=True)
class _Drawn:
    """Rollouts, prompt after prompt, with what they scored."""

    rollouts: list[Rollout]
    scores: dict[Key, Tensor]
    figures: Figures

    def alike(self, unfinished_penalty: float) -> list[int]:
        """The prompts whose answers all have one score but for rounding: among them none is better."""
        seen: dict[int, list[float]] = {}
        for r in self.rollouts:
            score = self.scores[r.prompt, r.sample].item() - unfinished_penalty * (not r.finished)
            seen.setdefault(r.prompt, []).append(score)
        return [prompt for prompt, scores in seen.items() if isclose(min(scores), max(scores), abs_tol=SAME)]

    def exchanged(self, prompts: Sequence[int], again: "_Drawn") -> "_Drawn":
        """With the answers to `prompts` in place of those that were here; `again` numbers these from 0."""
        others = self.without(prompts)
        moved = [replace(rollout, prompt=prompts[rollout.prompt]) for rollout in again.rollouts]
        rollouts = sorted(others.rollouts + moved, key=lambda r: (r.prompt, r.sample))
        scores = others.scores | {(prompts[k], n): score for (k, n), score in again.scores.items()}
        return replace(self, rollouts=rollouts, scores=scores)

    def without(self, prompts: Sequence[int]) -> "_Drawn":
        kept = {key: score for key, score in self.scores.items() if key[0] not in prompts}
        return replace(self, rollouts=[r for r in self.rollouts if r.prompt not in prompts], scores=kept)


def _trees(prompts: Sequence[Tree], rollouts: Sequence[Rollout]) -> list[Tree]:
    """The prompts that have answers, with these as branches, numbered as they were asked."""
    by_prompt: list[list[Rollout]] = [[] for _ in prompts]
    for rollout in rollouts:
        by_prompt[rollout.prompt].append(rollout)
    return [
        tree_of(tree.prompt, answers, group=index, origin=tree.origin)
        for index, (tree, answers) in enumerate(zip(prompts, by_prompt, strict=True))
        if answers
    ]


def _value_head(policy: Policy, learning_rate: float | None) -> Apart | None:
    """The head that `policy` is given where there is a rate for it."""
    policy.value_head = None  # one that a run which failed has left
    if learning_rate is None:
        return None
    policy.add_value_head()
    return Apart("critic", frozenset({VALUE_HEAD}), learning_rate)


def _reference(policy: Policy, named: PolicyInput | None, config: MethodConfig) -> Policy:
    """What the KL is taken to. With an adapter the incoming model is the policy itself, with that switched off."""
    if named is not None and named is not policy:
        return as_policy(named, config, trained=False)
    return policy if policy.adapter is not None else deepcopy(policy)
