"""A verdict is made of its parts, and says where a win was bought."""

import json
import math
from dataclasses import fields, replace

import pytest

from burnish.errors import ConfigError
from burnish.evaluation.intervals import each_of
from burnish.evaluation.verdict import Measured, Verdict, longer, opinion, perplexity, verdict

BASE = Measured(
    answer_GK=[["a dull film.", "a film."], ["the plot is thin.", "the plot."]],
    score_GK=[[0.0, 1.0], [2.0, 3.0]],
    kl_GK=[[0.0, 0.0], [0.0, 0.0]],
    logprob_GK=[[-8.0, -6.0], [-10.0, -6.0]],
    length_GK=[[4, 3], [5, 3]],
    ended_GK=[[True, True], [True, False]],
    heldout_logprob=-300.0,
    heldout_tokens=100,
)


def test_it_has_exactly_the_defined_fields():
    assert [field.name for field in fields(Verdict)] == [
        *("win_rate", "win_rate_low", "win_rate_high"),
        *("win_rate_controlled", "win_rate_controlled_low", "win_rate_controlled_high"),
        *("kl", "kl_se", "judge_mean", "fluency"),
        *("distinct_2", "unique_answers", "answer_length", "ended", "perplexity"),
    ]


def test_a_model_ties_with_itself():
    said = verdict(BASE, BASE)
    assert said.win_rate == 0.5
    assert said.win_rate_low < 0.5 < said.win_rate_high
    assert said.kl == said.kl_se == 0.0
    assert said.win_rate_controlled == 0.5


def test_of_several_models_each_has_a_wider_interval():
    model = replace(BASE, score_GK=[[1.0, 1.0], [9.0, 0.0]])
    alone, one_of_four = verdict(model, BASE), verdict(model, BASE, level=each_of(4))
    assert alone.win_rate == one_of_four.win_rate
    for figure in ("win_rate", "win_rate_controlled"):
        wide, narrow = (
            getattr(said, f"{figure}_high") - getattr(said, f"{figure}_low") for said in (one_of_four, alone)
        )
        assert wide > 1.1 * narrow


def test_length_control_compares_answer_k_with_answer_k():
    """Wins where it is longer by 10 and loses where it is shorter by 10, as often: at equal length a half."""
    model = replace(BASE, score_GK=[[1.0, 0.0], [3.0, 0.0]], length_GK=[[14, 0], [15, 0]])
    short = replace(BASE, length_GK=[[4, 10], [5, 10]])
    said = verdict(model, short)
    assert said.win_rate == said.win_rate_controlled == pytest.approx(0.5)
    assert longer(model, short) == [[10.0, -10.0], [10.0, -10.0]]


def test_what_people_did_not_judge_counts_in_neither_rate():
    """One prompt whose first answer was judged to win; of the other prompt nothing was judged."""
    said = verdict(BASE, BASE, [[1.0, math.nan], [math.nan, math.nan]])
    assert said.win_rate == said.win_rate_controlled == 1.0
    assert math.isnan(said.judge_mean)
    nothing = verdict(BASE, BASE, [[math.nan] * 2] * 2)
    assert math.isnan(nothing.win_rate)
    assert math.isnan(nothing.win_rate_controlled)


def test_every_figure_follows_from_the_tables():
    model = replace(BASE, score_GK=[[1.0, 1.0], [9.0, 0.0]], kl_GK=[[1.0, 3.0], [4.0, 4.0]])
    said = verdict(model, BASE)
    assert said.win_rate == (1 + 0.5 + 1 + 0) / 4
    assert (said.kl, said.kl_se) == (3.0, 1.0)  # prompt means 2 and 4: deviation √2 over √2
    assert said.judge_mean == (1 + 4.5) / 2
    assert said.fluency == -30 / 15
    assert said.answer_length == 15 / 4
    assert said.ended == 0.75
    assert said.unique_answers == 1.0
    assert said.distinct_2 == 9 / 11  # 3 + 2 + 4 + 2 pairs; "film ." and "the plot" stand twice
    assert said.perplexity == pytest.approx(math.exp(3))


def test_a_second_judge_may_see_it_otherwise():
    said = opinion([[0.0], [0.0]], [[1.0], [1.0]], [[0.0], [0.0]])
    assert said.win_rate == 0.0
    assert said.win_rate_low == 0.0 < said.win_rate_high


def test_a_model_that_says_nothing_still_gets_its_verdict():
    silent = replace(
        BASE,
        answer_GK=[["", ""], ["", ""]],
        logprob_GK=[[0.0, 0.0]] * 2,
        length_GK=[[0, 0]] * 2,
        score_GK=[[-9.0] * 2] * 2,
    )
    said = verdict(silent, BASE)
    assert said.win_rate == said.answer_length == said.distinct_2 == 0.0
    assert math.isnan(said.fluency)
    assert json.loads(json.dumps(said.figures(), allow_nan=False))["fluency"] is None


def test_tables_of_different_shape_are_refused_by_name():
    with pytest.raises(ConfigError, match="kl_GK has 1 prompts with 2 values; the answers are 4 to 2 prompts"):
        verdict(replace(BASE, kl_GK=[[0.0, 0.0]]), BASE)


def test_perplexity_of_certainty_is_one():
    assert perplexity(0.0, 7) == 1.0
    assert perplexity(-1e9, 7) == math.inf
    assert math.isnan(perplexity(0.0, 0))
