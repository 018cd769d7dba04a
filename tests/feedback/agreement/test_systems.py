"""Strengths: closed forms, reductions, and what the intervals draw."""

import math

import numpy as np
import pytest
from feedback.ranked import ranking

from burnish.errors import ConfigError
from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.systems import bradley_terry, davidson, strengths
from burnish.feedback.agreement.verdicts import readings

DRAWS = Bootstrap(resamples=50)


def pair(first_wins, second_wins, ties=0):
    return np.array([[0.0, first_wins], [second_wins, 0.0]]), np.array([[0.0, ties], [ties, 0.0]])


def test_two_systems_differ_by_the_log_odds():
    win_SS, _ = pair(30, 10)
    assert bradley_terry(win_SS, pseudo=0) == pytest.approx([math.log(3) / 2, -math.log(3) / 2])


def test_davidson_of_two_systems_in_closed_form():
    """π₁ / π₂ = w₁ / w₂ and ν = t / √(w₁ w₂): the three probabilities are the three shares."""
    strength_S, nu = davidson(*pair(40, 10, 30), pseudo=0)
    assert strength_S[0] - strength_S[1] == pytest.approx(math.log(4), abs=1e-5)
    assert nu == pytest.approx(30 / 20, abs=1e-5)


def test_without_ties_davidson_is_bradley_terry():
    win_SS = np.array([[0.0, 7.0, 4.0], [3.0, 0.0, 6.0], [2.0, 5.0, 0.0]])
    strength_S, nu = davidson(win_SS, np.zeros((3, 3)))
    assert nu == 0.0
    assert strength_S == pytest.approx(bradley_terry(win_SS))


def test_the_fitted_wins_and_ties_are_those_observed():
    """The likelihood equations: each system's wins plus half its ties, and all ties, are what the model expects."""
    chance = np.random.default_rng(5)
    win_SS = chance.integers(1, 30, (5, 5)).astype(float) * (1 - np.eye(5))
    half = np.triu(chance.integers(0, 20, (5, 5)), 1).astype(float)
    tie_SS = half + half.T
    strength_S, nu = davidson(win_SS, tie_SS, pseudo=0)
    worth = np.exp(strength_S)
    draw = nu * np.sqrt(np.outer(worth, worth))
    met_SS = win_SS + win_SS.T + tie_SS
    total = worth[:, None] + worth[None, :] + draw
    expected_S = (met_SS * (worth[:, None] + draw / 2) / total).sum(axis=1)
    assert expected_S == pytest.approx((win_SS + tie_SS / 2).sum(axis=1), abs=1e-3)
    assert (met_SS * draw / total).sum() == pytest.approx(tie_SS.sum(), abs=1e-3)


def test_a_system_that_never_loses_is_finite_by_the_pseudo_wins_and_refused_without():
    win_SS, _ = pair(5, 0)
    assert np.isfinite(bradley_terry(win_SS)).all()
    with pytest.raises(ConfigError, match="no finite estimate"):
        bradley_terry(win_SS, pseudo=0)


def named(item, place_K, source_K, **known):
    return ranking(item, place_K=place_K, source_K=source_K, **known)


def test_systems_are_counted_by_the_pairs_that_rankings_order():
    ranked = [named("i", (0, 1, 1), ("a", "b", "c")), named("j", (1, 0), ("b", "c")), named("k", (0, 1), ("a", "a"))]
    found = strengths(readings(ranked), DRAWS)
    counts = {name: (one.won, one.tied, one.lost) for name, one in found.strengths.items()}
    assert counts == {"a": (2, 0, 0), "c": (1, 1, 1), "b": (0, 1, 2)}
    assert list(found.strengths) == ["a", "c", "b"]
    assert found.pairs == 4


def test_unknown_sources_and_a_single_system_have_no_strengths():
    assert strengths(readings([ranking()]), DRAWS) is None
    assert strengths(readings([named("k", (0, 1), ("a", "a"))]), DRAWS) is None


def test_intervals_draw_prompts_and_not_pairs():
    """The same verdicts on 4 prompts asked ten times over are known less well than on 40 prompts."""
    few = [named(str(n), (0, 1) if n % 4 else (1, 0), ("a", "b"), prompt=str(n % 4)) for n in range(40)]
    many = [named(str(n), (0, 1) if n % 4 else (1, 0), ("a", "b")) for n in range(40)]
    width = {}
    for name, ranked in (("few", few), ("many", many)):
        one = strengths(readings(ranked), Bootstrap(resamples=200)).strengths["a"].davidson
        width[name] = one.high - one.low
    assert width["few"] > 1.5 * width["many"]
