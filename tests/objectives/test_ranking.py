"""Bradley-Terry and Plackett-Luce: closed forms, ties, extremes, and that groups keep to themselves."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.objectives.ranking import (
    bradley_terry,
    centring,
    decided_pairs,
    level,
    pair_weights,
    pairwise,
    plackett_luce,
    tied_pairs,
)

LOSSES = pytest.mark.parametrize("loss", [bradley_terry, plackett_luce])


def one_group(places: Sequence[int]) -> tuple[Tensor, Tensor]:
    return torch.tensor(places), torch.zeros(len(places), dtype=torch.int64)


def strict_order_probability(scores: Sequence[float], order: Sequence[int]) -> float:
    """Draw without replacement, each time in proportion to exp(score)."""
    left = list(order)
    probability = 1.0
    while left:
        probability *= math.exp(scores[left[0]]) / sum(math.exp(scores[i]) for i in left)
        left.pop(0)
    return probability


def weak_order_probability(scores: Sequence[float], places: Sequence[int]) -> float:
    orders = itertools.permutations(range(len(scores)))
    allowed = (order for order in orders if [places[i] for i in order] == sorted(places))
    return sum(strict_order_probability(scores, order) for order in allowed)


# pairs


def test_a_ranking_of_four_decides_six_pairs():
    better_P, worse_P = decided_pairs(*one_group([2, 0, 3, 1]))
    assert set(zip(better_P.tolist(), worse_P.tolist(), strict=True)) == {
        (0, 2),
        (1, 0),
        (1, 2),
        (1, 3),
        (3, 0),
        (3, 2),
    }


def test_a_tie_gives_no_pair():
    better_P, worse_P = decided_pairs(*one_group([0, 1, 1]))
    assert (better_P.tolist(), worse_P.tolist()) == ([0, 0], [1, 2])


def test_answers_of_two_prompts_are_never_compared():
    better_P, _ = decided_pairs(torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert len(better_P) == 0


def test_an_answer_of_unknown_place_is_in_no_pair():
    better_P, worse_P = decided_pairs(*one_group([-1, 0, 1, -1]))
    assert (better_P.tolist(), worse_P.tolist()) == ([1], [2])


def test_a_prompt_counts_once_however_many_pairs_it_decides():
    weight_P, count = pair_weights(torch.tensor([7, 7, 7, 2]), "prompt")
    assert weight_P.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    assert count == 2


def test_each_pair_counts_once():
    weight_P, count = pair_weights(torch.tensor([7, 7, 7, 2]), "pair")
    assert weight_P.tolist() == [1, 1, 1, 1]
    assert count == 4


@pytest.mark.parametrize("weight", ["prompt", "pair"])
def test_no_pairs_count_nothing(weight):
    weight_P, count = pair_weights(torch.zeros(0, dtype=torch.int64), weight)
    assert (len(weight_P), count) == (0, 0)


def test_weights_are_as_exact_as_the_loss_they_weigh():
    weight_P, _ = pair_weights(torch.tensor([0, 0, 0]), "prompt", dtype=torch.float64)
    assert weight_P[0].item() == 1 / 3


# pairwise and Bradley-Terry


def test_a_gap_of_log_3_is_lost_one_time_in_four():
    assert pairwise(torch.tensor([math.log(3)])).item() == pytest.approx(-math.log(3 / 4))


def test_equal_scores_cost_log_2_however_many_answers():
    score_N = torch.zeros(5)
    loss_P = bradley_terry(score_N, torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0, 0, 0, 1, 1]))
    assert loss_P.sum().item() / 2 == pytest.approx(math.log(2))  # two groups


def test_a_hopeless_pair_costs_its_gap():
    assert pairwise(torch.tensor([-1e4])).item() == pytest.approx(1e4)


# smoothing, ties drawn to zero, centring


def gaps(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_without_smoothing_a_pair_is_as_it_was():
    gap_P = gaps(-3, 0, 0.2, 50)
    assert torch.equal(pairwise(gap_P, smoothing=0.0), pairwise(gap_P))


def test_a_smoothed_pair_mixes_both_ways_round():
    gap_P = gaps(-2, 0.5, 1)
    torch.testing.assert_close(pairwise(gap_P, smoothing=0.1), 0.9 * pairwise(gap_P) + 0.1 * pairwise(-gap_P))


def test_smoothing_rests_where_the_odds_are_those_of_being_right():
    gap_P = gaps(math.log(0.8 / 0.2)).requires_grad_()
    pairwise(gap_P, smoothing=0.2).sum().backward()
    assert gap_P.grad.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("smoothing", [-0.1, 0.6])
def test_more_than_half_cannot_be_the_wrong_way_round(smoothing):
    with pytest.raises(ValueError, match="smoothing is a share from 0 to ½"):
        pairwise(gaps(1), smoothing=smoothing)


def test_a_level_pair_rests_at_no_gap_and_knows_no_first():
    gap_P = gaps(0).requires_grad_()
    loss_P = level(gap_P)
    loss_P.sum().backward()
    assert (loss_P.item(), gap_P.grad.item()) == (pytest.approx(math.log(2)), 0.0)
    torch.testing.assert_close(level(gaps(0.7, 3)), level(gaps(-0.7, -3)))


def test_a_level_pair_far_apart_is_drawn_by_half_a_win():
    gap_P = gaps(1e4, -1e4).requires_grad_()
    level(gap_P).sum().backward()
    assert gap_P.grad.tolist() == [0.5, -0.5]


def test_scores_around_zero_cost_nothing_and_others_their_sum_squared():
    first_P = gaps(2, 1, -3).requires_grad_()
    loss_P = centring(first_P, gaps(-2, 1, -3))
    loss_P.sum().backward()
    assert loss_P.tolist() == [0, 4, 36]
    assert first_P.grad.tolist() == [0, 4, -12]  # twice the sum


@pytest.mark.parametrize("loss", [pairwise, level])
def test_a_pair_in_a_column_is_refused(loss):
    with pytest.raises(ValueError, match="one gap a pair"):
        loss(torch.zeros(2, 1))


def test_sides_of_unlike_number_are_refused():
    with pytest.raises(ValueError, match="one score of each side a pair"):
        centring(torch.zeros(2), torch.zeros(1))


@pytest.mark.parametrize(
    "loss", [lambda gap_P: pairwise(gap_P, smoothing=0.1), level, lambda gap_P: centring(gap_P, -gap_P / 2)]
)
def test_no_pairs_cost_nothing(loss):
    gap_P = torch.zeros(0, requires_grad=True)
    loss(gap_P).sum().backward()
    assert loss(gap_P).tolist() == []


def test_every_pair_of_a_tie_is_there_once():
    first_P, second_P = tied_pairs(*one_group([1, 0, 1, 2, 1]))
    pairs = {frozenset(pair) for pair in zip(first_P.tolist(), second_P.tolist(), strict=True)}
    assert pairs == {frozenset(pair) for pair in ((0, 2), (0, 4), (2, 4))}
    assert len(first_P) == 3


def test_answers_of_unknown_place_and_of_two_prompts_tie_with_nobody():
    first_P, _ = tied_pairs(torch.tensor([-1, -1, 0, 0]), torch.tensor([0, 0, 0, 1]))
    assert len(first_P) == 0


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 2)), max_size=12))
def test_two_placed_answers_of_one_group_are_either_decided_or_tied(answers):
    place_N, group_N = torch.tensor(answers, dtype=torch.int64).reshape(-1, 2).unbind(1)
    decided, tied = decided_pairs(place_N, group_N), tied_pairs(place_N, group_N)
    found = {frozenset(pair) for pairs in (decided, tied) for pair in zip(*(p.tolist() for p in pairs), strict=True)}
    placed = [i for i, (place, _) in enumerate(answers) if place >= 0]
    assert found == {frozenset(p) for p in itertools.combinations(placed, 2) if answers[p[0]][1] == answers[p[1]][1]}
    assert len(decided[0]) + len(tied[0]) == len(found)


# Plackett-Luce


def test_three_equal_answers_have_six_equal_orders():
    loss_G = plackett_luce(torch.zeros(3), *one_group([0, 1, 2]))
    assert loss_G.tolist() == pytest.approx([math.log(6)])


def test_two_answers_are_a_pair():
    score_N = torch.tensor([0.3, -1.2])
    place_N, group_N = one_group([1, 0])
    torch.testing.assert_close(plackett_luce(score_N, place_N, group_N), bradley_terry(score_N, place_N, group_N))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-4, 4), st.integers(0, 3)), min_size=1, max_size=6))
def test_a_weak_order_has_the_probability_of_all_orders_that_it_allows(answers):
    scores, places = zip(*answers, strict=True)
    loss_G = plackett_luce(torch.tensor(scores, dtype=torch.float64), *one_group(places))
    assert loss_G.exp().reciprocal().item() == pytest.approx(weak_order_probability(scores, places), rel=1e-10)


def test_the_orders_of_four_answers_exhaust_what_can_happen():
    score_N = torch.tensor([2.0, -1.0, 0.5, 0.0], dtype=torch.float64)
    losses = [plackett_luce(score_N, *one_group(places)) for places in itertools.permutations(range(4))]
    assert torch.cat(losses).neg().exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_eight_that_tie_above_a_ninth_say_only_that_it_is_last():
    loss_G = plackett_luce(torch.zeros(9, dtype=torch.float64), *one_group([0] * 8 + [1]))
    assert loss_G.item() == pytest.approx(math.log(9), abs=1e-12)


def test_one_above_eight_that_tie_says_only_that_it_is_first():
    loss_G = plackett_luce(torch.zeros(9, dtype=torch.float64), *one_group([0] + [1] * 8))
    assert loss_G.item() == pytest.approx(math.log(9), abs=1e-12)


def test_more_than_nine_that_tie_above_another_are_refused():
    with pytest.raises(ValueError, match="10 answers tie above others; at most 9"):
        plackett_luce(torch.zeros(11), *one_group([0] * 10 + [1]))


def test_an_answer_of_unknown_place_is_as_if_not_there():
    known = plackett_luce(torch.tensor([0.5, -0.5]), *one_group([0, 1]))
    beside = plackett_luce(torch.tensor([9.0, 0.5, -0.5]), *one_group([-1, 0, 1]))
    torch.testing.assert_close(beside, known)


def test_the_loss_of_a_group_stands_at_its_number():
    score_N = torch.zeros(7)
    loss_G = plackett_luce(score_N, torch.tensor([0, 1, 2, 0, 0, 1, 0]), torch.tensor([8, 8, 8, 3, 5, 5, 3]))
    assert loss_G.tolist() == pytest.approx([0.0, math.log(2), math.log(6)])  # groups 3 (a full tie), 5, 8


def test_the_gradient_through_a_tie_is_that_of_finite_differences():
    score_N = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    place_N, group_N = one_group([0, 1, 1, 1, 2, 2])
    assert torch.autograd.gradcheck(lambda s: plackett_luce(s, place_N, group_N), score_N)


# both


@LOSSES
def test_a_tie_teaches_nothing(loss):
    score_N = torch.tensor([3.0, -1.0], requires_grad=True)
    total = loss(score_N, *one_group([0, 0])).sum()
    total.backward()
    assert total.item() == 0.0
    assert score_N.grad.tolist() == [0.0, 0.0]


@LOSSES
def test_answers_without_places_teach_nothing(loss):
    score_N = torch.tensor([3.0, -1.0], requires_grad=True)
    loss(score_N, *one_group([-1, -1])).sum().backward()
    assert score_N.grad.tolist() == [0.0, 0.0]


@LOSSES
def test_no_answers_are_a_loss_of_zero(loss):
    score_N = torch.zeros(0, requires_grad=True)
    total = loss(score_N, torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)).sum()
    total.backward()
    assert total.item() == 0.0


@LOSSES
@pytest.mark.parametrize("places", [[0, 1, 2, 3], [3, 2, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 2]])
def test_scores_of_ten_thousand_give_finite_losses_and_gradients(loss, places):
    score_N = torch.tensor([1e4, 1e4, -1e4, 0.0], requires_grad=True)
    total = loss(score_N, *one_group(places)).sum()
    total.backward()
    assert total.isfinite()
    assert score_N.grad.isfinite().all()


@LOSSES
@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_only_differences_between_scores_count(loss, shift):
    score_N = torch.tensor([0.4, -0.2, 1.0, 0.0], dtype=torch.float64)
    place_N, group_N = one_group([0, 1, 1, 2])
    torch.testing.assert_close(loss(score_N + shift, place_N, group_N), loss(score_N, place_N, group_N))


@LOSSES
def test_a_step_down_the_loss_raises_the_best_and_lowers_the_last(loss):
    score_N = torch.zeros(3, requires_grad=True)
    loss(score_N, *one_group([0, 1, 2])).sum().backward()
    assert score_N.grad[0] < 0 < score_N.grad[2]


@LOSSES
def test_a_group_does_not_depend_on_its_neighbours(loss):
    mine = torch.tensor([0.3, -0.4, 0.1], dtype=torch.float64, requires_grad=True)
    places = torch.tensor([1, 0, 1])
    loss(mine, places, torch.zeros(3, dtype=torch.int64)).sum().backward()
    alone = mine.grad.clone()
    mine.grad = None
    others = torch.tensor([50.0, -50.0, 2.0, 2.5], dtype=torch.float64)
    mixed = torch.cat((others[:2], mine, others[2:]))
    order = torch.tensor([0, 1, 1, 0, 1, 1, 0])
    loss(mixed, order, torch.tensor([4, 4, 2, 2, 2, 0, 0])).sum().backward()
    torch.testing.assert_close(mine.grad, alone, rtol=1e-12, atol=1e-15)


@LOSSES
def test_the_order_in_which_answers_lie_does_not_matter(loss):
    score_N = torch.tensor([0.3, -0.4, 0.1, 0.9], dtype=torch.float64)
    place_N, group_N = torch.tensor([1, 0, 1, 2]), torch.tensor([0, 0, 0, 0])
    moved = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        loss(score_N[moved], place_N[moved], group_N).sum(), loss(score_N, place_N, group_N).sum(), rtol=1e-12, atol=0
    )


@LOSSES
def test_a_score_too_many_is_refused(loss):
    with pytest.raises(ValueError, match="one score, place and group an answer"):
        loss(torch.zeros(3), torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))


@LOSSES
def test_scores_in_a_column_are_refused(loss):
    column = torch.zeros(2, 1)
    with pytest.raises(ValueError, match="an answer"):
        loss(column, column.long(), column.long())
