"""A gate: conditions are read without being run, hold of whom they should, and name what there is."""

import pytest

from burnish.errors import UsageError
from burnish.evaluation.gate import Condition, RequirementError, condition, conditions, hold, lacking

FIGURES = {
    "sft": {"win_rate_low": 0.46, "kl": 0.0, "perplexity": None},
    "dpo": {"win_rate_low": 0.58, "kl": 4.1, "perplexity": None},
    "dpo/beta=0.1": {"win_rate_low": 0.51, "kl": 9.0, "perplexity": None},
}


def unmet(*texts):
    with pytest.raises(RequirementError) as caught:
        hold(conditions(texts), FIGURES)
    return str(caught.value)


def test_a_condition_is_a_figure_a_comparison_and_a_number():
    assert condition("win_rate_low > 0.5") == Condition("", "win_rate_low", ">", 0.5)
    assert condition("  dpo/beta=0.1.kl<=8e0 ") == Condition("dpo/beta=0.1", "kl", "<=", 8.0)
    assert condition("dpo.win_rate/judge-a >= 0.5") == Condition("dpo", "win_rate/judge-a", ">=", 0.5)


@pytest.mark.parametrize(
    "text", ["win_rate_low", "win_rate = 1", "win_rate > kl", "1 < win_rate", "win_rate > 0.5 or True", "kl < .", ""]
)
def test_nothing_else_is_one(text):
    with pytest.raises(ValueError, match="expected"):
        condition(text)


def test_a_figure_that_no_verdict_has_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match=r"no figure win_rat; did you mean win_rate\?; there are win_rate, win_"):
        conditions(["win_rat > 0.5"])


def test_without_a_model_all_but_the_first_must_hold_it():
    hold(conditions(["win_rate_low > 0.5", "kl < 10"]), FIGURES)
    assert unmet("kl < 8") == "not met: dpo/beta=0.1.kl < 8; it is 9"


def test_one_model_may_be_meant():
    hold(conditions(["dpo.kl < 8", "sft.win_rate_low < 0.5"]), FIGURES)
    assert unmet("sft.win_rate_low > 0.5", "dpo.kl > 5") == (
        "not met: sft.win_rate_low > 0.5; it is 0.46\nnot met: dpo.kl > 5; it is 4.1"
    )


def test_what_was_not_measured_meets_nothing():
    assert unmet("dpo.perplexity < 50") == "not met: dpo.perplexity < 50; it could not be measured"


def test_a_model_or_a_figure_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UsageError, match=r"no model is called dop; did you mean dpo\?; there are sft, dpo, dpo/b"):
        hold(conditions(["dop.kl < 8"]), FIGURES)
    with pytest.raises(UsageError, match="on dpo has no figure strength; there are win_rate_low, kl, perplexity"):
        hold(conditions(["strength > 0"]), FIGURES)


@pytest.mark.parametrize(
    ("text", "model", "figure"),
    [
        ("win_rate_low/judge.v2 > 0.5", "", "win_rate_low/judge.v2"),
        ("dpo.win_rate/a.b > 0.5", "dpo", "win_rate/a.b"),
        ("dpo/beta=0.1.kl <= 8", "dpo/beta=0.1", "kl"),
    ],
)
def test_names_may_have_dots(text: str, model: str, figure: str):
    found = condition(text)
    assert (found.model, found.figure) == (model, figure)


@pytest.mark.parametrize(
    ("figure", "given", "suite", "told"),
    [
        ("safe_low", {"prompts"}, None, "safe_low is told by suite: safety; it has none"),
        ("safe_low", set(), "safety-zh", "safe_low is told by suite: safety; it has suite: safety-zh"),
        ("in_chinese", set(), "safety", "in_chinese is told by suite: safety-zh; it has suite: safety"),
        ("refused_safe_low", set(), "safety-zh", ""),
        ("refused_harmful/xstest", set(), "safety", ""),
        ("win_rate_low", set(), "safety", "win_rate_low is told of answers to prompts; add them"),
        ("win_rate/judge-a", {"prompts"}, None, ""),
        ("told_apart", {"prompts"}, None, "told_apart is told of answers to prompts and people; add them"),
        ("told_apart", {"prompts", "people"}, None, ""),
        (
            "told_apart_by_people_low",
            {"prompts"},
            None,
            "told_apart_by_people_low is told of answers to prompts and people; add them",
        ),
        (
            "told_apart_by_people_low",
            {"prompts", "people"},
            None,
            "told_apart_by_people_low is told where people judge; write by: people",
        ),
        ("verdicts", {"prompts"}, None, "verdicts is told where people judge; write by: people"),
        ("fluency", {"prompts", "text"}, None, "fluency is measured with base; add it"),
        ("fluency", {"prompts", "base"}, None, ""),
        ("perplexity", {"prompts", "base"}, None, "perplexity is measured with text; add it"),
        ("perplexity", {"prompts", "text"}, None, ""),
    ],
)
def test_a_figure_that_a_stage_can_never_have_is_told_with_what_it_needs(figure, given, suite, told):
    assert lacking(figure, dict.fromkeys(given, "judges:favourable-b"), suite) == told


@pytest.mark.parametrize("figure", ["told_apart_by_people_low", "verdicts", "annotators"])
def test_what_people_tell_may_be_required_where_they_judge(figure):
    assert lacking(figure, {"prompts": "heldout.jsonl", "people": "people.jsonl", "by": "people"}, None) == ""
