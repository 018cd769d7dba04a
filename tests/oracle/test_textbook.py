"""PPO's pieces against their papers, written out in plain Python from the papers' formulas: TRL 1.16 has no PPO.

In float64, on answers that hypothesis draws; losses and their slopes agree to 1e-9.
"""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.objectives import advantages, policy
from burnish.objectives.kl import rewards

Floats = list[float]
NUMBER = st.floats(-3, 3)
DISCOUNT = st.sampled_from([0.0, 0.3, 0.95, 1.0])
CLIP = st.sampled_from([0.1, 0.2, 0.5])
EXACT = {"rel": 1e-9, "abs": 1e-9}


@st.composite
def answers_of(draw: st.DrawFn, numbers: int) -> list[list[Floats]]:
    """One to four answers of one to six tokens; `numbers` lists for each answer, one number a token."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    return [[draw(st.lists(NUMBER, min_size=n, max_size=n)) for _ in range(numbers)] for n in lengths]


def tensor(numbers: Floats) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def end_to_end(answers: list[list[Floats]], which: int) -> Tensor:
    return tensor([number for answer in answers for number in answer[which]])


def lengths(answers: list[list[Floats]]) -> Tensor:
    return torch.tensor([len(answer[0]) for answer in answers])


# Schulman et al. 2015b


def after_k_steps(reward: Floats, value: Floats, t: int, k: int, gamma: float) -> float:
    """Equation 14: Â(k)_t = -V(s_t) + r_t + … + γ^(k-1)·r_(t+k-1) + γ^k·V(s_(t+k)); past the end all is 0."""
    total = -value[t]
    for step in range(k):
        if t + step < len(reward):
            total += gamma**step * reward[t + step]
    if t + k < len(value):
        total += gamma**k * value[t + k]
    return total


def generalised(reward: Floats, value: Floats, t: int, gamma: float, lam: float) -> float:
    """Equation 16's first line: (1 - λ)·(Â(1) + λ·Â(2) + λ²·Â(3) + …), whose terms are all alike past the end."""
    left = len(reward) - t
    total = sum((1 - lam) * lam ** (k - 1) * after_k_steps(reward, value, t, k, gamma) for k in range(1, left))
    return total + lam ** (left - 1) * after_k_steps(reward, value, t, left, gamma)


@settings(max_examples=200, deadline=None)
@given(answers_of(2), DISCOUNT.filter(bool), DISCOUNT)
def test_an_advantage_is_the_weighted_mean_of_all_k_step_estimates(answers, gamma, lam):
    advantage_T, target_T = advantages.gae(
        end_to_end(answers, 0), end_to_end(answers, 1), lengths(answers), gamma=gamma, lam=lam
    )
    expected = [generalised(r, v, t, gamma, lam) for r, v in answers for t in range(len(r))]
    assert advantage_T.tolist() == pytest.approx(expected, **EXACT)
    values = [number for _, value in answers for number in value]
    assert target_T.tolist() == pytest.approx([a + v for a, v in zip(expected, values, strict=True)], **EXACT)


@settings(max_examples=100, deadline=None)
@given(st.lists(NUMBER, min_size=2, max_size=20))
def test_whitening_takes_off_the_mean_and_divides_by_the_deviation(numbers):
    mean = sum(numbers) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / len(numbers)
    expected = [(x - mean) / math.sqrt(variance + 1e-8) for x in numbers]
    assert advantages.whiten(tensor(numbers)).tolist() == pytest.approx(expected, **EXACT)


# Ouyang et al. 2022


@settings(max_examples=100, deadline=None)
@given(answers_of(2), st.sampled_from([0.0, 0.1, 0.3]), st.data())
def test_a_token_pays_for_its_kl_and_the_last_one_gets_the_score(answers, beta, data):
    """Equation 2, whose log(π/π_SFT) of an answer is the sum over its tokens: each pays for its own."""
    score = [data.draw(NUMBER) for _ in answers]
    expected = []
    for (old, reference), given_score in zip(answers, score, strict=True):
        for t in range(len(old)):
            last = t == len(old) - 1
            expected.append(-beta * (old[t] - reference[t]) + (given_score if last else 0.0))
    reward_T = rewards(tensor(score), end_to_end(answers, 0), end_to_end(answers, 1), lengths(answers), beta=beta)
    assert reward_T.tolist() == pytest.approx(expected, **EXACT)


# Schulman et al. 2017, and the value loss of OpenAI's baselines


def surrogate(new: float, old: float, advantage: float, clip: float) -> tuple[float, float]:
    """The negative of equation 7 and its slope in log π, by cases."""
    ratio = math.exp(new - old)
    clipped = min(max(ratio, 1 - clip), 1 + clip)
    if ratio * advantage <= clipped * advantage:
        return -ratio * advantage, -ratio * advantage  # dρ / d log π = ρ
    return -clipped * advantage, 0.0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=8), CLIP)
def test_the_surrogate_and_its_slope_are_those_of_the_paper(tokens, clip):
    assume(all(abs(abs(math.exp(new - old) - 1) - clip) > 1e-9 for new, old, _ in tokens))  # at a kink are two slopes
    new, old, advantage = (list(column) for column in zip(*tokens, strict=True))
    logprob_T = tensor(new).requires_grad_()
    loss_T = policy.clipped(logprob_T, tensor(old), tensor(advantage), clip=clip)
    loss_T.sum().backward()
    expected = [surrogate(*token, clip) for token in tokens]
    assert loss_T.tolist() == pytest.approx([loss for loss, _ in expected], **EXACT)
    assert logprob_T.grad.tolist() == pytest.approx([slope for _, slope in expected], **EXACT)


def worse_error(value: float, before: float, target: float, clip: float) -> tuple[float, float]:
    """½ of the larger of two squared errors, that of V and that of V held within ε of V_old; and its slope in V."""
    free = value - target
    if abs(value - before) <= clip:
        return 0.5 * free**2, free
    held = before + math.copysign(clip, value - before) - target
    return (0.5 * free**2, free) if abs(free) > abs(held) else (0.5 * held**2, 0.0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=1, max_size=8), CLIP)
def test_the_value_loss_and_its_slope_take_the_worse_of_two_errors(tokens, clip):
    for value, before, target in tokens:
        assume(abs(abs(value - before) - clip) > 1e-9)
        held = before + math.copysign(clip, value - before)
        assume(abs(abs(value - target) - abs(held - target)) > 1e-9)  # where both are equal are two slopes
    value, before, target = (list(column) for column in zip(*tokens, strict=True))
    value_T = tensor(value).requires_grad_()
    loss_T = policy.value(value_T, tensor(before), tensor(target), clip=clip)
    loss_T.sum().backward()
    expected = [worse_error(*token, clip) for token in tokens]
    assert loss_T.tolist() == pytest.approx([loss for loss, _ in expected], **EXACT)
    assert value_T.grad.tolist() == pytest.approx([slope for _, slope in expected], **EXACT)
