"""What PPO's relatives climb: their expected gradients, enumerated over all pairs of answers of a small model.

Each formula is written out here from its paper; the loss is made of the objectives as the methods make it.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from enumerable import Answers, Table
from torch import Tensor

from burnish.objectives import advantages, policy
from burnish.objectives.kl import penalty, rewards
from burnish.objectives.likelihood import answer_sums

ANSWERS = Answers(vocabulary=3, longest=2)
PROMPT, BETA, LONGEST = (1,), 0.3, 2
REWARD_A = torch.randn(len(ANSWERS.tokens), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
REFERENCE = Table.drawn(3, 3, seed=0, deviation=0.5)
ACTOR = Table.drawn(3, 3, seed=1, deviation=0.5)
TOKENS_A = torch.arange(len(ANSWERS.answer_T)).split(ANSWERS.length_A.tolist())

Pair = tuple[int, int]
Loss = Callable[[Pair, Tensor, Tensor], Tensor]
"""Of a drawn pair, of log π and log π_reference of the T tokens of all answers: what the pair's loss is."""


def expected_gradient(loss: Loss) -> Tensor:
    """Over both answers of a group, each drawn from the actor; the draw itself carries no gradient."""
    ACTOR.zero_grad()
    logprob_T = ANSWERS.token_logprobs(ACTOR, PROMPT)
    with torch.no_grad():
        reference_T = ANSWERS.token_logprobs(REFERENCE, PROMPT)
        probability_A = sums(logprob_T).exp()
    total = torch.zeros((), dtype=torch.float64)
    for pair in product(range(len(ANSWERS.tokens)), repeat=2):
        chance = probability_A[pair[0]] * probability_A[pair[1]]
        total = total + chance * loss(pair, logprob_T, reference_T)
    total.backward()
    return ACTOR.row.grad.clone()


def sums(value_T: Tensor) -> Tensor:
    return answer_sums(value_T, ANSWERS.answer_T, len(ANSWERS.tokens))


def ours(
    estimate: Callable[[Tensor, Tensor], Tensor],
    denominator: policy.Denominator,
    *,
    in_reward: float = 0.0,
    in_loss: tuple[float, Any] | None = None,
    sequence: bool = False,
) -> Loss:
    """The loss as `PolicyLoss` makes it. `estimate`: rewards a token and lengths → advantages a token."""

    def loss(pair: Pair, logprob_T: Tensor, reference_T: Tensor) -> Tensor:
        token_L = torch.cat([TOKENS_A[a] for a in pair])
        length_N = ANSWERS.length_A[list(pair)]
        logprob_L, reference_L = logprob_T[token_L], reference_T[token_L]
        old_L = logprob_L.detach()
        reward_L = rewards(REWARD_A[list(pair)], old_L, reference_L, length_N, beta=in_reward)
        advantage_L = estimate(reward_L, length_N)
        new_L, was_L = logprob_L, old_L
        if sequence:
            new_L, was_L = policy.answer_means(new_L, length_N), policy.answer_means(was_L, length_N)
        loss_L = policy.clipped(new_L, was_L, advantage_L, clip=0.2)
        if in_loss is not None:
            beta, kind = in_loss
            loss_L = loss_L + beta * penalty(logprob_L, reference_L, length_N, kind)
        weight_L, count = policy.token_weights(length_N, denominator, longest=LONGEST, dtype=loss_L.dtype)
        return (weight_L * loss_L).sum() / count

    return loss


