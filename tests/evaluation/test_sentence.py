"""A verdict's sentence says who is preferred, at what price, and where the gain may be length's."""

from burnish.evaluation.sentence import as_lines, told, with_sentences

SFT = {"win_rate": 0.5, "win_rate_low": 0.46, "win_rate_high": 0.54, "kl": 0.0, "answer_length": 20.0}
DPO = {
    **{"win_rate": 0.634, "win_rate_low": 0.582, "win_rate_high": 0.681, "kl": 4.13, "answer_length": 22.4},
    **{"win_rate_controlled": 0.61, "win_rate_controlled_low": 0.55, "win_rate_controlled_high": 0.67},
}


def said(**changed):
    return told({"sft": SFT, "dpo": {**DPO, **changed}})["dpo"]


def test_it_says_who_is_preferred_how_far_it_went_and_how_long_it_is():
    assert said() == {
        "sentence": "dpo is preferred to sft on 63 % of prompts [58–68], at 4.1 nats, with answers 12 % longer"
    }


def test_a_model_that_loses_or_is_not_told_apart_is_not_said_to_win():
    worse = said(win_rate=0.38, win_rate_low=0.33, win_rate_high=0.43)["sentence"]
    assert worse.startswith("sft is preferred to dpo, which wins on 38 % of prompts [33–43], at")
    level = said(win_rate=0.52, win_rate_low=0.47, win_rate_high=0.57)["sentence"]
    assert level.startswith("dpo and sft cannot be told apart: dpo wins on 52 % of prompts [47–57], at")


def test_a_gain_that_is_not_sure_at_equal_length_is_warned_of():
    warned = said(win_rate_controlled=0.51, win_rate_controlled_low=0.455, win_rate_controlled_high=0.56)
    assert warned["warning"] == "at equal length dpo wins 51 % [46–56]: its gain may be nothing but length"


def test_a_gain_that_is_there_at_equal_length_and_not_yet_sure_wants_more_prompts():
    warned = said(win_rate_controlled=0.6, win_rate_controlled_low=0.48, win_rate_controlled_high=0.71)
    assert warned["warning"] == "at equal length dpo wins 60 % [48–71]: more prompts would tell its gain from length"


def test_only_a_gain_is_warned_of():
    level = {"win_rate": 0.52, "win_rate_low": 0.47, "win_rate_high": 0.57}
    assert "warning" not in said(**level, win_rate_controlled_low=0.4)


def test_where_nothing_tells_length_from_quality_that_is_said():
    unknown = dict.fromkeys(("win_rate_controlled", "win_rate_controlled_low", "win_rate_controlled_high"))
    assert "by much the same amount: nothing tells length from quality" in said(**unknown)["warning"]


def test_figures_from_before_there_was_length_control_are_not_warned_of():
    plain = {key: value for key, value in DPO.items() if "controlled" not in key}
    assert set(told({"sft": SFT, "dpo": plain})["dpo"]) == {"sentence"}


def test_what_was_not_measured_is_left_out():
    assert said(kl=None, answer_length=None)["sentence"] == "dpo is preferred to sft on 63 % of prompts [58–68]"
    assert said(kl=0.123, answer_length=20.05)["sentence"].endswith(", at 0.12 nats, with answers as long")
    assert said(answer_length=15.0)["sentence"].endswith("with answers 25 % shorter")
    assert told({"sft": SFT, "dpo": {**DPO, "win_rate": None}}) == {}


def test_each_model_but_the_first_has_its_own():
    verdicts = {"sft": SFT, "dpo": DPO, "ppo": {**DPO, "win_rate_controlled_low": 0.49}}
    lines = as_lines(verdicts)
    assert [line.split()[0] for line in lines] == ["dpo", "ppo", "warning:"]
    written = with_sentences(verdicts)
    assert written["sft"] == SFT
    assert written["ppo"]["sentence"] == lines[1]
    assert f"warning: {written['ppo']['warning']}" == lines[2]


def test_it_is_said_in_chinese_too():
    def chinese(**changed):
        return told({"sft": SFT, "dpo": {**DPO, **changed}}, "zh")["dpo"]

    assert chinese() == {"sentence": "dpo 优于 sft：在 63% 的提示上胜出 [58–68]，KL 为 4.1 奈特，回答长 12%"}
    worse = chinese(win_rate=0.38, win_rate_low=0.33, win_rate_high=0.43, kl=None, answer_length=20.05)
    assert worse["sentence"] == "sft 优于 dpo：dpo 只在 38% 的提示上胜出 [33–43]，回答长度相同"
    warned = chinese(win_rate_controlled=0.51, win_rate_controlled_low=0.455, win_rate_controlled_high=0.56)
    assert warned["warning"] == "长度相同时，dpo 的胜率为 51% [46–56]：优势可能只来自长度"
