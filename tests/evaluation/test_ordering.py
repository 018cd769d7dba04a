"""Scores held to people's order: each figure against what it must be where the answer is known."""

import json
import math
from typing import Any

import numpy as np
import pytest

from burnish.errors import ConfigError
from burnish.evaluation.intervals import proportion
from burnish.evaluation.ordering import Ranked, length_share, ordering


def pair(prompt: str, better: float, worse: float, **more: Any) -> Ranked:
    return Ranked(prompt, (better, worse), (0, 1), more.pop("length", (4, 4)), **more)


def drawn(count: int, spread: float = 1.5, seed: int = 0) -> list[Ranked]:
    """Pairs whose better answer is as probable as their scores say: score the gap right, and it is calibrated."""
    chance = np.random.default_rng(seed)
    gaps = chance.normal(0, spread, count)
    first_wins = chance.random(count) < 1 / (1 + np.exp(-gaps))
    return [
        Ranked(f"p{n}", (float(gap), 0.0), (0, 1) if won else (1, 0), (3, 5))
        for n, (gap, won) in enumerate(zip(gaps, first_wins, strict=True))
    ]


# ---- accuracy


def test_a_prompt_counts_once_and_equal_scores_are_half_right():
    found = ordering([Ranked("a", (3, 2, 1), (0, 1, 2), (1, 1, 1)), pair("b", 1, 1), pair("c", 0, 1)]).accuracy
    assert (found.mean, found.prompts, found.pairs) == (0.5, 3, 5)
    interval = proportion([[1, 1, 1], [0.5], [0]])
    assert (found.low, found.high) == (interval.low, interval.high)


def test_rankings_of_one_prompt_by_several_people_are_one_observation():
    found = ordering([pair("a", 1, 0), pair("a", 1, 0), pair("a", 0, 1), pair("b", 0, 1)]).accuracy
    assert (found.mean, found.prompts, found.pairs) == (pytest.approx(1 / 3), 2, 4)


def test_ties_and_answers_of_unknown_place_make_no_pair():
    assert ordering([Ranked("a", (5, 1, 9, 0), (0, 0, -1, 1), (1,) * 4)]).accuracy.pairs == 2


def test_where_nothing_is_decided_there_is_nothing_to_say():
    with pytest.raises(ConfigError, match="none of 1 rankings decides a pair"):
        ordering([Ranked("a", (1, 2), (0, 0), (1, 1))])


def test_pairs_are_told_apart_by_places_by_length_by_source_and_by_margin():
    found = ordering(
        [
            Ranked("a", (4, 3, 2, 5), (0, 1, 2, 3), (9, 5, 5, 1), source=("x", "y", "x", None), margin=1.0),
            pair("b", 1, 0, length=(2, 7), source=("y", "y"), margin=2.0),
        ]
    )
    assert {name: (part.mean, part.pairs) for name, part in found.by_places_apart.items()} == {
        "1": (pytest.approx((2 / 3 + 1) / 2), 4),
        "2": (0.5, 2),
        "3 or more": (0.0, 1),
    }
    assert {name: (part.mean, part.pairs) for name, part in found.by_length.items()} == {
        "better is longer": (pytest.approx(2 / 5), 5),
        "better is shorter": (1.0, 1),
        "equally long": (1.0, 1),
    }
    assert {name: part.pairs for name, part in found.by_source.items()} == {"x": 5, "y": 4}
    assert {name: (part.mean, part.pairs) for name, part in found.by_margin.items()} == {"1": (0.5, 6), "2": (1.0, 1)}


def test_many_margins_are_told_in_thirds():
    found = ordering([pair(f"p{n}", 1, 0, margin=n / 10) for n in range(9)] + [pair("none", 0, 1)])
    assert [part.pairs for part in found.by_margin.values()] == [3, 3, 3]


# ---- calibration


def test_scores_that_are_log_odds_are_calibrated_and_stretched_ones_are_not():
    rankings = drawn(4000)
    assert ordering(rankings).calibration_error < 0.03
    assert ordering(rankings, scale=4).calibration_error > 0.1
    assert ordering(rankings, scale=0.25).calibration_error > 0.1


def test_a_deviation_taken_off_the_scores_comes_back_as_the_scale():
    rankings = drawn(500)
    normalised = [Ranked(one.prompt, tuple(s / 2 for s in one.score), one.place, one.length) for one in rankings]
    one, other = ordering(rankings), ordering(normalised, scale=2)
    assert one.reliability == other.reliability


