"""Means over prompts with their intervals: win rates of {0, ½, 1}, accuracies, KL.

A prompt is the unit: answers to one prompt resemble each other, so n prompts with k answers each are n observations and
not n·k. Axes: G prompts, K answers of one prompt (ragged).

    m = mean over prompts of the prompt's mean
    f = s² / (m (1 - m)),  s² = variance between prompts       the share of a coin's variance that is there
    f̃ = (n f + z²) / (n + z²)                                  drawn towards 1, as if z² prompts of coins came too
    interval = Wilson's, for m and n / f̃ prompts

Without ties and with one answer a prompt f = 1 and this is Wilson's interval. With ties Wilson's is too wide (at 60 %
ties it covers 99.9 % instead of 95 %), and mean ± z·s/√n is too narrow near 0 and 1 (at a true 0.965 and 50 prompts it
covers 80 %); this one stays between 92 and 100 % from ten prompts on (tests/evaluation/test_intervals.py,
scripts/interval_coverage.py).

Where m models are compared with one, some interval misses its rate more often than in one case of twenty. `each_of(m)`
is Bonferroni's level, 1 - 0.05/m: all m intervals hold at once in 95 % of cases, whatever the comparisons share. Holm's
steps would reject a little more and give no intervals, and the intervals are what a verdict tells.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from burnish.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, its interval, and the prompts that it rests on."""

    mean: float
    low: float
    high: float
    prompts: int


def proportion(value_GK: Sequence[Sequence[float]], *, level: float = 0.95) -> Interval:
    """The mean of values in [0, 1], each prompt counted once, with the interval described above.

    For a win rate the values are 1 (wins), ½ (ties) and 0 (loses); for an accuracy, 1 (right) and 0 (wrong).
    Raises ConfigError where no prompt has a value or a value lies outside [0, 1].
    """
    mean_G = _rates(value_GK)
    mean, n = float(mean_G.mean()), len(mean_G)
    between = float(mean_G.var()) * n / max(n - 1, 1)
    return Interval(mean, *_drawn_towards_a_coin(mean, between, n, level), n)


def weighted_proportion(
    value_GK: Sequence[Sequence[float]], weight_G: Sequence[float], *, level: float = 0.95
) -> Interval:
    """The same where prompts count by weights above 0: as many as (Σw)² / Σw² of equal weight (Kish 1965) would tell.

    Raises ConfigError as `proportion`.
    """
    mean_G = _rates(value_GK)
    weight = np.asarray(weight_G, dtype=np.float64)
    weight = weight / weight.sum()
    mean, n = min(float(weight @ mean_G), 1.0), 1 / float(weight @ weight)  # a sum of weights may round above 1
    between = n * float(weight**2 @ (mean_G - mean) ** 2) * len(mean_G) / max(len(mean_G) - 1, 1)
    return Interval(mean, *_drawn_towards_a_coin(mean, between, n, level), len(mean_G))


