"""Losses that teach a scorer the order in which people put answers.

Shapes: N answers of all groups in any order, P pairs that the orders decide, G groups of at most K answers, B blocks of
M tied answers each, S subsets of a block. A place is 0 for the best; equal places are a tie; -1 is unknown and takes no
part.
Losses give one value a pair or group, never a mean: the training loop knows the global count and divides once.
"""

from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

MOST_TIED = 9
"""Members of one tied block: its 2^9 subsets are enumerated."""


def places(score_N: Tensor, group_N: Tensor, *, same: float = 0.0) -> Tensor:
    """The place that scores give each answer among its group: how many score higher by more than `same`, (N,)."""
    if score_N.shape != group_N.shape or score_N.dim() != 1:
        raise ValueError(f"one score and group an answer: {tuple(score_N.shape)}, {tuple(group_N.shape)}")
    above_NN = (score_N[None, :] - score_N[:, None] > same) & (group_N[None, :] == group_N[:, None])
    return above_NN.sum(dim=1)


def decided_pairs(place_N: Tensor, group_N: Tensor) -> tuple[Tensor, Tensor]:
    """Index every pair (better, worse) of one group. Place 0 is best; equal places are a tie and give no pair."""
    if place_N.shape != group_N.shape or place_N.dim() != 1:
        raise ValueError(f"one place and group an answer: {tuple(place_N.shape)}, {tuple(group_N.shape)}")
    answer_GK, above_GKK = _orders(place_N, group_N)
    group_P, better_P, worse_P = above_GKK.nonzero(as_tuple=True)
    return answer_GK[group_P, better_P], answer_GK[group_P, worse_P]


def tied_pairs(place_N: Tensor, group_N: Tensor) -> tuple[Tensor, Tensor]:
    """Index every pair of one group that shares a place, each pair once; which of the two comes first means nothing."""
    if place_N.shape != group_N.shape or place_N.dim() != 1:
        raise ValueError(f"one place and group an answer: {tuple(place_N.shape)}, {tuple(group_N.shape)}")
    answer_GK, place_GK = _placed(place_N, group_N)
    tied_GKK = (place_GK[:, :, None] == place_GK[:, None, :]) & (place_GK[:, :, None] >= 0)
    group_P, first_P, second_P = tied_GKK.triu(1).nonzero(as_tuple=True)
    return answer_GK[group_P, first_P], answer_GK[group_P, second_P]


def pair_weights(
    group_P: Tensor, weight: Literal["prompt", "pair"], *, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, int]:
    """What each pair weighs, and the count to divide the weighted sum by.

    prompt: 1 / pairs of its group, and the groups that have a pair. Ouyang et al. 2022: nine answers make 36
            pairs of the same nine texts and would outvote 35 groups of two.
    pair:   1, and the pairs.
    `group_P` is the group of each pair; all pairs of a group must be there. `dtype` is to be the loss's: a third in
    float32 would be the coarsest number of a float64 loss.
    """
    if group_P.dim() != 1:
        raise ValueError(f"one group a pair: {tuple(group_P.shape)}")
    if weight == "pair":
        return torch.ones(len(group_P), dtype=dtype, device=group_P.device), len(group_P)
    _, member_P, pairs_G = torch.unique(group_P, return_inverse=True, return_counts=True)
    return pairs_G[member_P].to(dtype).reciprocal(), len(pairs_G)


def pairwise(gap_P: Tensor, smoothing: float = 0.0) -> Tensor:
    """loss = -(1 - ε) log σ(s_better - s_worse) - ε log σ(s_worse - s_better), Bradley and Terry 1952 with ε = 0.

    `gap_P` is s_better - s_worse, less the margin that the pair must keep where there is one (Touvron et al. 2023,
    Llama 2). `smoothing` is ε, the share of pairs taken to be the wrong way round (Szegedy et al. 2016): the minimum
    then lies at a gap of log((1 - ε)/ε). At ½ nobody knows which is better: that is `level`.
    """
    if gap_P.dim() != 1:
        raise ValueError(f"one gap a pair: {tuple(gap_P.shape)}")
    if not 0 <= smoothing <= 0.5:
        raise ValueError(f"smoothing is a share from 0 to ½; found {smoothing}")
    loss_P: Tensor = -logsigmoid(gap_P)  # log(sigmoid(x)) would be -inf from x = -89 on
    return loss_P + smoothing * gap_P if smoothing else loss_P  # -log σ(-x) = -log σ(x) + x


