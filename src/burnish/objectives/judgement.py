"""Losses that teach a policy from single answers, each found good or bad, with no answer beside it.

Shapes: N answers. A gain is log π(answer) - log π_reference(answer), summed over the answer's learned tokens; `good_N`
says what was found of it. Each loss gives one value an answer, never a mean: divide the sum by the judgements.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def kto(
    gain_N: Tensor,
    good_N: Tensor,
    *,
    beta: float,
    baseline: float | Tensor = 0.0,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> Tensor:
    """loss = λ · (1 - σ(±β · (gain - z))), + and λ_D for a good answer, - and λ_U for a bad one

    Ethayarajh et al. 2024, eq. 7. `baseline` z estimates KL(π ‖ π_reference) by the mean gain of answers to other
    prompts (`mismatch_baseline`), without gradient. Force is greatest at the baseline and fades on both sides: an
    answer that is far on the wrong side is given up. The paper keeps λ_D·(good answers) / (λ_U·(bad ones)) in [1, 4/3]
    (eq. 8).
    """
    _one_each(gain_N, good_N)
    away_N = beta * (gain_N - baseline)
    return torch.where(good_N, desirable * (-away_N).sigmoid(), undesirable * away_N.sigmoid())


def mismatch_baseline(gain_M: Tensor) -> Tensor:
    """z = max(0, mean of the gains of M answers to other prompts), (), without gradient; 0 where there are none.

    Ethayarajh et al. 2024. It is no unbiased estimate of the KL: answers to other prompts are not
    what the policy would say.
    """
    return gain_M.detach().mean().clamp(min=0) if len(gain_M) else gain_M.new_zeros(())


def bco(gain_N: Tensor, good_N: Tensor, *, beta: float, baseline: float | Tensor = 0.0) -> Tensor:
    """loss = -log σ(±β · (gain - b)), + for a good answer and - for a bad one

    Jung et al. 2024: cross-entropy of a classifier whose logit is the reward less a shift, δ = β · b (`middle`).
    """
    _one_each(gain_N, good_N)
    logit_N = beta * (gain_N - baseline)
    loss_N: Tensor = -logsigmoid(torch.where(good_N, logit_N, -logit_N))
    return loss_N


def middle(gain_N: Tensor, good_N: Tensor) -> Tensor:
    """b = ½ (mean gain of good answers + mean gain of bad ones), (), without gradient; of one kind alone, its mean.

    Jung et al. 2024, who take a running mean over batches; this is the mean of the answers that are given.
    """
    _one_each(gain_N, good_N)
    gain_N = gain_N.detach()
    means = [part.mean() for part in (gain_N[good_N], gain_N[~good_N]) if len(part)]
    return torch.stack(means).mean() if means else gain_N.new_zeros(())


def apo_zero(gain_N: Tensor, good_N: Tensor, *, beta: float) -> Tensor:
    """loss = σ(∓β · gain), - for a good answer and + for a bad one: `kto` with a baseline of 0

    D'Oosterlinck et al. 2024, eq. 7, of answers that have no partner.
    """
    return kto(gain_N, good_N, beta=beta)


def _one_each(gain_N: Tensor, good_N: Tensor) -> None:
    if gain_N.shape != good_N.shape or gain_N.dim() != 1 or good_N.dtype != torch.bool:
        raise ValueError(
            f"one gain and one finding, true or false, an answer: {tuple(gain_N.shape)}, {tuple(good_N.shape)} of "
            f"{good_N.dtype}"
        )
