"""DPO: closed form, label smoothing, extremes."""

import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from burnish.objectives.preference import dpo
from burnish.objectives.ranking import pairwise


def test_the_loss_is_minus_log_sigma_of_beta_times_the_difference_of_gains():
    chosen_P, rejected_P = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    expected = [-math.log(1 / (1 + math.exp(-0.1 * 1.5))), -math.log(1 / (1 + math.exp(0.1 * 4.0)))]
    assert dpo(chosen_P, rejected_P, beta=0.1).tolist() == pytest.approx(expected)


def test_a_policy_that_is_its_reference_has_loss_log_2():
    assert dpo(torch.zeros(3), torch.zeros(3), beta=0.7).tolist() == pytest.approx([math.log(2)] * 3)


def test_with_beta_1_it_is_the_pairwise_loss_of_the_gains():
    gain_P = torch.tensor([0.3, -2.0, 5.0])
    assert torch.equal(dpo(gain_P, torch.zeros(3), beta=1.0), pairwise(gain_P))


def test_the_gradient_is_beta_times_the_probability_of_being_wrong():
    chosen_P = torch.tensor([0.0], requires_grad=True)
    rejected_P = torch.tensor([0.0], requires_grad=True)
    dpo(chosen_P, rejected_P, beta=0.1).sum().backward()
    assert chosen_P.grad.item() == pytest.approx(-0.1 * 0.5)
    assert rejected_P.grad.item() == pytest.approx(0.1 * 0.5)


def test_smoothing_mixes_in_the_reversed_pair():
    chosen_P, rejected_P = torch.tensor([1.0]), torch.tensor([-2.0])
    forward, backward = dpo(chosen_P, rejected_P, beta=0.5), dpo(rejected_P, chosen_P, beta=0.5)
    torch.testing.assert_close(dpo(chosen_P, rejected_P, beta=0.5, smoothing=0.2), 0.8 * forward + 0.2 * backward)


def test_with_smoothing_0_it_is_the_papers_loss_to_the_bit():
    gain_P = torch.linspace(-30, 30, 13)
    assert torch.equal(dpo(gain_P, torch.zeros(13), beta=0.3, smoothing=0.0), -logsigmoid(0.3 * gain_P))


def test_smoothing_puts_the_minimum_where_the_odds_are_those_of_the_noise():
    chosen_P = torch.tensor([math.log(0.9 / 0.1) / 0.5], dtype=torch.float64, requires_grad=True)
    dpo(chosen_P, torch.zeros(1, dtype=torch.float64), beta=0.5, smoothing=0.1).sum().backward()
    assert chosen_P.grad.item() == pytest.approx(0, abs=1e-15)


def test_a_share_of_each_pair_its_own_puts_the_minimum_where_the_rewards_are():
    reward_P = torch.tensor([1.3, -0.4, 0.0], dtype=torch.float64)
    gain_P = (reward_P / 0.5).requires_grad_()
    dpo(gain_P, torch.zeros(3).double(), beta=0.5, smoothing=torch.sigmoid(-reward_P)).sum().backward()
    assert gain_P.grad.abs().max().item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("gain", [1e4, -1e4])
def test_gains_of_ten_thousand_nats_give_finite_losses_and_gradients(gain, smoothing):
    chosen_P = torch.tensor([gain], requires_grad=True)
    loss_P = dpo(chosen_P, torch.zeros(1), beta=1.0, smoothing=smoothing)
    loss_P.sum().backward()
    assert loss_P.isfinite().all()
    assert chosen_P.grad.isfinite().all()


def test_no_pairs_are_a_loss_of_zero():
    chosen_P = torch.zeros(0, requires_grad=True)
    total = dpo(chosen_P, torch.zeros(0), beta=0.1).sum()
    total.backward()
    assert total.item() == 0.0


def test_a_pair_does_not_depend_on_the_others():
    alone = dpo(torch.tensor([0.2]), torch.tensor([0.1]), beta=0.1, smoothing=0.1)
    beside = dpo(torch.tensor([1e4, 0.2]), torch.tensor([-1e4, 0.1]), beta=0.1, smoothing=0.1)
    assert torch.equal(beside[1:], alone)


def test_one_rejected_answer_is_not_spread_over_all_pairs():
    with pytest.raises(ValueError, match="two gains a pair"):
        dpo(torch.zeros(3), torch.zeros(1), beta=0.1)
