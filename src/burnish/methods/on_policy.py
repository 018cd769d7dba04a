"""What all methods share that learn from answers of their own: one step is an iteration.

    sample → score → log-probabilities under π_old and the reference → lesson → passes of optimiser steps

`batch_size` prompts × `samples` answers are drawn and scored. A token's reward is -β·(log π_old - log π_reference), and
the score on top at the last. What differs is handed in: the lesson, which makes a loss of that (policy_loss.py), and
what learns beside the policy. PPO brings a critic for both.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import torch
from torch import Tensor

from burnish.batch.pack import Key, pack
from burnish.batch.trees import prompt_trees
from burnish.data.problems import listed
from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.carried import Anchor, Average, Best, Moments
from burnish.methods.checks import check_before_step_one, check_ratio, check_sampler, check_starts_at_reference
from burnish.methods.drawn import Drawn, trees_of
from burnish.methods.heldout import heldout_groups, something_to_evaluate_on
from burnish.methods.heldout_answers import HeldoutAnswers
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.mixing import Mixing
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.penalties import by_answer, taken_off, told_of_lengths
from burnish.methods.policy_loss import Answers, Lesson
from burnish.methods.reference import reference_model
from burnish.methods.rewarding import Rewards
from burnish.methods.scoring import By
from burnish.models.model import VALUE_HEAD, Policy
from burnish.objectives import kl
from burnish.objectives.ratio import farthest_from_1
from burnish.rollout.gap import sampler_gap
from burnish.rollout.local import LocalEngine
from burnish.training.identity import identity
from burnish.training.loop import train
from burnish.training.metrics import Figures
from burnish.training.order import Order, derived_seed
from burnish.training.saving import Kept
from burnish.training.update import Apart, Update
from burnish.types import Group, Tree


class Beside(Protocol):
    """What learns beside the policy, from the same minibatches; for the first `warmup` iterations alone.

    A critic on the policy's trunk has the policy's update, and learns by the lesson's loss after the warm-up.
    """

    update: Update
    warmup: int

    def learn(self, rows: Sequence[Tree], *, step: int, steps: int) -> Figures: ...


class OnPolicy:
    """The models of a run: policy, reference, and whoever gives rewards.

    `resample` is how often a prompt whose answers all score alike is asked again.
    `value_rate` gives the policy a value head, which learns at this peak rate; with `one_base` reward models and critic
    are adapters on the policy's weights.
    `reference` is the incoming model unless another is named; `evaluate_on` and `judge` are heldout_answers.py's, `mix`
    mixing.py's.
    Raises ConfigError where nobody is behind `by`, DataError for prompts that leave no room for an answer.
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
        evaluate_on: DataInput | None = None,
        judge: By | None = None,
        mix: DataInput | None = None,
        resample: int = 0,
        value_rate: float | None = None,
        one_base: bool = False,
    ) -> None:
        config.sampling.for_training()
        something_to_evaluate_on(evaluate_on, config)
        _fits_together(config, reference, evaluate_on, judge, mix)
        self.config = config
        self.out = out
        self.resample = resample
        self.groups = as_groups(prompts, "prompt", config, out)
        self.policy = as_policy(model, config)
        self.template = resolve(self.policy.tokenizer, config.template)
        self.rewards = Rewards(by, self.policy, self.template, config, samples=config.samples, one_base=one_base)
        self.reference = reference_model(self.policy, reference, config)
        self.named = reference is not None
        self.update = Update(self.policy, config, apart=_value_head(self.policy, value_rate))
        every = config.reference_every
        self.anchor = Anchor(self.reference, self.policy, every=every) if every else None
        self.moments = Moments()
        self.average = Average(self.policy, config.average) if config.average else None
        self.best = Best(self.policy) if config.best != "none" else None
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
        self.mixing = None if mix is None else Mixing(mix, self.policy, self.template, config, out)
        self.heldout = self._heldout(heldout_groups(evaluate_on, self.groups, "prompt", config, out), judge)

    def _heldout(self, groups: Sequence[Group], judge: By | None) -> HeldoutAnswers | None:
        if not groups:
            return None
        other = Rewards(judge, self.policy, self.template, self.config) if judge is not None else None
        return HeldoutAnswers(self.policy, self.reference, self.rewards, other, groups, self.config, out=self.out)

    def train(self, lesson: Lesson, *, beside: Beside | None = None) -> Figures:
        """Iterate, write `out/model`, and return the last iteration's figures.

        Raises ConfigError where a check before step one fails; DataError, Unreachable where a judge gives no score.
        """
        config = self.config
        plan = Order.of(len(self.rows), config)
        named = {"reference": self.reference} if self.named else {}
        known = identity(config, self.rows, model=self.policy, **named) | {"reward": self.rewards.identity()}
        if self.heldout is not None:
            known |= self.heldout.identity()
        if self.mixing is not None:
            known |= self.mixing.identity()

        def iteration(i: int) -> Figures:
            answers = self.answers(plan.take(self.rows, i), i, paid=lesson.paid)
            if i == 0:
                self.check_before_step_one(answers)
            figures = self.learn(answers, lesson, beside, step=i, steps=plan.steps)
            lesson.follow(answers.figures["kl_k1"])
            if self.average is not None:
                self.average.add()
            if self.anchor is not None:
                self.anchor.after(i + 1)
            return figures

        figures = train(
            self.kept(lesson, beside),
            plan.steps,
            iteration,
            config,
            out=self.out,
            identity=known,
            evaluate=self.evaluated if self.heldout is not None else None,
            from_start=True,
        )
        if self.best is not None:
            self.best.put()
        elif self.average is not None:
            self.average.put()
        self.policy.value_head = None  # it was this run's, and the policy may have been given as a loaded model
        self.policy.save(self.out / "model")
        return figures

    def evaluated(self, step: int) -> Figures:
        """Figures of held-out prompts, by the weights that would be written now."""
        with self.average.in_place() if self.average is not None else nullcontext():
            figures = self.heldout(step) if self.heldout is not None else {}
            if self.best is not None:
                self.best.offer(step, figures[self.config.best])
                figures |= {"best_step": float(self.best.step), f"best_{self.config.best}": self.best.value}
        return figures

    def kept(self, lesson: Lesson, beside: Beside | None) -> dict[str, Kept]:
        """What a checkpoint holds: only what this run's settings use."""
        kept: dict[str, Kept] = {"policy": self.update, **lesson.kept()}
        if beside is not None and beside.update is not self.update:
            kept["critic"] = beside.update
        if self.anchor is not None:
            kept["reference"] = self.anchor
        if self.config.scores.normalise:
            kept["scores"] = self.moments
        if self.average is not None:
            kept["average"] = self.average
        if self.best is not None:
            kept["best"] = self.best
        if self.heldout is not None and self.heldout.judge is not None:
            kept["heldout"] = self.heldout
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
    def answers(self, prompts: Sequence[Tree], i: int, *, paid: float) -> Answers:
        """Draw answers, read them with policy and reference, and have them scored. A nat of KL costs `paid`."""
        config, budget = self.config, self.config.micro_batch_tokens
        drawn = self.drawn(prompts, i)
        rows = trees_of(prompts, drawn.rollouts)
        batch = pack(rows)
        value: dict[Key, Tensor] = {}
        if self.policy.value_head is None:
            old = self.policy.frozen_logprobs(rows, budget, **self.read)
        else:
            old, value = self.policy.frozen_logprobs_and_values(rows, budget, **self.read)
        anchor = self.reference.frozen_logprobs(rows, budget, adapter=self.reference is not self.policy, **self.read)
        taken_N = batch.gather(by_answer(drawn.rollouts, taken_off(drawn.rollouts, config)))
        score_N = self.shaped(batch.gather(drawn.scores)) - taken_N
        old_L, anchor_L = batch.gather(old), batch.gather(anchor)
        reward_L = kl.rewards(score_N, old_L, anchor_L, batch.length_N, beta=paid)
        worst, mean = sampler_gap(drawn.rollouts, old)
        figures = drawn.figures | {
            "kl_k1": kl.k1(old_L, anchor_L).sum().item() / len(score_N),
            "sampler_gap": worst,
            "sampler_gap_mean": mean,
        }
        return Answers(rows, batch, reward_L, old, anchor, figures, value)

    def drawn(self, prompts: Sequence[Tree], i: int) -> Drawn:
        """Answers with their scores, those of prompts whose answers all score alike asked for anew.

        Figures are of what was drawn first. What is alike still after `resample` times is left out, unless all is.
        """
        drawn = self.draw(prompts, derived_seed(self.config.seed, "rollout", i))
        for attempt in range(self.resample):
            alike = drawn.alike(self.config)
            if not alike:
                break
            seed = derived_seed(self.config.seed, "rollout", i, attempt)
            drawn = drawn.exchanged(alike, self.draw([prompts[k] for k in alike], seed))
        alike = drawn.alike(self.config) if self.resample else []
        return drawn if len(alike) in (0, len(prompts)) else drawn.without(alike)

    def draw(self, prompts: Sequence[Tree], seed: int) -> Drawn:
        config = self.config
        rollouts = self.engine.sample(
            [tree.prompt for tree in prompts], config.samples, config.sampling, end_tokens=self.ends, seed=seed
        )
        rows = trees_of(prompts, rollouts)
        batch = pack(rows)
        scores, told = self.rewards(rows, [self.groups[tree.group] for tree in prompts], rollouts)
        drawn = Drawn(rollouts, scores, {})
        taken = by_answer(rollouts, taken_off(rollouts, config))
        figures = {
            "reward": (batch.gather(scores) - batch.gather(taken)).mean().item(),
            "answer_length": batch.length_N.double().mean().item(),
            "ended": batch.ended_N.double().mean().item(),
            **told,
            **told_of_lengths(rollouts, config),
        }
        if config.samples > 1:
            figures["alike"] = len(drawn.alike(config)) / len(prompts)
        return replace(drawn, figures=figures)

    def shaped(self, score_N: Tensor) -> Tensor:
        """Scores as `scores:` would have them: normalised, then clipped."""
        if self.config.scores.normalise:
            self.moments.add(score_N)
            score_N = self.moments.normalised(score_N)
        limit = self.config.scores.clip
        return score_N.clamp(-limit, limit) if limit else score_N

    # ---- passes over it

    def learn(self, answers: Answers, lesson: Lesson, beside: Beside | None, *, step: int, steps: int) -> Figures:
        """Several passes of steps over one iteration's answers."""
        told: list[Figures] = []
        first: list[Tensor] = []
        warmup = 0 if beside is None else beside.warmup

        def note(ratio_L: Tensor) -> None:
            """Keep the ratios of the first minibatch; before step one they are 1, as long as nothing is dropped out."""
            if not told:
                first.append(ratio_L)
                if step == warmup and not self.config.dropout:
                    check_ratio(ratio_L, self.policy.model.dtype, self.config)

        loss = lesson.of(answers, note)
        for part, rows in enumerate(self.minibatches(answers.trees, step)):
            mixed = None if self.mixing is None else self.mixing.part(step, part)
            figures: Figures = {}
            if step >= warmup:
                figures = self.update(rows, loss, step=step, steps=steps, whole=lesson.whole, mixed=mixed)
            told.append(figures | (beside.learn(rows, step=step, steps=steps) if beside is not None else {}))
            if self.config.stop_kl and figures.get("kl_old", 0.0) > self.config.stop_kl:
                break
        names = dict.fromkeys(name for figures in told for name in figures)  # a part of nothing but ties lacks some
        mean = {name: fmean(figures[name] for figures in told if name in figures) for name in names}
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


