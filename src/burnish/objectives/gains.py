"""What the losses of preference.py compare, where it is not the plain gain log π(answer) - log π_reference(answer).

Shapes: N answers, P pairs, L learned tokens of all answers end to end.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from burnish.objectives.likelihood import answer_sums
from burnish.objectives.ratio import limited_exp

Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]


def implied_reward(gain_N: Tensor, divergence: Divergence, *, alpha: float = 0.5) -> Tensor:
    """f'(π/π_reference), which β times is the reward that a policy stands for where D_f is what it pays for leaving.

    Wang et al. 2023 (f-DPO), less what is the same for all answers; u = π/π_reference = exp(gain):

        reverse_kl  log u                    DPO's own
        forward_kl  1 - 1/u
        js          log(2u/(1 + u))          of twice the Jensen-Shannon divergence
        alpha       (1 - u^-α)/α             from reverse_kl as α goes to 0 to forward_kl at 1

    1/u is followed to e^20 and from there with the slope that it has there, so that an answer which the policy has all
    but lost still comes back. TRL's α coefficient is 1 - α. Raises ValueError for an α outside (0, 1).
    """
    match divergence:
        case "reverse_kl":
            return gain_N
        case "forward_kl":
            return 1 - limited_exp(-gain_N)
        case "js":
            return math.log(2) + logsigmoid(gain_N)
        case "alpha":
            if not 0 < alpha < 1:
                raise ValueError(f"alpha lies between 0 (reverse_kl) and 1 (forward_kl), without them; found {alpha}")
            return (1 - limited_exp(-alpha * gain_N)) / alpha


def longer_by(length_N: Tensor, chosen_P: Tensor, rejected_P: Tensor) -> Tensor:
    """|chosen| - |rejected| in tokens, (P,), of the answers with these indices.

    α times it beside β times the gap of gains is length-regularised DPO (Park et al. 2024, R-DPO): its optimum is that
    of the reward r - α·|answer|.
    """
    return length_N[chosen_P] - length_N[rejected_P]


def tail_weighed(
    gain_L: Tensor, length_N: Tensor, chosen_P: Tensor, rejected_P: Tensor, *, tail: float
) -> tuple[Tensor, Tensor]:
    """The gains of both answers of each pair, (P,) and (P,), tokens beyond the shorter one's length counting `tail`.

    Liu et al. 2024 (LD-DPO), their α: at 1 plain gains, at 0 nothing that only the longer answer has. Tokens lie answer
    after answer; `chosen_P` and `rejected_P` are indices of answers. Raises ValueError for a share outside 0 to 1.
    """
    if gain_L.dim() != 1 or len(gain_L) != int(length_N.sum()):
        raise ValueError(f"one gain a token of answers of {int(length_N.sum())} tokens: {tuple(gain_L.shape)}")
    if not 0 <= tail <= 1:
        raise ValueError(f"tail is a share, from 0 to 1; found {tail}")
    widest = int(length_N.max()) if len(length_N) else 0
    inside_NS = torch.arange(widest, device=gain_L.device) < length_N[:, None]
    gain_NS = gain_L.new_zeros(inside_NS.shape).masked_scatter(inside_NS, gain_L)
    upto_NS = torch.nn.functional.pad(gain_NS.cumsum(1), (1, 0))  # of the first 0, 1, … tokens
    shared_P = torch.minimum(length_N[chosen_P], length_N[rejected_P])

    def weighed(answer_P: Tensor) -> Tensor:
        head_P, whole_P = upto_NS[answer_P, shared_P], upto_NS[answer_P, length_N[answer_P]]
        return head_P + tail * (whole_P - head_P)

    return weighed(chosen_P), weighed(rejected_P)


def likelihood_weights(logprob_L: Tensor, collision_L: Tensor, answer_L: Tensor, answers: int) -> Tensor:
    """exp(mean over the answer's tokens of log π(token) - log Σ_v π(v)²), (N,), without gradient.

    Zhou et al. 2024 (WPO), eq. 2 with sampled alignment: near 1 for an answer that the policy would write itself, small
    for one that it would not. The pair's loss is multiplied with the weights of both of its answers. `collision_L` is
    log Σ_v π(v)²: what log π(token) is on average, roughly, where the token is the policy's own.
    """
    if not logprob_L.shape == collision_L.shape == answer_L.shape:
        raise ValueError(
            f"two values and an answer a token: {tuple(logprob_L.shape)}, {tuple(collision_L.shape)}, "
            f"{tuple(answer_L.shape)}"
        )
    sum_N = answer_sums((logprob_L - collision_L).detach(), answer_L, answers)
    return (sum_N / torch.bincount(answer_L, minlength=answers).clamp(min=1)).exp()
