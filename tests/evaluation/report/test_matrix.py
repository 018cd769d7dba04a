"""Every model against every other, from scores of the same prompts."""

import pytest

from burnish.evaluation.intervals import each_of, proportion
from burnish.evaluation.report.matrix import matrix, win_rates
from burnish.evaluation.report.run import Comparison, Sample
from burnish.evaluation.report.words import Words

SCORES = {"sft": (0, 0, 0, 0), "dpo": (1, 1, 1, 0), "ppo": (2, 2, -1, -1)}


def compared(scores=SCORES, **figures):
    samples = {
        model: tuple(Sample(f"prompt {at}", "said", (float(score),), True) for at, score in enumerate(given))
        for model, given in scores.items()
    }
    return Comparison("compare", "b", {model: {"win_rate": 0.5, **figures} for model in scores}, samples)


def test_a_rate_is_of_prompts_with_ties_as_half():
    """dpo beats sft three times and ties once; of four prompts ppo beats dpo on two."""
    found = win_rates(compared())
    assert found["dpo", "sft"].mean == (3 + 0.5) / 4
    assert found["sft", "dpo"].mean == 1 - found["dpo", "sft"].mean
    assert found["ppo", "dpo"].mean == 2 / 4


def test_the_intervals_hold_for_all_pairs_at_once():
    """Three models are three pairs."""
    found = win_rates(compared())
    alone = proportion([[1], [1], [1], [0.5]], level=each_of(3))
    assert (found["dpo", "sft"].low, found["dpo", "sft"].high) == (alone.low, alone.high)


def test_the_strongest_stands_first():
    html = matrix(compared(), Words())
    assert html.index("dpo") < html.index("ppo") < html.index("sft")
    assert "of 4 prompts" in html
    assert "all 3 pairs" in html


@pytest.mark.parametrize("scores", [{"sft": (0, 1), "dpo": (1, 2)}, {}])
def test_of_two_models_the_verdict_says_it_all(scores):
    assert matrix(compared(scores), Words()) == ""


def test_a_model_that_answered_other_prompts_is_left_out():
    found = win_rates(compared(SCORES | {"kto": (1, 1)}))
    assert {model for model, _ in found} == {"sft", "dpo", "ppo"}


def test_scores_of_a_judge_of_pairs_do_not_compare_others():
    """They say how much better an answer is than the first model's."""
    assert win_rates(compared(consistency=0.8)) == {}
    assert win_rates(compared(**{"consistency/other": 0.8})) == {}, "one of a list of judges compares pairs"
