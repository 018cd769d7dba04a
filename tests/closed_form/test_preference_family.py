"""Where DPO's relatives come to rest on a model whose answers, of one to three tokens, can all be listed."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from enumerable import Answers, Optimum, Table, kl, minimise, preferences
from scipy.optimize import brentq, root
from torch import Tensor
from torch.nn.functional import logsigmoid

from burnish.objectives import gains, judgement, preference, ranking

ANSWERS = Answers(vocabulary=4, longest=3)
PROMPT, BETA = (1,), 0.5
CLOSE = 1e-6  # nats
Loss = Callable[..., Tensor]


def reference(answers: Answers = ANSWERS) -> Table:
    return Table.drawn(answers.vocabulary, 4, seed=0, deviation=0.5)


def logprobs(policy: Table, answers: Answers = ANSWERS) -> Tensor:
    return answers.logprobs(policy, PROMPT)


def world(answers: Answers = ANSWERS) -> tuple[Tensor, Tensor]:
    """log π_reference and the rewards of all answers."""
    with torch.no_grad():
        reference_A = logprobs(reference(answers), answers)
    return reference_A, torch.randn(len(reference_A), dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def best_policy(loss: Loss, weight_AA: Tensor, *, by_length: bool = False) -> Tensor:
    """log π where the exact expected loss of pairs, i chosen over j with weight[i, j], is least."""
    policy = reference()
    reference_A, _ = world()
    chosen_P, rejected_P = weight_AA.nonzero(as_tuple=True)

    def expected() -> Tensor:
        gain_A = logprobs(policy) - reference_A
        if by_length:
            gain_A = gain_A / ANSWERS.length_A
        return (weight_AA[chosen_P, rejected_P] * loss(gain_A[chosen_P], gain_A[rejected_P])).sum()

    minimise(expected, policy.parameters(), rounds=600)
    with torch.no_grad():
        return logprobs(policy)


def wins(reference_A: Tensor, reward_A: Tensor) -> Tensor:
    """How often each answer is preferred to one of the reference's, itself a tie: p(y ≻ μ)."""
    return (reward_A[:, None] - reward_A[None, :]).sigmoid() @ reference_A.exp()


def test_answers_are_of_unequal_length():
    assert set(ANSWERS.length_A.tolist()) == {1, 2, 3}


def test_ipo_reaches_its_papers_optimum():
    """π* = π_reference · exp(p(y ≻ μ)/β)/Z, Azar et al. 2023: what is climbed is how often an answer wins."""
    reference_A, reward_A = world()
    best = Optimum.of(reference_A, wins(reference_A, reward_A), 0.1).logprob_A
    assert kl(best, reference_A) > 0.3
    assert kl(best, best_policy(partial(preference.ipo, beta=0.1), preferences(reference_A, reward_A))) < CLOSE


def test_ipo_of_mean_tokens_reaches_another_point():
    reference_A, reward_A = world()
    best = Optimum.of(reference_A, wins(reference_A, reward_A), 0.1).logprob_A
    ipo = partial(preference.ipo, beta=0.1)
    assert kl(best, best_policy(ipo, preferences(reference_A, reward_A), by_length=True)) > 0.05


def test_robust_dpo_reaches_the_optimum_of_clean_labels_from_noisy_ones_and_dpo_does_not():
    reference_A, reward_A = world()
    best = Optimum.of(reference_A, reward_A, BETA).logprob_A
    clean_AA = preferences(reference_A, reward_A)
    noisy_AA = 0.8 * clean_AA + 0.2 * clean_AA.T
    assert kl(best, best_policy(partial(preference.robust, beta=BETA, smoothing=0.2), noisy_AA)) < CLOSE
    assert kl(best, best_policy(partial(preference.dpo, beta=BETA), noisy_AA)) > 0.1


