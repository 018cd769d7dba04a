"""What moves a ranking besides the answers: where an answer stood, and how long it is.

Axes: K answers of one item, P decided pairs, G prompts, R resamples.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import expit
from scipy.stats import chi2, chisquare

from burnish.feedback.agreement.bootstrap import Bootstrap, Estimate, Floats, cluster_means
from burnish.feedback.agreement.conduct import winner
from burnish.feedback.agreement.verdicts import FIRST, TIE, Readings, verdict
from burnish.feedback.records import Ranking


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Does it matter where an answer was shown? Answers are shuffled, so each letter should be best equally often.

    `wins`, `expected`: letter → how often the best answer stood there, and how often it would by chance. χ² is summed
    over the numbers of answers, each of which gives K - 1 degrees of freedom. `left_out`: rankings with several best
    answers or unknown positions.
    """

    wins: dict[str, int]
    expected: dict[str, float]
    chi_square: float
    degrees: int
    p: float
    rankings: int
    left_out: int


def position_bias(rankings: Iterable[Ranking]) -> PositionBias:
    """Pearson's χ² of the winner's letter against equal chances. Below some five expected wins a letter p is rough."""
    won: dict[int, list[int]] = defaultdict(list)
    left_out = 0
    for one in rankings:
        letter = winner(one)
        if letter is None:
            left_out += 1
        else:
            won[len(one.place_K)].append(letter)
    total = degrees = 0.0
    wins = np.zeros(max(won, default=0))
    expected = np.zeros(max(won, default=0))
    for size, letters in won.items():
        count_K = np.bincount(letters, minlength=size)
        total += float(chisquare(count_K).statistic)  # apart for each K: a mixture of them is no multinomial
        degrees += size - 1
        wins[:size] += count_K
        expected[:size] += len(letters) / size
    names = [chr(ord("A") + index) for index in range(len(wins))]
    return PositionBias(
        wins={name: int(count) for name, count in zip(names, wins, strict=True)},
        expected={name: float(count) for name, count in zip(names, expected, strict=True)},
        chi_square=total if won else math.nan,
        degrees=int(degrees),
        p=float(chi2.sf(total, degrees)) if won else math.nan,
        rankings=sum(map(len, won.values())),
        left_out=left_out,
    )


@dataclass(frozen=True, slots=True)
class LengthBias:
    """Are longer answers preferred? That need not be wrong: longer answers can be better.

    `longer_wins`: share of decided pairs of different length that the longer one wins, each prompt counted once.
    `slope`: β of P(first wins) = σ(β ln(length first / length second)); twice the length multiplies the odds by 2^β.
    """

    longer_wins: Estimate
    slope: Estimate
    pairs: int


def length_bias(by_item: Readings, bootstrap: Bootstrap) -> LengthBias:
    """Preference for length over all decided pairs of all annotators. β is NaN where it is infinite: no exception."""
    prompts: dict[str, int] = {}
    rows: list[tuple[int, float]] = []
    for by_annotator in by_item.values():
        for one in by_annotator.values():
            rows += [(prompts.setdefault(one.prompt, len(prompts)), ratio) for ratio in _log_ratios(one)]
    if not rows:
        nothing = Estimate(math.nan, math.nan, math.nan, 0)
        return LengthBias(nothing, nothing, 0)
    prompt_P = np.array([prompt for prompt, _ in rows], dtype=np.int64)
    ratio_P = np.array([ratio for _, ratio in rows])  # ln(length of the winner / of the loser)
    longer_P = (ratio_P > 0).astype(np.float64)
    weight_P = 1 / np.bincount(prompt_P)[prompt_P]  # a prompt counts once
    return LengthBias(
        longer_wins=bootstrap.mean(cluster_means(longer_P, prompt_P, len(prompts))),
        slope=bootstrap.of(lambda count_G: _slope(ratio_P, weight_P * count_G[prompt_P]), len(prompts)),
        pairs=len(rows),
    )


def _log_ratios(ranking: Ranking) -> Iterable[float]:
    for i, j in combinations(range(len(ranking.place_K)), 2):
        said = verdict(ranking.place_K, i, j)
        longer, shorter = (i, j) if said == FIRST else (j, i)
        if said != TIE and ranking.length_K[i] != ranking.length_K[j]:
            yield math.log(max(ranking.length_K[longer], 1) / max(ranking.length_K[shorter], 1))


def _slope(ratio_P: Floats, weight_P: Floats) -> float:
    """The β that maximises Σ w ln σ(β · ratio), by Newton's method; the problem is concave with one unknown."""
    taken = weight_P > 0
    ratio_P, weight_P = ratio_P[taken], weight_P[taken]
    if not ((ratio_P > 0).any() and (ratio_P < 0).any()):
        return math.nan
    beta = 0.0
    for _ in range(50):
        missed_P = expit(-beta * ratio_P)
        gradient = float(np.sum(weight_P * ratio_P * missed_P))
        curvature = float(np.sum(weight_P * ratio_P**2 * missed_P * (1 - missed_P)))
        step = float(np.clip(gradient / max(curvature, 1e-12), -2, 2))  # far from the optimum a full step overshoots
        beta += step
        if abs(step) < 1e-9:
            return beta
    return math.nan
