"""Bias is found where it is put in, and not where it is not."""

import math

import numpy as np
import pytest
from feedback.ranked import ranking

from burnish.feedback.agreement.bias import length_bias, position_bias
from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.verdicts import readings

DRAWS = Bootstrap(resamples=200)


def test_chi_square_of_the_winners_letters_is_pearsons():
    """30 wins of A and 10 of B, 20 expected each: χ² = 2 · 10² / 20 = 10."""
    ranked = [ranking(str(n), place_K=(0, 1), shown_K=(0, 1) if n < 30 else (1, 0)) for n in range(40)]
    found = position_bias(ranked)
    assert found.wins == {"A": 30, "B": 10}
    assert (found.chi_square, found.degrees) == (pytest.approx(10.0), 1)
    assert found.p == pytest.approx(math.erfc(math.sqrt(10 / 2)))  # χ² with one degree is a normal's square


def test_numbers_of_answers_are_tested_apart():
    """Two answers: 8 and 8. Three: 9, 9, 9. Nothing is amiss, though A is best in 17 of 43 and C in 9."""
    two = [ranking(f"2{n}", place_K=(0, 1), shown_K=((0, 1), (1, 0))[n % 2]) for n in range(16)]
    three = [ranking(f"3{n}", place_K=(0, 1, 1), shown_K=tuple(np.roll((0, 1, 2), n))) for n in range(27)]
    found = position_bias(two + three)
    assert (found.chi_square, found.degrees, found.p) == (0.0, 3, 1.0)
    assert found.expected == {"A": 17.0, "B": 17.0, "C": 9.0}


def test_without_a_single_best_answer_or_a_position_there_is_no_winner():
    found = position_bias([ranking(place_K=(0, 0), shown_K=(0, 1)), ranking(place_K=(0, 1))])
    assert (found.rankings, found.left_out) == (0, 2)
    assert math.isnan(found.p)


def drawn_by_length(slope, items=1500):
    chance = np.random.default_rng(3)
    for n in range(items):
        lengths = chance.integers(50, 800, size=2)
        first = chance.random() < 1 / (1 + (lengths[1] / lengths[0]) ** slope)
        yield ranking(str(n), place_K=(0, 1) if first else (1, 0), length_K=tuple(map(int, lengths)))


@pytest.mark.parametrize("slope", [0.0, 0.8])
def test_the_slope_of_length_is_recovered(slope):
    found = length_bias(readings(drawn_by_length(slope)), DRAWS)
    assert found.slope.low < slope < found.slope.high
    assert found.slope.high - found.slope.low < 0.35
    assert (found.longer_wins.low > 0.5) == (slope > 0)


def test_the_slope_solves_its_equation_in_the_simplest_case():
    """Of four pairs of twice the length three are won by the longer: σ(β ln 2) = ¾, so β = ln 3 / ln 2."""
    ranked = [ranking(str(n), place_K=(0, 1) if n else (1, 0), length_K=(200, 100)) for n in range(4)]
    found = length_bias(readings(ranked), DRAWS)
    assert found.slope.value == pytest.approx(math.log(3) / math.log(2))
    assert found.longer_wins.value == 0.75


def test_equal_lengths_and_ties_say_nothing():
    found = length_bias(readings([ranking("i"), ranking("j", place_K=(0, 0), length_K=(1, 9))]), DRAWS)
    assert found.pairs == 0
    assert math.isnan(found.slope.value)


def test_where_the_longer_always_wins_the_slope_is_infinite_and_not_told():
    found = length_bias(readings([ranking(str(n), length_K=(9, 1)) for n in range(5)]), DRAWS)
    assert found.longer_wins.value == 1.0
    assert math.isnan(found.slope.value)
