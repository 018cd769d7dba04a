"""DPO reaches π* = π_reference · exp(r/β) / Z where every answer can be listed: from all pairs, and from drawn ones."""

from functools import cache

import pytest
import torch
from enumerable import Answers, Optimum, Table, expected_distance, kl, minimise, preferences
from torch import Tensor

from burnish.objectives.preference import dpo

ANSWERS = Answers(vocabulary=4, longest=3)
PROMPTS = ((1,), (2,))
BETA = 0.5


def reference() -> Table:
    return Table.drawn(4, 4, seed=0, deviation=0.5)


def rewards(seed: int) -> Tensor:
    return torch.randn(len(ANSWERS.tokens), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@cache
def world() -> list[tuple[tuple[int, ...], Tensor, Tensor, Optimum]]:
    """Prompt, log π_reference, rewards and optimum; the optimum is neither at the reference nor out of sight."""
    rows = []
    for index, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            reference_A = ANSWERS.logprobs(reference(), prompt)
        reward_A = rewards(index)
        optimum = Optimum.of(reference_A, reward_A, BETA)
        assert 0.5 <= kl(optimum.logprob_A, reference_A) <= 3
        rows.append((prompt, reference_A, reward_A, optimum))
    return rows


def expected_loss(policy: Table, weights: list[Tensor], *, beta: float) -> Tensor:
    """Σ over pairs (i preferred to j) of weight[i, j] · DPO's loss, divided by the weights once."""
    total = torch.zeros((), dtype=torch.float64)
    for (prompt, reference_A, _, _), weight_AA in zip(world(), weights, strict=True):
        gain_A = ANSWERS.logprobs(policy, prompt) - reference_A
        chosen_P, rejected_P = weight_AA.nonzero(as_tuple=True)
        loss_P = dpo(gain_A[chosen_P], gain_A[rejected_P], beta=beta)
        total = total + (weight_AA[chosen_P, rejected_P] * loss_P).sum()
    return total / sum(weight_AA.sum() for weight_AA in weights)


def all_pairs() -> list[Tensor]:
    """Two answers of the reference, the first preferred with probability σ(r_i - r_j)."""
    return [preferences(reference_A, reward_A) for _, reference_A, reward_A, _ in world()]


def drawn_pairs(count: int, seed: int) -> list[Tensor]:
    """The same, as counts among `count` draws over all prompts."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for weight_AA in all_pairs():
        pair = torch.multinomial(weight_AA.flatten(), count // len(PROMPTS), replacement=True, generator=generator)
        drawn.append(torch.bincount(pair, minlength=weight_AA.numel()).reshape(weight_AA.shape).double())
    return drawn


def distances(policy: Table) -> list[float]:
    """KL(π* ‖ π) of each prompt."""
    with torch.no_grad():
        return [kl(optimum.logprob_A, ANSWERS.logprobs(policy, prompt)) for prompt, _, _, optimum in world()]


def test_the_exact_expected_loss_has_its_minimum_at_the_optimum():
    policy, weights = reference(), all_pairs()
    minimise(lambda: expected_loss(policy, weights, beta=BETA), policy.parameters())
    assert max(distances(policy)) < 0.02


def test_another_beta_has_another_optimum():
    policy, weights = reference(), all_pairs()
    minimise(lambda: expected_loss(policy, weights, beta=1.5 * BETA), policy.parameters())
    assert min(distances(policy)) > 0.05


def test_twenty_thousand_drawn_pairs_come_as_close_as_so_many_pairs_can():
    policy, weights = reference(), drawn_pairs(20_000, seed=0)
    minimise(lambda: expected_loss(policy, weights, beta=BETA), policy.parameters())
    rows = zip(all_pairs(), world(), strict=True)
    bounds = [2 * expected_distance(weight_AA, row[3], 10_000, beta=BETA) for weight_AA, row in rows]
    assert max(bounds) < 0.06  # a bound that is far away would prove nothing
    assert all(distance < bound for distance, bound in zip(distances(policy), bounds, strict=True))


@pytest.mark.parametrize("chosen, rejected", [
    ((1, 2, 0), (2, 1, 0)),  # differ from the first token on
    ((1, 2, 0), (1, 3, 3)),  # share their beginning
    ((1, 2, 0), (1, 2, 3)),  # differ in the last token, one cut
    ((0,), (3, 3, 3)),
    ((3, 3, 3), (0,)),
])  # fmt: skip
def test_one_small_step_makes_the_chosen_likelier_and_the_rejected_less_likely(chosen, rejected):
    policy = reference()
    prompt, reference_A, *_ = world()[0]
    i, j = ANSWERS.number[chosen], ANSWERS.number[rejected]
    before_A = ANSWERS.logprobs(policy, prompt)
    gain_A = before_A - reference_A
    dpo(gain_A[[i]], gain_A[[j]], beta=BETA).sum().backward()
    with torch.no_grad():
        policy.row -= 0.1 * policy.row.grad
        after_A = ANSWERS.logprobs(policy, prompt)
    assert after_A[i] > before_A[i]
    assert after_A[j] < before_A[j]
