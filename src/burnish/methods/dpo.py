"""DPO: learn from answers that people have put in order, with no reward model.

    loss = -log σ(β · (Δ - Δ_reference)),  Δ = log p(chosen) - log p(rejected)     Rafailov et al. 2023, eq. 7

Reads comparisons and rankings. A ranking gives every pair that it decides, yet each answer is computed once. The
reference is the model as it comes in; its log-probabilities are taken once, before the first step, so one model is in
memory and not two.
"""

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch
from burnish.batch.trees import trees
from burnish.data.templates import resolve
from burnish.methods.checks import check_before_step_one, refused
from burnish.methods.heldout import evaluation, heldout_groups, something_to_evaluate_on
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.rankings import decided
from burnish.models.model import Policy
from burnish.objectives import preference, ranking
from burnish.training.config import MethodConfig
from burnish.training.identity import identity, rows_hash
from burnish.training.loop import Loss, StepLoss, train_on
from burnish.training.metrics import Figures
from burnish.types import Tree


class DPOConfig(MethodConfig):
    learning_rate: float = Field(1e-6, gt=0, description="peak of the learning rate")
    beta: float = Field(0.1, gt=0, description="price of leaving the reference; larger stays closer")
    smoothing: float = Field(0.0, ge=0, lt=0.5, description="share of pairs taken to be the wrong way round")
    weight: Literal["prompt", "pair"] = Field("prompt", description="what counts once: a prompt, or a pair")


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
    policy = as_policy(model, config)
    template = resolve(policy.tokenizer, config.template)
    groups = as_groups(data, "ranking", config, out)
    held = heldout_groups(evaluate_on, groups, "ranking", config, out)
    report, held_report = (
        trees(some, template, max_length=config.max_length, on_too_long=config.on_too_long) for some in (groups, held)
    )
    say(report)
    rows, held_rows = decided(report.trees), decided(held_report.trees)
    check_before_step_one(policy, rows, template, config)
    anchor = policy if reference is None else as_policy(reference, config, trained=False)
    known = identity(config, rows, model=policy, **({} if reference is None else {"reference": anchor}))
    reference_N = reference_sums(anchor, rows, config, cache=out / "reference.safetensors", known=known)
    held_known = known | {"rows": rows_hash(held_rows)}
    held_N = reference_sums(anchor, held_rows, config, cache=out / "reference-heldout.safetensors", known=held_known)
    if reference is None and "reference" not in config.skip_check:
        _starts_from_its_reference(policy, rows, reference_N, config)
    evaluate = evaluation(policy, held_rows, dpo_loss(policy, held_N, config), config, compared=held)
    loss = dpo_loss(policy, reference_N, config)
    figures = train_on(policy, rows, loss, config, out=out, identity=known, whole=True, evaluate=evaluate)
    policy.save(out / "model")
    return figures


def dpo_loss(policy: Policy, reference_N: dict[Key, Tensor], config: DPOConfig) -> Loss:
    """DPO over every decided pair of a batch, counted in groups that decide something, or in pairs."""

    def loss(batch: TreeBatch) -> StepLoss:
        logprob_N = policy.logprob_sums(batch)
        gain_N = logprob_N - batch.gather(reference_N)
        better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
        gap_P = gain_N[better_P] - gain_N[worse_P]
        loss_P = preference.dpo(gain_N[better_P], gain_N[worse_P], beta=config.beta, smoothing=config.smoothing)
        weight_P, count = ranking.pair_weights(batch.group_N[better_P], config.weight, dtype=loss_P.dtype)
        figures = {
            "accuracy": (gap_P > 0).float(),
            "margin": config.beta * gap_P,
            "logp_chosen": logprob_N[better_P],
            "logp_rejected": logprob_N[worse_P],
        }
        return StepLoss(total=(weight_P * loss_P).sum(), count=count, figures=figures)

    return loss


def reference_sums(
    reference: Policy, rows: list[Tree], config: DPOConfig, *, cache: Path, known: dict[str, str]
) -> dict[Key, Tensor]:
    """log p of each answer under the reference, from `cache` where it was taken for the same rows and weights."""
    if not rows:
        return {}
    tag = {"rows": known["rows"], "model": known.get("reference", known["model"])}
    if cache.exists():
        stored = load_file(cache)
        key_N2, sum_N = stored["keys"], stored["sums"]
        with_tag = _tag(cache)
        if with_tag == tag:
            return {(int(g), int(a)): value for (g, a), value in zip(key_N2.tolist(), sum_N.split(1), strict=True)}
    table = reference.frozen_logprobs(rows, config.micro_batch_tokens)
    sums = {key: logprob_L.sum().reshape(1) for key, logprob_L in table.items()}
    cache.parent.mkdir(parents=True, exist_ok=True)
    aside = cache.with_name(".tmp-" + cache.name)
    save_file({"keys": torch.tensor(list(sums)), "sums": torch.cat(list(sums.values()))}, aside, metadata=tag)
    aside.replace(cache)
    return sums


def _tag(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata())


@torch.no_grad()
def _starts_from_its_reference(
    policy: Policy, rows: list[Tree], reference_N: dict[Key, Tensor], config: DPOConfig
) -> None:
    """KL to the reference is 0 before step one: the policy gives its own answers the reference's log-probability."""
    first = min(rows, key=lambda tree: tree.size)
    table = policy.frozen_logprobs([first], config.micro_batch_tokens)
    worst = max((logprob_L.sum() - reference_N[key]).abs().item() for key, logprob_L in table.items())
    if worst > 1e-2:
        raise refused(
            "reference", f"{first.origin}: policy and reference differ by {worst:.2g} nats before the first step"
        )
