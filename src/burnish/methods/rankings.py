"""What rankings say besides their order, as the reward model's loss wants it: whose word counts how much, and how far
apart answers must come.

Tables are by the index of a group in its data set, which is `Tree.group`.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

import torch
from torch import Tensor

from burnish.batch.pack import TreeBatch
from burnish.errors import ConfigError, DataError
from burnish.feedback.agreement.weights import annotator_weights
from burnish.objectives.ranking import MOST_TIED
from burnish.types import Group, Tree

Margin = Literal["none", "record", "confidence", "scores"]


@dataclass(frozen=True, slots=True)
class Known:
    """`weight`: of each group's loss, 1 where absent. `margin`: of each of its pairs, 0 where absent."""

    weight: Mapping[int, float] = field(default_factory=dict)
    margin: Mapping[int, float] = field(default_factory=dict)

    def identity(self, rows: Sequence[Tree], source: Margin) -> dict[str, str]:
        """What a resumed run must know alike besides orders; nothing where they say it all."""
        scores = [[b.score for b in tree.branches] for tree in rows] if source == "scores" else []
        if not self.weight and not self.margin and not scores:
            return {}
        told = json.dumps([sorted(self.weight.items()), sorted(self.margin.items()), scores])
        return {"weights_and_margins": sha256(told.encode()).hexdigest()}


NOTHING = Known()


def decided(rows: Sequence[Tree]) -> list[Tree]:
    """Those whose order decides at least one pair; a full tie teaches nothing."""
    return [tree for tree in rows if len({b.place for b in tree.branches if b.place >= 0}) > 1]


def summable(rows: Sequence[Tree]) -> None:
    """Raise DataError for an order with more ties above its last place than Plackett and Luce's loss can sum over."""
    for tree in rows:
        places = Counter(branch.place for branch in tree.branches if branch.place >= 0)
        above = max((tied for place, tied in places.items() if place < max(places)), default=0)
        if above > MOST_TIED:
            raise DataError(
                f"{tree.origin}: {above} answers tie above others, and loss: plackett_luce sums over the orders of "
                f"{MOST_TIED} at most; leave the row out, or take a loss of pairs"
            )


def placed(rows: Sequence[Tree]) -> list[Tree]:
    """Those with at least two answers of known place, tied or not."""
    return [tree for tree in rows if sum(branch.place >= 0 for branch in tree.branches) > 1]


def rater_weights(groups: Sequence[Group], rows: Sequence[Tree]) -> dict[int, float]:
    """The weight of each taught row: its annotator's reliability, with a mean of 1 over `rows`.

    Only `groups`, the training rows, say how reliable an annotator is. Raises ConfigError where they cannot.
    """
    weights = annotator_weights(groups)
    mean = sum(weights[tree.group] for tree in rows) / len(rows) if rows else 0.0
    if not math.isfinite(mean) or mean <= 0:
        raise ConfigError(
            f"annotator_weight: of {len(rows)} rankings none is by an annotator who is right more often than by "
            "guessing, so nothing would be taught; look at `burnish rank stats`, or leave annotator_weight out"
        )
    return {tree.group: weights[tree.group] / mean for tree in rows}


def margins(groups: Sequence[Group], rows: Sequence[Tree], source: Margin, *, wanted: bool = True) -> dict[int, float]:
    """The margin that a group's record gives all its pairs. Margins by scores are by pair and come with the batch.

    Raises ConfigError where a confidence is no number, or, unless it is not `wanted`, no row has what `source` names.
    """
    if source == "none":
        return {}
    if source == "scores":
        if wanted and not any(sum(math.isfinite(b.score) for b in tree.branches) > 1 for tree in rows):
            raise ConfigError(_none_has("scores", rows, "two answers with `scores`"))
        return {}
    named = {tree.group: _number(groups[tree.group], source) for tree in rows}
    found = {group: value for group, value in named.items() if value is not None}
    if wanted and not found:
        raise ConfigError(_none_has(source, rows, "`margin`" if source == "record" else "`confidence`"))
    return found


def pair_margins(
    batch: TreeBatch, better_P: Tensor, worse_P: Tensor, source: Margin, margin: Mapping[int, float]
) -> Tensor:
    """What the gap of each pair must pass, (P,). By scores it is never negative: scores do not overrule people.

    `margin` is what `margins` found of each group.
    """
    if source == "scores":
        return (batch.score_N[better_P] - batch.score_N[worse_P]).nan_to_num(0.0).clamp(min=0)
    margin_G = torch.tensor([margin.get(tree.group, 0.0) for tree in batch.trees], device=better_P.device)
    return margin_G[batch.group_N[better_P]]


def _none_has(source: str, rows: Sequence[Tree], what: str) -> str:
    return f"margin: {source}: none of {len(rows)} training rows has {what}; add it, or leave margin out"


def _number(group: Group, source: Margin) -> float | None:
    value = group.margin if source == "record" else group.extra.get("confidence")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{group.origin or group.id}: margin: {source}: must be a finite number; found {value!r}")
    return float(value)
