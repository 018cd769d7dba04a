"""PPO climbs to the optimum of E[r] - β·KL(π ‖ reference) where every answer can be listed.

The penalty is in the reward, γ = 1, λ = 1 or a critic that is free to be right: nothing here moves the optimum.
"""

import pytest
import torch
from enumerable import Answers, Optimum, Table, kl, objective
from torch import Tensor

from burnish.objectives import advantages, policy
from burnish.objectives.kl import rewards

ANSWERS = Answers(vocabulary=4, longest=3)
PROMPT = (1,)
BETA = 0.5
DRAWS, ITERATIONS, PASSES = 256, 60, 2

REWARD_A = torch.randn(len(ANSWERS.tokens), dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def reference() -> Table:
    return Table.drawn(4, 4, seed=0, deviation=0.5)


def reference_logprobs() -> Tensor:
    with torch.no_grad():
        return ANSWERS.logprobs(reference(), PROMPT)


def tokens_of(drawn_D: Tensor) -> Tensor:
    """Where the tokens of the drawn answers lie among the T tokens of all, one drawn answer after the other."""
    end_A = ANSWERS.length_A.cumsum(0)
    length_D = ANSWERS.length_A[drawn_D]
    start_D = end_A[drawn_D] - length_D
    within = torch.arange(int(length_D.sum())) - (length_D.cumsum(0) - length_D).repeat_interleave(length_D)
    return start_D.repeat_interleave(length_D) + within


def ppo(*, lam: float, seed: int, beta: float = BETA) -> Tensor:
    """Train a table and a critic, and return log π of every answer."""
    actor, critic = reference(), Table(4, 4, outputs=1)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        reference_T = ANSWERS.token_logprobs(reference(), PROMPT)
    learners = torch.optim.Adam(
        [{"params": actor.parameters(), "lr": 0.05}, {"params": critic.parameters(), "lr": 0.1}]
    )
    schedule = torch.optim.lr_scheduler.LinearLR(learners, 1.0, 0.02, total_iters=ITERATIONS)
    for _ in range(ITERATIONS):
        with torch.no_grad():
            old_T = ANSWERS.token_logprobs(actor, PROMPT)
            value_T = ANSWERS.read(critic, PROMPT)[:, 0]
            probability_A = ANSWERS.logprobs(actor, PROMPT).exp()
        drawn_D = torch.multinomial(probability_A, DRAWS, replacement=True, generator=generator)
        token_L, length_D = tokens_of(drawn_D), ANSWERS.length_A[drawn_D]
        old_L, value_L = old_T[token_L], value_T[token_L]
        reward_L = rewards(REWARD_A[drawn_D], old_L, reference_T[token_L], length_D, beta=beta)
        advantage_L, target_L = advantages.gae(reward_L, value_L, length_D, gamma=1.0, lam=lam)
        advantage_L = advantages.whiten(advantage_L)
        for _ in range(PASSES):
            learners.zero_grad()
            logprob_L = ANSWERS.token_logprobs(actor, PROMPT)[token_L]
            loss_L = policy.clipped(logprob_L, old_L, advantage_L, clip=0.2)
            missed_L = policy.value(ANSWERS.read(critic, PROMPT)[token_L, 0], value_L, target_L, clip=0)
            ((loss_L.sum() + missed_L.sum()) / len(loss_L)).backward()
            learners.step()
        schedule.step()
    with torch.no_grad():
        return ANSWERS.logprobs(actor, PROMPT)


def share(logprob_A: Tensor) -> float:
    """How much of the way from J(reference) to β·log Z."""
    reference_A = reference_logprobs()
    optimum = Optimum.of(reference_A, REWARD_A, BETA)
    assert 0.5 <= kl(optimum.logprob_A, reference_A) <= 3
    return optimum.share(objective(logprob_A, reference_A, REWARD_A, BETA))


@pytest.mark.parametrize("lam", [1.0, 0.9])
def test_ppo_goes_97_percent_of_the_way_to_the_optimum(lam):
    assert share(ppo(lam=lam, seed=0)) >= 0.97


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_97_percent_tells_another_beta_apart(scale):
    other = Optimum.of(reference_logprobs(), REWARD_A, scale * BETA)
    assert share(other.logprob_A) < 0.97