def test_a_price_of_length_is_one_in_the_reward():
    """R-DPO: the optimum for r - α·|y|."""
    reference_A, reward_A = world()
    index_A = torch.arange(len(reward_A))
    chosen_P, rejected_P = preferences(reference_A, reward_A).nonzero(as_tuple=True)
    margin_P = -0.4 * gains.longer_by(ANSWERS.length_A[index_A], chosen_P, rejected_P)
    best = Optimum.of(reference_A, reward_A - 0.4 * ANSWERS.length_A, BETA).logprob_A
    reached = best_policy(partial(preference.dpo, beta=BETA, margin=margin_P), preferences(reference_A, reward_A))
    assert kl(best, Optimum.of(reference_A, reward_A, BETA).logprob_A) > 0.05
    assert kl(best, reached) < CLOSE


def test_nca_reaches_how_often_an_answer_wins():
    """With β = 1, π* = 2 · p(y ≻ μ) · π_reference, which adds up to 1: every answer's reward is log of it."""
    reference_A, reward_A = world()
    p_A = reference_A.exp()
    weight_AA = p_A[:, None] * p_A[None, :] * (reward_A[:, None] - reward_A[None, :]).sigmoid()  # also with itself
    best = reference_A + (2 * wins(reference_A, reward_A)).log()
    assert best.exp().sum().item() == pytest.approx(1)
    assert kl(best, best_policy(partial(preference.nca, beta=1.0), weight_AA)) < CLOSE
    assert kl(best, reference_A) > 0.02


# ---- other divergences

INVERSE: dict[str, Callable[[Tensor], Tensor]] = {  # u where f'(u) is so much
    "forward_kl": lambda slope_A: 1 / (1 - slope_A),
    "js": lambda slope_A: slope_A.exp() / (2 - slope_A.exp()),
    "alpha": lambda slope_A: (1 - 0.5 * slope_A) ** -2,
}
HIGHEST = {"forward_kl": 1.0, "js": math.log(2), "alpha": 2.0}


@pytest.mark.parametrize("divergence", INVERSE)
def test_another_divergence_reaches_its_own_optimum(divergence):
    """max E[r] - β·D_f has β·f'(π/π_reference) = r - λ, with the λ for which π adds up to 1."""
    reference_A, reward_A = world()
    p_A = reference_A.exp()

    def best(level: float) -> Tensor:
        return p_A * INVERSE[divergence](reward_A / BETA - level)

    lowest = (reward_A / BETA).max().item() - HIGHEST[divergence]  # from there on every probability is finite
    level = brentq(lambda x: best(x).sum().item() - 1, lowest + 1e-9, lowest + 50, xtol=1e-14)
    best_A = best(level).log()

    def loss(chosen_P: Tensor, rejected_P: Tensor) -> Tensor:
        worth = partial(gains.implied_reward, divergence=divergence, alpha=0.5)
        return preference.dpo(worth(chosen_P), worth(rejected_P), beta=BETA)

    assert kl(best_A, Optimum.of(reference_A, reward_A, BETA).logprob_A) > 0.03
    assert kl(best_A, best_policy(loss, preferences(reference_A, reward_A))) < CLOSE


# ---- rankings of three at once

FEW = Answers(vocabulary=3, longest=2)


def test_plackett_luce_dpo_reaches_the_optimum_that_rankings_of_three_come_from():
    """Three answers of the reference, in an order that Plackett and Luce's law gives their rewards."""
    reference_A, reward_A = world(FEW)
    best = Optimum.of(reference_A, reward_A, BETA).logprob_A
    order_O3 = torch.tensor(list(itertools.permutations(range(len(reward_A)), 3)))
    place_N, group_N = torch.arange(3).repeat(len(order_O3)), torch.arange(len(order_O3)).repeat_interleave(3)

    def losses(score_A: Tensor) -> Tensor:
        return ranking.plackett_luce(score_A[order_O3].flatten(), place_N, group_N)

    weight_O = reference_A.exp()[order_O3].prod(1) * (-losses(reward_A)).exp()
    policy = reference(FEW)
    minimise(
        lambda: (weight_O * losses(BETA * (logprobs(policy, FEW) - reference_A))).sum() / weight_O.sum(),
        policy.parameters(),
    )
    with torch.no_grad():
        assert kl(best, logprobs(policy, FEW)) < CLOSE
    assert kl(best, reference_A) > 0.3


# ---- KTO


