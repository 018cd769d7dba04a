"""Which items someone should decide because their annotators did not agree."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from burnish.feedback.agreement.coefficients import tau_b
from burnish.feedback.agreement.verdicts import Readings
from burnish.feedback.records import Ranking

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
