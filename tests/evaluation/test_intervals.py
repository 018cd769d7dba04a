"""Intervals cover what they claim, by simulation from fixed seeds, and reduce to Wilson's where that is right."""

import math

import numpy as np
import pytest

from burnish.errors import ConfigError
from burnish.evaluation.intervals import (
    Interval,
    between,
    between_ratios,
    each_of,
    mean_and_error,
    mean_of,
    proportion,
    weighted_proportion,
    wins,
)

DRAWS = 1500
LEAST = 0.915  # Wilson's own lowest here, 0.935 at 25 of 50, less three and a half deviations of 1,500 draws


def one_each(values):
    return [[value] for value in values]


def coverage(draw, truth, prompts, seed=0):
    generator = np.random.default_rng(seed)
    made = [proportion(draw(generator, prompts)) for _ in range(DRAWS)]
    return np.mean([interval.low <= truth <= interval.high for interval in made])


def outcomes(win, tie):
    return lambda generator, n: one_each(generator.choice([0, 0.5, 1], size=n, p=[1 - win - tie, tie, win]))


@pytest.mark.parametrize("prompts", [10, 50, 500])
@pytest.mark.parametrize("win, tie", [(0.5, 0.0), (0.2, 0.6), (0.7, 0.1), (0.95, 0.03), (0.05, 0.9)])
def test_a_win_rate_with_ties_is_covered(win, tie, prompts):
    assert coverage(outcomes(win, tie), win + tie / 2, prompts) >= LEAST


@pytest.mark.parametrize("prompts", [10, 50])
@pytest.mark.parametrize("better, worse", [(2, 2), (9, 1), (0.9, 0.1)])
def test_several_answers_a_prompt_are_one_observation(better, worse, prompts):
    """Four answers whose chance to win is their prompt's own, from a beta distribution with mean better / both."""

    def draw(generator, n):
        return (generator.random((n, 4)) < generator.beta(better, worse, (n, 1))).astype(float).tolist()

    assert coverage(draw, better / (better + worse), prompts) >= LEAST


def test_answers_counted_as_prompts_would_claim_too_much():
    """Twins: every prompt's four answers share their fate, so four times the answers tell nothing more."""
    generator = np.random.default_rng(0)
    once = generator.choice([0.0, 1.0], size=100).tolist()
    assert proportion([[value] * 4 for value in once]) == proportion(one_each(once))


def test_prompts_of_equal_weight_are_prompts():
    values = one_each([1] * 30 + [0.5] * 8 + [0] * 12)
    weighted, plain = weighted_proportion(values, [3.0] * 50), proportion(values)
    assert (weighted.mean, weighted.low, weighted.high) == pytest.approx((plain.mean, plain.low, plain.high), abs=1e-12)
    assert weighted.prompts == plain.prompts


def test_a_prompt_with_all_the_weight_is_one_observation():
    """Wilson's interval of one win in one: from 1 / (1 + z²) on."""
    lone = weighted_proportion([[1.0], [0.0], [0.0]], [1e14, 1.0, 1.0])
    assert lone.mean == pytest.approx(1)
    assert lone.low == pytest.approx(1 / (1 + 1.959964**2), abs=1e-3)


def test_weighted_means_are_covered():
    """Weights of 1 and 5, which say nothing of the values."""
    generator = np.random.default_rng(0)
    weights = [1.0, 5.0] * 25
    made = [weighted_proportion(outcomes(0.7, 0.1)(generator, 50), weights) for _ in range(DRAWS)]
    assert np.mean([interval.low <= 0.75 <= interval.high for interval in made]) >= LEAST


def test_many_ties_make_a_narrow_interval():
    """2 wins, 96 ties, 2 losses: the variance is 0.01, that of coins 0.25, so the interval is near a fifth as wide."""
    tied = proportion(one_each([0] * 2 + [0.5] * 96 + [1] * 2))
    coins = proportion(one_each([0] * 50 + [1] * 50))
    assert tied.mean == coins.mean == 0.5
    assert 0.2 < (tied.high - tied.low) / (coins.high - coins.low) < 0.35


@pytest.mark.parametrize(
    "right, n, low, high", [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)]
)
def test_without_ties_it_is_wilsons(right, n, low, high):
    """Newcombe 1998, Statistics in Medicine 17, table I, method 3."""
    interval = proportion(one_each([1] * right + [0] * (n - right)))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=6e-5)
    assert interval.mean == pytest.approx(right / n)


def test_of_five_comparisons_each_interval_is_at_99_percent():
    assert each_of(5) == pytest.approx(0.99)
    assert each_of(1) == each_of(0) == 0.95


