"""Strengths of several models on the same prompts: closed form, a cycle, and what the interval draws."""

import math

import numpy as np
import pytest

from burnish.errors import ConfigError
from burnish.evaluation.strengths import strengths
from burnish.feedback.agreement.bootstrap import Bootstrap

DRAWS = Bootstrap(resamples=200)


def test_two_models_differ_by_the_log_odds_of_the_win_rate():
    """30 of 40 prompts won, and half a win and a loss against one of average strength for each: near ln 3."""
    score = {"a": [[1.0]] * 30 + [[0.0]] * 10, "b": [[0.5]] * 40}
    found = strengths(score, DRAWS)
    assert found["a"].value - found["b"].value == pytest.approx(math.log(3), abs=0.06)
    assert found["a"].value == pytest.approx(-found["b"].value)
    assert found["a"].low < found["a"].value < found["a"].high
    assert found["a"].clusters == 40


def test_three_that_win_in_a_circle_are_as_strong_as_each_other():
    """a beats b, b beats c and c beats a, each on two prompts of three: against the first alone b loses and c wins."""
    score = {"a": [[3.0], [1.0], [2.0]], "b": [[2.0], [3.0], [1.0]], "c": [[1.0], [2.0], [3.0]]}
    found = strengths(score, DRAWS)
    assert [one.value for one in found.values()] == pytest.approx([0.0] * 3, abs=1e-6)


def test_scores_made_by_strengths_give_them_back():
    """Scores with Gumbel noise are Bradley–Terry's model of each pair (Luce 1959)."""
    generator = np.random.default_rng(0)
    true = {"a": -0.6, "b": 0.1, "c": 0.5}
    score = {name: (value + generator.gumbel(size=(3000, 1))).tolist() for name, value in true.items()}
    found = strengths(score, DRAWS)
    for name, value in true.items():
        assert found[name].low < value < found[name].high
        assert found[name].value == pytest.approx(value, abs=0.06)


def test_several_answers_to_a_prompt_are_one_observation():
    generator = np.random.default_rng(1)
    once = {name: generator.normal(size=(60, 1)) for name in "abc"}
    thrice = {name: np.repeat(table, 3, axis=1).tolist() for name, table in once.items()}
    once = {name: table.tolist() for name, table in once.items()}
    assert [one.high for one in strengths(thrice, DRAWS).values()] == pytest.approx(
        [one.high for one in strengths(once, DRAWS).values()]
    )


def test_one_that_always_wins_is_finite():
    found = strengths({"a": [[9.0]] * 20, "b": [[0.0]] * 20, "c": [[0.0]] * 20}, DRAWS)
    assert found["a"].value > 2
    assert all(map(math.isfinite, (found["a"].value, found["a"].low, found["a"].high)))


def test_other_prompts_cannot_be_compared():
    with pytest.raises(ConfigError, match="same prompts"):
        strengths({"a": [[1.0]], "b": [[1.0], [2.0]]}, DRAWS)
