"""Losses that climb a reward that sampled answers got.

Shapes: T sampled tokens of all answers end to end. `old_T` is log π_old, from a pass of the training engine over the
finished answers; it carries no gradient. Each loss gives one value a token, never a mean: the training loop knows the
global count and divides once.
"""

import math

import torch
from torch import Tensor

from burnish.objectives.ratio import limited_exp


def clipped(logprob_T: Tensor, old_T: Tensor, advantage_T: Tensor, *, clip: float) -> Tensor:
    """loss = -min(ρ·A, clip(ρ, 1 - ε, 1 + ε)·A),  ρ = π/π_old = exp(logprob - old)

    Schulman et al. 2017, eq. 7, with the sign of a loss. Where A ≥ 0 the minimum is min(ρ, 1 + ε)·A and where A < 0 it
    is max(ρ, 1 - ε)·A, taken here before the exponential, so that a clipped token has gradient 0 and not inf · 0. A
    token of negative advantage whose ratio has run away is not clipped (no dual clip): it is followed up to e^20.
    """
    if not logprob_T.shape == old_T.shape == advantage_T.shape or logprob_T.dim() != 1:
        raise ValueError(
            f"log π, log π_old and advantage a token: {logprob_T.shape}, {old_T.shape}, {advantage_T.shape}"
        )
    exponent_T = logprob_T - old_T
    lowest = math.log1p(-clip) if clip < 1 else -math.inf
    below_T, above_T = exponent_T.clamp(max=math.log1p(clip)), exponent_T.clamp(min=lowest)
    return -advantage_T * limited_exp(torch.where(advantage_T >= 0, below_T, above_T))


def outside(logprob_T: Tensor, old_T: Tensor, *, clip: float) -> Tensor:
    """1 where |π/π_old - 1| > ε, else 0; the mean over tokens is `clip_fraction`. No gradient.

    It counts both sides whatever the advantage's sign, as Schulman's baselines do: it tells how far the policy has
    moved, and bounds from above the share of tokens that the clip has switched off.
    """
    if logprob_T.shape != old_T.shape or logprob_T.dim() != 1:
        raise ValueError(f"log π and log π_old a token: {tuple(logprob_T.shape)}, {tuple(old_T.shape)}")
    ratio_T = limited_exp(logprob_T.detach() - old_T.detach())
    return ((ratio_T - 1).abs() > clip).to(logprob_T.dtype)


def value(value_T: Tensor, old_T: Tensor, target_T: Tensor, *, clip: float) -> Tensor:
    """loss = ½ max((V - R)², (V_old + clip(V - V_old, -ε, ε) - R)²)

    The clipped value loss of OpenAI's baselines (Huang et al. 2022, detail 9; PPO's paper does not have it): a value
    that has moved by more than ε towards its target learns no more in this iteration. `old_T` is V_old; `target_T` is
    R = V_old + the advantage before whitening. ε is in the unit of the scores; `clip` 0 is off: ½ (V - R)².
    """
    if not value_T.shape == old_T.shape == target_T.shape or value_T.dim() != 1:
        raise ValueError(f"V, V_old and R a token: {value_T.shape}, {old_T.shape}, {target_T.shape}")
    error_T = (value_T - target_T) ** 2
    if clip:
        near_T = old_T + (value_T - old_T).clamp(-clip, clip)
        error_T = torch.maximum(error_T, (near_T - target_T) ** 2)
    return 0.5 * error_T
