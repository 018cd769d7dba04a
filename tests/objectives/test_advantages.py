"""Generalised advantages over answers of unequal length, by hand, and whitening."""

import math

import pytest
import torch
from torch import Tensor

from burnish.objectives.advantages import explained_variance, gae, group_relative, leave_one_out, moments, whiten


def lengths(*tokens: int) -> Tensor:
    return torch.tensor(tokens, dtype=torch.int64)


def slow_gae(reward: list[float], value: list[float], gamma: float, lam: float) -> list[float]:
    """Σ_l (γλ)^l δ_(t+l), term by term."""
    after = (*value, 0.0)[1:]
    delta = [r + gamma * v1 - v0 for r, v0, v1 in zip(reward, value, after, strict=True)]
    steps = range(len(delta))
    return [sum((gamma * lam) ** (later - t) * delta[later] for later in steps if later >= t) for t in steps]


def test_three_tokens_by_hand():
    # δ = (0 + 2 - 1, 0 + 4 - 2, 8 - 4) = (1, 2, 4);  A = (1 + ½·(2 + ½·4), 2 + ½·4, 4)
    advantage_T, target_T = gae(
        torch.tensor([0.0, 0.0, 8.0]), torch.tensor([1.0, 2.0, 4.0]), lengths(3), gamma=1.0, lam=0.5
    )
    assert advantage_T.tolist() == [3.0, 4.0, 4.0]
    assert target_T.tolist() == [4.0, 6.0, 8.0]


def test_the_discount_counts_in_the_error_and_in_the_sum():
    # δ = (0 + ½·2 - 1, 4 - 2) = (0, 2);  A = (0 + ½·2, 2)
    advantage_T, _ = gae(torch.tensor([0.0, 4.0]), torch.tensor([1.0, 2.0]), lengths(2), gamma=0.5, lam=1.0)
    assert advantage_T.tolist() == [1.0, 2.0]


def test_answers_of_unequal_length_are_as_if_alone():
    generator = torch.Generator().manual_seed(0)
    sizes = [1, 7, 0, 3, 4]
    reward_T, value_T = torch.randn(2, sum(sizes), dtype=torch.float64, generator=generator)
    advantage_T, target_T = gae(reward_T, value_T, lengths(*sizes), gamma=0.9, lam=0.8)
    rows = zip(reward_T.split(sizes), value_T.split(sizes), strict=True)
    expected = [a for r, v in rows for a in slow_gae(r.tolist(), v.tolist(), 0.9, 0.8)]
    assert advantage_T.tolist() == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(target_T, advantage_T + value_T, rtol=0, atol=0)


def test_with_lambda_1_and_gamma_1_it_is_what_came_less_what_was_expected():
    reward_T, value_T = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, 0.25, 0.125])
    advantage_T, target_T = gae(reward_T, value_T, lengths(3), gamma=1.0, lam=1.0)
    assert target_T.tolist() == [7.0, 6.0, 4.0]
    assert advantage_T.tolist() == [6.5, 5.75, 3.875]


def test_with_lambda_0_it_is_the_error_of_one_step():
    advantage_T, _ = gae(torch.tensor([1.0, 1.0]), torch.tensor([3.0, 5.0]), lengths(2), gamma=1.0, lam=0.0)
    assert advantage_T.tolist() == [1.0 + 5.0 - 3.0, 1.0 - 5.0]


def test_a_critic_that_is_right_leaves_no_advantage():
    advantage_T, _ = gae(torch.tensor([0.0, 0.0, 2.0]), torch.tensor([2.0, 2.0, 2.0]), lengths(3), gamma=1.0, lam=0.95)
    assert advantage_T.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("sizes", [(), (0,), (0, 0)])
def test_no_tokens_give_no_advantages(sizes):
    advantage_T, target_T = gae(torch.zeros(0), torch.zeros(0), lengths(*sizes), gamma=1.0, lam=0.95)
    assert (len(advantage_T), len(target_T)) == (0, 0)


def test_rewards_of_ten_thousand_stay_finite():
    reward_T = torch.tensor([1e4, -1e4] * 50)
    advantage_T, _ = gae(reward_T, -reward_T, lengths(100), gamma=1.0, lam=1.0)
    assert advantage_T.isfinite().all()


def test_neither_advantage_nor_target_carries_a_gradient():
    value_T = torch.zeros(2, requires_grad=True)
    advantage_T, target_T = gae(torch.ones(2), value_T, lengths(2), gamma=1.0, lam=0.95)
    assert not advantage_T.requires_grad
    assert not target_T.requires_grad


def test_lengths_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="3 tokens in 2 answers"):
        gae(torch.zeros(4), torch.zeros(4), lengths(1, 2), gamma=1.0, lam=0.95)


# whitening


def test_whitened_advantages_have_mean_0_and_deviation_1():
    white_T = whiten(torch.tensor([1.0, 3.0, 5.0, 7.0], dtype=torch.float64))
    assert white_T.mean().item() == pytest.approx(0, abs=1e-12)
    assert white_T.std(correction=0).item() == pytest.approx(1, abs=1e-8)


