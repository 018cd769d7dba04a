"""KTO, BCO and APO-zero on single answers: closed form, baseline, extremes."""

import math

import pytest
import torch

from burnish.objectives import judgement, preference
from burnish.objectives.judgement import apo_zero, bco, kto, middle, mismatch_baseline

GAIN_N = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
GOOD_N = torch.tensor([True, False, True])


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_kto_is_one_minus_the_sigmoid_of_how_far_the_answer_is_on_its_side_of_the_baseline():
    loss_N = kto(GAIN_N, GOOD_N, beta=0.5, baseline=0.3, desirable=1.5, undesirable=0.7)
    expected = [1.5 * (1 - sigma(0.5 * 1.7)), 0.7 * (1 - sigma(0.5 * 1.3)), 1.5 * (1 - sigma(0.5 * 0.2))]
    assert loss_N.tolist() == pytest.approx(expected)


def test_force_is_greatest_at_the_baseline_and_alike_on_both_sides():
    gain_N = torch.tensor([-1.0, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    kto(gain_N, torch.ones(3, dtype=torch.bool), beta=0.5, baseline=1.0).sum().backward()
    below, at, above = (-gain_N.grad).tolist()
    assert at == pytest.approx(0.5 / 4)  # β · σ'(0)
    assert below == pytest.approx(above)
    assert below < at


def test_bco_is_the_cross_entropy_of_a_classifier():
    loss_N = bco(GAIN_N, GOOD_N, beta=0.5, baseline=0.3)
    expected = [-math.log(sigma(0.5 * 1.7)), -math.log(sigma(0.5 * 1.3)), -math.log(sigma(0.5 * 0.2))]
    assert loss_N.tolist() == pytest.approx(expected)


def test_apo_zero_is_kto_that_measures_from_the_reference():
    assert apo_zero(GAIN_N, GOOD_N, beta=0.5).tolist() == pytest.approx([1 - sigma(1.0), sigma(-0.5), 1 - sigma(0.25)])


@pytest.mark.parametrize("name", ["bco", "apo_zero"])
def test_two_judgements_are_the_loss_of_their_pair(name):
    chosen_P, rejected_P = torch.tensor([2.0, 0.5]), torch.tensor([-1.0, 1.5])
    single, pair = getattr(judgement, name), getattr(preference, name)
    good, bad = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    together_P = single(chosen_P, good, beta=0.5) + single(rejected_P, bad, beta=0.5)
    torch.testing.assert_close(together_P, pair(chosen_P, rejected_P, beta=0.5))


def test_the_baseline_is_the_mean_gain_and_never_below_zero():
    assert mismatch_baseline(torch.tensor([1.0, 4.0])).item() == pytest.approx(2.5)
    assert mismatch_baseline(torch.tensor([1.0, -4.0])).item() == 0.0
    assert mismatch_baseline(torch.zeros(0)).item() == 0.0


def test_the_middle_weighs_good_and_bad_alike_however_many_there_are():
    """Good 2 and 0.5 on average 1.25, bad -1: the middle is 0.125, and the plain mean would be 0.5."""
    assert middle(GAIN_N, GOOD_N).item() == pytest.approx(0.125)
    assert middle(GAIN_N, ~torch.zeros(3, dtype=torch.bool)).item() == pytest.approx(0.5)


def test_neither_teaches_the_policy():
    gain_N = GAIN_N.clone().requires_grad_()
    assert not mismatch_baseline(gain_N).requires_grad
    assert not middle(gain_N, GOOD_N).requires_grad


@pytest.mark.parametrize("loss", [kto, bco, apo_zero])
@pytest.mark.parametrize("gain", [1e4, -1e4])
@pytest.mark.parametrize("good", [True, False])
def test_ten_thousand_nats_give_finite_losses_and_gradients(good, gain, loss):
    gain_N = torch.tensor([gain], requires_grad=True)
    loss_N = loss(gain_N, torch.tensor([good]), beta=1.0)
    loss_N.sum().backward()
    assert loss_N.isfinite().all()
    assert gain_N.grad.isfinite().all()


@pytest.mark.parametrize("loss", [kto, bco, apo_zero])
def test_an_answer_does_not_depend_on_the_others(loss):
    alone = loss(GAIN_N[:1], GOOD_N[:1], beta=0.5)
    assert torch.equal(loss(GAIN_N, GOOD_N, beta=0.5)[:1], alone)


@pytest.mark.parametrize("loss", [kto, bco, apo_zero])
@pytest.mark.parametrize("good_N", [GOOD_N[:2], GOOD_N.long()])
def test_findings_that_are_too_few_or_no_findings_are_refused(loss, good_N):
    with pytest.raises(ValueError, match="one gain and one finding"):
        loss(GAIN_N, good_N, beta=0.1)