def of_answers(among: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def estimate(reward_L: Tensor, length_N: Tensor) -> Tensor:
        answer_L = torch.arange(2).repeat_interleave(length_N)
        return among(answer_sums(reward_L, answer_L, 2), torch.zeros(2))[answer_L]

    return estimate


rloo = of_answers(advantages.leave_one_out)
by_deviation = of_answers(lambda return_N, group_N: advantages.group_relative(return_N, group_N, deviation=True))
by_mean = of_answers(lambda return_N, group_N: advantages.group_relative(return_N, group_N, deviation=False))


def to_come(reward_L: Tensor, length_N: Tensor) -> Tensor:
    return_L, _ = advantages.gae(reward_L, torch.zeros_like(reward_L), length_N, gamma=1.0, lam=1.0)
    return advantages.whitened(return_L)[0]


def gradient_of_objective(beta: float) -> Tensor:
    """∇ (E_π[r] - β·KL(π ‖ reference)), no draw in it."""
    ACTOR.zero_grad()
    logprob_A, reference_A = ANSWERS.logprobs(ACTOR, PROMPT), ANSWERS.logprobs(REFERENCE, PROMPT).detach()
    (logprob_A.exp() @ (REWARD_A - beta * (logprob_A - reference_A))).backward()
    return ACTOR.row.grad.clone()


def same(found: Tensor, expected: Tensor, *, within: float = 1e-10) -> bool:
    assert expected.norm() > 1e-2  # else equality would say nothing
    return bool((found - expected).norm() <= within * expected.norm())


# ---- those whose expected gradient is the objective's own


def test_rloo_with_kl_in_the_reward_climbs_the_objective_itself():
    assert same(-expected_gradient(ours(rloo, "sum", in_reward=BETA)), gradient_of_objective(BETA))


def test_rloo_with_k2_of_answers_in_the_loss_climbs_the_objective_itself():
    assert same(-expected_gradient(ours(rloo, "sum", in_loss=(BETA, "sequence_k2"))), gradient_of_objective(BETA))


def test_dr_grpo_climbs_the_reward_in_steps_of_a_fixed_share():
    """(K - 1)/K, since the mean has the answer itself in it, by the longest length."""
    assert same(-expected_gradient(ours(by_mean, "fixed")), gradient_of_objective(0) * 0.5 / LONGEST)


def test_token_k2_in_the_loss_climbs_another_objective():
    away = -expected_gradient(ours(rloo, "sum", in_loss=(BETA, "token_k2")))
    assert not same(away, gradient_of_objective(BETA), within=1e-3)


# ---- those that climb something else: their papers' formulas


Formula = Callable[[float, float, list[int], list[Tensor], list[Tensor]], Tensor]
"""Of both rewards, both lengths, and log π and log π_reference of both answers' tokens."""


def explicit(formula: Formula) -> Loss:
    def loss(pair: Pair, logprob_T: Tensor, reference_T: Tensor) -> Tensor:
        tokens = [TOKENS_A[a] for a in pair]
        first, second = (REWARD_A[a].item() for a in pair)
        logprobs, references = ([table_T[t] for t in tokens] for table_T in (logprob_T, reference_T))
        return formula(first, second, [len(t) for t in tokens], logprobs, references)

    return loss


def standardised(first: float, second: float) -> tuple[float, float]:
    """Of two, the deviation of a sample is |difference| / √2."""
    half = (first - second) / 2
    by = abs(first - second) / 2**0.5 + 1e-4
    return half / by, -half / by


def test_grpo_is_its_formula():
    def formula(first, second, lengths, logprobs, references):
        total = torch.zeros((), dtype=torch.float64)
        for a, n, p, q in zip(standardised(first, second), lengths, logprobs, references, strict=True):
            k3 = (q - p).exp() - (q - p) - 1
            total = total - (a * p - BETA * k3).sum() / n / 2
        return total

    found = expected_gradient(ours(by_deviation, "answer", in_loss=(BETA, "token_k3")))
    assert same(found, expected_gradient(explicit(formula)))


def test_gspo_s_first_gradient_is_that_of_mean_log_probabilities():
    def formula(first, second, lengths, logprobs, _):
        means = [a * p.mean() / 2 for a, p in zip(standardised(first, second), logprobs, strict=True)]
        return -(means[0] + means[1])

    assert same(expected_gradient(ours(by_deviation, "answer", sequence=True)), expected_gradient(explicit(formula)))


def test_dapo_divides_by_the_tokens_of_the_batch():
    def formula(first, second, lengths, logprobs, _):
        both = [a * p.sum() for a, p in zip(standardised(first, second), logprobs, strict=True)]
        return -(both[0] + both[1]) / sum(lengths)

    assert same(expected_gradient(ours(by_deviation, "token")), expected_gradient(explicit(formula)))


def test_reinforce_plus_plus_is_its_formula():
    """Returns of tokens to come, less the batch's mean, by its deviation, over the tokens of the batch."""

    def formula(first, second, lengths, logprobs, references):
        returns = []
        for r, p, q in zip((first, second), logprobs, references, strict=True):
            cost = BETA * (p - q).detach()
            returns += [r - cost[t:].sum() for t in range(len(p))]
        return_L = torch.stack(returns)
        deviation = ((return_L - return_L.mean()) ** 2).mean()
        advantage_L = (return_L - return_L.mean()) / (deviation + 1e-8).sqrt()
        return -(advantage_L * torch.cat(logprobs)).sum() / sum(lengths)

    assert same(expected_gradient(ours(to_come, "token", in_reward=BETA)), expected_gradient(explicit(formula)))


@pytest.mark.parametrize("estimate", [rloo, by_mean, by_deviation])
def test_where_both_answers_are_the_same_nothing_is_learned(estimate):
    reward_L = rewards(torch.ones(2).double(), torch.zeros(4), torch.zeros(4), torch.tensor([2, 2]), beta=0)
    assert estimate(reward_L, torch.tensor([2, 2])).abs().max() == 0
