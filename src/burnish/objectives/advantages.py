"""How much better a sampled token did than was expected there.

Shapes: T sampled tokens of all answers end to end, N answers, K of one prompt, G prompts, S steps of the longest.
Nothing here carries a gradient: advantages weigh a loss and targets are aimed at.
"""

import math

import torch
from torch import Tensor


@torch.no_grad()
def gae(reward_T: Tensor, value_T: Tensor, length_N: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates, and the value targets R_t = A_t + V_t.

        δ_t = r_t + γ·V_(t+1) - V_t,    A_t = δ_t + γλ·A_(t+1),    both 0 after an answer's last token

    Schulman et al. 2015b (High-dimensional continuous control). λ = 1 gives what came minus what was expected,
    λ = 0 the one-step error δ. `value_T` is V read where token t is predicted (for the first token, at the prompt's
    last). `length_N` is the tokens of each answer, in their order; an answer may be empty. Nothing is expected after an
    answer that was cut by length either: its reward has been given, so it is an end and no bootstrap is taken.
    """
    if reward_T.shape != value_T.shape or reward_T.dim() != 1 or int(length_N.sum()) != len(reward_T):
        raise ValueError(
            f"a reward and a value a token of the answers: {tuple(reward_T.shape)}, {tuple(value_T.shape)}, "
            f"{int(length_N.sum())} tokens in {len(length_N)} answers"
        )
    steps = int(length_N.max()) if len(length_N) else 0
    inside_NS = torch.arange(steps, device=length_N.device) < length_N[:, None]
    value_NS = _by_answer(value_T, inside_NS)
    after_NS = torch.cat((value_NS[:, 1:], value_NS.new_zeros(len(length_N), min(steps, 1))), dim=1)
    advantage_NS = _by_answer(reward_T, inside_NS) + gamma * after_NS - value_NS
    for step in range(steps - 2, -1, -1):
        advantage_NS[:, step] += gamma * lam * advantage_NS[:, step + 1]
    advantage_T = advantage_NS[inside_NS]
    return advantage_T, advantage_T + value_T


@torch.no_grad()
def explained_variance(value_T: Tensor, return_T: Tensor) -> float:
    """1 - Var(return - value) / Var(return): the share of what comes that a critic knew beforehand.

    1 where it is never wrong, 0 where it knows no more than one number for all tokens, below 0 where it misleads. NaN
    where every return is the same, so that there is nothing to explain. Var divides by T.
    """
    if value_T.shape != return_T.shape:
        raise ValueError(f"a value and a return a token: {tuple(value_T.shape)}, {tuple(return_T.shape)}")
    return_T, value_T = return_T.double(), value_T.double()
    spread = return_T.var(correction=0)
    return (1 - (return_T - value_T).var(correction=0) / spread).item() if spread > 0 else math.nan


@torch.no_grad()
def group_relative(return_N: Tensor, group_N: Tensor, *, deviation: bool) -> Tensor:
    """A = (R - mean) / (deviation + 1e-4) over the answers to one prompt; without `deviation`, R - mean.

    With it GRPO's (Shao et al. 2024), without it Dr. GRPO's (Liu et al. 2025): dividing makes prompts whose
    answers hardly differ weigh as much as those that tell something. The deviation is that of a sample (K - 1), and
    1e-4 the floor, as in TRL and verl; the paper names neither. Equal returns have advantage 0.
    """
    mean_N, count_N = _group_means(return_N, group_N)
    gap_N = return_N - mean_N
    if not deviation:
        return gap_N
    mean_square_N, _ = _group_means(gap_N**2, group_N)
    deviation_N = (mean_square_N * count_N / (count_N - 1)).sqrt()
    return gap_N / (deviation_N + 1e-4)


@torch.no_grad()
def leave_one_out(return_N: Tensor, group_N: Tensor) -> Tensor:
    """A = R - mean of the others' returns to the same prompt = K/(K - 1) · (R - mean of all).

    RLOO: Kool et al. 2019; Ahmadian et al. 2024. What it takes off does not depend on the answer itself, so the
    gradient stays that of the expected return.
    """
    mean_N, count_N = _group_means(return_N, group_N)
    return (return_N - mean_N) * count_N / (count_N - 1)


def moments(advantage_T: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (of the population: divided by T, not T - 1) of what `whiten` is to bring to 0 and 1."""
    if not len(advantage_T):
        raise ValueError("no advantages: a mean of nothing")
    return advantage_T.mean(), advantage_T.std(correction=0)


def whiten(advantage_T: Tensor, mean: Tensor | None = None, deviation: Tensor | None = None) -> Tensor:
    """(A - mean) / √(deviation² + 1e-8). Equal advantages become 0 and not noise over 0.

    Where `advantage_T` is only a part of the batch, give the `moments` of the whole: whitened by its own, a token would
    weigh differently with each way to cut the batch. Without them, what is given is the whole. Huang et al. 2022 (The
    37 implementation details of PPO), detail 7; there over each minibatch, here over the iteration.
    """
    if (mean is None) != (deviation is None):
        raise ValueError("the mean and the deviation of one batch, or neither")
    if mean is None or deviation is None:
        mean, deviation = moments(advantage_T)
    return (advantage_T - mean) * (deviation**2 + 1e-8).rsqrt()


def whitened(advantage_T: Tensor) -> tuple[Tensor, float]:
    """`whiten` of a whole batch, and what it divided by: a penalty in the same loss is divided by that too."""
    mean, deviation = moments(advantage_T)
    return whiten(advantage_T, mean, deviation), math.hypot(deviation.item(), 1e-4)


def _by_answer(value_T: Tensor, inside_NS: Tensor) -> Tensor:
    value_NS = value_T.new_zeros(inside_NS.shape)
    value_NS[inside_NS] = value_T
    return value_NS


def _group_means(value_N: Tensor, group_N: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over each answer's group, and how many answers that has. ValueError for an answer that is alone."""
    if value_N.shape != group_N.shape or value_N.dim() != 1:
        raise ValueError(f"one return and one group an answer: {tuple(value_N.shape)}, {tuple(group_N.shape)}")
    _, member_N, count_G = torch.unique(group_N, return_inverse=True, return_counts=True)
    if (count_G < 2).any():
        raise ValueError("a group of one answer has nothing to be better than; draw two answers a prompt at least")
    sum_G = torch.zeros(len(count_G), dtype=value_N.dtype, device=value_N.device).index_add(0, member_N, value_N)
    return (sum_G / count_G)[member_N], count_G[member_N]
