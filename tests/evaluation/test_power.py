"""How many prompts decide: the textbook's number, what ties and further answers save, and simulation."""

import numpy as np
import pytest

from burnish.evaluation.intervals import each_of, proportion
from burnish.evaluation.power import power_of, prompts_needed

DRAWS = 600


def test_fifty_five_against_fifty_percent_takes_783_prompts():
    """((1.960 · 0.5 + 0.842 · √(0.55 · 0.45)) / 0.05)² = (1.3987 / 0.05)² = 782.5, the one-sample formula's number."""
    assert prompts_needed(0.55) == 783


def test_ties_take_fewer_prompts():
    """With 90 % ties the variance is about a tenth of a coin's. The interval is drawn a little towards a coin's."""
    assert 783 / 11 < prompts_needed(0.55, ties=0.9) < 783 / 8


def test_answers_that_are_all_alike_save_nothing_and_unrelated_ones_are_nearly_as_good_as_prompts():
    assert prompts_needed(0.55, samples=4, alike=1.0) == prompts_needed(0.55)
    assert 783 / 4 < prompts_needed(0.55, samples=4, alike=0.0) < 1.05 * 783 / 4


def test_several_models_take_more():
    assert prompts_needed(0.55, level=each_of(4)) > 1.3 * prompts_needed(0.55)


def test_a_rate_below_a_half_is_told_as_soon_as_its_twin_above():
    assert prompts_needed(0.45, ties=0.2) == prompts_needed(0.55, ties=0.2)


@pytest.mark.parametrize("rate, ties, samples, alike", [(0.55, 0.0, 1, 1.0), (0.6, 0.4, 4, 0.5), (0.7, 0.2, 2, 0.0)])
def test_so_many_prompts_have_the_power_that_was_asked_for(rate, ties, samples, alike):
    case = {"ties": ties, "samples": samples, "alike": alike}
    needed = prompts_needed(rate, power=0.9, **case)
    assert power_of(needed, rate, **case) >= 0.9 > power_of(needed - 1, rate, **case)


def drawn(generator, prompts, rate, ties, samples, alike):
    """1, ½ or 0, of which a prompt's answers share one outcome with the chance √alike each: correlation `alike`."""

    def outcome(shape):
        return generator.choice([0.0, 0.5, 1.0], size=shape, p=[1 - rate - ties / 2, ties, rate - ties / 2])

    own, shared = outcome((prompts, samples)), outcome((prompts, 1))
    return np.where(generator.random((prompts, samples)) < np.sqrt(alike), shared, own).tolist()


@pytest.mark.parametrize(
    "rate, ties, samples, alike, level",
    [
        (0.55, 0.0, 1, 1.0, 0.95),
        (0.6, 0.4, 1, 1.0, 0.95),
        (0.6, 0.0, 4, 0.5, 0.95),
        (0.6, 0.4, 4, 0.25, each_of(3)),
        (0.7, 0.0, 1, 1.0, 0.95),
    ],
)
def test_the_verdict_s_own_interval_decides_in_four_runs_of_five(rate, ties, samples, alike, level):
    prompts = prompts_needed(rate, ties=ties, samples=samples, alike=alike, level=level)
    generator = np.random.default_rng(0)
    decided = np.mean(
        [proportion(drawn(generator, prompts, rate, ties, samples, alike), level=level).low > 0.5 for _ in range(DRAWS)]
    )
    assert decided == pytest.approx(0.8, abs=0.055)  # three and a half deviations of 600 draws


@pytest.mark.parametrize(
    "wrong", [{"rate": 0.5}, {"ties": 1.2}, {"rate": 0.9, "ties": 0.4}, {"alike": -1.0}, {"samples": 0}, {"power": 1.0}]
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=r"found|told|rate of"):
        prompts_needed(**{"rate": 0.55, **wrong})
