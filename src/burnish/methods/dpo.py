"""DPO: learn from answers that people have put in order, with no reward model.

    loss = -log σ(β · (Δ - Δ_reference)),  Δ = log p(chosen) - log p(rejected)     Rafailov et al. 2023, eq. 7

Reads comparisons and rankings. A ranking gives every pair that it decides, or under `loss: plackett_luce` its whole
order at once; each answer is computed once. The reference is the model as it comes in; its log-probabilities are taken
once, before the first step, so one model is in memory and not two. `loss` names DPO's relatives
(dpo_settings.py); CPO, SimPO and ORPO have no reference.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch, pack
from burnish.batch.trees import trees
from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.carried import Anchor
from burnish.methods.checks import check_before_step_one
from burnish.methods.dpo_settings import FORMS, DPOConfig
from burnish.methods.heldout import evaluation, heldout_groups, something_to_evaluate_on
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.rankings import NOTHING, Known, decided, margins, pair_margins, summable
from burnish.methods.reference import check_starts_from, frozen_gains, reference_table, table_of
from burnish.models.model import Policy
from burnish.objectives import gains, preference, ranking
from burnish.objectives.likelihood import answer_sums
from burnish.training.identity import identity, rows_hash
from burnish.training.loop import Evaluate, train_on
from burnish.training.metrics import Figures
from burnish.training.update import Loss, StepLoss, WholeBatch, loss_on
from burnish.types import Tree


def dpo(
    model: PolicyInput,
    data: DataInput,
    config: DPOConfig,
    *,
    out: Path,
    reference: PolicyInput | None = None,
    evaluate_on: DataInput | None = None,
) -> Figures:
    """Train `model` on ordered answers, write `out/model`, and return the figures of the last step.

    `reference` is the incoming model unless another is named. Rows of `evaluate_on` are not learned: their figures are
    told every `evaluate_every` steps and at the end.
    """
    something_to_evaluate_on(evaluate_on, config)
    _fits_together(config, reference)
    policy = as_policy(model, config)
    if config.reference_share < 1 and policy.model.dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"reference_share: {config.reference_share:g}: in {str(policy.model.dtype).removeprefix('torch.')} "
            "so small a step of a weight is rounded away; set dtype: float32, or leave it at 1"
        )
    template = resolve(policy.tokenizer, config.template)
    groups = as_groups(data, "ranking", config, out)
    held = heldout_groups(evaluate_on, groups, "ranking", config, out)
    report, held_report = (
        trees(some, template, max_length=config.max_length, on_too_long=config.on_too_long) for some in (groups, held)
    )
    say(report)
    rows, held_rows = decided(report.trees), decided(held_report.trees)
    if config.loss == "plackett_luce":
        summable([*rows, *held_rows])
    margin = Known(margin=margins(groups, rows, config.margin))
    held_margin = Known(margin=margins(held, held_rows, config.margin, wanted=False))
    check_before_step_one(policy, rows, template, config)
    anchor = policy if reference is None else as_policy(reference, config, trained=False)
    known = identity(config, rows, model=policy, **({} if reference is None else {"reference": anchor}))
    # held-out figures are to the model that came in: one that moves would be the policy itself after a refresh
    held_known = known | {"rows": rows_hash(held_rows)}
    held_table = _table(anchor, held_rows, config, out / "reference-heldout.safetensors", held_known)
    held_loss = dpo_loss(policy, held_table, config, held_margin)
    evaluate = evaluation(policy, held_rows, held_loss, config, compared=held)
    figures = train_on_pairs(
        policy, rows, config, out=out, known=known, anchor=anchor, margin=margin, evaluate=evaluate
    )
    policy.save(out / "model")
    return figures


def train_on_pairs(
    policy: Policy,
    rows: Sequence[Tree],
    config: DPOConfig,
    *,
    out: Path,
    known: Mapping[str, str],
    anchor: Policy | None = None,
    margin: Known = NOTHING,
    evaluate: Evaluate | None = None,
) -> Figures:
    """Train `policy` on the order of each row's answers, held to `anchor`, by default to the policy as it now is.

    `known` is the run's identity, without its margins. Returns the figures of the last step.
    """
    anchor = anchor or policy
    beside = {}
    if config.reference_every:
        moving = deepcopy(anchor)
        beside = {"reference": Anchor(moving, policy, every=config.reference_every, share=config.reference_share)}
        loss = moving_loss(policy, moving, config, margin)
    else:
        table = _table(anchor, rows, config, out / "reference.safetensors", known)
        if anchor is policy and table:
            check_starts_from(policy, rows, table, config)
        loss = dpo_loss(policy, table, config, margin)
    known = {**known, **margin.identity(rows, config.margin)}
    return train_on(policy, rows, loss, config, out=out, identity=known, whole=True, evaluate=evaluate, beside=beside)


def _fits_together(config: DPOConfig, reference: PolicyInput | None) -> None:
    if reference is not None and not FORMS[config.loss].reference:
        raise ConfigError(f"reference: {reference}: loss: {config.loss} has none; leave it out, or take another loss")
    if reference is not None and config.reference_every:
        raise ConfigError("reference_every: a reference is named, and it would be given up for the policy; drop one")


def _table(
    anchor: Policy, rows: Sequence[Tree], config: DPOConfig, cache: Path, known: Mapping[str, str]
) -> dict[Key, Tensor]:
    """What the reference says of rows, where the loss has one."""
    if not FORMS[config.loss].reference:
        return {}
    return reference_table(anchor, rows, config, cache=cache, known=known, each_token=config.length_tail < 1)


def moving_loss(policy: Policy, anchor: Policy, config: DPOConfig, known: Known = NOTHING) -> Loss | WholeBatch:
    """`dpo_loss` with a reference that moves: each batch asks it anew, by one more pass without gradient."""

    def of(rows: Sequence[Tree]) -> Loss:
        table = table_of(anchor, rows, config, each_token=config.length_tail < 1)
        return loss_on(rows, dpo_loss(policy, table, config, known))

    return WholeBatch(of)


def dpo_loss(
    policy: Policy, reference: Mapping[Key, Tensor], config: DPOConfig, known: Known = NOTHING
) -> Loss | WholeBatch:
    """The loss of a batch, counted in groups that decide something, or in pairs.

    `reference` has log p of each answer, or for `length_tail` of each of its tokens; `known` the margins of groups.
    """
    form = FORMS[config.loss]

    def loss(batch: TreeBatch, baseline: float | Tensor = 0.0) -> StepLoss:
        logprob_L, likelihood_N = _read(policy, batch, config)
        logprob_N = answer_sums(logprob_L, batch.answer_L, len(batch.keys))
        better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
        if config.length_tail < 1:
            gain_L = logprob_L - batch.gather(reference)
            gain_N = answer_sums(gain_L, batch.answer_L, len(batch.keys))
            pair = gains.tail_weighed(gain_L, batch.length_N, better_P, worse_P, tail=config.length_tail)
        else:
            gain_N = logprob_N - batch.gather(reference) if form.reference else logprob_N
            pair = gain_N[better_P], gain_N[worse_P]
        chosen_P, rejected_P = (
            _worth(gain_P, batch.length_N[answer_P], config)
            for gain_P, answer_P in zip(pair, (better_P, worse_P), strict=True)
        )
        weight_P, count = ranking.pair_weights(batch.group_N[better_P], config.weight, dtype=chosen_P.dtype)
        if form.loss is None:
            score_N = config.beta * _worth(gain_N, batch.length_N, config)
            total = ranking.plackett_luce(score_N, batch.place_N, batch.group_N).sum()
        else:
            margin = _margin(batch, better_P, worse_P, config, known)
            said = {"smoothing": config.smoothing, "margin": margin, "baseline": baseline}
            read = {key: value for key, value in said.items() if key in form.reads}
            loss_P = form.loss(chosen_P, rejected_P, beta=config.beta, **read)
            if likelihood_N is not None:
                loss_P = loss_P * likelihood_N[better_P] * likelihood_N[worse_P]
            total = (weight_P * loss_P).sum()
        if config.sft.weight:
            total = total + config.sft.weight * _sft(batch, logprob_N, better_P, worse_P, config)
        figures = {
            "accuracy": (chosen_P > rejected_P).float(),
            "margin": config.beta * (chosen_P - rejected_P),
            "logp_chosen": logprob_N[better_P],
            "logp_rejected": logprob_N[worse_P],
        }
        if form.reference:
            figures |= {
                "gain_chosen": gain_N[better_P],
                "gain_rejected": gain_N[worse_P],
                "chosen_fell": (gain_N[better_P] < 0).float(),
            }
        return StepLoss(total=total, count=count, figures=figures)

    if "baseline" in form.reads and config.baseline == "batch":
        return WholeBatch(lambda rows: partial(loss, baseline=_baseline(policy, reference, rows, config)))
    return loss


def _read(policy: Policy, batch: TreeBatch, config: DPOConfig) -> tuple[Tensor, Tensor | None]:
    """log p of each learned token, and for `wpo` how likely the policy is to write each answer, (N,)."""
    if not config.wpo:
        return policy.logprobs(batch), None
    logprob_L, collision_L = policy.logprobs_and_collisions(batch)
    return logprob_L, gains.likelihood_weights(logprob_L, collision_L, batch.answer_L, len(batch.keys))


def _worth(gain_N: Tensor, length_N: Tensor, config: DPOConfig) -> Tensor:
    """What is compared of answers with these gains, or for losses without a reference log-probabilities."""
    worth_N = gains.implied_reward(gain_N, config.divergence, alpha=config.alpha)
    return worth_N / length_N if config.length == "mean" else worth_N


def _margin(batch: TreeBatch, better_P: Tensor, worse_P: Tensor, config: DPOConfig, known: Known) -> Tensor | float:
    """What β times the gap of each pair must pass; less of it the longer the better answer is, where tokens cost."""
    margin: Tensor | float = config.target_margin
    if config.margin != "none":
        margin = margin + config.margin_scale * pair_margins(batch, better_P, worse_P, config.margin, known.margin)
    if config.length_price:
        margin = margin - config.length_price * gains.longer_by(batch.length_N, better_P, worse_P)
    return margin


def _sft(batch: TreeBatch, logprob_N: Tensor, better_P: Tensor, worse_P: Tensor, config: DPOConfig) -> Tensor:
    """The SFT term of the answers that nobody put another above; together they weigh what their prompt's pairs do."""
    best_N = torch.zeros_like(batch.ended_N)
    best_N[better_P] = True
    best_N[worse_P] = False
    best_B = best_N.nonzero().squeeze(1)
    group_B = batch.group_N[best_B]
    weight_B, _ = ranking.pair_weights(group_B, "prompt", dtype=logprob_N.dtype)
    if config.weight == "pair":
        weight_B = weight_B * torch.bincount(batch.group_N[better_P])[group_B]
    length_B = batch.length_N[best_B] if config.sft.length == "mean" else None
    return (weight_B * preference.sft(logprob_N[best_B], length_B)).sum()


def _baseline(policy: Policy, reference: Mapping[Key, Tensor], rows: Sequence[Tree], config: DPOConfig) -> Tensor:
    """The mean over the batch's pairs of half the chosen answer's gain and half the rejected one's, ()."""
    batch = pack(rows)
    gain_N = frozen_gains(policy, rows, reference, config)
    better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
    weight_P, count = ranking.pair_weights(batch.group_N[better_P], config.weight, dtype=gain_N.dtype)
    return ((weight_P * (gain_N[better_P] + gain_N[worse_P])).sum() / (2 * count)).to(policy.device)
