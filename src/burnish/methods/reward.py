"""The reward model: a score for every answer, learned from the order in which people put answers.

    loss = -log σ(s_better - s_worse), over the pairs that the orders decide                     Ouyang et al. 2022

Reads rankings and comparisons. A ranking of K answers costs its prompt once and K branches. It starts from the SFT
model, and its scores are brought to mean 0 and deviation 1 within a prompt, so that β means the same from run to run.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch
from burnish.batch.trees import trees
from burnish.data.split import split_by_prompt
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError
from burnish.evaluation.ordering import ordering, shown
from burnish.methods.checks import check_before_step_one
from burnish.methods.ensemble import MOST, bootstrap, mean_table, member_folder, write_ensemble
from burnish.methods.heldout import evaluation, heldout_groups, something_to_evaluate_on
from burnish.methods.inputs import DataInput, as_groups, placement, say
from burnish.methods.mismatched import is_mismatched, with_mismatched
from burnish.methods.normalise import normalise
from burnish.methods.ordered import OTHERS, ranked, tell
from burnish.methods.rankings import (
    NOTHING,
    Known,
    Margin,
    decided,
    margins,
    pair_margins,
    placed,
    rater_weights,
    summable,
)
from burnish.models.load import load_scorer
from burnish.models.model import Scorer
from burnish.objectives import ranking
from burnish.training.config import MethodConfig
from burnish.training.identity import identity
from burnish.training.loop import train_on
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.training.update import Loss, StepLoss
from burnish.types import Group, Tree


class RewardConfig(MethodConfig):
    learning_rate: float = Field(1e-5, gt=0, description="peak of the learning rate")
    loss: Literal["pairwise", "plackett_luce"] = Field("pairwise", description="how an order becomes a loss")
    weight: Literal["prompt", "pair"] = Field("prompt", description="what counts once: a prompt, or a pair")
    annotator_weight: bool = Field(False, description="rankings weigh by the reliability of who made them")
    ties: Literal["left_out", "zero_margin"] = Field("left_out", description="tied pairs teach nothing, or a gap of 0")
    margin: Margin = Field("none", description="gap that pairs must keep: the row's, by confidence, by scores")
    margin_scale: float = Field(1.0, gt=0, description="what the margin is multiplied with")
    smoothing: float = Field(0.0, ge=0, lt=0.5, description="share of pairs taken to be the wrong way round")
    centre: float = Field(0.0, ge=0, description="weight of the term that holds scores around zero; 0 is off")
    mismatched: int = Field(0, ge=0, le=16, description="answers to other prompts put below each ranking; 0 is off")
    mismatched_share: float = Field(0.25, gt=0, lt=1, description="their share of a prompt's loss")
    members: int = Field(1, ge=1, le=MOST, description="reward models, each of a bootstrap sample of the prompts")
    heldout: float = Field(0.1, ge=0, lt=1, description="share of prompts kept from training, for the accuracy")

    @model_validator(mode="after")
    def _of_pairs(self) -> Self:
        if self.loss == "plackett_luce":
            off = {"weight": "prompt", "ties": "left_out", "margin": "none", "smoothing": 0.0}
            for key, value in off.items():
                if getattr(self, key) != value:
                    raise ValueError(f"{key}: {getattr(self, key)} is of pairs, and loss: plackett_luce has none")
        return self


def reward(
    model: str | Path, data: DataInput, config: RewardConfig, *, out: Path, evaluate_on: DataInput | None = None
) -> Figures:
    """Train a reward model from the language model `model`, write `out/model`, return its held-out figures.

    They are of `evaluate_on`, or else of the share `heldout` of the prompts of `data`: every `evaluate_every` steps and
    at the end. With `members` above 1, `out/model` is an ensemble (ensemble.py), a folder a member; the figures are
    means over members, but those of the held-out order, which are of the mean score.
    """
    if evaluate_on is not None and config.heldout and "heldout" in config.model_fields_set:
        raise ConfigError("heldout, evaluate_on: each says what is not learned; keep one")
    share = config.heldout if evaluate_on is None else 0.0
    something_to_evaluate_on(evaluate_on, config, held=share)
    taught, held = split_by_prompt(as_groups(data, "ranking", config, out), share, seed=config.seed)
    held += heldout_groups(evaluate_on, taught, "ranking", config, out)
    tables: list[Mapping[Key, Tensor]] = []
    each: list[Figures] = []
    for number in range(1, config.members + 1):
        alone = config.members == 1
        seed = config.seed if alone else derived_seed(config.seed, "member", number)
        scorer = load_scorer(model, placement(config), lora=config.lora, fresh_head=True, seed=seed)
        lessons = _lessons(scorer, taught, held, config, tell_cut=number == 1)
        rows = lessons.rows if alone else bootstrap(lessons.rows, taught, seed)
        each.append(_fit(scorer, lessons, rows, config, out if alone else out / "members" / str(number)))
        measured = with_mismatched(lessons.held_rows, held, OTHERS, max_length=config.max_length, seed=config.seed)
        tables.append(scorer.frozen_scores(measured or rows, config.micro_batch_tokens))
        normalise(scorer, tables[-1])
        scorer.save(out / "model" if alone else member_folder(out / "model", number))
    figures = _of_all(each) if len(each) > 1 else each[0]
    if config.members > 1:
        write_ensemble(out / "model", config.members)
    if measured:
        table = mean_table(tables)  # of scores before they were normalised: a gap was a pair's log-odds
        found = ordering(ranked(measured, held, table))
        tell(found, out)
        figures |= found.figures("heldout_")
        if config.members > 1:
            figures |= shown("heldout_accuracy", found.accuracy)
    return figures


def _of_all(each: Sequence[Figures]) -> Figures:
    """Means of what every member has, and the batches that any left out, counted together."""
    names = [name for name in each[0] if all(name in one for one in each)]
    figures = {name: statistics.fmean(one[name] for one in each) for name in names}
    skipped = sum(one.get("skipped", 0) for one in each)
    return figures | ({"skipped": skipped} if skipped else {})


@dataclass(frozen=True, slots=True)
class _Lessons:
    """The rows that teach and those that are held out, as tokens of one model, with the groups that they come from."""

    template: Template
    taught: Sequence[Group]
    held: Sequence[Group]
    rows: Sequence[Tree]
    held_rows: Sequence[Tree]


def _lessons(
    scorer: Scorer, taught: Sequence[Group], held: Sequence[Group], config: RewardConfig, *, tell_cut: bool
) -> _Lessons:
    template = resolve(scorer.tokenizer, config.template)
    report, held_report = (
        trees(some, template, max_length=config.max_length, on_too_long=config.on_too_long) for some in (taught, held)
    )
    if tell_cut:
        say(report)
    rows = placed(report.trees) if config.ties == "zero_margin" else decided(report.trees)
    held_rows = decided(held_report.trees)
    if config.loss == "plackett_luce":
        summable([*rows, *held_rows])
    return _Lessons(template, taught, held, rows, held_rows)


def _fit(scorer: Scorer, lessons: _Lessons, rows: Sequence[Tree], config: RewardConfig, out: Path) -> Figures:
    """Train one model on `rows`; what it is held to is the same for all."""
    taught, held, held_rows = lessons.taught, lessons.held, lessons.held_rows
    known = Known(rater_weights(taught, rows) if config.annotator_weight else {}, margins(taught, rows, config.margin))
    shown_rows, held_lessons = _beside_others(rows, taught, config), _beside_others(held_rows, held, config)
    check_before_step_one(scorer, shown_rows, lessons.template, config)
    same = identity(config, shown_rows, model=scorer) | known.identity(rows, config.margin)
    held_loss = order_loss(scorer, config, Known(margin=margins(held, held_rows, config.margin, wanted=False)))
    evaluate = evaluation(scorer, held_lessons, held_loss, config, compared=held)
    loss = order_loss(scorer, config, known)
    return train_on(scorer, shown_rows, loss, config, out=out, identity=same, whole=True, evaluate=evaluate)


def _beside_others(rows: Sequence[Tree], groups: Sequence[Group], config: RewardConfig) -> list[Tree]:
    if not config.mismatched or not rows:
        return list(rows)
    made = with_mismatched(rows, groups, config.mismatched, max_length=config.max_length, seed=config.seed)
    short = sum(len(one.branches) < len(row.branches) + config.mismatched for one, row in zip(made, rows, strict=True))
    if short:
        print(f"{short} of {len(rows)}: no answer to another prompt fits below them in max_length", file=sys.stderr)
    return made


def order_loss(scorer: Scorer, config: RewardConfig, known: Known = NOTHING) -> Loss:
    """The ranking loss of a batch, counted in groups that teach something, or in pairs.

    A group's loss is (1 - `mismatched_share`) of its own order and `mismatched_share` of its answers above another
    prompt's. Annotators' weights are not counted: their mean is 1 over all rows, so a step of unreliable rankings is a
    small one.
    """

    def loss(batch: TreeBatch) -> StepLoss:
        score_N = scorer.scores(batch)
        better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
        gap_P = (score_N[better_P] - score_N[worse_P]).detach()
        figures = {"accuracy": (gap_P > 0).float(), "margin": gap_P}
        if config.loss == "plackett_luce":
            loss_U, weight_U, group_U, count = _orders(score_N, batch, config)
        else:
            loss_U, weight_U, group_U, count = _pairs(score_N, batch, config, known)
        if known.weight:
            rater_G = [known.weight.get(tree.group, 1.0) for tree in batch.trees]
            weight_U = weight_U * weight_U.new_tensor(rater_G)[group_U]
        total = (weight_U * loss_U).sum()
        if config.mismatched:
            own_Q, other_Q = _above_other_prompts(batch)
            gap_Q, group_Q = score_N[own_Q] - score_N[other_Q], batch.group_N[own_Q]
            figures["own_above_other"] = (gap_Q.detach() > 0).float()
            weight_G = weight_U.new_zeros(len(batch.trees)).index_add(0, group_U, weight_U)
            share_G = weight_U.new_zeros(len(batch.trees)).index_fill(0, group_Q, config.mismatched_share)
            once_Q, _ = ranking.pair_weights(group_Q, "prompt", dtype=weight_U.dtype)
            total = (weight_U * (1 - share_G[group_U]) * loss_U).sum()
            total = total + (once_Q * (weight_G * share_G)[group_Q] * ranking.pairwise(gap_Q)).sum()
        return StepLoss(total=total, count=count, figures=figures)

    return loss


Units = tuple[Tensor, Tensor, Tensor, int]
"""Of each unit, pair or group: its loss, its weight and its group; and what the sum is divided by."""


def _pairs(score_N: Tensor, batch: TreeBatch, config: RewardConfig, known: Known) -> Units:
    better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
    gap_P = score_N[better_P] - score_N[worse_P]
    if config.margin != "none":
        margin_P = pair_margins(batch, better_P, worse_P, config.margin, known.margin)
        gap_P = gap_P - config.margin_scale * margin_P.to(gap_P.dtype)
    loss_P = ranking.pairwise(gap_P, config.smoothing)
    if config.ties == "zero_margin":
        first_P, second_P = ranking.tied_pairs(batch.place_N, batch.group_N)
        loss_P = torch.cat((loss_P, ranking.level(score_N[first_P] - score_N[second_P])))
        better_P, worse_P = torch.cat((better_P, first_P)), torch.cat((worse_P, second_P))
    if config.centre:
        loss_P = loss_P + config.centre * ranking.centring(score_N[better_P], score_N[worse_P])
    weight_P, count = ranking.pair_weights(batch.group_N[better_P], config.weight, dtype=loss_P.dtype)
    return loss_P, weight_P, batch.group_N[better_P], count


def _orders(score_N: Tensor, batch: TreeBatch, config: RewardConfig) -> Units:
    better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
    loss_G = ranking.plackett_luce(score_N, batch.place_N, batch.group_N)
    group_U = torch.unique(batch.group_N[better_P])
    if config.centre:
        weight_P, _ = ranking.pair_weights(batch.group_N[better_P], "prompt", dtype=loss_G.dtype)
        centring_P = weight_P * ranking.centring(score_N[better_P], score_N[worse_P])
        loss_G = loss_G.index_add(0, batch.group_N[better_P], config.centre * centring_P)
    return loss_G[group_U], loss_G.new_ones(len(group_U)), group_U, len(group_U)


def _above_other_prompts(batch: TreeBatch) -> tuple[Tensor, Tensor]:
    """Every pair of a group's own answer of known place and an answer to another prompt."""
    other_N = torch.tensor([is_mismatched(answer) for _, answer in batch.keys], device=batch.place_N.device)
    two_N = torch.where(batch.place_N >= 0, 0, -1).masked_fill(other_N, 1)
    return ranking.decided_pairs(two_N, batch.group_N)
