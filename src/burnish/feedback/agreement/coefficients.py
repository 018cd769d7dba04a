"""How far people agree on the order of answers.

    Krippendorff's α = 1 - D_observed / D_expected           Krippendorff 2011, ordinal difference function
    τ-b = (concordant - discordant) / √((n₀ - n₁)(n₀ - n₂))   Kendall 1945; n₁, n₂: pairs tied by the one, by the other
    W = 12 S / (m² (K³ - K) - m Σ T)                          Kendall and Babington Smith 1939, T = Σ (t³ - t) over ties

Axes: U units (pairs of answers of one item, or answers), C values that a unit can have, I items, G prompts, K answers
of one item, A annotators, N rankings, R resamples.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

import krippendorff
import numpy as np
from scipy.stats import binomtest, friedmanchisquare, kendalltau, rankdata

from burnish.feedback.agreement.bootstrap import Bootstrap, Estimate, Floats, Ints, cluster_means
from burnish.feedback.agreement.verdicts import FIRST, SECOND, TIE, Readings, Verdicts, readings, verdict
from burnish.feedback.records import DRAWN, ORDERED, Ranking

Level = Literal["nominal", "ordinal"]


# ---- Krippendorff's α


def alpha(counts_UC: Floats, level: Level = "ordinal") -> float:
    """Krippendorff's α of how many annotators gave each unit each of C ordered values; NaN where it is undefined.

    It is undefined where no unit has two values, or where all values are the same: nothing could then disagree.
    """
    pairable_UC = counts_UC[counts_UC.sum(axis=1) > 1]
    used_C = pairable_UC.sum(axis=0) > 0
    if used_C.sum() < 2:
        return math.nan
    return float(
        krippendorff.alpha(
            value_counts=pairable_UC, value_domain=np.arange(counts_UC.shape[1]), level_of_measurement=level
        )
    )


def alpha_of_pairs(table: Verdicts, bootstrap: Bootstrap, level: Level = "ordinal") -> Estimate:
    """α with one unit a pair of answers and the values first, tie, second; its interval draws whole items."""
    return _alpha_by_item(table.counts(), table.item_U, bootstrap, level)


def alpha_of_ranks(by_item: Readings, bootstrap: Bootstrap) -> dict[int, Estimate]:
    """K → ordinal α with one unit an answer and its rank as the value, over the items of K answers.

    Tied answers share the mean of their ranks. Ranks mean something else where there are other numbers of answers, so
    items of one K are kept apart.
    """
    rankings: dict[int, list[tuple[int, tuple[int, ...]]]] = defaultdict(list)
    for item, by_annotator in enumerate(by_item.values()):
        for one in by_annotator.values():
            rankings[len(one.place_K)].append((item, one.place_K))
    found = {}
    for size, ranked in sorted(rankings.items()):
        item_N = np.unique([item for item, _ in ranked], return_inverse=True)[1]
        value_NK = np.rint(2 * rankdata([place_K for _, place_K in ranked], axis=1) - 2).astype(np.int64)
        unit_NK = item_N[:, None] * size + np.arange(size)
        counts_UC = np.zeros((unit_NK.max() + 1, 2 * size - 1))  # ranks are whole or half: 1, 1½ … K
        np.add.at(counts_UC, (unit_NK, value_NK), 1.0)
        found[size] = _alpha_by_item(
            counts_UC, np.repeat(np.arange(len(counts_UC) // size), size), bootstrap, "ordinal"
        )
    return found


def _alpha_by_item(counts_UC: Floats, item_U: Ints, bootstrap: Bootstrap, level: Level) -> Estimate:
    """α and its interval. A resample's coincidences are sums of its items' own, so that none is counted anew."""
    paired_U = counts_UC.sum(axis=1) > 1
    counts_UC = counts_UC[paired_U]
    items, item_U = np.unique(item_U[paired_U], return_inverse=True)
    if not len(items):
        return Estimate(math.nan, math.nan, math.nan, 0)
    classes = counts_UC.shape[1]
    given_UCC = counts_UC[:, :, None] * (counts_UC[:, None, :] - np.eye(classes))
    given_UCC /= counts_UC.sum(axis=1)[:, None, None] - 1
    coincidence_ICC = np.zeros((len(items), classes, classes))
    np.add.at(coincidence_ICC, item_U, given_UCC)
    drawn = [
        alpha_of_coincidences(np.tensordot(count_RI, coincidence_ICC, 1), level)
        for count_RI in bootstrap.counts(len(items))
    ]
    return Estimate(alpha(counts_UC, level), *bootstrap.interval(np.concatenate(drawn)), len(items))


def alpha_of_coincidences(coincidence_RCC: Floats, level: Level = "ordinal") -> Floats:
    """α of several matrices of coincidences at once, (R,); NaN where one value alone was given.

    α = 1 - (n - 1) Σ o_ck δ²_ck / Σ n_c n_k δ²_ck, with δ²_ck = (n_c / 2 + n_(c+1) + … + n_k / 2)² where the values are
    ordered and 1 where they are names (Krippendorff 2011). One matrix gives what `alpha` does.
    """
    given_RC = coincidence_RCC.sum(axis=2)
    middle_RC = given_RC.cumsum(axis=1) - given_RC / 2
    classes = given_RC.shape[1]
    apart = np.broadcast_to(1 - np.eye(classes), coincidence_RCC.shape)
    delta_RCC = apart if level == "nominal" else (middle_RC[:, :, None] - middle_RC[:, None, :]) ** 2
    observed_R = (coincidence_RCC * delta_RCC).sum(axis=(1, 2)) * (given_RC.sum(axis=1) - 1)
    expected_R = (given_RC[:, :, None] * given_RC[:, None, :] * delta_RCC).sum(axis=(1, 2))
    share_R: Floats = np.divide(observed_R, expected_R, out=np.full(len(observed_R), np.nan), where=expected_R > 0)
    return 1 - share_R


# ---- pairs of annotators


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Share of pairs of answers on which two annotators say the same, each prompt counted once.

    `with_ties`: first, tie and second are three verdicts. `without_ties`: only where both prefer one of the two.
    """

    with_ties: Estimate
    without_ties: Estimate