def with_probabilities(logprob_A: Tensor) -> Table:
    """The policy that gives each answer this probability: a token's is that of all answers that go on with it."""
    policy = reference()
    states = policy.row.detach().clone().fill_(0.0)
    beginnings: dict[tuple[int, ...], float] = {}
    for answer, probability in zip(ANSWERS.tokens, logprob_A.exp().tolist(), strict=True):
        for size in range(len(answer) + 1):
            beginnings[answer[:size]] = beginnings.get(answer[:size], 0.0) + probability
    for beginning, probability in beginnings.items():
        if beginning:
            state = policy_state((*PROMPT, *beginning[:-1]))
            states[state, beginning[-1]] = torch.tensor(probability, dtype=torch.float64).log()
    with torch.no_grad():
        policy.row.copy_(states)
    return policy


def policy_state(token: tuple[int, ...]) -> int:
    state = 0
    for one in token:
        state = state * 5 + one + 1  # as Table numbers its states
    return state


def kto_point() -> tuple[Tensor, Tensor, Tensor, float]:
    """A policy at which KTO's expected loss is stationary, found from the formula alone: log π, what answers are judged
    (how often), how often each is found good, and z.

    Every answer is found good more often than bad, so that each is pulled up and the pulls hold each other by
    Σ π = 1:  w·(2p - 1)·β·σ'(β·(g - z)) = μ·π_reference·exp(g).  Answers to other prompts are drawn as the judged ones
    are, so z = Σ w·g.
    """
    reference_A, reward_A = world()
    good_A = 0.5 + 0.5 * reward_A.sigmoid()
    judged_A = (reference_A + 0.7 * reward_A).softmax(0)
    pull_A = (judged_A * (2 * good_A - 1) * BETA).log()

    def off(point: Any) -> Any:
        """What is missing of each equation, the first ones in logarithms, at (g, log μ, z)."""
        gain_A, log_mu, z = torch.from_numpy(point)[:-2], point[-2], point[-1]
        away_A = BETA * (gain_A - z)
        force_A = pull_A + logsigmoid(away_A) + logsigmoid(-away_A)
        ends = [(reference_A + gain_A).exp().sum() - 1, judged_A @ gain_A - z]
        return torch.cat((force_A - log_mu - reference_A - gain_A, torch.stack(ends))).numpy()

    found = root(off, torch.zeros(len(reference_A) + 2).double().numpy(), tol=1e-13)
    assert abs(off(found.x)).max() < 1e-11
    return reference_A + torch.from_numpy(found.x)[:-2], judged_A, good_A, float(found.x[-1])


def kto_gradient(policy: Table, judged_A: Tensor, good_A: Tensor) -> Tensor:
    """Of the exact expected loss, as the method makes it: z first, then the loss of good answers and of bad ones."""
    reference_A, _ = world()
    gain_A = logprobs(policy) - reference_A
    # as many answers to other prompts as make the mean what it is expected to be
    baseline = judgement.mismatch_baseline(len(gain_A) * judged_A * gain_A)
    yes, no = torch.ones(len(gain_A), dtype=torch.bool), torch.zeros(len(gain_A), dtype=torch.bool)
    loss = partial(judgement.kto, gain_A, beta=BETA, baseline=baseline)
    (judged_A * (good_A * loss(yes) + (1 - good_A) * loss(no))).sum().backward()
    return policy.row.grad


def test_kto_s_gradient_vanishes_at_the_stationary_point_and_not_at_the_reference():
    logprob_A, judged_A, good_A, z = kto_point()
    assert z > 0.05  # else the baseline would play no part
    assert kl(logprob_A, world()[0]) > 0.05
    assert kto_gradient(with_probabilities(logprob_A), judged_A, good_A).norm().item() < 1e-9
    assert kto_gradient(reference(), judged_A, good_A).norm().item() > 1e-3


def test_the_policy_that_was_made_has_the_probabilities_that_were_asked_for():
    logprob_A = torch.randn(len(ANSWERS.tokens), generator=torch.Generator().manual_seed(3)).double().log_softmax(0)
    with torch.no_grad():
        torch.testing.assert_close(logprobs(with_probabilities(logprob_A)), logprob_A)
