"""From hidden states to drawn tokens: S samples, V vocabulary, D hidden size.

Every sample has random numbers of its own, one a token, so what it draws does not depend on what it is computed with.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from burnish.models.head import Head
from burnish.models.model import Policy
from burnish.rollout.settings import Sampling

_BLOCK = 64  # tokens whose probabilities are added up first: a cumulative sum over all of V costs five times as much


def counting_device(device: torch.device) -> torch.device:
    """Where random numbers and probabilities are counted in float64, which MPS does not have."""
    return torch.device("cpu") if device.type == "mps" else device


def uniforms(seed: int, count: int) -> Tensor:
    """`count` numbers in [0, 1), float64: number i depends on seed and i alone.

    numpy's Philox and not torch's generator, which keeps 32 bits of a seed: of 100,000 samples two would be equal.
    """
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(count))


OwnSeed = Callable[[int, int], int]
"""The number of a prompt, and of its sample → the seed of that sample's random numbers."""


class Drawn(NamedTuple):
    """One token that was drawn: of which prompt's which answer, by their numbers."""

    prompt: int
    sample: int
    token: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """How one call of an engine draws: its settings, the model's head, and the tokens that end an answer.

    Hidden states lie on the model's device, all else on `device`.
    """

    settings: Sampling
    head: Head
    end_F: Tensor
    is_end_V: Tensor

    @property
    def device(self) -> torch.device:
        return self.end_F.device

    @classmethod
    def of(cls, policy: Policy, head: Head, settings: Sampling, end_tokens: Sequence[int]) -> Self:
        device = counting_device(policy.device)
        end_F = torch.tensor(sorted(set(end_tokens)), dtype=torch.int64, device=device)
        is_end_V = torch.zeros(head.weight_VD.shape[0], dtype=torch.bool, device=device)
        is_end_V[end_F] = True
        return cls(settings, head, end_F, is_end_V)

    def ends(self, token_S: Tensor) -> Tensor:
        """Which of the tokens end an answer."""
        return self.is_end_V[token_S]

    def next(
        self, hidden_SD: Tensor, step_S: Tensor, uniform_S: Tensor, seen_SV: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Each answer's next token and its log-probability, (S,) and (S,) in float64. `step_S`: tokens that it has."""
        logits_SV = shaped(self.head.logits(hidden_SD).to(self.device), step_S, self.settings, self.end_F, seen_SV)
        return likeliest(logits_SV) if self.settings.greedy else draw(logits_SV, uniform_S)


def shaped(
    logits_SV: Tensor, step_S: Tensor, settings: Sampling, end_F: Tensor, seen_SV: Tensor | None = None
) -> Tensor:
    """Logits (S, V) of the distribution that is drawn from; temperature 0 leaves them at temperature 1.

    `seen_SV` says which tokens prompt and answer hold; it is there for a repetition penalty only. Penalty, minimum
    length, temperature, top-k, top-p and min-p follow each other as in transformers. May write into `logits_SV`.
    """
    if seen_SV is not None:
        penalty = settings.repetition_penalty
        weakened_SV = torch.where(logits_SV > 0, logits_SV / penalty, logits_SV * penalty)
        logits_SV = torch.where(seen_SV, weakened_SV, logits_SV)
    if settings.min_new_tokens and len(end_F):
        early_S = (step_S < settings.min_new_tokens).nonzero().squeeze(1)
        logits_SV[early_S[:, None], end_F[None, :]] = -math.inf
    if settings.temperature not in (0, 1):
        logits_SV = logits_SV / settings.temperature
    if 0 < settings.top_k < logits_SV.shape[1]:
        least_S1 = logits_SV.topk(settings.top_k).values[:, -1:]
        logits_SV = logits_SV.masked_fill(logits_SV < least_S1, -math.inf)
    if settings.top_p < 1:
        ordered_SV, token_SV = logits_SV.sort(descending=True, stable=True)
        chance_SV = ordered_SV.softmax(1, dtype=torch.float64)
        left_out_SV = chance_SV.cumsum(1) - chance_SV >= settings.top_p  # the likeliest token always stays
        logits_SV = logits_SV.masked_fill(torch.zeros_like(left_out_SV).scatter(1, token_SV, left_out_SV), -math.inf)
    if settings.min_p > 0:
        least_S1 = logits_SV.amax(1, keepdim=True) + math.log(settings.min_p)
        logits_SV = logits_SV.masked_fill(logits_SV < least_S1, -math.inf)
    return logits_SV


def draw(logits_SV: Tensor, uniform_S: Tensor) -> tuple[Tensor, Tensor]:
    """The token at which the cumulative probability passes `uniform_S`, and its log-probability: (S,), (S,).

    Sums of more than a block are in float64, so the draw is as exact as the probabilities, which are float32. A token
    of probability 0 is never drawn.
    """
    size, vocabulary = logits_SV.shape
    chance_SV = logits_SV.softmax(1)
    if vocabulary % _BLOCK:
        chance_SV = torch.nn.functional.pad(chance_SV, (0, -vocabulary % _BLOCK))
    chance_SBK = chance_SV.view(size, -1, _BLOCK)
    block_SB = chance_SBK.sum(2).double()
    upto_SB = block_SB.cumsum(1)
    at_S1 = _below(uniform_S[:, None] * upto_SB[:, -1:], upto_SB[:, -1:])
    block_S1 = torch.searchsorted(upto_SB, at_S1, right=True)
    chance_SK = chance_SBK.gather(1, block_S1[:, :, None].expand(-1, -1, _BLOCK)).squeeze(1).double()
    inside_SK = chance_SK.cumsum(1)
    rest_S1 = at_S1 - (upto_SB.gather(1, block_S1) - block_SB.gather(1, block_S1))
    place_S1 = torch.searchsorted(inside_SK, _below(rest_S1.clamp_(min=0), inside_SK[:, -1:]), right=True)
    token_S1 = block_S1 * _BLOCK + place_S1
    return token_S1.squeeze(1), chance_SK.gather(1, place_S1).log().squeeze(1)


def likeliest(logits_SV: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest token and its log-probability: (S,), (S,)."""
    token_S = logits_SV.argmax(1)
    return token_S, (logits_SV.gather(1, token_S[:, None]).squeeze(1) - logits_SV.logsumexp(1)).double()


def _below(value: Tensor, limit: Tensor) -> Tensor:
    """`value`, or where rounding brought it up to `limit` the number just below."""
    return torch.minimum(value, torch.nextafter(limit, torch.zeros_like(limit)))


class StopStrings:
    """Finds the answers that have just written a stop string."""

    def __init__(self, stop: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> None:
        self.stop = tuple(stop)
        self.tokenizer = tokenizer
        # at worst a token a byte; some more before them, since a tokenizer may drop a first space
        self.tail = 4 * max(len(text.encode()) for text in stop) + 8

    def written(self, answers: Sequence[Sequence[int]]) -> list[int]:
        """Indices of the answers that hold a stop string at their end. Older tokens were looked at before."""
        tails = [list(answer[-self.tail :]) for answer in answers]
        texts = self.tokenizer.batch_decode(tails, skip_special_tokens=False)
        return [i for i, text in enumerate(texts) if any(stop in text for stop in self.stop)]