def test_models_that_are_all_as_good_are_all_said_to_be_in_95_of_100_runs():
    """Eight models beside the first, whose one set of answers they share."""
    generator = np.random.default_rng(0)
    kept = {0.95: 0, each_of(8): 0}
    for _ in range(200):
        first, *others = generator.normal(size=(9, 60, 1)).tolist()
        for level in kept:
            found = [proportion(wins(own, first), level=level) for own in others]
            kept[level] += all(one.low <= 0.5 <= one.high for one in found)
    assert kept[each_of(8)] / 200 >= 0.895  # 0.95 less three and a half deviations of 200 runs
    assert kept[0.95] / 200 < 0.85


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.9, 0.2), (0.98, 0.7)])
def test_the_mean_of_two_rates_is_covered(rates):
    """As many prompts of each as a suite has at a glance: 40 and 60."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(DRAWS):
        made = [proportion(one_each(generator.random(n) < rate)) for rate, n in zip(rates, (40, 60), strict=True)]
        found = mean_of(made)
        covered += found.low <= sum(rates) / 2 <= found.high
    assert covered / DRAWS >= LEAST


def test_the_mean_of_one_rate_is_itself_and_of_equal_ones_as_sure_as_all_their_prompts():
    one = Interval(0.5, 0.4, 0.6, 100)
    assert mean_of([one]) == one
    assert mean_of([one] * 4).high - 0.5 == pytest.approx(0.1 / 2)


def test_a_value_between_other_ends_has_the_same_interval_drawn_to_that_scale():
    values = [-1.0, 0.0, 0.0, 1.0, 1.0]
    tied = proportion(one_each([0.0, 0.5, 0.5, 1.0, 1.0]))
    found = between(values, -1.0, 1.0)
    assert found == Interval(2 * tied.mean - 1, 2 * tied.low - 1, 2 * tied.high - 1, 5)


def test_all_won_leaves_room_below():
    """Wilson's lower end at 20 of 20 is n / (n + z²)."""
    interval = proportion(one_each([1.0] * 20))
    assert interval.high == 1.0
    assert interval.low == pytest.approx(20 / (20 + 1.959964**2), abs=1e-6)


def test_all_tied_still_has_a_width():
    """500 ties and nothing else: by the rule of three, up to 3/500 of the outcomes may be wins."""
    interval = proportion(one_each([0.5] * 500))
    assert interval.mean == 0.5
    assert 1.5 / 500 < interval.high - 0.5 < 2 * 3 / 500


def test_the_error_of_a_mean_is_taken_between_prompts():
    """Prompt means 1 and 3: mean 2, deviation √2, error √2/√2 = 1."""
    assert mean_and_error([[0.0, 2.0], [3.0, 3.0, 3.0], []]) == (2.0, 1.0)


def test_one_prompt_shows_no_spread():
    assert math.isnan(mean_and_error([[1.0, 2.0]])[1])


def test_wins_compare_answers_of_one_prompt_by_their_number():
    assert wins([[1.0, 2.0], [3.0]], [[0.0, 2.0], [4.0]]) == [[1.0, 0.5], [0.0]]


def test_other_prompts_cannot_be_compared():
    with pytest.raises(ConfigError, match="same prompts"):
        wins([[1.0]], [[1.0], [2.0]])


@pytest.mark.parametrize(
    "values, message",
    [([], "no prompt"), ([[]], "no prompt"), ([[math.nan]], "prompt 1"), ([[2.0]], "between 0 and 1")],
)
def test_what_is_no_rate_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        proportion(values)


def test_means_of_which_all_is_known_lie_apart_by_prompt():
    generator = np.random.default_rng(0)
    mine, theirs = generator.choice([-1.0, 0.0, 1.0], size=(2, 60))
    found, plain = between_ratios(mine, theirs, -2, 2), between((mine - theirs).tolist(), -2, 2)
    assert (found.mean, found.low, found.high) == pytest.approx((plain.mean, plain.low, plain.high), abs=1e-12)


@pytest.mark.parametrize("known", [0.9, 0.3])
def test_the_difference_of_means_of_some_prompts_is_covered(known):
    """Two models' values are alike on half of the prompts; which of them are known is each model's own chance."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(DRAWS):
        both = generator.choice([-1.0, 1.0], size=200, p=[0.4, 0.6])
        own = generator.choice([-1.0, 1.0], size=200, p=[0.2, 0.8])
        mine = np.where(generator.random(200) < 0.5, both, own)
        theirs = both.copy()
        mine[generator.random(200) > known], theirs[generator.random(200) > known] = math.nan, math.nan
        found = between_ratios(mine, theirs, -2, 2)
        held += found.low <= (0.5 * 0.2 + 0.5 * 0.6) - 0.2 <= found.high
    assert held / DRAWS >= LEAST
