"""Language models so small that all their answers can be listed, so that what a method should reach is known exactly.

A model is any function from token ids (B rows, S positions) to logits (B, S, V): the table of this file, or
`causal(model)` of transformers. An answer ends at its first end token, or is cut at `longest` tokens. Each answer has
one probability and together they have 1: the cut ones are answers like any other.

Shapes: A answers, T tokens of the answers end to end, V vocabulary.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from burnish.objectives.likelihood import answer_sums

Logits = Callable[[Tensor], Tensor]


def causal(model: nn.Module) -> Logits:
    """The logits of a transformers model with a language head."""
    return lambda token_BS: model(input_ids=token_BS, use_cache=False).logits


class Table(nn.Module):
    """A free row of logits for each sequence of tokens, of at most `longest` with the prompt: any policy is one.

    With `outputs` 1 it is a critic: a free value for each state.
    """

    def __init__(self, vocabulary: int, longest: int, *, outputs: int | None = None) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        states = (vocabulary + 1) ** (longest + 1)
        self.row = nn.Parameter(torch.zeros(states, outputs or vocabulary, dtype=torch.float64))

    @classmethod
    def drawn(cls, vocabulary: int, longest: int, *, seed: int, deviation: float) -> "Table":
        table = cls(vocabulary, longest)
        nn.init.normal_(table.row, std=deviation, generator=torch.Generator().manual_seed(seed))
        return table

    def forward(self, token_BS: Tensor) -> Tensor:
        state_B = torch.zeros_like(token_BS[:, 0])
        states = []
        for token_B in token_BS.unbind(1):
            state_B = state_B * (self.vocabulary + 1) + token_B + 1  # in base V + 1, so [0] and [0, 0] differ
            states.append(state_B)
        return self.row[torch.stack(states, dim=1)]


@dataclass(frozen=True)
class Answers:
    """All that a model of `vocabulary` tokens can answer in at most `longest`, any of `ends` being the last."""

    vocabulary: int
    longest: int
    ends: frozenset[int] = frozenset({0})

    @cached_property
    def tokens(self) -> tuple[tuple[int, ...], ...]:
        done: list[tuple[int, ...]] = []
        growing: list[tuple[int, ...]] = [()]
        for _ in range(self.longest):
            longer = [(*answer, token) for answer in growing for token in range(self.vocabulary)]
            done.extend(answer for answer in longer if answer[-1] in self.ends)
            growing = [answer for answer in longer if answer[-1] not in self.ends]
        return (*done, *growing)

    @cached_property
    def number(self) -> dict[tuple[int, ...], int]:
        """Which answer a sampled sequence is."""
        return {answer: index for index, answer in enumerate(self.tokens)}

    @cached_property
    def length_A(self) -> Tensor:  # noqa: N802, a tensor carries its axes
        return torch.tensor([len(answer) for answer in self.tokens])

    @cached_property
    def answer_T(self) -> Tensor:  # noqa: N802, a tensor carries its axes
        return torch.arange(len(self.tokens)).repeat_interleave(self.length_A)

    @cached_property
    def _inside(self) -> tuple[Tensor, Tensor, Tensor]:
        """Padded answers, and row and step of each of the T tokens."""
        token_AS = pad_sequence([torch.tensor(answer) for answer in self.tokens], batch_first=True)
        row_T, step_T = (torch.arange(self.longest) < self.length_A[:, None]).nonzero(as_tuple=True)
        return token_AS, row_T, step_T

    def read(self, model: Logits, prompt: tuple[int, ...]) -> Tensor:
        """What the model gives (T, outputs) at the place from which each token is predicted."""
        token_AS, row_T, step_T = self._inside
        prompt_AS = torch.tensor(prompt).expand(len(token_AS), -1)
        return model(torch.cat((prompt_AS, token_AS), dim=1))[row_T, len(prompt) - 1 + step_T]

    def token_logprobs(self, model: Logits, prompt: tuple[int, ...]) -> Tensor:
        """log p of each of the T tokens, given the prompt and the tokens before it."""
        token_AS, row_T, step_T = self._inside
        logprob_TV = self.read(model, prompt).log_softmax(dim=1)
        return logprob_TV.gather(1, token_AS[row_T, step_T][:, None])[:, 0]

    def logprobs(self, model: Logits, prompt: tuple[int, ...]) -> Tensor:
        """log p of each of the A answers; their probabilities add up to 1."""
        return answer_sums(self.token_logprobs(model, prompt), self.answer_T, len(self.tokens))

    def count(self, sampled: Iterable[tuple[int, ...]]) -> Tensor:
        """How often each answer is among those sampled. KeyError for one that no model can give."""
        number = torch.tensor([self.number[answer] for answer in sampled])
        return torch.bincount(number, minlength=len(self.tokens))


@dataclass(frozen=True)
class Optimum:
    """π* = π_reference · exp(r/β) / Z, the maximum of J(π) = E_π[r] - β·KL(π ‖ reference), which is β·log Z."""

    logprob_A: Tensor
    best: float
    start: float

    @classmethod
    def of(cls, reference_A: Tensor, reward_A: Tensor, beta: float) -> "Optimum":
        tilted_A = reference_A + reward_A / beta
        return cls(tilted_A.log_softmax(0), beta * tilted_A.logsumexp(0).item(), (reference_A.exp() @ reward_A).item())

    def share(self, objective: float) -> float:
        """How much of the way from J(reference) to β·log Z an objective has gone."""
        return (objective - self.start) / (self.best - self.start)


def objective(logprob_A: Tensor, reference_A: Tensor, reward_A: Tensor, beta: float) -> float:
    """J(π) = E_π[r] - β·KL(π ‖ reference)."""
    return (logprob_A.exp() @ reward_A).item() - beta * kl(logprob_A, reference_A)


def minimise(loss: Callable[[], Tensor], parameters: Iterable[Tensor], *, rounds: int = 300) -> float:
    """Go to the minimum of a smooth loss without noise, and return it."""
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=rounds, history_size=30, line_search_fn="strong_wolfe", tolerance_grad=1e-9
    )

    def closure() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value.item()

    optimiser.step(closure)
    return closure()


def kl(logprob_A: Tensor, reference_A: Tensor) -> float:
    """KL(p ‖ q) in nats an answer."""
    return (logprob_A.exp() @ (logprob_A - reference_A)).item()


def preferences(reference_A: Tensor, reward_A: Tensor) -> Tensor:
    """How often answer i is drawn with j and preferred to it (A, A): both from the reference, i with σ(r_i - r_j)."""
    p_A = reference_A.exp()
    weight_AA = p_A[:, None] * p_A[None, :] * (reward_A[:, None] - reward_A[None, :]).sigmoid()
    return weight_AA.fill_diagonal_(0)


def expected_distance(weight_AA: Tensor, optimum: Optimum, draws: int, *, beta: float) -> float:
    """What n drawn pairs leave between π* and the best fit of DPO's loss, on average: ½ tr(H · I⁻¹) / n.

    H is the curvature of KL(π* ‖ π) in the gains, I the Fisher information of one pair's outcome about them.
    """
    best_A = optimum.logprob_A.exp()
    curvature_AA = best_A.diag() - best_A.outer(best_A)
    share_AA = (weight_AA + weight_AA.T) / weight_AA.sum()  # how often each pair is drawn
    right_AA = weight_AA / (weight_AA + weight_AA.T).clamp(min=1e-300)
    information_AA = beta**2 * share_AA * right_AA * (1 - right_AA)
    laplacian_AA = information_AA.sum(1).diag() - information_AA
    return 0.5 * (curvature_AA @ torch.linalg.pinv(laplacian_AA, hermitian=True)).trace().item() / draws


def total_variation(p_A: Tensor, q_A: Tensor) -> float:
    """½ Σ |p - q| of two lists of probabilities."""
    return 0.5 * (p_A - q_A).abs().sum().item()


def best_of(n: int, reference_A: Tensor, reward_A: Tensor) -> Tensor:
    """Probability of each answer to be the best of n draws, the earliest where several are.

    P(all n at most r(y))  -  P(all n below r(y)), shared among answers of that reward as the reference shares it.
    """
    p_A = reference_A.exp()
    at_most_A = (p_A[None, :] * (reward_A[None, :] <= reward_A[:, None])).sum(1)
    below_A = (p_A[None, :] * (reward_A[None, :] < reward_A[:, None])).sum(1)
    return (at_most_A**n - below_A**n) * p_A / (at_most_A - below_A)


def best_of_bound(n: int) -> float:
    """KL(best of n ‖ reference) is at most log n - (n - 1)/n, and that only where no two answers share a reward."""
    return math.log(n) - (n - 1) / n
