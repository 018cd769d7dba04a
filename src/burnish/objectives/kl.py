"""How far the policy has gone from its reference: KL(π ‖ reference) of a token, estimated and exact.

Shapes: T sampled tokens of all answers end to end, N answers, V vocabulary. `logprob_T` is log π of the sampled token,
`reference_T` its log-probability under the reference. An answer's figure is the sum over its tokens.
The estimators are those of Schulman 2020 (joschu.net/blog/kl-approx.html), in nats, for tokens drawn from π.
"""

from typing import Literal

import torch
from torch import Tensor

from burnish.objectives.likelihood import answer_of, answer_sums
from burnish.objectives.ratio import ratio


def k1(logprob_T: Tensor, reference_T: Tensor) -> Tensor:
    """log π - log reference. Unbiased, of either sign.

    As a part of the reward with γ = 1 its optimum is π_reference·exp(R/β)/Z. Never put it in a loss: its expected
    gradient there is 0.
    """
    _check(logprob_T, reference_T)
    return logprob_T - reference_T


def k2(logprob_T: Tensor, reference_T: Tensor) -> Tensor:
    """½ (log π - log reference)². Biased, never negative; its gradient is, in expectation, that of the KL.

    Over whole answers (both arguments summed over an answer) it is a loss with the KL's own optimum; a token at a time
    it leaves out what a token does to those after it.
    """
    _check(logprob_T, reference_T)
    return 0.5 * (logprob_T - reference_T) ** 2


def k3(logprob_T: Tensor, reference_T: Tensor) -> Tensor:
    """r - 1 - log r,  r = reference/π. Unbiased, never negative.

    Its gradient is that of another divergence: in a loss it has another optimum. From r = e^20 on the ratio is followed
    with its slope there.
    """
    _check(logprob_T, reference_T)
    return ratio(reference_T, logprob_T) - 1 + (logprob_T - reference_T)


def exact(logprob_TV: Tensor, reference_TV: Tensor) -> Tensor:
    """Σ_v π(v) · (log π(v) - log reference(v)) of each state. A token that π cannot give (log π = -inf) counts 0."""
    if logprob_TV.shape != reference_TV.shape or logprob_TV.dim() != 2:
        raise ValueError(f"two rows of log-probabilities a state: {logprob_TV.shape}, {reference_TV.shape}")
    possible_TV = logprob_TV > -torch.inf
    gap_TV = torch.where(possible_TV, logprob_TV, 0.0) - torch.where(possible_TV, reference_TV, 0.0)
    return (logprob_TV.exp() * gap_TV).sum(dim=1)


def rewards(score_N: Tensor, logprob_T: Tensor, reference_T: Tensor, length_N: Tensor, *, beta: float) -> Tensor:
    """r_t = -β·(log π_old - log reference) of token t, and on top, at an answer's last token, its score. No gradient.

    Ziegler et al. 2019; Ouyang et al. 2022. Summed over an answer it is score - β·k1, so with γ = 1 the
    optimum is π_reference·exp(score/β)/Z. `logprob_T` is log π_old, that which the answers were drawn from. `length_N`
    is the tokens of each answer, in their order. Raises ValueError for an answer without tokens: it has no place for a
    score.
    """
    _check(logprob_T, reference_T)
    if score_N.shape != length_N.shape or int(length_N.sum()) != len(logprob_T):
        raise ValueError(
            f"a score and a length an answer: {tuple(score_N.shape)}, {tuple(length_N.shape)}, "
            f"{int(length_N.sum())} tokens for {len(logprob_T)} log-probabilities"
        )
    if (length_N == 0).any():
        raise ValueError(f"answer {int((length_N == 0).nonzero()[0])} has no token that could carry its score")
    reward_T = -beta * (logprob_T - reference_T).detach()
    return reward_T.index_add(0, length_N.cumsum(0) - 1, score_N.detach().to(reward_T.dtype))


Penalty = Literal["sequence_k2", "token_k2", "token_k3"]


def penalty(logprob_T: Tensor, reference_T: Tensor, length_N: Tensor, kind: Penalty) -> Tensor:
    """What stands in the loss, times β, where the reward has no penalty; one value a token, differentiable.

        sequence_k2  ½ (Σ log π - Σ log reference)² of the answer, shared equally among its tokens
        token_k2     k2 of each token
        token_k3     k3 of each token, as in GRPO (Shao et al. 2024)

    Summed over an answer's tokens the first has the KL's own optimum; the others come to rest elsewhere, see
    docs/objectives.md. There is no k1: its expected gradient in a loss is 0.
    """
    if kind != "sequence_k2":
        return k2(logprob_T, reference_T) if kind == "token_k2" else k3(logprob_T, reference_T)
    _check(logprob_T, reference_T)
    answer_T = answer_of(length_N)
    gap_N = answer_sums(logprob_T - reference_T, answer_T, len(length_N))
    return (0.5 * gap_N**2 / length_N.clamp(min=1))[answer_T]


def next_beta(beta: float, kl: float, target: float) -> float:
    """β · (1 + 0.1 · clip((KL - target)/target, -0.2, 0.2)): dearer where the policy is farther than it should be.

    Ziegler et al. 2019, §2.2, with their constants. `kl` and `target` in nats an answer. A step moves β by at most 2 %,
    so that one strange iteration does not decide.
    """
    if not (target > 0 and beta > 0):
        raise ValueError(f"β and the target KL must be above 0; found {beta} and {target}")
    return beta * (1 + 0.1 * min(max(kl / target - 1, -0.2), 0.2))


def _check(logprob_T: Tensor, reference_T: Tensor) -> None:
    if logprob_T.shape != reference_T.shape or logprob_T.dim() != 1:
        raise ValueError(f"two log-probabilities a token: {tuple(logprob_T.shape)}, {tuple(reference_T.shape)}")
