"""What a model's own draws say of how far one could go before anything is trained: the best of n, and the best policy.

Best of n: draw n answers, keep the one with the highest score. As a policy,

    KL ≤ log n - (n - 1)/n                                                          Beirami et al. 2025, theorem 3.1
    E[value of the kept one] = mean over all subsets of n of the K draws = Σ_i v_(i) · C(i - 1, n - 1) / C(K, n)

with v_(i) the value of the draw whose score is the i-th from below. Every n draws are such a subset with the same
chance, so this has no bias; the first n of them would be one subset of many, with the same mean and more noise. The
value may be the score itself, another judge's, or a win. The bound is reached where no two answers are the same.

    win rate = mean over j of Σ_(i≠j) P(i is kept of n of the draws other than j) · [v_i > v_j] + ½ [v_i = v_j]

how often the kept one beats one more draw, which took no part: every n draws with every further one, each with the same
chance, so n goes to K - 1. By the score itself and without ties it is n/(n + 1), whatever was drawn.

The best policy at a price: of all policies π, E_π[score] - β·KL(π ‖ reference) is largest for

    π* = reference · exp(score/β) / Z,    Z = E_reference[exp(score/β)]          one Z a prompt: it cannot be pooled
    w_i = exp(score_i/β) / Σ_j exp(score_j/β),    E*[v] = Σ_i w_i v_i,    KL = Σ_i w_i log(K w_i),    K_eff = 1/Σ w²

self-normalised weights of draws from the reference. They are biased, towards the reference: no KL above log K can come
out, and log Z is too low by about (1/K_eff - 1/K)/2. So a point counts only where K_eff is large.

Axes: G prompts, K draws of one prompt (ragged).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp
from scipy.stats import rankdata

from burnish.evaluation.intervals import mean_and_error, proportion

Floats = NDArray[np.float64]


def kl_bound(n: int) -> float:
    """log n - (n - 1)/n nats an answer, which the KL of the best of n to the model that draws never exceeds."""
    if n < 1:
        raise ValueError(f"the best of n needs n of 1 at least; found {n}")
    return math.log(n) - (n - 1) / n


def kept_chance(score_K: Sequence[float], n: int) -> Floats:
    """How likely each draw is the one kept, of n taken from them without putting back, (K,).

    Equal scores share their chance alike: which of them is kept then says nothing. Raises ValueError where n is not
    between 1 and K.
    """
    score = np.asarray(score_K, dtype=np.float64)
    total = len(score)
    if not 1 <= n <= total:
        raise ValueError(f"the best of n of {total} draws needs n between 1 and {total}; found {n}")
    rank = np.arange(1, total + 1)
    of_rank = np.zeros(total)
    high = rank[n - 1 :]  # below rank n there are too few that it could be the best of
    of_rank[n - 1 :] = np.exp(_log_choose(high - 1, n - 1) - _log_choose(np.array(total), n))
    up_to = np.concatenate([[0.0], np.cumsum(of_rank)])
    last = rankdata(score, method="max").astype(int)
    first = rankdata(score, method="min").astype(int)
    chance: Floats = (up_to[last] - up_to[first - 1]) / (last - first + 1)
    return chance


def best_of_n(score_GK: Sequence[Sequence[float]], value_GK: Sequence[Sequence[float]], n: int) -> Floats:
    """For each prompt the expected value of its answer with the best score of n, (G,).

    Raises ValueError where a prompt has fewer than n draws, or not a value for each score.
    """
    found = []
    for g, (score_K, value_K) in enumerate(zip(score_GK, value_GK, strict=True)):
        if len(score_K) != len(value_K):
            raise ValueError(f"prompt {g + 1} has {len(score_K)} scores and {len(value_K)} values; give each draw both")
        found.append(float(kept_chance(score_K, n) @ np.asarray(value_K, dtype=np.float64)))
    return np.array(found)


def win_rates(score_GK: Sequence[Sequence[float]], value_GK: Sequence[Sequence[float]], n: int) -> Floats:
    """For each prompt how often its answer with the best score of n beats one more draw by value, a tie half, (G,).

    Raises ValueError where a prompt has no more than n draws, or not a value for each score.
    """
    found = []
    for g, (score_K, value_K) in enumerate(zip(score_GK, value_GK, strict=True)):
        if len(score_K) != len(value_K):
            raise ValueError(f"prompt {g + 1} has {len(score_K)} scores and {len(value_K)} values; give each draw both")
        value = np.asarray(value_K, dtype=np.float64)
        won_KK = 0.5 * (1 + np.sign(value[:, None] - value[None, :]))
        found.append(float((_kept_beside(score_K, n) * won_KK).sum()) / len(value))
    return np.array(found)


def _kept_beside(score_K: Sequence[float], n: int) -> Floats:
    """[i, j]: how likely draw i is the one kept, of n taken from all draws but j, (K, K); 0 where i is j."""
    score = np.asarray(score_K, dtype=np.float64)
    total = len(score)
    if not 1 <= n < total:
        raise ValueError(f"the best of n beside one more of {total} draws needs n between 1 and {total - 1}; found {n}")
    rank = np.arange(1, total)
    of_rank = np.zeros(total)  # the last one is there for i = j alone, which is put to 0 below
    of_rank[n - 1 : -1] = np.exp(_log_choose(rank[n - 1 :] - 1, n - 1) - _log_choose(np.array(total - 1), n))
    up_to = np.concatenate([[0.0], np.cumsum(of_rank)])
    below = score[None, :] < score[:, None]
    same = (score[None, :] == score[:, None]) & ~np.eye(total, dtype=bool)
    last = rankdata(score, method="max").astype(int)[:, None] - (below | same)
    first = rankdata(score, method="min").astype(int)[:, None] - below
    chance: Floats = (up_to[last] - up_to[first - 1]) / (last - first + 1)
    np.fill_diagonal(chance, 0.0)
    return chance


@dataclass(frozen=True, slots=True)
class Worth:
    """What the best of n is worth. Each interval holds in 95 % of cases by itself, and is by prompt.

    `kl`: `kl_bound(n)`. `win_rate`: against one more draw, by the judge where there is one, else by the score that
    chooses; `score_win_rate` is the latter. NaN is what was not asked.
    """

    n: int
    kl: float
    win_rate: float
    win_rate_low: float
    win_rate_high: float
    score_win_rate: float
    score_mean: float
    score_se: float
    judge_mean: float = math.nan
    judge_se: float = math.nan

    def record(self) -> dict[str, float]:
        """The fields that were measured, by name."""
        return {name: value for name, value in asdict(self).items() if not math.isnan(value)}


def curve(
    score_GK: Sequence[Sequence[float]],
    judge_GK: Sequence[Sequence[float]] | None = None,
    counts: Sequence[int] | None = None,
) -> list[Worth]:
    """The best of n by `score_GK` for every n of `counts`, by default `doublings` of what the fewest draws allow.

    `judge_GK`: what a judge that chooses nothing says of the same draws. Raises ValueError where a prompt has no more
    than n draws, and as `win_rates` does.
    """
    most = min(map(len, score_GK), default=0) - 1
    return [_worth(score_GK, judge_GK, n) for n in (doublings(most) if counts is None else counts)]


def doublings(most: int) -> list[int]:
    """1, 2, 4, … up to `most`, and `most` itself. Raises ValueError where that is below 1."""
    if most < 1:
        raise ValueError("a curve needs two draws of each prompt: the best of one, beside one more")
    return sorted({2**power for power in range(most.bit_length())} | {most})


def _worth(score_GK: Sequence[Sequence[float]], judge_GK: Sequence[Sequence[float]] | None, n: int) -> Worth:
    own_G = win_rates(score_GK, score_GK, n)
    won_G = own_G if judge_GK is None else win_rates(score_GK, judge_GK, n)
    won = proportion([[min(max(rate, 0.0), 1.0)] for rate in won_G])  # a sum of chances may pass 1 by rounding
    means = [
        mean_and_error(best_of_n(score_GK, of, n)[:, None].tolist()) for of in (score_GK, judge_GK) if of is not None
    ]
    flat = [value for pair in means for value in pair]
    return Worth(n, kl_bound(n), won.mean, won.low, won.high, float(own_G.mean()), *flat)


@dataclass(frozen=True, slots=True)
class Tilted:
    """The draws of one prompt, weighed as the best policy at a price of β would give them."""

    weight_K: Floats
    kl: float
    """Nats an answer to the model that drew them."""
    effective: float
    """Draws of equal weight that would tell as much: between 1 and K."""

    def mean(self, value_K: Sequence[float]) -> float:
        """What that policy would get of a value."""
        return float(self.weight_K @ np.asarray(value_K, dtype=np.float64))


def tilted(score_K: Sequence[float], beta: float) -> Tilted:
    """reference · exp(score/β) / Z on one prompt's draws. Raises ValueError for β of 0 or less, or no draw."""
    if not beta > 0:
        raise ValueError(f"β is a price above 0; found {beta}")
    if not len(score_K):
        raise ValueError("no draw to weigh")
    log_weight_K = np.asarray(score_K, dtype=np.float64) / beta
    log_weight_K = log_weight_K - logsumexp(log_weight_K)
    weight_K = np.exp(log_weight_K)
    kl = math.log(len(weight_K)) + float(weight_K @ np.where(weight_K > 0, log_weight_K, 0.0))
    return Tilted(weight_K, kl, float(1 / (weight_K @ weight_K)))


def _log_choose(n: NDArray[np.int_], k: int) -> Floats:
    chosen: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return chosen
