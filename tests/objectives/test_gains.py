"""f-divergences, length and WPO's weights: closed forms, limits, extremes."""

import math

import pytest
import torch

from burnish.objectives.gains import implied_reward, likelihood_weights, longer_by, tail_weighed

DERIVATIVES = {  # f'(u), less f'(1)
    "reverse_kl": math.log,
    "forward_kl": lambda u: 1 - 1 / u,
    "js": lambda u: math.log(2 * u / (1 + u)),
    "alpha": lambda u: (1 - u**-0.3) / 0.3,
}


@pytest.mark.parametrize("divergence", DERIVATIVES)
def test_the_implied_reward_is_the_divergence_s_derivative_at_the_ratio(divergence):
    ratio_N = torch.tensor([0.2, 1.0, 7.0], dtype=torch.float64)
    expected = [DERIVATIVES[divergence](u) for u in ratio_N.tolist()]
    assert implied_reward(ratio_N.log(), divergence, alpha=0.3).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("divergence", DERIVATIVES)
def test_at_the_reference_every_divergence_has_the_slope_of_the_reverse_kl_up_to_a_factor(divergence):
    """u·f''(u) at u = 1: 1 for KL either way and for α, ½ for Jensen-Shannon's."""
    gain_N = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    value_N = implied_reward(gain_N, divergence)
    value_N.sum().backward()
    assert value_N.item() == pytest.approx(0)
    assert gain_N.grad.item() == pytest.approx(0.5 if divergence == "js" else 1.0)


def test_alpha_goes_from_the_reverse_kl_to_the_forward_one():
    gain_N = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
    for alpha, divergence in ((1e-7, "reverse_kl"), (1 - 1e-7, "forward_kl")):
        near_N, exact_N = implied_reward(gain_N, "alpha", alpha=alpha), implied_reward(gain_N, divergence)
        torch.testing.assert_close(near_N, exact_N, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("divergence", DERIVATIVES)
@pytest.mark.parametrize("gain", [1e4, -1e4])
def test_ten_thousand_nats_give_finite_rewards_and_gradients(gain, divergence):
    gain_N = torch.tensor([gain], requires_grad=True)
    implied_reward(gain_N, divergence).sum().backward()
    assert implied_reward(gain_N, divergence).isfinite().all()
    assert gain_N.grad.isfinite().all()


@pytest.mark.parametrize("divergence", ["forward_kl", "alpha"])
def test_an_answer_that_is_all_but_lost_still_has_a_gradient(divergence):
    gain_N = torch.tensor([-1e4], requires_grad=True)
    implied_reward(gain_N, divergence).sum().backward()
    assert gain_N.grad.item() > 1


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.5])
def test_an_alpha_that_is_a_kl_or_none_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha lies between 0 .* and 1"):
        implied_reward(torch.zeros(1), "alpha", alpha=alpha)


def test_a_pair_s_answers_are_compared_in_length():
    length_N = torch.tensor([3, 10, 4])
    assert longer_by(length_N, torch.tensor([1, 2]), torch.tensor([0, 1])).tolist() == [7, -6]


GAIN_L, LENGTH_N = torch.tensor([1.0, 2.0, 4.0, -3.0, 8.0]), torch.tensor([3, 1, 1])


def test_what_only_the_longer_answer_has_counts_its_share():
    chosen_P, rejected_P = tail_weighed(GAIN_L, LENGTH_N, torch.tensor([0, 1]), torch.tensor([1, 2]), tail=0.25)
    assert chosen_P.tolist() == [1 + 0.25 * (2 + 4), -3.0]
    assert rejected_P.tolist() == [-3.0, 8.0]


def test_with_a_tail_of_1_gains_are_those_of_whole_answers():
    chosen_P, rejected_P = tail_weighed(GAIN_L, LENGTH_N, torch.tensor([0]), torch.tensor([1]), tail=1.0)
    assert (chosen_P.tolist(), rejected_P.tolist()) == ([7.0], [-3.0])


def test_without_a_tail_its_tokens_are_not_learned():
    gain_L = GAIN_L.clone().requires_grad_()
    chosen_P, rejected_P = tail_weighed(gain_L, LENGTH_N, torch.tensor([0]), torch.tensor([1]), tail=0.0)
    (chosen_P - rejected_P).sum().backward()
    assert gain_L.grad.tolist() == [1.0, 0.0, 0.0, -1.0, 0.0]


@pytest.mark.parametrize("gain_L, tail, told", [(GAIN_L[:3], 0.5, "one gain a token"), (GAIN_L, 1.5, "a share")])
def test_gains_of_other_answers_or_another_share_are_refused(gain_L, tail, told):
    with pytest.raises(ValueError, match=told):
        tail_weighed(gain_L, LENGTH_N, torch.tensor([0]), torch.tensor([1]), tail=tail)


def test_an_answer_of_uniform_tokens_has_weight_1():
    """Each token has probability 1/8, and Σ p² = 1/8."""
    logprob_L = torch.full((5,), -math.log(8))
    weight_N = likelihood_weights(logprob_L, logprob_L, torch.tensor([0, 0, 1, 1, 1]), 2)
    assert weight_N.tolist() == pytest.approx([1.0, 1.0])


def test_a_weight_is_the_geometric_mean_over_its_own_answer_s_tokens():
    logprob_L = torch.tensor([0.5, 0.25, 0.125]).log()
    weight_N = likelihood_weights(logprob_L, torch.zeros(3), torch.tensor([0, 1, 1]), 2)
    assert weight_N.tolist() == pytest.approx([0.5, math.sqrt(0.25 * 0.125)])


def test_weights_carry_no_gradient():
    logprob_L = torch.zeros(2, requires_grad=True)
    assert not likelihood_weights(logprob_L, torch.zeros(2), torch.tensor([0, 1]), 2).requires_grad


def test_one_collision_too_few_is_refused():
    with pytest.raises(ValueError, match="two values and an answer a token"):
        likelihood_weights(torch.zeros(3), torch.zeros(2), torch.tensor([0, 0, 1]), 2)
