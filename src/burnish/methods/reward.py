"""The reward model: a score for every answer, learned from the order in which people put answers.

    loss = -log σ(s_better - s_worse), over the pairs that the orders decide              Ouyang et al. 2022, eq. 1

Reads rankings and comparisons. A ranking of K answers costs its prompt once and K branches. It starts from the SFT
model, and its scores are brought to mean 0 and deviation 1 within a prompt, so that β means the same from run to run.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from burnish.batch.pack import TreeBatch, micro_batches, pack
from burnish.batch.trees import trees
from burnish.data.split import split_by_prompt
from burnish.data.templates import resolve
from burnish.errors import ConfigError
from burnish.methods.checks import check_before_step_one
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


def reward(model: str | Path, data: DataInput, config: RewardConfig, *, out: Path) -> Figures:
    """Train a reward model from the language model `model`, write `out/model`, return its held-out figures."""
    scorer = load_scorer(model, placement(config), lora=config.lora, fresh_head=True, seed=config.seed)
    template = resolve(scorer.tokenizer, config.template)
    taught, held = split_by_prompt(as_groups(data, "ranking", config, out), config.heldout, seed=config.seed)
    report = trees(taught, template, max_length=config.max_length, on_too_long=config.on_too_long)
    say(report)
    rows = decided(report.trees)
    check_before_step_one(scorer, rows, template, config)
    known = identity(config, rows, model=scorer)
    figures = train_on(scorer, rows, order_loss(scorer, config), config, out=out, identity=known, whole=True)
    cut = trees(held, template, max_length=config.max_length, on_too_long=config.on_too_long) if held else None
    held_rows = decided(cut.trees) if cut else []
    normalise(scorer, held_rows or rows, config)
    if held_rows:
        figures |= {f"heldout_{k}": v for k, v in pair_accuracy(scorer, held_rows, config).items()}
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


@torch.no_grad()
def pair_accuracy(scorer: Scorer, rows: Sequence[Tree], config: RewardConfig) -> Figures:
    """Share of decided pairs whose better answer scores higher, each prompt counted once, and how many there are."""
    right: list[float] = []
    pairs = 0
    for part in micro_batches(rows, config.micro_batch_tokens, whole=True):
        batch = pack(part).to(scorer.device)
        score_N = scorer.scores(batch)
        better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
        weight_P, _ = ranking.pair_weights(batch.group_N[better_P], "prompt")
        gap_P = score_N[better_P] - score_N[worse_P]
        right.append((weight_P * ((gap_P > 0).float() + 0.5 * (gap_P == 0).float())).sum().item())
        pairs += len(gap_P)
    return {"accuracy": sum(right) / len(rows), "pairs": pairs, "prompts": len(rows)}
