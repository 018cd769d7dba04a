"""DPO and its family: closed forms, where their minima lie, extremes."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from burnish.objectives.preference import (
    apo_down,
    apo_zero,
    bco,
    cpo,
    discopop,
    dpo,
    exo,
    hinge,
    ipo,
    nca,
    orpo,
    robust,
    sft,
    simpo,
    sppo,
)
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


def test_a_margin_is_taken_off_what_a_pair_is_ahead_by():
    ahead_P = torch.tensor([0.3, -2.0, 5.0])
    loss_P = dpo(ahead_P, torch.zeros(3), beta=1.0, margin=torch.tensor([1.0, 0.5, 2.0]))
    assert torch.equal(loss_P, dpo(ahead_P - torch.tensor([1.0, 0.5, 2.0]), torch.zeros(3), beta=1.0))


def test_a_margin_too_few_is_refused():
    with pytest.raises(ValueError, match="one margin a pair"):
        dpo(torch.zeros(3), torch.zeros(3), beta=1.0, margin=torch.zeros(1))


# ---- the family: chosen 2, rejected -1 nats, β = ½, so rewards of 1 and -½ that are 1.5 apart


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


BY_HAND = {
    "ipo": (ipo, (3 - 1) ** 2),
    "hinge, past 1": (hinge, 0.0),
    "hinge, with a margin of 2": (partial(hinge, margin=2.0), 1.5),
    "robust": (partial(robust, smoothing=0.1), (-0.9 * math.log(sigma(1.5)) + 0.1 * math.log(sigma(-1.5))) / 0.8),
    "exo": (
        partial(exo, smoothing=0.1),
        sigma(1.5) * math.log(sigma(1.5) / 0.9) + sigma(-1.5) * math.log(sigma(-1.5) / 0.1),
    ),
    "discopop": (
        partial(discopop, temperature=0.5),
        sigma(-3.0) * -math.log(sigma(1.5)) + sigma(3.0) * math.exp(-1.5),
    ),
    "nca": (nca, -math.log(sigma(1.0)) - 0.5 * math.log(sigma(-1.0)) - 0.5 * math.log(sigma(0.5))),
    "bco": (bco, -math.log(sigma(1.0)) - math.log(sigma(0.5))),
    "bco, from 0.4 nats": (partial(bco, baseline=0.4), -math.log(sigma(0.8)) - math.log(sigma(0.7))),
    "sppo": (sppo, (2 - 1) ** 2 + (-1 + 1) ** 2),
    "apo_zero": (apo_zero, 1 - sigma(1.0) + sigma(-0.5)),
    "apo_down": (apo_down, sigma(1.0) + 1 - sigma(1.5)),
    "cpo": (cpo, -math.log(sigma(1.5))),
    "simpo": (partial(simpo, margin=0.7), -math.log(sigma(1.5 - 0.7))),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_each_loss_is_its_formula(name):
    loss, expected = BY_HAND[name]
    chosen_P, rejected_P = torch.tensor([2.0, 2.0]).double(), torch.tensor([-1.0, -1.0]).double()
    assert loss(chosen_P, rejected_P, beta=0.5).tolist() == pytest.approx([expected] * 2)


def test_orpo_is_the_log_sigma_of_the_log_odds_of_mean_probabilities():
    loss_P = orpo(torch.tensor([0.8]).double().log(), torch.tensor([0.3]).double().log(), beta=0.25)
    assert loss_P.item() == pytest.approx(-0.25 * math.log(sigma(log_odds(0.8) - log_odds(0.3))))


@pytest.mark.parametrize("p", [1e-30, 1e-4, 0.3, 0.49, 0.5, 0.7, 0.9, 0.999])
def test_orpo_s_odds_lose_no_digits_at_either_end(p):
    chosen_P = torch.tensor([p], dtype=torch.float64).log().requires_grad_()
    orpo(chosen_P, torch.tensor([0.5]).double().log(), beta=1.0).sum().backward()
    # d log odds / d log p = 1/(1 - p), and the odds of a half are 1, so σ(-log odds) = 1 - p
    assert chosen_P.grad.item() == pytest.approx(-1.0, rel=1e-9)


def test_the_sft_term_is_the_answer_s_or_its_mean_token_s():
    logprob_B = torch.tensor([-6.0, -2.0])
    assert sft(logprob_B).tolist() == [6.0, 2.0]
    assert sft(logprob_B, torch.tensor([3, 4])).tolist() == [2.0, 0.5]


# ---- reductions


def test_without_noise_robust_is_dpo():
    gap_P = torch.linspace(-30, 30, 13).double()
    torch.testing.assert_close(robust(gap_P, 0 * gap_P, beta=0.3, smoothing=0.0), dpo(gap_P, 0 * gap_P, beta=0.3))


def test_on_labels_of_which_a_share_is_turned_around_robust_is_dpo_on_clean_ones():
    gap_P, zero_P = torch.linspace(-30, 30, 13).double(), torch.zeros(13).double()
    loss = partial(robust, beta=0.3, smoothing=0.2)
    noisy_P = 0.8 * loss(gap_P, zero_P) + 0.2 * loss(zero_P, gap_P)
    torch.testing.assert_close(noisy_P, dpo(gap_P, zero_P, beta=0.3))


def test_without_a_margin_cpo_and_simpo_are_dpo_of_log_probabilities():
    chosen_P, rejected_P = torch.tensor([-3.0, -8.0]), torch.tensor([-5.0, -2.0])
    for loss in (cpo, simpo):
        assert torch.equal(loss(chosen_P, rejected_P, beta=0.3), dpo(chosen_P, rejected_P, beta=0.3))


# ---- where minima lie


def slope_at(loss, chosen: float, rejected: float = 0.0) -> tuple[float, float]:
    """The gradient of chosen and rejected there."""
    pair = [torch.tensor([x], dtype=torch.float64, requires_grad=True) for x in (chosen, rejected)]
    loss(*pair).sum().backward()
    return pair[0].grad.item(), pair[1].grad.item()


@pytest.mark.parametrize("loss, gap", [
    (partial(ipo, beta=0.1), 5.0),  # 1/(2β)
    (partial(exo, beta=0.1, smoothing=0.2), math.log(0.8 / 0.2) / 0.1),
])  # fmt: skip
def test_a_loss_with_a_target_is_least_there(loss, gap):
    assert slope_at(loss, gap) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert slope_at(loss, gap - 0.1)[0] < 0 < slope_at(loss, gap + 0.1)[0]


def test_ipo_asks_for_less_of_a_pair_that_people_are_divided_about():
    """Preferred in three of four cases, the gap is (2 · ¾ - 1)/(2β)."""

    def divided(chosen_P: Tensor, rejected_P: Tensor) -> Tensor:
        return 0.75 * ipo(chosen_P, rejected_P, beta=0.1) + 0.25 * ipo(rejected_P, chosen_P, beta=0.1)

    assert slope_at(divided, 2.5) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_nca_holds_the_chosen_answer_above_its_reference():
    """It rests at a reward of log 2, and a chosen answer below it is pulled up whatever the rejected one does."""
    for rejected in (-50.0, 0.0, 50.0):
        assert slope_at(partial(nca, beta=0.5), math.log(2) / 0.5, rejected)[0] == pytest.approx(0, abs=1e-12)
        assert slope_at(partial(nca, beta=0.5), 0.0, rejected)[0] < 0


def test_dpo_may_lower_both_answers_and_nca_and_apo_zero_may_not():
    """Both a nat below their reference, as far apart as before: DPO is content, the others are not."""
    before, after = ((torch.tensor([x]), torch.tensor([x - 1.0])) for x in (0.0, -1.0))
    assert dpo(*before, beta=1.0).item() == pytest.approx(dpo(*after, beta=1.0).item())
    assert nca(*before, beta=1.0) < nca(*after, beta=1.0)
    assert apo_zero(*before, beta=1.0) < apo_zero(*after, beta=1.0)


def test_apo_down_lowers_both():
    chosen, rejected = slope_at(partial(apo_down, beta=1.0), 3.0, -3.0)
    assert chosen > 0
    assert rejected > 0


@pytest.mark.parametrize("loss", [ipo, hinge, partial(robust, smoothing=0.1), discopop, sppo])
def test_a_pair_on_the_wrong_side_is_pulled_to_the_right_one(loss):
    chosen, rejected = slope_at(partial(loss, beta=0.5), -4.0, 4.0)
    assert chosen < 0 < rejected


def test_discopop_pulls_the_wrong_way_from_a_little_below_the_reference_to_a_little_above():
    """A minimum at z = -0.12 and a hump at 0.07: a policy that is its reference has to get over it."""
    loss = partial(discopop, beta=1.0)
    slopes = [slope_at(loss, z)[0] for z in (-1.0, -0.13, -0.11, 0.0, 0.06, 0.08, 1.0)]
    assert [slope > 0 for slope in slopes] == [False, False, True, True, True, False, False]


def test_exo_gives_up_a_pair_that_is_far_on_the_wrong_side():
    near, far = slope_at(partial(exo, beta=1.0), -2.0)[0], slope_at(partial(exo, beta=1.0), -40.0)[0]
    assert abs(far) < 1e-10 < abs(near)


# ---- extremes and shapes

FAMILY = {
    "ipo": ipo,
    "hinge": hinge,
    "robust": partial(robust, smoothing=0.1),
    "exo": exo,
    "discopop": discopop,
    "nca": nca,
    "bco": bco,
    "sppo": sppo,
    "apo_zero": apo_zero,
    "apo_down": apo_down,
    "cpo": cpo,
    "simpo": simpo,
    "orpo": orpo,
}


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("chosen, rejected", [(1e4, -1e4), (-1e4, 1e4), (1e4, 1e4), (-1e4, -1e4), (0.0, 0.0)])
def test_ten_thousand_nats_give_finite_losses_and_gradients(chosen, rejected, name):
    pair = [torch.tensor([x], requires_grad=True) for x in (chosen, rejected)]
    loss_P = FAMILY[name](*pair, beta=1.0)
    loss_P.sum().backward()
    assert loss_P.isfinite().all()
    assert all(x.grad.isfinite().all() for x in pair)


@pytest.mark.parametrize("name", FAMILY)
def test_none_depends_on_the_other_pairs_and_none_is_a_mean(name):
    chosen_P, rejected_P = torch.tensor([-0.2, -9.0]), torch.tensor([-0.7, -0.1])
    both_P = FAMILY[name](chosen_P, rejected_P, beta=0.5)
    alone_P = [FAMILY[name](chosen_P[i : i + 1], rejected_P[i : i + 1], beta=0.5) for i in range(2)]
    assert torch.equal(both_P, torch.cat(alone_P))


@pytest.mark.parametrize("name", FAMILY)
def test_no_rejected_answer_is_spread_over_all_pairs(name):
    with pytest.raises(ValueError, match="two gains a pair"):
        FAMILY[name](torch.zeros(3), torch.zeros(1), beta=0.1)


@pytest.mark.parametrize("loss, wrong, told", [
    (robust, {"smoothing": 0.5}, "from 0 to below ½"),
    (exo, {"smoothing": 0.0}, "between 0 and ½"),
    (discopop, {"temperature": 1.0}, "between 0 and 1"),
])  # fmt: skip
def test_a_setting_that_would_make_a_loss_infinite_is_refused(loss, wrong, told):
    with pytest.raises(ValueError, match=told):
        loss(torch.zeros(1), torch.zeros(1), beta=0.1, **wrong)