def _rates(value_GK: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    mean_G = prompt_means(value_GK)
    if not (min(mean_G) >= 0 and max(mean_G) <= 1):
        raise ConfigError(f"a rate is a mean of values between 0 and 1; found {min(mean_G)} to {max(mean_G)}")
    return mean_G


def _drawn_towards_a_coin(mean: float, between: float, n: float, level: float) -> tuple[float, float]:
    """Wilson's interval of a mean of n prompts, whose values differ by the variance `between`."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    coin = mean * (1 - mean)
    share = min(between / coin, 1.0) if coin > 1e-12 else 1.0
    return wilson(mean, n * (n + z * z) / (n * share + z * z), z)


def between(value_G: Sequence[float], low: float, high: float, *, level: float = 0.95) -> Interval:
    """The mean of one value a prompt, all from `low` to `high`, with `proportion`'s interval drawn to that scale."""
    size = high - low
    found = proportion([[(value - low) / size] for value in value_G], level=level)
    return Interval(low + size * found.mean, low + size * found.low, low + size * found.high, found.prompts)


def between_ratios(
    mine_G: Sequence[float], theirs_G: Sequence[float], low: float, high: float, *, level: float = 0.95
) -> Interval:
    """How far apart two means are, each over the prompts of which it has a value: NaN is none, and low ≤ … ≤ high.

    A mean over known values alone is a ratio m = Σ b / Σ k, k being 1 where the value b is known. To first order a
    prompt adds (b - m k) / mean of k to it, so what it adds to one less what it adds to the other is paired over all
    prompts, and the difference is that of the two means. It rests on as many prompts as the mean that has fewer. Where
    all are known this is `between`.

    Raises ConfigError where one of them has no value at all.
    """
    difference, added_G, known = 0.0, np.zeros(len(mine_G)), len(mine_G)
    for sign, value_G in ((1, np.asarray(mine_G, dtype=np.float64)), (-1, np.asarray(theirs_G, dtype=np.float64))):
        known_G = ~np.isnan(value_G)
        if not known_G.any():
            raise ConfigError("no prompt has a value to take the mean of")
        mean = float(value_G[known_G].mean())
        difference += sign * mean
        added_G = added_G + sign * np.where(known_G, value_G - mean, 0.0) / known_G.mean()
        known = min(known, int(known_G.sum()))
    size, n = high - low, len(added_G)
    variance = float(added_G.var()) * known / max(n - 1, 1) / size**2
    ends = _drawn_towards_a_coin((difference - low) / size, variance, known, level)
    return Interval(difference, low + size * ends[0], low + size * ends[1], known)


def mean_of(rates: Sequence[Interval]) -> Interval:
    """The mean of independent rates; each end is as far away as theirs together (Zou and Donner 2008, eq. 5 and 6).

    low = m - √Σ (m_i - low_i)² / n,  high = m + √Σ (high_i - m_i)² / n         m the mean of n means m_i
    """
    n = len(rates)
    mean = math.fsum(one.mean for one in rates) / n
    below = math.hypot(*(one.mean - one.low for one in rates)) / n
    above = math.hypot(*(one.high - one.mean for one in rates)) / n
    return Interval(mean, mean - below, mean + above, sum(one.prompts for one in rates))


def wilson(mean: float, effective: float, z: float) -> tuple[float, float]:
    """Wilson's 1927 interval of a rate that is known as well as from `effective` tosses of a coin."""
    middle = (mean + z * z / (2 * effective)) / (1 + z * z / effective)
    half = z * math.sqrt(mean * (1 - mean) / effective + (z / (2 * effective)) ** 2) / (1 + z * z / effective)
    return max(0.0, min(middle - half, mean)), min(1.0, max(middle + half, mean))  # a rounding may pass the mean


def each_of(comparisons: int, level: float = 0.95) -> float:
    """The level of each interval so that all of `comparisons` hold at once with the chance `level`."""
    return 1 - (1 - level) / max(comparisons, 1)


def mean_and_error(value_GK: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The mean over prompts and its standard error, s/√n between prompts; NaN where there is only one prompt."""
    mean_G = prompt_means(value_GK)
    error = float(mean_G.std(ddof=1)) / math.sqrt(len(mean_G)) if len(mean_G) > 1 else math.nan
    return float(mean_G.mean()), error


def prompt_means(value_GK: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The mean of each prompt that has a value."""
    mean_G = np.array([math.fsum(value_K) / len(value_K) for value_K in value_GK if len(value_K)])
    if not len(mean_G):
        raise ConfigError("no prompt has a value to take the mean of")
    if not np.isfinite(mean_G).all():
        raise ConfigError(f"prompt {int(np.flatnonzero(~np.isfinite(mean_G))[0]) + 1}: a value is not a finite number")
    return mean_G


def wins(score_GK: Sequence[Sequence[float]], against_GK: Sequence[Sequence[float]]) -> list[list[float]]:
    """1, ½ or 0 for each answer against the other model's answer to the same prompt with the same number, by score.

    Raises ConfigError where the two do not have the same prompts with the same numbers of answers.
    """
    check_alike(score_GK, against_GK)
    return [
        [0.5 * (1 + (mine > other) - (mine < other)) for mine, other in zip(score_K, other_K, strict=True)]
        for score_K, other_K in zip(score_GK, against_GK, strict=True)
    ]


def check_alike(value_GK: Sequence[Sequence[float]], against_GK: Sequence[Sequence[float]]) -> None:
    """Raises ConfigError where the two do not have the same prompts with the same numbers of answers."""
    if [len(value_K) for value_K in value_GK] != [len(other_K) for other_K in against_GK]:
        raise ConfigError(
            f"two models are compared on the same prompts with the same number of answers each; found "
            f"{len(value_GK)} prompts with {sum(map(len, value_GK))} answers and {len(against_GK)} with "
            f"{sum(map(len, against_GK))}"
        )