def level(gap_P: Tensor) -> Tensor:
    """loss = -½ log σ(gap) - ½ log σ(-gap): draws a tied pair to a gap of zero, where it is log 2.

    A tie counts as half a win of each, as in Bradley–Terry fits of tournaments. It does not matter which of the two is
    named first.
    """
    return pairwise(gap_P, smoothing=0.5)


def centring(first_P: Tensor, second_P: Tensor) -> Tensor:
    """loss = (s_first + s_second)², which holds the scores of a pair around zero; the ranking losses know only gaps.

    Eisenstein et al. 2023, eq. 2.
    """
    if first_P.shape != second_P.shape or first_P.dim() != 1:
        raise ValueError(f"one score of each side a pair: {tuple(first_P.shape)}, {tuple(second_P.shape)}")
    return (first_P + second_P) ** 2


def bradley_terry(score_N: Tensor, place_N: Tensor, group_N: Tensor) -> Tensor:
    """loss = -log σ(s_better - s_worse) / pairs of the group. Divide the sum by the groups that have a pair.

    Ouyang et al. 2022. Tied pairs are not counted in the weight, so a group with ties weighs as much as one
    without; a group that is all one tie gives no value. One value a pair, in the order of `decided_pairs`.
    """
    if not score_N.shape == place_N.shape == group_N.shape:
        raise ValueError(f"one score, place and group an answer: {score_N.shape}, {place_N.shape}, {group_N.shape}")
    better_P, worse_P = decided_pairs(place_N, group_N)
    weight_P, _ = pair_weights(group_N[better_P], "prompt", dtype=score_N.dtype)
    return weight_P * pairwise(score_N[better_P] - score_N[worse_P])


def plackett_luce(score_N: Tensor, place_N: Tensor, group_N: Tensor) -> Tensor:
    """loss = -log Σ over the strict orders that the weak order allows of Π_i exp(s_i) / Σ_(j not yet placed) exp(s_j)

    Luce 1959, Plackett 1975; a tie sums over its orders, as the exact marginal likelihood of Kalbfleisch and Prentice
    1973 does. One value a group, groups ascending by their number; 0, without gradient, for a group that decides
    nothing: divide the sum by the groups that decide a pair. For two answers it is `pairwise`. Answers of unknown place
    are as if they were not there, not as if they tied for the last. Raises ValueError where more than 9 answers tie,
    unless it is for the last place: what is left over is certain.
    """
    if not score_N.shape == place_N.shape == group_N.shape or score_N.dim() != 1:
        raise ValueError(f"one score, place and group an answer: {score_N.shape}, {place_N.shape}, {group_N.shape}")
    answer_GK, above_GKK = _orders(place_N, group_N)
    # the sum of no scores: 0, from which a backward pass may start even where nothing is decided
    loss_G = score_N[:0].sum().expand(len(answer_GK))
    group_A, column_A = above_GKK.any(dim=2).nonzero(as_tuple=True)  # not those of the last place: what is left is sure
    answer_A, worse_AK = answer_GK[group_A, column_A], above_GKK[group_A, column_A]
    rest_A = score_N[answer_GK[group_A]].masked_fill(~worse_AK, -torch.inf).logsumexp(dim=1)
    _, block_A, size_B = torch.unique(
        torch.stack((group_A, place_N[answer_A])), dim=1, return_inverse=True, return_counts=True
    )
    if (size_B > MOST_TIED).any():
        raise ValueError(f"{int(size_B.max())} answers tie above others; at most {MOST_TIED} are summed over exactly")
    sorted_A = block_A.argsort(stable=True)
    for size in size_B.unique().tolist():
        row_BM = sorted_A[size_B[block_A[sorted_A]] == size].reshape(-1, size)
        loss_B = -_log_any_order(score_N[answer_A[row_BM]], rest_A[row_BM[:, 0]])
        loss_G = loss_G.index_add(0, group_A[row_BM[:, 0]], loss_B)
    return loss_G