def _fits_together(
    config: OnPolicyConfig,
    reference: PolicyInput | None,
    evaluate_on: DataInput | None,
    judge: By | None,
    mix: DataInput | None,
) -> None:
    """Raise ConfigError where a setting has nothing to work on."""
    if mix is None and (idle := config.model_fields_set & {"mix_weight", "mix_rows"}):
        raise ConfigError(
            f"{listed(sorted(idle))}: of rows that are mixed in, and there are none; name them, mix: FILE"
        )
    if config.reference_every and reference is not None:
        raise ConfigError("reference_every: a reference is named, and it would be given up for the policy; drop one")
    if judge is not None and evaluate_on is None:
        raise ConfigError("judge: it scores held-out answers, and there are none; name a file, evaluate_on: FILE")
    if config.best != "none" and (evaluate_on is None or (config.best == "heldout_judge" and judge is None)):
        named = "evaluate_on: FILE" + (" and judge: WHO" if config.best == "heldout_judge" else "")
        raise ConfigError(f"best: {config.best}: nothing says what is best; name {named}, or leave best out")


def _value_head(policy: Policy, learning_rate: float | None) -> Apart | None:
    """The head that `policy` is given where there is a rate for it."""
    policy.value_head = None  # one that a run which failed has left
    if learning_rate is None:
        return None
    policy.add_value_head()
    return Apart("critic", frozenset({VALUE_HEAD}), learning_rate)
