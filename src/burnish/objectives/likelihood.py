"""Losses that teach a model to give the tokens that it is shown.

Shapes: L learned tokens of all answers end to end, N answers.
Each loss gives one value a token, never a mean: the training loop knows the global count and divides once.
"""

import torch
from torch import Tensor


def cross_entropy(logprob_L: Tensor) -> Tensor:
    """loss = -log p(token | what comes before it). Divide the sum by the learned tokens of the whole batch.

    It takes log-probabilities and not logits, so that nobody has to hold a (tokens × vocabulary) tensor. Prompt tokens
    are not masked here; they are not among the L. A token of probability 0 has loss inf.
    """
    if logprob_L.dim() != 1:
        raise ValueError(f"one log-probability a learned token, end to end: {tuple(logprob_L.shape)}")
    return -logprob_L


def answer_sums(value_L: Tensor, answer_L: Tensor, answers: int) -> Tensor:
    """sum_N[n] = Σ of the values of answer n's tokens: log p(answer | prompt) where the values are log-probabilities.

    `answer_L` is the answer of each token, in 0 … answers - 1; an answer without learned tokens has sum 0.
    Not divided by the length: that would be another loss.
    """
    if value_L.shape != answer_L.shape or value_L.dim() != 1:
        raise ValueError(f"one value and one answer a token: {tuple(value_L.shape)}, {tuple(answer_L.shape)}")
    return torch.zeros(answers, dtype=value_L.dtype, device=value_L.device).index_add(0, answer_L, value_L)


def answer_of(length_N: Tensor) -> Tensor:
    """Which answer each token belongs to, (T,), where the tokens of all answers lie end to end."""
    return torch.arange(len(length_N), device=length_N.device).repeat_interleave(length_N)
