"""Losses that climb a reward that sampled answers got.

Shapes: T sampled tokens of all answers end to end, N answers. `old_T` is log π_old, from a pass of the training engine
over the finished answers; it carries no gradient. Each loss gives one value a token, never a mean: the training loop
knows the global count and divides once.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from burnish.objectives.likelihood import answer_of, answer_sums
from burnish.objectives.ratio import limited_exp


def clipped(
    logprob_T: Tensor,
    old_T: Tensor,
    advantage_T: Tensor,
    *,
    clip: float,
    clip_high: float | None = None,
    dual_clip: float | None = None,
) -> Tensor:
    """loss = -min(ρ·A, clip(ρ, 1 - ε, 1 + ε)·A),  ρ = π/π_old = exp(logprob - old)

    Schulman et al. 2017, eq. 7, with the sign of a loss. Where A ≥ 0 the minimum is min(ρ, 1 + ε)·A and where A < 0 it
    is max(ρ, 1 - ε)·A, taken here before the exponential, so that a clipped token has gradient 0 and not inf · 0.

    `clip_high` is another ε above 1 (Yu et al. 2025, DAPO): an unlikely token may then gain more. A token of
    negative advantage whose ratio has run away is not clipped but followed up to e^20, unless `dual_clip` c > 1 says
    where it is let go: for A < 0 the loss is at most -c·A (Ye et al. 2020).
    """
    if not logprob_T.shape == old_T.shape == advantage_T.shape or logprob_T.dim() != 1:
        raise ValueError(
            f"log π, log π_old and advantage a token: {logprob_T.shape}, {old_T.shape}, {advantage_T.shape}"
        )
    if dual_clip is not None and dual_clip <= 1:
        raise ValueError(f"a dual clip of {dual_clip} would let go of tokens that have not moved; it is above 1")
    exponent_T = logprob_T - old_T
    lowest = math.log1p(-clip) if clip < 1 else -math.inf
    highest = math.log1p(clip if clip_high is None else clip_high)
    below_T = exponent_T.clamp(max=highest)
    above_T = exponent_T.clamp(min=lowest, max=None if dual_clip is None else math.log(dual_clip))
    return -advantage_T * limited_exp(torch.where(advantage_T >= 0, below_T, above_T))


def outside(logprob_T: Tensor, old_T: Tensor, *, clip: float, clip_high: float | None = None) -> Tensor:
    """1 where π/π_old is below 1 - ε or above 1 + ε (`clip_high` where given), else 0. No gradient.

    Its mean over tokens is `clip_fraction`. It counts both sides whatever the advantage's sign, as Schulman's baselines
    do: it tells how far the policy has moved, and bounds from above the share of tokens that the clip has switched off.
    """
    if logprob_T.shape != old_T.shape or logprob_T.dim() != 1:
        raise ValueError(f"log π and log π_old a token: {tuple(logprob_T.shape)}, {tuple(old_T.shape)}")
    away_T = limited_exp(logprob_T.detach() - old_T.detach()) - 1
    return ((away_T < -clip) | (away_T > (clip if clip_high is None else clip_high))).to(logprob_T.dtype)


def answer_means(value_T: Tensor, length_N: Tensor) -> Tensor:
    """Each token gets the mean over its answer, (T,), differentiable.

    Of log-probabilities, new and old, it makes of `clipped` a loss with GSPO's ratio of whole answers,
    (π(answer)/π_old(answer))^(1/tokens) (Zheng et al. 2025): summed with the weights of `answer` below, one
    clipped ratio an answer.
    """
    answer_T = answer_of(length_N)
    return (answer_sums(value_T, answer_T, len(length_N)) / length_N.clamp(min=1))[answer_T]


Denominator = Literal["token", "answer", "fixed", "sum"]


def token_weights(
    length_N: Tensor, denominator: Denominator, *, longest: int, dtype: torch.dtype
) -> tuple[Tensor, int]:
    """What each token's loss is multiplied by, (T,), and what these answers add to the count that divides the sum.

        token   1, tokens              every token of the batch alike: PPO; DAPO (Yu et al. 2025)
        answer  1/tokens, answers      every answer alike, so a long one's tokens weigh less: GRPO (Shao et al. 2024)
        fixed   1/longest, answers     no answer's length has a part in it: Dr. GRPO (Liu et al. 2025)
        sum     1, answers             the gradient of the expected return, no more: RLOO (Ahmadian et al. 2024)

    `longest` is the most tokens that an answer may have. Sums and counts of parts of a batch add up to the whole's.
    """
    weight_N = torch.ones(len(length_N), dtype=dtype, device=length_N.device)
    if denominator == "answer":
        weight_N = weight_N / length_N.clamp(min=1)
    elif denominator == "fixed":
        weight_N = weight_N / longest
    count = int(length_N.sum()) if denominator == "token" else len(length_N)
    return weight_N.repeat_interleave(length_N), count


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