def pair_agreement(table: Verdicts, bootstrap: Bootstrap) -> PairAgreement:
    """Agreement of any two annotators on the pairs that both of them ranked."""

    def share(counts_UC: Floats) -> Estimate:
        given_U = counts_UC.sum(axis=1)
        agreeing_U = (counts_UC * (counts_UC - 1)).sum(axis=1)
        both_U = given_U * (given_U - 1)
        share_U = np.divide(agreeing_U, both_U, out=np.full(len(both_U), np.nan), where=both_U > 0)
        share_G = cluster_means(share_U, table.unit_prompts(), len(table.prompts), table.weight_I[table.item_U])
        return bootstrap.mean(share_G, table.prompt_weights())

    counts_U3 = table.counts()
    return PairAgreement(with_ties=share(counts_U3), without_ties=share(counts_U3[:, [FIRST, SECOND]]))


@lru_cache(maxsize=100_000)
def tau_b(place_K: tuple[int, ...], other_K: tuple[int, ...]) -> float:
    """Kendall's τ-b of two weak orders of the same answers; NaN where one of them is a single tie."""
    if len(set(place_K)) < 2 or len(set(other_K)) < 2:
        return math.nan  # scipy says so with a warning
    return float(kendalltau(place_K, other_K, variant="b").statistic)


@dataclass(frozen=True, slots=True)
class TwoAnnotators:
    """Mean τ-b of two annotators over the items that both ranked; `undefined`: one of them tied everything."""

    first: str
    second: str
    tau_b: float
    items: int
    undefined: int


