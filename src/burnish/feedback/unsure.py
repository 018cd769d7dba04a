"""What to ask next: items whose order a reward model is least sure of, or on which several models differ.

With p_ij = σ(s_i - s_j), the probability that answer i is better than j (Bradley–Terry), and H the entropy of a yes or
no in bits, an item's uncertainty is the mean over its pairs of

    H(p_ij)                                 for one model: 1 where it cannot tell, 0 where it is certain
    H(mean of p_ij) - mean of H(p_ij)       for several: what they differ about, and not what all find close

The second is BALD (Houlsby et al. 2011, Bayesian Active Learning for Classification and Preference Learning): pairs
that are close for everybody are a matter of taste, and asking about them teaches nothing.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from burnish.data.problems import printable
from burnish.errors import DataError
from burnish.feedback.scores import scores_by_model
from burnish.feedback.store import Store


def uncertainty(score_MK: Sequence[Sequence[float]]) -> float:
    """Of an item with K answers, from the scores of M models; between 0 and 1."""
    if not score_MK or any(len(score_K) != len(score_MK[0]) or len(score_K) < 2 for score_K in score_MK):
        raise ValueError(f"one score for each of two answers or more from each model: {score_MK}")
    pairs = list(combinations(range(len(score_MK[0])), 2))
    total = 0.0
    for one, other in pairs:
        better_M = [_sigmoid(score_K[one] - score_K[other]) for score_K in score_MK]
        entropy = _entropy(sum(better_M) / len(better_M))
        total += entropy if len(better_M) == 1 else max(0.0, entropy - sum(map(_entropy, better_M)) / len(better_M))
    return total / len(pairs)


def ask_next(scores: Mapping[str, Sequence[float]], ranked: Iterable[str], most: int = 50) -> list[tuple[str, float]]:
    """Items that nobody ranked, the least sure of one model first: (item, uncertainty).

    `scores` are in log-odds, as `scores_of` gives them: P(i ≻ j) = σ(s_i - s_j).
    """
    seen = set(ranked)
    unsure = [
        (item, uncertainty([score_K])) for item, score_K in scores.items() if item not in seen and len(score_K) > 1
    ]
    return sorted(unsure, key=lambda one: (-one[1], one[0]))[:most]


def _sigmoid(gap: float) -> float:
    return 1 / (1 + math.exp(-gap)) if gap >= 0 else 1 - 1 / (1 + math.exp(gap))  # exp(710) would overflow


def _entropy(chance: float) -> float:
    return -sum(p * math.log2(p) for p in (chance, 1 - chance) if p > 0)


def ask_about(store: Store, files: Sequence[str | Path]) -> dict[str, float]:
    """Set the uncertainty of the items that `burnish score` scored, one file a model or an ensemble's file; returns how
    many, and their mean.

    Raises DataError as `scores_by_model` does, for a row that is no item of the store, and for an item that some of the
    models scored and others did not.
    """
    items = list(store.items())
    score_MK: dict[str, list[list[float]]] = {}
    times: Counter[str] = Counter()
    for file in files:
        found, others = scores_by_model(items, file)
        if others:
            raise DataError(f"{others[0]}: no such item in this store: its uncertainty cannot be set; import it first")
        for item, scores in found.items():
            score_MK.setdefault(item, []).extend(scores)
            times[item] += 1
    for item, count in times.items():
        if count != len(files):
            raise DataError(
                f"item {printable(item, 80)}: scored {count} times in {len(files)} files; score the same answers "
                "once with each model"
            )
    made = {item: uncertainty(models) for item, models in score_MK.items()}
    return {"items": store.set_uncertainty(made), "mean": sum(made.values()) / max(1, len(made))}
