"""Keeping the best of n draws, and imitating what was kept, give the exact distribution of best-of-n; the best and the
worst of them, learned as pairs, give what least squares say."""

import pytest
import torch
from enumerable import Answers, Table, best_of, best_of_bound, kl, minimise, total_variation
from torch import Tensor

from burnish.methods.keeping import Rule, choices
from burnish.objectives import preference
from burnish.objectives.likelihood import cross_entropy
from burnish.types import Rollout

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


def best_with_worst(n: int, reference_A: Tensor, reward_A: Tensor) -> Tensor:
    """[i, j]: how likely i is the best of n draws and j the worst, (A, A), where no two answers share a reward.

    All n lie between j and i, less those in which none is i, less those in which none is j, and those without both.
    """
    order_A = reward_A.argsort()
    p_A = reference_A.exp()[order_A]
    up_to_A, below_A = p_A.cumsum(0), p_A.cumsum(0) - p_A

    def all_within(top_A: Tensor, bottom_A: Tensor) -> Tensor:
        return (top_A[:, None] - bottom_A[None, :]).clamp(min=0) ** n

    both_AA = all_within(up_to_A, below_A) - all_within(below_A, below_A) - all_within(up_to_A, up_to_A)
    both_AA = (both_AA + all_within(below_A, up_to_A)).tril(-1)
    place_A = order_A.argsort()
    return both_AA[place_A][:, place_A]


PAIRED = 20_000


@pytest.fixture(scope="module")
def paired() -> Tensor:
    """How often the rule that rejection sampling keeps pairs by sets each answer above each other, of four, (A, A)."""
    reward_A, generator = rewards(levels=40), torch.Generator().manual_seed(1)
    drawn_DN = torch.multinomial(reference_logprobs().exp(), PAIRED * 4, replacement=True, generator=generator)
    rollouts = [Rollout(k // 4, k % 4, ANSWERS.tokens[a], (), True, 0) for k, a in enumerate(drawn_DN.tolist())]
    count_AA = torch.zeros(len(reward_A), len(reward_A), dtype=torch.float64)
    for choice in choices(rollouts, reward_A[drawn_DN].tolist(), Rule(pairs=True)):
        if choice.worst is not None:
            better, worse = (ANSWERS.number[rollout.tokens] for rollout, _ in (*choice.kept, choice.worst))
            count_AA[better, worse] += 1
    return count_AA


def test_the_best_and_the_worst_are_paired_as_often_as_they_should_be(paired: Tensor):
    exact_AA = best_with_worst(4, reference_logprobs(), rewards(levels=40))
    by_chance = 0.5 * (2 / torch.pi * exact_AA.clamp(min=0) * (1 - exact_AA) / PAIRED).sqrt().sum()
    assert total_variation(paired.flatten() / PAIRED, exact_AA.flatten()) < 1.1 * by_chance
    assert paired.sum() / PAIRED == pytest.approx(exact_AA.sum().item(), abs=0.005)  # the rest are alike


def test_ipo_on_pairs_of_best_and_worst_reaches_the_least_squares_in_the_gains(paired: Tensor):
    """Its loss is Σ w (gain_better - gain_worse - 1/(2β))², so the Laplacian of the pairs times the gains is known."""
    beta, policy, reference_A = 0.25, reference(), reference_logprobs()
    weight_AA = best_with_worst(4, reference_A, rewards(levels=40))
    laplacian_AA = (weight_AA + weight_AA.T).sum(1).diag() - weight_AA - weight_AA.T
    wanted_A = (weight_AA.sum(1) - weight_AA.sum(0)) / (2 * beta)
    exact_A = (reference_A + torch.linalg.pinv(laplacian_AA, hermitian=True) @ wanted_A).softmax(0)
    assert total_variation(reference_A.exp(), exact_A) > 0.3  # where it comes from
    better_P, worse_P = paired.nonzero(as_tuple=True)

    def loss() -> Tensor:
        gain_A = ANSWERS.logprobs(policy, PROMPT) - reference_A
        loss_P = preference.ipo(gain_A[better_P], gain_A[worse_P], beta=beta)
        return (paired[better_P, worse_P] * loss_P).sum() / paired.sum()

    minimise(loss, policy.parameters(), rounds=100)
    with torch.no_grad():
        assert total_variation(ANSWERS.logprobs(policy, PROMPT).exp(), exact_A) < 0.02