def _orders(place_N: Tensor, group_N: Tensor) -> tuple[Tensor, Tensor]:
    """The answers of each group, as `_placed` has them, and [g, i, j]: its answer i is placed above its answer j."""
    answer_GK, place_GK = _placed(place_N, group_N)
    above_GKK = (place_GK[:, :, None] < place_GK[:, None, :]) & (place_GK[:, :, None] >= 0)
    return answer_GK, above_GKK


def _placed(place_N: Tensor, group_N: Tensor) -> tuple[Tensor, Tensor]:
    """The answers of each group, groups ascending, and their places. Rows are filled up with answer 0 of no place."""
    _, member_N, size_G = torch.unique(group_N, return_inverse=True, return_counts=True)
    widest = int(size_G.max()) if len(size_G) else 0
    present_GK = torch.arange(widest, device=group_N.device) < size_G[:, None]
    answer_GK = torch.zeros(present_GK.shape, dtype=torch.int64, device=group_N.device)
    answer_GK[present_GK] = member_N.argsort(stable=True)
    place_GK = place_N[answer_GK].masked_fill(~present_GK, -1) if widest else answer_GK
    return answer_GK, place_GK


def _log_any_order(score_BM: Tensor, rest_B: Tensor) -> Tensor:
    """log-probability that the block's members are drawn, in any order, before the rest, whose log-sum is `rest_B`.

    f(∅) = 1;  f(A) = Σ_(i in A) f(A without i) · exp(s_i) / (exp(rest) + Σ_(j in block, not in A without i) exp(s_j))
    """
    blocks, members = score_BM.shape
    drawn_SM, layers = _subsets(members)
    drawn_SM = drawn_SM.to(score_BM.device)
    left_BSM = score_BM[:, None, :].expand(-1, len(drawn_SM), -1).masked_fill(drawn_SM, -torch.inf)
    # without the last subset, the whole block: nobody is left of it to be drawn next
    left_BS = torch.logaddexp(left_BSM[:, :-1].logsumexp(dim=2), rest_B[:, None])
    reached_BA = score_BM.new_zeros(blocks, 1)  # log f of the subsets of one size, the empty one first
    for layer in layers:
        last_AI, before_AI, column_AI = (index.to(score_BM.device) for index in layer)
        reached_BA = (reached_BA[:, column_AI] + score_BM[:, last_AI] - left_BS[:, before_AI]).logsumexp(dim=2)
    return reached_BA[:, 0]


@cache
def _subsets(members: int) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """Subset s of a block holds member i where bit i of s is set: that table, and for each size from 1 on, for each
    subset A of that size and each i of it: i, the number of A without i, its column among the subsets one smaller."""
    numbers = range(1 << members)
    holds_SM = torch.tensor([[bool(s >> i & 1) for i in range(members)] for s in numbers])
    layers = []
    smaller = [0]
    for size in range(1, members + 1):
        subsets = [s for s in numbers if s.bit_count() == size]
        last = [[i for i in range(members) if s >> i & 1] for s in subsets]
        before = [[s ^ (1 << i) for i in row] for s, row in zip(subsets, last, strict=True)]
        column = {s: index for index, s in enumerate(smaller)}
        columns = [[column[s] for s in row] for row in before]
        layers.append((torch.tensor(last), torch.tensor(before), torch.tensor(columns)))
        smaller = subsets
    return holds_SM, layers
