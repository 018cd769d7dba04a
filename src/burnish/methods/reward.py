"""The reward model: a score for every answer, learned from the order in which people put answers.

    loss = -log σ(s_better - s_worse), over the pairs that the orders decide                     Ouyang et al. 2022

Reads rankings and comparisons. A ranking of K answers costs its prompt once and K branches. It starts from the SFT
model, and its scores are brought to mean 0 and deviation 1 within a prompt, so that β means the same from run to run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from burnish.batch.pack import TreeBatch
from burnish.batch.trees import trees
from burnish.data.split import split_by_prompt
from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.checks import check_before_step_one
from burnish.methods.heldout import evaluation, heldout_groups, something_to_evaluate_on
from burnish.methods.inputs import DataInput, as_groups, placement, say
from burnish.models.load import load_scorer
from burnish.models.model import Scorer
from burnish.objectives import ranking
from burnish.training.config import MethodConfig
from burnish.training.identity import identity
from burnish.training.loop import Loss, StepLoss, train_on
from burnish.training.metrics import Figures
from burnish.types import Tree


class RewardConfig(MethodConfig):
    learning_rate: float = Field(1e-5, gt=0, description="peak of the learning rate")
    loss: Literal["pairwise", "plackett_luce"] = Field("pairwise", description="how an order becomes a loss")
    weight: Literal["prompt", "pair"] = Field("prompt", description="what counts once: a prompt, or a pair")
    heldout: float = Field(0.1, ge=0, lt=1, description="share of prompts kept from training, for the accuracy")


def reward(
    model: str | Path, data: DataInput, config: RewardConfig, *, out: Path, evaluate_on: DataInput | None = None
) -> Figures:
    """Train a reward model from the language model `model`, write `out/model`, return its held-out figures.

    They are of `evaluate_on`, or else of the share `heldout` of the prompts of `data`: every `evaluate_every` steps and
    at the end.
    """
    if evaluate_on is not None and config.heldout and "heldout" in config.model_fields_set:
        raise ConfigError("heldout, evaluate_on: each says what is not learned; keep one")
    share = config.heldout if evaluate_on is None else 0.0
    something_to_evaluate_on(evaluate_on, config, held=share)
    scorer = load_scorer(model, placement(config), lora=config.lora, fresh_head=True, seed=config.seed)
    template = resolve(scorer.tokenizer, config.template)
    taught, held = split_by_prompt(as_groups(data, "ranking", config, out), share, seed=config.seed)
    held += heldout_groups(evaluate_on, taught, "ranking", config, out)
    report, held_report = (
        trees(some, template, max_length=config.max_length, on_too_long=config.on_too_long) for some in (taught, held)
    )
    say(report)
    rows = decided(report.trees)
    check_before_step_one(scorer, rows, template, config)
    known = identity(config, rows, model=scorer)
    held_rows = decided(held_report.trees)
    loss = order_loss(scorer, config)
    evaluate = evaluation(scorer, held_rows, loss, config, ordered=True)
    figures = train_on(scorer, rows, loss, config, out=out, identity=known, whole=True, evaluate=evaluate)
    normalise(scorer, held_rows or rows, config)
    scorer.save(out / "model")
    return figures


def order_loss(scorer: Scorer, config: RewardConfig) -> Loss:
    """The ranking loss of a batch, counted in groups that decide something, or in pairs."""

    def loss(batch: TreeBatch) -> StepLoss:
        score_N = scorer.scores(batch)
        better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
        gap_P = (score_N[better_P] - score_N[worse_P]).detach()
        figures = {"accuracy": (gap_P > 0).float(), "margin": gap_P}
        if config.loss == "plackett_luce":
            loss_G = ranking.plackett_luce(score_N, batch.place_N, batch.group_N)
            return StepLoss(total=loss_G.sum(), count=len(torch.unique(batch.group_N[better_P])), figures=figures)
        loss_P = ranking.pairwise(score_N[better_P] - score_N[worse_P])
        weight_P, count = ranking.pair_weights(batch.group_N[better_P], config.weight, dtype=loss_P.dtype)
        return StepLoss(total=(weight_P * loss_P).sum(), count=count, figures=figures)

    return loss


def decided(rows: Sequence[Tree]) -> list[Tree]:
    """Those whose order decides at least one pair; a full tie teaches nothing."""
    return [tree for tree in rows if len({b.place for b in tree.branches if b.place >= 0}) > 1]


@torch.no_grad()
def normalise(scorer: Scorer, rows: Sequence[Tree], config: RewardConfig) -> None:
    """Bring scores to mean 0 and pooled within-prompt deviation 1 on `rows`.

    The head is divided by the deviation; what transformers' own forward then gives, less `score_mean` of the config, is
    our score. Probabilities of a pair use the gap times `score_deviation`, which is the scale that the loss learned.
    """
    table = scorer.frozen_scores(rows, config.micro_batch_tokens)
    groups: dict[int, list[Tensor]] = {}
    for (group, _), score in table.items():
        groups.setdefault(group, []).append(score)
    scores = [torch.cat(values).double() for values in groups.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in scores)
    deviation = (sum(((v - v.mean()) ** 2).sum().item() for v in scores) / freedom) ** 0.5 if freedom else 0.0
    if deviation < 1e-8:
        raise ConfigError(
            "the reward model gives every answer to a prompt the same score: it learned nothing. Usual causes: too few "
            "steps, a learning rate that is too small, answers that are all alike."
        )
    for parameter in scorer.score_head.parameters():
        parameter.div_(deviation)
    scorer.model.config.score_mean = torch.cat(scores).mean().item() / deviation
    scorer.model.config.score_deviation = deviation
