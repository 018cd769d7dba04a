"""Intervals by drawing prompts, or items, with replacement (Efron and Tibshirani 1993, percentile interval).

What belongs to one prompt resembles each other, so it is drawn together: the cluster is the unit, not the verdict.
A draw is given as the number of times that each cluster was taken, which sums to the number of clusters.

Axes: G clusters, R resamples.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AT_ONCE = 2_000_000  # counts held in memory at a time: 16 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, and the clusters that it rests on. NaN is what could not be estimated."""

    value: float
    low: float
    high: float
    clusters: int

    def percent(self) -> str:
        """A share and its interval as people write them: 73.1 % [70.2, 75.9]."""
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are drawn. Each figure starts from `seed` anew, so it does not depend on what was asked before."""

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0

    def counts(self, clusters: int) -> Iterator[Ints]:
        """How often each cluster is taken, in blocks of (resamples of the block, clusters)."""
        generator = np.random.Generator(np.random.Philox(self.seed))
        rows = max(1, AT_ONCE // max(clusters, 1))
        share_G = np.full(clusters, 1 / clusters)
        for start in range(0, self.resamples, rows):
            yield generator.multinomial(clusters, share_G, size=min(rows, self.resamples - start))

    def interval(self, drawn_R: Floats) -> tuple[float, float]:
        """The middle `level` of the finite resamples; NaN twice where there are fewer than two."""
        finite = drawn_R[np.isfinite(drawn_R)]
        if len(finite) < 2:
            return math.nan, math.nan
        low, high = np.quantile(finite, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)

    def of(self, statistic: Callable[[Ints], float], clusters: int) -> Estimate:
        """Any statistic of how often each cluster counts. A resample in which it is undefined (NaN) is left out."""
        if not clusters:
            return Estimate(math.nan, math.nan, math.nan, 0)
        value = statistic(np.ones(clusters, dtype=np.int64))
        drawn = [statistic(count_G) for block_RG in self.counts(clusters) for count_G in block_RG]
        low, high = self.interval(np.array(drawn, dtype=np.float64))
        return Estimate(value, low, high, clusters)

    def mean(self, value_G: Floats, weight_G: Floats | None = None) -> Estimate:
        """Σ w v / Σ w over clusters that have a value (not NaN), and its interval."""
        weight_G = np.ones(len(value_G)) if weight_G is None else weight_G
        known = np.isfinite(value_G) & (weight_G > 0)
        value_G, weight_G = value_G[known], weight_G[known]
        if not len(value_G):
            return Estimate(math.nan, math.nan, math.nan, 0)
        pair_G2 = np.stack([weight_G * value_G, weight_G], axis=1)
        sums_R2 = np.concatenate([block_RG @ pair_G2 for block_RG in self.counts(len(value_G))])
        low, high = self.interval(sums_R2[:, 0] / sums_R2[:, 1])
        return Estimate(float(pair_G2[:, 0].sum() / pair_G2[:, 1].sum()), low, high, len(value_G))


def cluster_means(value_U: Floats, cluster_U: Ints, clusters: int, weight_U: Floats | None = None) -> Floats:
    """The weighted mean of each cluster's values, NaN where it has none. Values that are NaN are left out."""
    weight_U = np.ones(len(value_U)) if weight_U is None else weight_U
    known = np.isfinite(value_U)
    total_G = np.bincount(cluster_U[known], weight_U[known] * value_U[known], minlength=clusters)
    weight_G = np.bincount(cluster_U[known], weight_U[known], minlength=clusters)
    mean_G: Floats = np.divide(total_G, weight_G, out=np.full(clusters, np.nan), where=weight_G > 0)
    return mean_G
