"""PPO's surrogate and value loss: what is clipped, what is not, extremes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.objectives.policy import answer_means, clipped, outside, token_weights, value


def ratios(*values: float) -> torch.Tensor:
    """log π where log π_old is 0."""
    return torch.tensor(values, dtype=torch.float64).log().requires_grad_()


def zeros(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.float64)


@settings(max_examples=100, deadline=None)
@given(st.floats(-3, 3), st.floats(-5, 5), st.sampled_from([0.1, 0.2, 1.0, 2.0]))
def test_the_loss_is_equation_7(exponent, advantage, clip):
    ratio = math.exp(exponent)
    expected = -min(ratio * advantage, min(max(ratio, 1 - clip), 1 + clip) * advantage)
    loss_T = clipped(
        torch.tensor([exponent], dtype=torch.float64),
        zeros(1),
        torch.tensor([advantage], dtype=torch.float64),
        clip=clip,
    )
    assert loss_T.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_the_first_gradient_is_that_of_the_policy_gradient():
    logprob_T = ratios(1.0, 1.0)
    clipped(logprob_T, zeros(2), torch.tensor([2.0, -3.0]).double(), clip=0.2).sum().backward()
    assert logprob_T.grad.tolist() == [-2.0, 3.0]  # -A · ∇ log π


@pytest.mark.parametrize("ratio, advantage, followed", [
    (1.5, 1.0, False),  # has gained enough
    (0.5, 1.0, True),  # lost what it should gain
    (0.5, -1.0, False),  # has lost enough
    (1.5, -1.0, True),  # gained what it should lose
])  # fmt: skip
def test_a_token_is_let_go_only_where_it_went_the_right_way(ratio, advantage, followed):
    logprob_T = ratios(ratio)
    clipped(logprob_T, zeros(1), torch.tensor([advantage], dtype=torch.float64), clip=0.2).sum().backward()
    assert logprob_T.grad.item() == pytest.approx(-advantage * ratio if followed else 0.0)


def test_without_advantage_nothing_is_learned():
    logprob_T = ratios(0.1, 1.0, 9.0)
    total = clipped(logprob_T, zeros(3), zeros(3), clip=0.2).sum()
    total.backward()
    assert total.item() == 0.0
    assert logprob_T.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("exponent", [1e4, -1e4])
@pytest.mark.parametrize("advantage", [1.0, -1.0, 1e4, -1e4, 0.0])
def test_a_ratio_of_e_to_the_ten_thousand_gives_finite_losses_and_gradients(exponent, advantage):
    logprob_T = torch.tensor([exponent], requires_grad=True)
    loss_T = clipped(logprob_T, torch.zeros(1), torch.tensor([advantage]), clip=0.2)
    loss_T.sum().backward()
    assert loss_T.isfinite().all()
    assert logprob_T.grad.isfinite().all()


def test_a_bad_token_that_has_run_away_is_still_called_back():
    logprob_T = torch.tensor([1e4], requires_grad=True)
    clipped(logprob_T, torch.zeros(1), torch.tensor([-1.0]), clip=0.2).sum().backward()
    assert logprob_T.grad.item() > 1


def test_no_tokens_are_a_loss_of_zero():
    logprob_T = torch.zeros(0, requires_grad=True)
    total = clipped(logprob_T, torch.zeros(0), torch.zeros(0), clip=0.2).sum()
    total.backward()
    assert total.item() == 0.0


def test_a_token_does_not_depend_on_the_others():
    alone = clipped(ratios(1.1), zeros(1), torch.tensor([0.5]).double(), clip=0.2)
    beside = clipped(ratios(7.0, 1.1), zeros(2), torch.tensor([-9.0, 0.5]).double(), clip=0.2)
    assert beside[1].item() == alone[0].item()


def test_one_advantage_is_not_spread_over_all_tokens():
    with pytest.raises(ValueError, match="log π, log π_old and advantage a token"):
        clipped(torch.zeros(3), torch.zeros(3), torch.zeros(1), clip=0.2)


def test_ratios_outside_the_clip_are_counted_on_both_sides():
    outside_T = outside(ratios(0.7, 0.9, 1.0, 1.1, 1.3), zeros(5), clip=0.2)
    assert outside_T.tolist() == [1, 0, 0, 0, 1]
    assert not outside_T.requires_grad


# a clip that is higher above, and one for tokens that have run away


def gradient(ratio: float, advantage: float, **clips: float) -> float:
    logprob_T = ratios(ratio)
    clipped(logprob_T, zeros(1), torch.tensor([advantage], dtype=torch.float64), clip=0.2, **clips).sum().backward()
    return logprob_T.grad.item()


def test_with_a_higher_clip_above_a_good_token_is_followed_further_and_a_bad_one_is_not():
    assert gradient(1.25, 1.0) == 0
    assert gradient(1.25, 1.0, clip_high=0.28) == pytest.approx(-1.25)
    assert gradient(1.3, 1.0, clip_high=0.28) == 0
    assert gradient(0.75, -1.0, clip_high=0.28) == 0


def test_the_same_clip_above_is_no_other_loss():
    logprob_T, advantage_T = ratios(0.5, 0.9, 1.1, 1.5), torch.tensor([1.0, -1.0, -2.0, 2.0]).double()
    same = clipped(logprob_T, zeros(4), advantage_T, clip=0.2, clip_high=0.2)
    assert torch.equal(same, clipped(logprob_T, zeros(4), advantage_T, clip=0.2))


@settings(max_examples=100, deadline=None)
@given(st.floats(-3, 3), st.floats(-5, 5), st.sampled_from([1.5, 3.0]))
def test_the_dual_clip_is_the_formula_of_ye(exponent, advantage, dual):
    ratio = math.exp(exponent)
    surrogate = min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
    expected = -(max(surrogate, dual * advantage) if advantage < 0 else surrogate)
    point_T = torch.tensor([exponent], dtype=torch.float64)
    loss_T = clipped(point_T, zeros(1), torch.tensor([advantage]).double(), clip=0.2, dual_clip=dual)
    assert loss_T.item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_bad_token_beyond_the_dual_clip_is_let_go():
    assert gradient(2.9, -1.0, dual_clip=3.0) == pytest.approx(2.9)
    assert gradient(3.1, -1.0, dual_clip=3.0) == 0


def test_a_dual_clip_that_holds_before_anything_moved_is_refused():
    with pytest.raises(ValueError, match="it is above 1"):
        gradient(1.0, -1.0, dual_clip=1.0)


def test_each_side_of_the_clip_is_counted_by_its_own_width():
    assert outside(ratios(0.7, 0.9, 1.25, 1.3), zeros(4), clip=0.2, clip_high=0.28).tolist() == [1, 0, 0, 1]


# whole answers


def test_the_ratio_of_an_answer_is_the_geometric_mean_of_its_tokens():
    # ratios 2 and 8 have the mean 4, in both tokens; the answer of one token keeps its own
    mean_T = answer_means(ratios(2.0, 8.0, 3.0), torch.tensor([2, 1]))
    assert mean_T.exp().tolist() == pytest.approx([4.0, 4.0, 3.0])


def test_with_the_ratio_of_answers_the_first_gradient_is_that_of_the_mean_over_tokens():
    logprob_T, length_N = ratios(1.0, 1.0, 1.0), torch.tensor([2, 1])
    weight_T, count = token_weights(length_N, "answer", longest=4, dtype=torch.float64)
    advantage_T = torch.tensor([2.0, 2.0, -3.0]).double()
    loss_T = clipped(answer_means(logprob_T, length_N), answer_means(zeros(3), length_N), advantage_T, clip=0.2)
    ((weight_T * loss_T).sum() / count).backward()
    assert logprob_T.grad.tolist() == [-0.5, -0.5, 1.5]  # -A / tokens / answers · ∇ log π


def test_an_answer_without_tokens_has_no_mean():
    assert answer_means(ratios(2.0), torch.tensor([0, 1])).exp().tolist() == pytest.approx([2.0])


@pytest.mark.parametrize("denominator, weights, count", [
    ("token", [1, 1, 1, 1], 4),
    ("answer", [1 / 3, 1 / 3, 1 / 3, 1], 2),
    ("fixed", [0.2, 0.2, 0.2, 0.2], 2),
    ("sum", [1, 1, 1, 1], 2),
])  # fmt: skip
def test_what_a_token_weighs_and_what_the_sum_is_divided_by(denominator, weights, count):
    weight_T, found = token_weights(torch.tensor([3, 1]), denominator, longest=5, dtype=torch.float64)
    assert weight_T.tolist() == pytest.approx(weights, rel=1e-15)
    assert found == count


@pytest.mark.parametrize("denominator", ["token", "answer", "fixed", "sum"])
def test_however_a_batch_is_cut_sums_and_counts_add_up(denominator):
    loss_T = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], dtype=torch.float64)
    parts = [(torch.tensor([3]), loss_T[:3]), (torch.tensor([1, 2]), loss_T[3:])]
    told = [(token_weights(n, denominator, longest=5, dtype=torch.float64), part) for n, part in parts]
    weight_T, count = token_weights(torch.tensor([3, 1, 2]), denominator, longest=5, dtype=torch.float64)
    assert sum(count for (_, count), _ in told) == count
    assert sum((w * part).sum().item() for (w, _), part in told) == pytest.approx((weight_T * loss_T).sum().item())


# value loss


def test_without_a_clip_it_is_half_the_squared_error():
    assert value(torch.tensor([3.0]), torch.tensor([0.0]), torch.tensor([1.0]), clip=0).item() == 2.0


def test_a_value_that_has_moved_far_towards_its_target_learns_no_more():
    value_T = torch.tensor([0.9], requires_grad=True)
    loss_T = value(value_T, torch.tensor([0.0]), torch.tensor([1.0]), clip=0.2)
    loss_T.sum().backward()
    assert loss_T.item() == pytest.approx(0.5 * 0.8**2)  # as if it stood at 0.2
    assert value_T.grad.item() == 0.0


def test_a_value_that_has_moved_far_away_from_its_target_is_called_back():
    value_T = torch.tensor([-0.9], requires_grad=True)
    loss_T = value(value_T, torch.tensor([0.0]), torch.tensor([1.0]), clip=0.2)
    loss_T.sum().backward()
    assert loss_T.item() == pytest.approx(0.5 * 1.9**2)
    assert value_T.grad.item() == pytest.approx(-1.9)


def test_within_the_clip_it_is_the_loss_without_one():
    value_T, old_T, target_T = torch.tensor([0.1, -0.1]), torch.zeros(2), torch.tensor([5.0, 5.0])
    assert torch.equal(value(value_T, old_T, target_T, clip=0.2), value(value_T, old_T, target_T, clip=0))


@pytest.mark.parametrize("clip", [0, 0.2])
def test_values_of_ten_thousand_give_finite_losses_and_gradients(clip):
    value_T = torch.tensor([1e4, -1e4], requires_grad=True)
    loss_T = value(value_T, torch.zeros(2), torch.tensor([-1e4, -1e4]), clip=clip)
    loss_T.sum().backward()
    assert loss_T.isfinite().all()
    assert value_T.grad.isfinite().all()


def test_no_values_are_a_loss_of_zero():
    assert value(torch.zeros(0), torch.zeros(0), torch.zeros(0), clip=0.2).sum().item() == 0.0


def test_a_column_of_values_is_refused():
    with pytest.raises(ValueError, match="V, V_old and R a token"):
        value(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3, 1), clip=0.2)
