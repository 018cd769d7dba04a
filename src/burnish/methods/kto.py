"""KTO: learn from single answers, each found good or bad, with no answer beside it.

    loss = λ · (1 - σ(±β · (gain - z))),  gain = log π(answer) - log π_reference(answer)   Ethayarajh et al. 2024, eq. 7

Reads judgements; a comparison is two of them, a ranking with a line of the acceptable one an answer. Those of one
prompt are one tree, wherever they stand in the data. z is what the policy has gained on average for answers that belong
to other prompts. Each answer has one such partner for the whole run, drawn from the seed, a branch beside its own; z is
taken over the whole batch, without gradient, before its first micro-batch. `loss` names relatives that read the same: a
classifier's (BCO), and KTO with z = 0 (APO-zero).
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch
from burnish.batch.trees import trees
from burnish.data.templates import resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.checks import check_before_step_one
from burnish.methods.heldout import evaluation, heldout_groups, something_to_evaluate_on
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.mismatched import is_mismatched, with_mismatched
from burnish.methods.reference import check_starts_from, frozen_gains, reference_table
from burnish.models.model import Policy
from burnish.objectives import judgement
from burnish.training.config import MethodConfig
from burnish.training.identity import identity, rows_hash
from burnish.training.loop import train_on
from burnish.training.metrics import Figures
from burnish.training.update import Loss, StepLoss, WholeBatch
from burnish.types import Branch, Group, Tree

GOOD, BAD = 0, 1
"""What was found of an answer, as its place."""
LOWEST, HIGHEST = 0.995, 1.34
"""Where the paper keeps what good answers weigh together, of what bad ones do: 1 to 4/3 (eq. 8), and rounding."""


class KTOConfig(MethodConfig):
    learning_rate: float = Field(1e-6, gt=0, description="peak of the learning rate")
    loss: Literal["kto", "bco", "apo_zero"] = Field("kto", description="KTO's, a classifier's, or KTO's with z = 0")
    beta: float = Field(0.1, gt=0, description="price of leaving the reference; larger stays closer")
    desirable: float = Field(1.0, gt=0, description="weight of a good answer")
    undesirable: float = Field(1.0, gt=0, description="weight of a bad answer")
    good_from: float | None = Field(None, description="score from which an answer without a label is good")

    @model_validator(mode="after")
    def _weights_of_kto(self) -> Self:
        for key in ("desirable", "undesirable"):
            if self.loss != "kto" and getattr(self, key) != 1:
                raise ValueError(f"{key}: loss: {self.loss} does not read it; leave it out, or take kto")
        return self


def kto(
    model: PolicyInput,
    data: DataInput,
    config: KTOConfig,
    *,
    out: Path,
    reference: PolicyInput | None = None,
    evaluate_on: DataInput | None = None,
) -> Figures:
    """Train `model` on judged answers, write `out/model`, and return the figures of the last step.

    `reference` is the incoming model unless another is named. Judgements of `evaluate_on` are not learned: their
    figures are told every `evaluate_every` steps and at the end.
    """
    something_to_evaluate_on(evaluate_on, config)
    policy = as_policy(model, config)
    template = resolve(policy.tokenizer, config.template)
    groups = as_groups(data, "judgement", config, out)
    held = heldout_groups(evaluate_on, groups, "judgement", config, out)
    report, held_report = (
        trees(
            some,
            template,
            max_length=config.max_length,
            learn_from=config.learn_from,
            on_too_long=config.on_too_long,
        )
        for some in (groups, held)
    )
    say(report)
    rows, held_rows = (
        by_prompt(_beside_others(judged(some.trees, whose, config), whose, config))
        for some, whose in ((report, groups), (held_report, held))
    )
    _something_to_measure_from(rows, config)
    _say_balance(rows, config)
    check_before_step_one(policy, rows, template, config)
    anchor = policy if reference is None else as_policy(reference, config, trained=False)
    known = identity(config, rows, model=policy, **({} if reference is None else {"reference": anchor}))
    reference_N = reference_table(anchor, rows, config, cache=out / "reference.safetensors", known=known)
    held_known = known | {"rows": rows_hash(held_rows)}
    held_N = reference_table(anchor, held_rows, config, cache=out / "reference-heldout.safetensors", known=held_known)
    if reference is None:
        check_starts_from(policy, rows, reference_N, config)
    (own, others), (held_own, held_others) = apart(rows), apart(held_rows)
    evaluate = evaluation(policy, held_own, kto_loss(policy, held_N, held_others, config), config, judged=held)
    loss = kto_loss(policy, reference_N, others, config)
    figures = train_on(policy, own, loss, config, out=out, identity=known, evaluate=evaluate)
    policy.save(out / "model")
    return figures


def kto_loss(
    policy: Policy, reference_N: Mapping[Key, Tensor], others: Mapping[int, Tree], config: KTOConfig
) -> Loss | WholeBatch:
    """The loss of a batch, counted in judgements. `others`: of a row's group, the same prompt with others' answers."""

    def loss(batch: TreeBatch, baseline: float | Tensor = 0.0) -> StepLoss:
        logprob_N = policy.logprob_sums(batch)
        gain_N = logprob_N - batch.gather(reference_N)
        good_N = batch.place_N == GOOD
        if config.loss == "kto":
            weights = {"desirable": config.desirable, "undesirable": config.undesirable}
            loss_N = judgement.kto(gain_N, good_N, beta=config.beta, baseline=baseline, **weights)
        elif config.loss == "bco":
            loss_N = judgement.bco(gain_N, good_N, beta=config.beta, baseline=baseline)
        else:
            loss_N = judgement.apo_zero(gain_N, good_N, beta=config.beta)
        figures = {
            "accuracy": 0.5 * (1 + torch.where(good_N, 1, -1) * (gain_N - baseline).sign()),  # at it, half right
            "logp_good": logprob_N[good_N],
            "logp_bad": logprob_N[~good_N],
            "gain_good": gain_N[good_N],
            "gain_bad": gain_N[~good_N],
            "baseline": gain_N.new_tensor([float(baseline)]),
        }
        return StepLoss(total=loss_N.sum(), count=len(loss_N), figures=figures)

    def of(rows: Sequence[Tree]) -> Loss:
        if config.loss == "kto":
            mismatched = [others[tree.group] for tree in rows if tree.group in others]
            gain_M = frozen_gains(policy, mismatched, reference_N, config)
            return partial(loss, baseline=judgement.mismatch_baseline(gain_M).to(policy.device))
        good_N = torch.tensor([branch.place == GOOD for tree in rows for branch in tree.branches])
        gain_N = frozen_gains(policy, rows, reference_N, config)
        return partial(loss, baseline=judgement.middle(gain_N, good_N).to(policy.device))

    return loss if config.loss == "apo_zero" else WholeBatch(of)


def judged(rows: Sequence[Tree], groups: Sequence[Group], config: KTOConfig) -> list[Tree]:
    """`rows` with what was found of each answer as its place. Raises DataError for a row that does not say it."""
    seen: set[int] = set()
    made = []
    for tree in rows:
        group = groups[tree.group]
        if len(tree.branches) != 1 or tree.group in seen:
            raise DataError(
                f"{tree.origin}: a judgement is of one answer, and of one turn where the template shows past turns "
                f"differently later; found {len(group.answers)} answers, {1 + len(group.answers[0].later)} turns in "
                "the first; write a row an answer, or learn_from: last"
            )
        seen.add(tree.group)
        made.append(replace(tree, branches=(replace(tree.branches[0], place=_found(group, config)),)))
    return made


def _found(group: Group, config: KTOConfig) -> int:
    (answer,) = group.answers
    if answer.label is not None:
        return GOOD if answer.label else BAD
    if answer.score is None:
        raise DataError(f"{group.origin}: nobody has judged this answer; give it a label, true or false, or a score")
    if config.good_from is None:
        raise ConfigError(
            f"good_from: {group.origin} has a score, {answer.score:g}, and no label; set it to the score from which an "
            "answer is good"
        )
    return GOOD if answer.score >= config.good_from else BAD


def _beside_others(rows: list[Tree], groups: Sequence[Group], config: KTOConfig) -> list[Tree]:
    """Each row with an answer to another prompt, where the loss has a use for one and one fits."""
    if config.loss != "kto":
        return rows
    return with_mismatched(rows, groups, 1, max_length=config.max_length, seed=config.seed)


def by_prompt(rows: Sequence[Tree]) -> list[Tree]:
    """Rows of one prompt as one tree, in the order of the first of each, so that the prompt is computed once.

    Its own answers are numbered from 0, those to other prompts from -1 downwards, in the order of the rows.
    """
    alike: dict[tuple[int, ...], list[Tree]] = {}
    for tree in rows:
        alike.setdefault(tree.prompt, []).append(tree)
    return [replace(first, branches=_numbered(first, *more)) for first, *more in alike.values()]


def _numbered(*rows: Tree) -> tuple[Branch, ...]:
    branches = [branch for tree in rows for branch in tree.branches]
    own, others = ([b for b in branches if is_mismatched(b.answer) == mismatched] for mismatched in (False, True))
    return (
        *(replace(branch, answer=number) for number, branch in enumerate(own)),
        *(replace(branch, answer=-1 - number) for number, branch in enumerate(others)),
    )


def _something_to_measure_from(rows: Sequence[Tree], config: KTOConfig) -> None:
    """Raise ConfigError where no row has an answer to another prompt beside it; tell of a few that have none."""
    alone = sum(not any(is_mismatched(branch.answer) for branch in tree.branches) for tree in rows)
    if config.loss != "kto" or not alone:
        return
    if alone == len(rows):
        raise ConfigError(
            f"loss: kto measures from answers to other prompts, and none of {alone} prompts has one that fits in "
            "max_length; give rows of several prompts, raise max_length, or take loss: apo_zero, which measures from 0"
        )
    print(
        f"{alone} of {len(rows)} prompts: no answer to another prompt fits beside them in max_length", file=sys.stderr
    )


def apart(rows: Sequence[Tree]) -> tuple[list[Tree], dict[int, Tree]]:
    """The rows with their own answers, and, by group, with those to other prompts where they have any."""
    own, others = (
        [replace(t, branches=tuple(b for b in t.branches if is_mismatched(b.answer) == mismatched)) for t in rows]
        for mismatched in (False, True)
    )
    return own, {tree.group: tree for tree in others if tree.branches}


def _say_balance(rows: Sequence[Tree], config: KTOConfig) -> None:
    """Tell, on stderr, where good and bad answers do not weigh alike."""
    places = [branch.place for tree in rows for branch in tree.branches]
    good, bad = places.count(GOOD), places.count(BAD)
    if not good or not bad:
        print(f"warning: all {good + bad} answers were found {'good' if good else 'bad'}", file=sys.stderr)
        return
    times = config.desirable * good / (config.undesirable * bad)
    if config.loss == "kto" and not LOWEST <= times <= HIGHEST:
        print(
            f"warning: {good} good answers of weight {config.desirable:g} weigh {times:.3g} times what {bad} bad ones "
            f"of {config.undesirable:g} do, and KTO's paper keeps that between 1 and 4/3; "
            f"undesirable: {config.desirable * good / bad:.3g} makes it 1",
            file=sys.stderr,
        )