def tau_of_annotators(by_item: Readings) -> list[TwoAnnotators]:
    """The mean of τ-b over common items, for each two annotators who have any."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for by_annotator in by_item.values():
        for first, second in combinations(sorted(by_annotator), 2):
            found[first, second].append(tau_b(by_annotator[first].place_K, by_annotator[second].place_K))
    made = []
    for (first, second), taus in sorted(found.items()):
        known = [tau for tau in taus if not math.isnan(tau)]
        mean = math.fsum(known) / len(known) if known else math.nan
        made.append(TwoAnnotators(first, second, mean, len(taus), len(taus) - len(known)))
    return made


# ---- blocks that several annotators ranked whole


def kendall_w(place_AK: Sequence[Sequence[int]]) -> float:
    """Kendall's W of m annotators who ranked the same K ≥ 3 answers, corrected for ties; NaN where all tied all.

    W = χ² / (m (K - 1)) with Friedman's χ², which scipy corrects for ties.
    """
    annotators, size = len(place_AK), len(place_AK[0])
    if annotators < 2 or size < 3 or all(len(set(place_K)) == 1 for place_K in place_AK):
        return math.nan
    chi_square = friedmanchisquare(*np.array(place_AK).T).statistic
    return float(chi_square / (annotators * (size - 1)))


@dataclass(frozen=True, slots=True)
class Block:
    """Items that the same annotators all ranked, with the mean of their W."""

    annotators: tuple[str, ...]
    answers: int
    items: int
    w: float


def blocks(by_item: Readings) -> list[Block]:
    """W of each fully crossed block: the same annotators, the same number of answers, every item ranked by all."""
    found: dict[tuple[tuple[str, ...], int], list[float]] = defaultdict(list)
    for by_annotator in by_item.values():
        names = tuple(sorted(by_annotator))
        places = [by_annotator[name].place_K for name in names]
        if len(names) > 1 and len(places[0]) > 2:
            found[names, len(places[0])].append(kendall_w(places))
    return [
        Block(names, size, len(ws), float(np.nanmean(ws)) if not np.isnan(ws).all() else math.nan)
        for (names, size), ws in sorted(found.items())
    ]


# ---- an annotator against themselves, and against what is known


@dataclass(frozen=True, slots=True)
class Consistency:
    """An annotator's second ranking of an item against the first. Shares of pairs; τ-b is the mean over items."""

    items: int
    with_ties: float
    without_ties: float
    tau_b: float


def self_consistency(rankings: Sequence[Ranking]) -> dict[str, Consistency]:
    """annotator → agreement of each repeat with that annotator's first ranking of the item."""
    firsts = readings(rankings, kinds=(*DRAWN, "gold"))
    both: dict[str, list[tuple[Ranking, Ranking]]] = defaultdict(list)
    for again in rankings:
        first = firsts.get(again.item, {}).get(again.annotator) if again.kind == "repeat" else None
        if first is not None:
            both[again.annotator].append((first, again))
    return {name: _consistency(pairs) for name, pairs in sorted(both.items())}


def _consistency(pairs: Iterable[tuple[Ranking, Ranking]]) -> Consistency:
    same: list[bool] = []
    decided: list[bool] = []
    taus: list[float] = []
    for first, again in pairs:
        taus.append(tau_b(first.place_K, again.place_K))
        for i, j in combinations(range(len(first.place_K)), 2):
            before, after = verdict(first.place_K, i, j), verdict(again.place_K, i, j)
            same.append(before == after)
            if TIE not in (before, after):
                decided.append(before == after)
    known = [tau for tau in taus if not math.isnan(tau)]
    return Consistency(len(taus), _share(same), _share(decided), math.fsum(known) / len(known) if known else math.nan)


def _share(of: Sequence[bool]) -> float:
    return sum(of) / len(of) if of else math.nan


@dataclass(frozen=True, slots=True)
class Gold:
    """Gold items that an annotator got right: each answer that they put first is one of those known to be best.

    The interval is Wilson's (1927), for items. `pairs`: share of the pairs that gold decides which they order so too.
    """

    items: int
    right: int
    accuracy: float
    low: float
    high: float
    pairs: float


def is_right(ranking: Ranking) -> bool:
    """Whether all answers in the first place are among those that gold puts first."""
    best = {index for index, place in enumerate(ranking.gold_K) if place == 0}
    return {index for index, place in enumerate(ranking.place_K) if place == 0} <= best


def gold_accuracy(rankings: Iterable[Ranking], level: float = 0.95) -> dict[str, Gold]:
    """annotator → accuracy on the items whose order is known."""
    of: dict[str, list[Ranking]] = defaultdict(list)
    for one in rankings:
        if one.kind == "gold" and one.gold_K and one.task in ORDERED:
            of[one.annotator].append(one)
    made = {}
    for name, ranked in sorted(of.items()):
        right = sum(map(is_right, ranked))
        interval = binomtest(right, len(ranked)).proportion_ci(confidence_level=level, method="wilson")
        pairs = [
            verdict(one.gold_K, i, j) == verdict(one.place_K, i, j)
            for one in ranked
            for i, j in combinations(range(len(one.gold_K)), 2)
            if one.gold_K[i] != one.gold_K[j]
        ]
        made[name] = Gold(
            len(ranked), right, right / len(ranked), float(interval.low), float(interval.high), _share(pairs)
        )
    return made
