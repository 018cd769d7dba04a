"""Order of words is seen, whatever the words; more order than people write earns nothing."""

import json
import math

import pytest

from burnish.errors import DataError
from burnish.rewards import well_formed
from burnish.rewards.well_formed import Grammar, WellFormed, fit_grammar, signs

SENTENCES = [
    f"the {noun} of the {other} is {kind}."
    for noun in ("plot", "cast", "tone")
    for other in ("film", "story")
    for kind in ("thin", "fine", "grim", "warm")
]


def test_order_is_the_gain_over_single_words():
    """aa always opens and bb always follows: each has probability 1 there against ½ alone, a gain of log 2."""
    grammar = fit_grammar(["aa bb"] * 20)
    assert grammar.order("aa bb") == pytest.approx(math.log(2), rel=0.05)
    assert grammar.order("bb aa") < -0.5
    assert grammar.order("") == 0.0


def test_probabilities_after_any_context_sum_to_one():
    """Over the classes that were seen and one share for all that were not."""
    grammar = fit_grammar(SENTENCES)
    for history in (["^", "^"], ["^", "the"], ["of", "the"], ["never", "seen"]):
        seen = sum(grammar._probabilities(history, c)[1] for c in grammar.counts[()])
        unseen = grammar._probabilities(history, "never seen")[1]
        assert seen + unseen == pytest.approx(1.0)


def test_an_unseen_word_with_a_known_ending_is_no_surprise():
    """ "tin" is new, its ending is thin's."""
    grammar = fit_grammar(SENTENCES)
    assert grammar.order("the plot of the film is tin.") > grammar.order("the plot of the film is xyz.")


def test_more_order_than_usual_earns_nothing():
    judge = WellFormed(Grammar(frozenset(), {(): {"-aa": 1}}), usual=0.5, bias=1.0, weight=(-2.0, -1.0, -1.0, -1.0))
    assert signs("a film.", order=0.5, usual=judge.usual) == signs("a film.", order=3.0, usual=judge.usual)
    assert signs("a film.", order=-0.5, usual=0.5)[0] == 1.0


def test_what_returns_and_what_does_not_end_is_seen():
    """Of four runs of three words two stood before, of six longer words four; no mark at the end."""
    assert signs("really good really good really good", order=9.0, usual=0.0) == pytest.approx((0.0, 2 / 4, 4 / 6, 1.0))
    assert signs("", order=9.0, usual=0.0) == (0.0, 0.0, 0.0, 1.0)


def test_spoilt_sentences_score_lower():
    judge = well_formed.fit_well_formed(SENTENCES * 2)
    good = "the plot of the film is warm."
    assert judge.log_odds(good) > judge.log_odds("film the is plot warm the of.")
    assert judge.log_odds(good) > judge.log_odds("the plot of the")
    assert judge.log_odds(good) > judge.log_odds(f"{good} {good} {good}")


def test_the_same_sentences_give_the_same_judge():
    assert well_formed.fit_well_formed(SENTENCES) == well_formed.fit_well_formed(SENTENCES)


def test_a_file_keeps_every_score():
    judge = well_formed.fit_well_formed(SENTENCES)
    again = well_formed.from_json(json.loads(json.dumps(well_formed.to_json(judge))))
    assert [again.log_odds(text) for text in SENTENCES] == [judge.log_odds(text) for text in SENTENCES]


@pytest.mark.parametrize(
    "change", [{"weight": [1.0]}, {"usual": math.inf}, {"counts": {"a": {"b": 1}}}, {"counts": []}, {"bias": "x"}]
)
def test_what_is_no_judge_is_refused(change):
    value = well_formed.to_json(well_formed.fit_well_formed(SENTENCES)) | change
    with pytest.raises(DataError):
        well_formed.from_json(value)
