"""Rows that nothing learns from, and how a model does on them while it trains (`evaluate_on`, `evaluate_every`).

The figures are those of the loss that trains the model, over all held-out rows as one batch, and for ordered answers
the share of decided pairs that come out right, for judged ones that of judgements, with its 95 % interval, by prompt as
data.split has it: dialogues on one opening, and rankings of one prompt by several people, are one observation.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from burnish import processes
from burnish.batch.pack import TreeBatch, micro_batches, pack
from burnish.data.split import prompt_key
from burnish.errors import ConfigError
from burnish.evaluation.intervals import proportion
from burnish.methods.inputs import DataInput, as_groups
from burnish.models.model import Model
from burnish.objectives import ranking
from burnish.training.config import MethodConfig
from burnish.training.loop import Evaluate
from burnish.training.metrics import Figures
from burnish.training.update import Loss, StepLoss, WholeBatch, loss_on
from burnish.types import Group, Tree


def something_to_evaluate_on(evaluate_on: DataInput | None, config: MethodConfig, *, held: float = 0.0) -> None:
    """Raise ConfigError, before a model is loaded, where `evaluate_every` has no rows. `held`: a share kept for it."""
    if config.evaluate_every and evaluate_on is None and not held:
        raise ConfigError(
            f"evaluate_every: {config.evaluate_every}, and there is nothing to evaluate on; name a file of rows that "
            "are held out, `evaluate_on: heldout.jsonl`, or set it to 0"
        )


def heldout_groups(
    evaluate_on: DataInput | None, taught: Sequence[Group], kind: str, config: MethodConfig, out: Path
) -> list[Group]:
    """The groups of `evaluate_on`. Those that ask what one of `taught` asks are told: they are not held out."""
    if evaluate_on is None:
        return []
    groups = as_groups(evaluate_on, kind, config, out)
    asked = {prompt_key(group) for group in taught}
    known = sum(prompt_key(group) in asked for group in groups)
    if known:
        print(
            f"warning: {known} of {len(groups)} held-out rows ask what a row of the training data asks; "
            "`burnish data split` parts them, `burnish data validate --against` shows them",
            file=sys.stderr,
        )
    return groups


def evaluation(
    learner: Model,
    rows: Sequence[Tree],
    loss: Loss | WholeBatch,
    config: MethodConfig,
    *,
    compared: Sequence[Group] | None = None,
    judged: Sequence[Group] | None = None,
) -> Evaluate | None:
    """What `train` asks for the figures of held-out rows; None where there are none.

    `compared`: the groups that `rows` are of, where the loss compares their answers; `judged` where it takes each by
    itself and tells how right it is as `accuracy`.
    """
    if not rows:
        return None
    return lambda _: _figures(learner, rows, loss_on(rows, loss), config.micro_batch_tokens, compared, judged)


@torch.no_grad()
def _figures(
    learner: Model,
    rows: Sequence[Tree],
    loss: Loss,
    budget: int,
    compared: Sequence[Group] | None,
    judged: Sequence[Group] | None,
) -> Figures:
    parts = micro_batches(rows, budget, whole=compared is not None)

    def measured() -> dict[str, tuple[float, float, list[tuple[int, float]]]]:
        """Of each part that this process measures: sum, count, and how right each pair or judgement of a group is."""
        found = {}
        for index in processes.share_of([sum(tree.size for tree in part) for part in parts]):
            batch = pack(parts[index]).to(learner.device)
            told = loss(batch)
            found[str(index)] = told.total.item(), told.count, _right(batch, told, compared, judged)
        return found

    told = {index: one for found in processes.together(measured) for index, one in found.items()}
    total = count = 0.0
    right: dict[str, list[float]] = {}  # by what data are split by: dialogues on one opening are one observation
    groups = compared or judged or ()
    for part_total, part_count, ones in (told[str(index)] for index in range(len(parts))):
        total += part_total
        count += part_count
        for group, one in ones:
            right.setdefault(prompt_key(groups[group]), []).append(one)
    figures = {"heldout_loss": total / count}
    if not right:
        return figures
    share = proportion(list(right.values()))
    return figures | {
        "heldout_accuracy": share.mean,
        "heldout_accuracy_low": share.low,
        "heldout_accuracy_high": share.high,
        "heldout_pairs" if compared is not None else "heldout_judgements": sum(map(len, right.values())),
        "heldout_prompts": len(right),
    }


def _right(
    batch: TreeBatch, told: StepLoss, compared: Sequence[Group] | None, judged: Sequence[Group] | None
) -> list[tuple[int, float]]:
    """Of each decided pair, or judged answer, its group and 1 where it comes out right, ½ for equal scores, else 0."""
    if compared is not None:
        better_P, _ = ranking.decided_pairs(batch.place_N, batch.group_N)
        won_P = 0.5 * (1 + told.figures["margin"].sign())
        of_P = [batch.trees[tree].group for tree in batch.group_N[better_P].tolist()]
        return list(zip(of_P, won_P.tolist(), strict=True))
    if judged is not None:
        return list(zip([group for group, _ in batch.keys], told.figures["accuracy"].tolist(), strict=True))
    return []
