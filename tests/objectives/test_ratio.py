"""The ratio of two probabilities: the exponential as long as it can be followed, and the one that is most off."""

import math

import pytest
import torch

from burnish.objectives.ratio import farthest_from_1, ratio


def test_it_is_the_exponential_of_the_difference():
    ratio_T = ratio(torch.tensor([-1.0, -2.0]).double(), torch.tensor([-3.0, -2.0]).double())
    assert ratio_T.tolist() == pytest.approx([math.exp(2), 1.0], rel=1e-12)


@pytest.mark.parametrize("exponent", [25.0, 1e4])
def test_a_ratio_that_ran_away_has_the_value_and_slope_of_e_to_the_20(exponent):
    above_T = torch.tensor([exponent], requires_grad=True)
    ratio_T = ratio(above_T, torch.zeros(1))
    ratio_T.sum().backward()
    assert ratio_T.item() == pytest.approx(math.exp(20), rel=1e-6)
    assert above_T.grad.item() == pytest.approx(math.exp(20), rel=1e-6)


def test_one_reference_is_not_spread_over_all_tokens():
    with pytest.raises(ValueError, match="two log-probabilities a token"):
        ratio(torch.zeros(3), torch.zeros(1))


@pytest.mark.parametrize("wrong", [0.5, 1.75])
def test_the_one_that_is_off_is_told_however_many_are_right(wrong):
    ratio_T = torch.ones(10_000)
    ratio_T[77], ratio_T[78] = wrong, 1.25
    assert farthest_from_1(ratio_T).item() == wrong
