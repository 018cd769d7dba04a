"""The win rate at equal length: what is left of a model's wins once its answers are no longer than the other's.

    P(wins) = σ(θ + φ tanh(Δ / s)),  Δ = its answer's length - the other's,  s = deviation of Δ       Dubois et al. 2024
    win rate at equal length = σ(θ)

This is `length_controlled_minimal` of AlpacaEval 2. Its published figure also has a term for how hard an instruction
is, which is learned from the answers of a hundred models; two models do not tell it. A tie is half a win, several
answers to a prompt share its weight of 1.

Where length decides everything, no finite θ and φ fit best. So each answer brings h wins and losses of its own, half
and half, with h its leverage (Firth 1993; Heinze and Schemper 2002): two prompts' worth in all.

    A = Σ (w + h) p (1 - p) x xᵀ,   x = (1, tanh(Δ / s))                                      what coins would tell
    M = Σ_prompts (Σ w (y - p) x)(Σ w (y - p) x)ᵀ + Σ h ((1 - p)² + p²) x xᵀ / 2              Liang and Zeger 1986
    f = (A⁻¹ M A⁻¹)₁₁ / (A⁻¹)₁₁,  f̃ = (n f + z²) / (n + z²),  V = f̃ (A⁻¹)₁₁      as in intervals.py
    interval = σ(θ ± z √V)

The form is an assumption: the further Δ lies from 0, the more the figure is an extrapolation, and its interval widens.
Where all Δ lie so far from 0 that the tanh of them hardly differs, nothing tells length from quality.
Axes: G prompts, K answers of one prompt (ragged), N answers of all prompts end to end.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from burnish.evaluation.intervals import Interval, proportion

Floats = NDArray[np.float64]

TELLING = 0.05
"""Deviation of tanh(Δ / s), which lies between -1 and 1, below which lengths tell nothing apart."""


def length_controlled(
    won_GK: Sequence[Sequence[float]], longer_GK: Sequence[Sequence[float]], *, level: float = 0.95
) -> Interval:
    """The win rate at equal length with the interval above. `longer_GK`: how much longer each answer is, in any unit.

    Where all lengths are equal it is the win rate. Where all differ by much the same amount nothing can tell length
    from quality: NaN. Raises ConfigError as `proportion` does, ValueError for tables of different shape.
    """
    plain = proportion(won_GK, level=level)
    won_N, prompt_N, weight_N = _in_a_row(won_GK)
    longer_N = _in_a_row(longer_GK)[0]
    if len(longer_N) != len(won_N):
        raise ValueError(f"one difference of lengths an answer: {len(won_N)} answers, {len(longer_N)} differences")
    deviation = _deviation(longer_N, weight_N)
    if not longer_N.any():
        return plain
    apart_N = np.tanh(longer_N / max(deviation, 1e-9 * np.abs(longer_N).max()))
    if _deviation(apart_N, weight_N) < TELLING:
        return Interval(math.nan, math.nan, math.nan, plain.prompts)
    design_N2 = np.stack([np.ones_like(longer_N), apart_N], axis=1)
    parameter_2 = _fitted(design_N2, won_N, weight_N)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    half = z * math.sqrt(_variance(design_N2, won_N, weight_N, prompt_N, parameter_2, z))
    low, rate, high = (float(expit(parameter_2[0] + by)) for by in (-half, 0.0, half))
    return Interval(rate, low, high, plain.prompts)


def _deviation(value_N: Floats, weight_N: Floats) -> float:
    return math.sqrt(np.average((value_N - np.average(value_N, weights=weight_N)) ** 2, weights=weight_N))


def _in_a_row(value_GK: Sequence[Sequence[float]]) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Values end to end, the prompt of each, and its weight: a prompt that has values weighs 1."""
    prompt_N = np.repeat(np.arange(len(value_GK)), [len(value_K) for value_K in value_GK])
    value_N = np.array([value for value_K in value_GK for value in value_K], dtype=np.float64)
    weight_N: Floats = 1 / np.bincount(prompt_N)[prompt_N]
    return value_N, prompt_N, weight_N


def _fitted(design_N2: Floats, won_N: Floats, weight_N: Floats) -> Floats:
    """(θ, φ) by Newton's method on the likelihood times √det(A without h), whose maximum always is finite."""

    def likelihood(at_2: Floats) -> float:
        logit_N = design_N2 @ at_2
        fit = np.sum(weight_N * (won_N * log_expit(logit_N) + (1 - won_N) * log_expit(-logit_N)))
        return float(fit + 0.5 * np.linalg.slogdet(_told_by_coins(design_N2, weight_N, expit(logit_N)))[1])

    parameter_2, best = np.zeros(2), likelihood(np.zeros(2))
    for _ in range(200):
        chance_N = expit(design_N2 @ parameter_2)
        leverage_N = _leverage(design_N2, weight_N, chance_N)
        gradient_2 = design_N2.T @ (weight_N * (won_N - chance_N) + leverage_N * (0.5 - chance_N))
        step_2 = np.linalg.solve(_told_by_coins(design_N2, weight_N, chance_N), gradient_2)
        step_2 *= min(1.0, 2 / np.abs(step_2).max()) if step_2.any() else 1.0
        while (reached := likelihood(parameter_2 + step_2)) < best and np.abs(step_2).max() > 1e-10:
            step_2 /= 2  # far from the optimum a full step overshoots
        parameter_2, best = parameter_2 + step_2, max(best, reached)
        if np.abs(step_2).max() < 1e-9:
            break
    return parameter_2


def _variance(
    design_N2: Floats, won_N: Floats, weight_N: Floats, prompt_N: NDArray[np.int64], parameter_2: Floats, z: float
) -> float:
    """V of θ, as the module's head has it."""
    chance_N = expit(design_N2 @ parameter_2)
    leverage_N = _leverage(design_N2, weight_N, chance_N)
    coin_22 = np.linalg.inv(_told_by_coins(design_N2, weight_N + leverage_N, chance_N))
    missed_N2 = (weight_N * (won_N - chance_N))[:, None] * design_N2
    missed_G2 = np.stack([np.bincount(prompt_N, column) for column in missed_N2.T], axis=1)
    own_N = leverage_N * ((1 - chance_N) ** 2 + chance_N**2) / 2
    found_22 = missed_G2.T @ missed_G2 + (own_N[:, None] * design_N2).T @ design_N2
    n = len(np.unique(prompt_N))
    share = float((coin_22 @ found_22 @ coin_22)[0, 0] / coin_22[0, 0])
    return float(coin_22[0, 0]) * (n * share + z * z) / (n + z * z)


def _told_by_coins(design_N2: Floats, weight_N: Floats, chance_N: Floats) -> Floats:
    told_22: Floats = ((weight_N * chance_N * (1 - chance_N))[:, None] * design_N2).T @ design_N2
    return told_22


def _leverage(design_N2: Floats, weight_N: Floats, chance_N: Floats) -> Floats:
    """h, which sums to 2."""
    spread_N = weight_N * chance_N * (1 - chance_N)
    inverse_22 = np.linalg.inv(_told_by_coins(design_N2, weight_N, chance_N))
    leverage_N: Floats = spread_N * np.einsum("nf,fg,ng->n", design_N2, inverse_22, design_N2)
    return leverage_N
