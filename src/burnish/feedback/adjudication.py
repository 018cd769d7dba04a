"""Which items someone should decide because their annotators did not agree, and which to ask about next."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy.special import expit

from burnish.feedback.agreement import tau_b
from burnish.feedback.records import Ranking
from burnish.feedback.verdicts import Readings

LEAST_TAU = 0.3


@dataclass(frozen=True, slots=True)
class Dispute:
    """An item on which two annotators disagree. `tau_b`: the least of any two, NaN where they all tied everything.

    `other_top`: two of them put different answers first, with none in common. `places`: annotator → place of each
    answer in the item's own order.
    """

    item: str
    tau_b: float
    other_top: bool
    places: Mapping[str, tuple[int, ...]]


def adjudication_queue(
    by_item: Readings, adjudicated: Iterable[str] = (), least_tau: float = LEAST_TAU
) -> list[Dispute]:
    """Items where τ-b of two annotators is below `least_tau` or their best answers differ, the worst first.

    `adjudicated`: items that have been decided already.
    """
    decided = set(adjudicated)
    found = []
    for item, by_annotator in by_item.items():
        if item in decided or len(by_annotator) < 2:
            continue
        places = {name: one.place_K for name, one in sorted(by_annotator.items())}
        taus = [tau_b(first, second) for first, second in combinations(places.values(), 2)]
        least = min((tau for tau in taus if not math.isnan(tau)), default=math.nan)
        other_top = any(not (_top(first) & _top(second)) for first, second in combinations(places.values(), 2))
        if least < least_tau or other_top:
            found.append(Dispute(item, least, other_top, places))
    return sorted(found, key=lambda one: (math.inf if math.isnan(one.tau_b) else one.tau_b, one.item))


def decided_items(rankings: Iterable[Ranking]) -> set[str]:
    """Items that have an adjudicated ranking."""
    return {one.item for one in rankings if one.layer == "adjudicated"}


def _top(place_K: tuple[int, ...]) -> set[int]:
    return {index for index, place in enumerate(place_K) if place == 0}


def ask_next(scores: Mapping[str, Sequence[float]], ranked: Iterable[str], most: int = 50) -> list[tuple[str, float]]:
    """Items that nobody ranked, where the model is least sure: (item, mean entropy in bits of its pairs' verdicts).

    `scores` are in units in which P(i ≻ j) = σ(s_i - s_j): multiply by `score_deviation` where they were normalised.
    """
    seen = set(ranked)
    unsure = [(item, _entropy(score_K)) for item, score_K in scores.items() if item not in seen and len(score_K) > 1]
    return sorted(unsure, key=lambda one: (-one[1], one[0]))[:most]


def _entropy(score_K: Sequence[float]) -> float:
    bits = []
    for i, j in combinations(range(len(score_K)), 2):
        p = float(expit(score_K[i] - score_K[j]))
        bits.append(-sum(q * math.log2(q) for q in (p, 1 - p) if q > 0))
    return math.fsum(bits) / len(bits)