def test_the_reliability_curve_holds_all_pairs_and_its_gaps_are_the_error():
    found = ordering(drawn(3000))
    assert sum(one.share for one in found.reliability) == pytest.approx(1)
    assert sum(one.pairs for one in found.reliability) == found.accuracy.pairs
    assert all(one.low <= one.sure <= one.high for one in found.reliability)
    assert found.calibration_error == pytest.approx(
        sum(one.share * abs(one.right - one.sure) for one in found.reliability)
    )
    assert sum(one.share * one.right for one in found.reliability) == pytest.approx(found.accuracy.mean)


def test_how_often_a_bin_is_right_has_its_interval():
    """Of ten prompts with a pair each, all as sure, seven are right: Wilson's interval of 7 in 10."""
    found = ordering([pair(f"p{i}", 1.0, 0.0) if i < 7 else pair(f"p{i}", 0.0, 1.0) for i in range(10)])
    (one,) = found.reliability
    assert (one.right, one.pairs) == (pytest.approx(0.7), 10)
    assert (one.right_low, one.right_high) == (pytest.approx(0.397, abs=5e-4), pytest.approx(0.892, abs=5e-4))


def test_one_sure_mistake_is_as_far_off_as_it_was_sure():
    found = ordering([pair("a", 0, math.log(3))])  # σ(log 3) = ¾ for the wrong one
    assert found.calibration_error == pytest.approx(0.75)


def test_scores_far_apart_give_finite_figures():
    found = ordering([pair("a", 1e4, -1e4)])
    assert (found.calibration_error, found.reliability[-1].sure) == (0.0, 1.0)


# ---- length


def test_a_ruler_is_explained_by_length_whatever_the_prompt_adds():
    ruler = [Ranked(f"p{n}", (2.0 + n, 5.0 + n, 9.0 + n), (2, 1, 0), (20, 50, 90)) for n in range(5)]
    assert length_share(ruler) == pytest.approx(1)
    shorter = [Ranked(one.prompt, tuple(-s for s in one.score), one.place, one.length) for one in ruler]
    assert length_share(shorter) == pytest.approx(1)  # to like the short ones is as blind


def test_length_that_is_uncorrelated_within_prompts_explains_nothing_though_prompts_differ():
    rows = [
        Ranked(f"p{n}", (10.0 * n + 1, 10.0 * n - 1) * 2, (0, 1, 2, 3), (9 * n + 1, 9 * n + 1, 1, 1)) for n in (1, 2)
    ]
    assert length_share(rows) == pytest.approx(0, abs=1e-12)


def test_the_share_is_the_square_of_the_correlation():
    chance = np.random.default_rng(1)
    length = chance.integers(5, 80, 400)
    score = 0.05 * length + chance.normal(0, 1, 400)
    (one,) = [Ranked("p", tuple(score), tuple(range(400)), tuple(length.tolist()))]
    assert length_share([one]) == pytest.approx(np.corrcoef(score, length)[0, 1] ** 2)


@pytest.mark.parametrize("rows", [[], [pair("a", 1, 0)], [pair("a", 0.1, 0.1, length=(3, 4))]])
def test_where_lengths_or_scores_never_differ_there_is_no_share(rows: list[Ranked]):
    assert math.isnan(length_share(rows))


# ---- answers to other prompts


def test_own_answers_are_held_to_others_and_a_prompt_counts_once():
    found = ordering([pair("a", 2, 0, others=(1.0,)), pair("b", 2, 1, others=(0.0, 1.0)), pair("c", 1, 0)])
    assert found.own_above_other is not None
    assert found.own_above_other.mean == pytest.approx((1 / 2 + 3.5 / 4) / 2)
    assert (found.own_above_other.prompts, found.own_above_other.pairs) == (2, 6)
    assert ordering([pair("c", 1, 0)]).own_above_other is None


# ---- told


def test_the_record_is_json_and_the_figures_are_its_chief_ones():
    found = ordering([pair("a", 2, 0, others=(1.0,)), pair("b", 2, 1)])
    told = json.loads(json.dumps(found.record(), allow_nan=False))
    assert told["length_share"] is None
    assert told["accuracy"]["mean"] == 1.0
    assert found.figures("heldout_").keys() == {
        "heldout_calibration_error",
        "own_above_other",
        "own_above_other_low",
        "own_above_other_high",
    }
