"""Keeping the best of n draws, and imitating what was kept, give the exact distribution of best-of-n."""

import pytest
import torch
from enumerable import Answers, Table, best_of, best_of_bound, kl, minimise, total_variation
from torch import Tensor

from burnish.objectives.likelihood import cross_entropy

ANSWERS = Answers(vocabulary=4, longest=3)
PROMPT = (1,)
DRAWS = 100_000


def reference() -> Table:
    return Table.drawn(4, 4, seed=0, deviation=0.5)


def reference_logprobs() -> Tensor:
    with torch.no_grad():
        return ANSWERS.logprobs(reference(), PROMPT)


def rewards(levels: int) -> Tensor:
    """Rewards of `levels` different values."""
    generator = torch.Generator().manual_seed(3)
    return torch.randperm(len(ANSWERS.tokens), generator=generator).double() % levels


def kept(n: int, reward_A: Tensor) -> Tensor:
    """How often each answer is the best of n draws from the reference, the first where several are best."""
    generator = torch.Generator().manual_seed(n)
    drawn = torch.multinomial(reference_logprobs().exp(), DRAWS * n, replacement=True, generator=generator)
    drawn_DN = drawn.reshape(DRAWS, n)
    best_D = reward_A[drawn_DN].argmax(dim=1)
    return torch.bincount(drawn_DN.gather(1, best_D[:, None])[:, 0], minlength=len(ANSWERS.tokens)).double()


CASES = pytest.mark.parametrize("n, levels", [(2, 40), (4, 40), (8, 40), (4, 5)])


@CASES
def test_what_is_kept_has_the_exact_distribution(n, levels):
    reward_A = rewards(levels)
    exact_A = best_of(n, reference_logprobs(), reward_A)
    assert total_variation(kept(n, reward_A) / DRAWS, exact_A) < 0.02


@CASES
def test_its_kl_stays_within_the_bound(n, levels):
    exact_A = best_of(n, reference_logprobs(), rewards(levels))
    assert 0 < kl(exact_A.log(), reference_logprobs()) <= best_of_bound(n)


def test_imitating_what_is_kept_reaches_it():
    n, policy, reward_A = 4, reference(), rewards(levels=40)
    count_A = kept(n, reward_A)
    count_T = count_A[ANSWERS.answer_T]  # each kept answer teaches each of its tokens once
    tokens = count_T.sum()

    def loss() -> Tensor:
        return (count_T * cross_entropy(ANSWERS.token_logprobs(policy, PROMPT))).sum() / tokens

    minimise(loss, policy.parameters(), rounds=60)
    with torch.no_grad():
        learned_A = ANSWERS.logprobs(policy, PROMPT).exp()
    assert total_variation(learned_A, best_of(n, reference_logprobs(), reward_A)) < 0.02
