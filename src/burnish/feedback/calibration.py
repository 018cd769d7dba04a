"""How annotators did on the items that they practised on, beside the orders known to be right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from burnish.feedback.records import Ranking


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of one annotator: practice `items` ranked, and how many of the `pairs` that their keys decide were `right`."""

    items: int
    right: int
    pairs: int


def calibration(rankings: Iterable[Ranking]) -> dict[str, Calibration]:
    """annotator → how they practised. Only rankings of the layer `calibration` are looked at."""
    found: dict[str, Calibration] = {}
    for one in rankings:
        if one.layer == "calibration":
            right, pairs = right_pairs(one.place_K, one.gold_K)
            before = found.get(one.annotator, Calibration(0, 0, 0))
            found[one.annotator] = Calibration(before.items + 1, before.right + right, before.pairs + pairs)
    return dict(sorted(found.items()))


def right_pairs(place_K: Sequence[int], gold_K: Sequence[int]) -> tuple[int, int]:
    """(pairs put as the key puts them, pairs that the key decides). Place 0 is best.

    Where the key has a tie any order is as good; a tie where the key decides is not right.
    """
    right = pairs = 0
    for i, j in combinations(range(len(gold_K)), 2):
        if gold_K[i] != gold_K[j]:
            better, worse = (i, j) if gold_K[i] < gold_K[j] else (j, i)
            pairs += 1
            right += place_K[better] < place_K[worse]
    return right, pairs
