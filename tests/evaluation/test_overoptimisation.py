"""When a reward and an independent judge have parted, and how often that is said of two that have not."""

import math

import numpy as np
import pytest
from scipy.stats import t

from burnish.evaluation.intervals import Interval
from burnish.evaluation.overoptimisation import paired_change, parted


def test_a_change_is_the_mean_of_the_prompts_own_changes_with_student_s_interval():
    """Differences 1, 2, 3: mean 2, deviation 1."""
    found = paired_change([11, 22, 33], [10, 20, 30])
    half = t.ppf(0.975, 2) / math.sqrt(3)
    assert (found.mean, found.prompts) == (2, 3)
    assert (found.low, found.high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_beside_the_best_of_many_the_interval_is_bonferroni_s():
    found = paired_change([11, 22, 33], [10, 20, 30], chosen_of=10)
    assert found.high - 2 == pytest.approx(t.ppf(1 - 0.05 / 20, 2) / math.sqrt(3))


def test_of_a_single_prompt_nothing_is_said():
    one = paired_change([5.0], [1.0])
    assert one.mean == 4
    assert not parted(one, paired_change([1.0], [5.0]))


def test_other_prompts_are_refused():
    with pytest.raises(ValueError, match="2 now, 1 then"):
        paired_change([1, 2], [1])


def test_they_part_where_one_rises_and_the_other_falls_beyond_doubt():
    up, down, flat = Interval(1, 0.5, 1.5, 9), Interval(-1, -1.5, -0.5, 9), Interval(-1, -2.5, 0.5, 9)
    assert parted(up, down)
    assert not parted(up, flat)
    assert not parted(up, up)
    assert not parted(down, down)


def test_a_judge_that_stands_still_is_said_to_fall_once_in_twenty_at_most():
    """After nineteen evaluations that differ by chance alone the twentieth, beside the best of them."""
    draw = np.random.default_rng(0)
    falls = {1: 0, 19: 0}
    for _ in range(600):
        judge = draw.normal(size=(20, 64))
        best = judge[:19][judge[:19].mean(1).argmax()]
        for chosen_of in falls:
            falls[chosen_of] += paired_change(judge[-1], best, chosen_of=chosen_of).high < 0
    assert falls[19] <= 0.05 * 600
    assert falls[1] > 0.10 * 600  # what it would be said without the correction
