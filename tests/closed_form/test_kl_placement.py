"""Where the KL penalty stands decides where a policy gradient comes to rest.

Expectations are exact: every answer is weighed by its probability under the policy of the step.
"""

import pytest
import torch
from enumerable import Answers, Optimum, Table, kl, objective
from torch import Tensor

from burnish.objectives.kl import k1, k2, k3
from burnish.objectives.likelihood import answer_sums

ANSWERS = Answers(vocabulary=4, longest=3)
PROMPT = (1,)
BETA = 0.5
REWARD_A = torch.randn(len(ANSWERS.tokens), dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def reference() -> Table:
    return Table.drawn(4, 4, seed=0, deviation=0.5)


def no_penalty(logprob_T: Tensor, reference_T: Tensor) -> Tensor:
    return torch.zeros(len(ANSWERS.tokens), dtype=torch.float64)


def of_answers(estimate):
    """An estimate over whole answers."""
    return lambda logprob_T, reference_T: estimate(sums(logprob_T), sums(reference_T))


def of_tokens(estimate):
    """An estimate a token, summed over an answer."""
    return lambda logprob_T, reference_T: sums(estimate(logprob_T, reference_T))


def sums(value_T: Tensor) -> Tensor:
    return answer_sums(value_T, ANSWERS.answer_T, len(ANSWERS.tokens))


def share(*, in_reward=no_penalty, in_loss=no_penalty, steps: int = 250) -> float:
    """How much of the way to the optimum a policy has gone when it comes to rest."""
    actor = reference()
    with torch.no_grad():
        reference_T = ANSWERS.token_logprobs(reference(), PROMPT)
    adam = torch.optim.Adam(actor.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.0, total_iters=steps)
    for _ in range(steps):
        logprob_T = ANSWERS.token_logprobs(actor, PROMPT)
        logprob_A = sums(logprob_T)
        gain_A = (REWARD_A - BETA * in_reward(logprob_T, reference_T)).detach()
        probability_A = logprob_A.detach().exp()
        loss_A = -(gain_A - probability_A @ gain_A) * logprob_A + BETA * in_loss(logprob_T, reference_T)
        adam.zero_grad()
        (probability_A @ loss_A).backward()
        adam.step()
        schedule.step()
    reference_A = sums(reference_T)
    optimum = Optimum.of(reference_A, REWARD_A, BETA)
    assert 0.5 <= kl(optimum.logprob_A, reference_A) <= 3
    with torch.no_grad():
        return optimum.share(objective(ANSWERS.logprobs(actor, PROMPT), reference_A, REWARD_A, BETA))


def test_k1_in_the_reward_reaches_the_optimum():
    assert share(in_reward=of_tokens(k1)) > 0.995


def test_k2_of_answers_in_the_loss_has_the_same_course():
    in_reward = share(in_reward=of_tokens(k1), steps=50)
    assert share(in_loss=of_answers(k2), steps=50) == pytest.approx(in_reward, rel=1e-9)


@pytest.mark.parametrize("estimate, low, high", [(k2, 0.96, 0.99), (k3, 0.87, 0.95)])
def test_in_the_loss_a_token_at_a_time_it_comes_to_rest_elsewhere(estimate, low, high):
    assert low < share(in_loss=of_tokens(estimate)) < high


def test_k1_in_the_loss_is_no_penalty():
    assert share(in_loss=of_tokens(k1), steps=50) == pytest.approx(share(steps=50), rel=1e-9)