def test_parts_whitened_by_the_moments_of_the_whole_are_the_whole_whitened():
    whole_T = torch.tensor([1.0, 3.0, 5.0, 7.0, -20.0])
    mean, deviation = moments(whole_T)
    parts = [whiten(part_T, mean, deviation) for part_T in whole_T.split([1, 1, 3])]
    assert torch.equal(torch.cat(parts), whiten(whole_T))


def test_equal_advantages_become_nothing_and_not_noise():
    assert whiten(torch.full((1000,), 0.1)).abs().max() < 1e-3


def test_a_single_token_has_no_advantage_over_itself():
    assert whiten(torch.tensor([5.0])).tolist() == [0.0]


def test_whitening_keeps_what_is_better_than_what():
    advantage_T = torch.tensor([1e4, -1e4, 0.0, 3.0])
    assert torch.equal(whiten(advantage_T).argsort(), advantage_T.argsort())


def test_the_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a mean of nothing"):
        moments(torch.zeros(0))


def test_a_mean_without_its_deviation_is_refused():
    with pytest.raises(ValueError, match="or neither"):
        whiten(torch.zeros(2), mean=torch.tensor(0.0))


# among the answers to one prompt

RETURNS = torch.tensor([1.0, 10.0, 3.0, 20.0, 5.0], dtype=torch.float64)
GROUPS = torch.tensor([7, 2, 7, 2, 7])  # their order and their names say nothing


def test_without_the_deviation_it_is_what_is_above_the_mean_of_the_group():
    assert group_relative(RETURNS, GROUPS, deviation=False).tolist() == [-2.0, -5.0, 0.0, 5.0, 2.0]


def test_with_the_deviation_both_groups_weigh_alike():
    # deviations of a sample: √((4 + 0 + 4)/2) = 2 and √((25 + 25)/1) = √50
    found = group_relative(RETURNS, GROUPS, deviation=True).tolist()
    assert found == pytest.approx([-1.0, -(0.5**0.5), 0.0, 0.5**0.5, 1.0], rel=1e-4)


@pytest.mark.parametrize("deviation", [True, False])
def test_equal_returns_have_no_advantage(deviation):
    assert group_relative(torch.full((4,), 0.1), torch.zeros(4), deviation=deviation).abs().max() < 1e-6


def test_leave_one_out_takes_off_what_the_others_got():
    # 1 - (3 + 5)/2, 10 - 20, 3 - (1 + 5)/2, 20 - 10, 5 - (1 + 3)/2
    assert leave_one_out(RETURNS, GROUPS).tolist() == pytest.approx([-3.0, -10.0, 0.0, 10.0, 3.0])


def test_leave_one_out_is_the_gap_to_the_mean_made_larger():
    gap_N, count_N = group_relative(RETURNS, GROUPS, deviation=False), torch.tensor([3, 2, 3, 2, 3])
    torch.testing.assert_close(leave_one_out(RETURNS, GROUPS), gap_N * count_N / (count_N - 1))


@pytest.mark.parametrize("among", [leave_one_out, lambda r, g: group_relative(r, g, deviation=True)])
def test_an_answer_that_is_alone_is_refused(among):
    with pytest.raises(ValueError, match="draw two answers a prompt at least"):
        among(torch.zeros(3), torch.tensor([0, 0, 1]))


def test_one_group_for_all_answers_is_refused():
    with pytest.raises(ValueError, match="one return and one group an answer"):
        leave_one_out(torch.zeros(3), torch.zeros(1))


def test_without_a_critic_and_lambda_1_a_token_has_the_rewards_that_follow_it():
    """The return of REINFORCE++: Σ over later tokens, its own included."""
    reward_T = torch.tensor([-1.0, -2.0, 8.0, 5.0])
    advantage_T, _ = gae(reward_T, torch.zeros(4), lengths(3, 1), gamma=1.0, lam=1.0)
    assert advantage_T.tolist() == [5.0, 6.0, 8.0, 5.0]


@pytest.mark.parametrize(
    ("value", "share"),
    [
        ([1.0, 3.0, 8.0, 8.0], 1.0),
        ([7.0, 7.0, 7.0, 7.0], 0.0),  # what is the same for all explains nothing
        ([2.0, 2.0, 8.0, 8.0], 18 / 19),  # the errors -1, 1, 0, 0 vary by ½, the returns by (16 + 4 + 9 + 9)/4 = 19/2
        ([9.0, 7.0, 2.0, 2.0], -3.0),  # of returns turned round errors are twice as far apart
    ],
)
def test_the_explained_variance_by_hand(value: list[float], share: float):
    return_T = torch.tensor([1.0, 3.0, 8.0, 8.0])
    assert explained_variance(torch.tensor(value), return_T) == pytest.approx(share, abs=1e-12)


def test_where_every_return_is_the_same_there_is_nothing_to_explain():
    assert math.isnan(explained_variance(torch.tensor([1.0, 2.0]), torch.tensor([0.1, 0.1])))
