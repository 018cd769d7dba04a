"""Agreement on inputs whose figures can be derived in a line."""

import math

import numpy as np
import pytest
from feedback.ranked import ranking

from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.coefficients import (
    alpha,
    alpha_of_coincidences,
    alpha_of_pairs,
    alpha_of_ranks,
    blocks,
    gold_accuracy,
    kendall_w,
    pair_agreement,
    self_consistency,
    tau_b,
    tau_of_annotators,
)
from burnish.feedback.agreement.verdicts import FIRST, SECOND, TIE, readings, verdict, verdicts

DRAWS = Bootstrap(resamples=200)


def table(*rankings):
    return verdicts(readings(rankings))


def both(item, first, second, **known):
    return [ranking(item, "ann", first, **known), ranking(item, "bob", second, **known)]


def test_a_verdict_follows_from_two_places():
    assert [verdict((0, 1, 1), *pair) for pair in [(0, 1), (1, 2), (2, 0)]] == [FIRST, TIE, SECOND]


def test_an_annotators_first_ranking_of_an_item_is_their_reading_of_it():
    ranked = [ranking(place_K=(0, 1), saved=1.0), ranking(place_K=(1, 0), saved=2.0, kind="repeat")]
    assert readings(reversed(ranked))["item"]["ann"].place_K == (0, 1)


@pytest.mark.parametrize("known", [{"kind": "gold"}, {"layer": "judge"}, {"layer": "adjudicated"}, {"task": "pick"}])
def test_gold_items_judges_and_picks_are_no_peoples_opinions_of_drawn_items(known):
    assert readings([ranking(**known)]) == {}


def test_agreement_without_ties_asks_only_where_both_decided():
    """Two of three pairs are said alike with ties counted, one of one without."""
    agreement = pair_agreement(table(*both("i", (0, 1, 1), (0, 0, 0)), *both("j", (0, 1, 1), (0, 1, 1))), DRAWS)
    assert agreement.with_ties.value == pytest.approx((1 / 3 + 1) / 2)
    assert agreement.without_ties.value == 1.0


def test_a_prompt_counts_once_however_many_items_ask_it():
    same = [one for n in range(9) for one in both(f"i{n}", (0, 1), (0, 1), prompt="often")]
    agreement = pair_agreement(table(*same, *both("j", (0, 1), (1, 0), prompt="once")), DRAWS)
    assert agreement.with_ties.value == 0.5
    assert agreement.with_ties.clusters == 2


def test_items_that_were_drawn_twice_as_likely_weigh_half():
    """One item in agreement drawn with propensity 2, one in dispute drawn with 1: (½ · 1 + 1 · 0) / 1½."""
    drawn = [*both("i", (0, 1), (0, 1), propensity=2.0, kind="active"), *both("j", (0, 1), (1, 0))]
    assert pair_agreement(table(*drawn), DRAWS).with_ties.value == pytest.approx(1 / 3)


def test_what_only_one_person_ranked_says_nothing_of_agreement():
    found = pair_agreement(table(ranking()), DRAWS)
    assert math.isnan(found.with_ties.value)
    assert math.isnan(alpha_of_pairs(table(ranking()), DRAWS).value)


def test_alpha_is_one_where_all_agree_and_below_zero_where_two_always_differ():
    alike = table(*both("i", (0, 1, 2), (0, 1, 2)), *both("j", (2, 1, 0), (2, 1, 0)))
    apart = table(*both("i", (0, 1), (1, 0)), *both("j", (0, 1), (1, 0)))
    assert alpha_of_pairs(alike, DRAWS).value == 1.0
    assert alpha_of_pairs(apart, DRAWS).value == pytest.approx(1 - 1 / (2 / 3))  # of 4 values 2 differ from each


def test_alpha_is_undefined_where_only_one_value_was_ever_given():
    assert math.isnan(alpha(np.array([[2.0, 0.0, 0.0], [3.0, 0.0, 0.0]])))


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_a_resamples_alpha_is_what_the_library_gives_for_its_units(level):
    """The items of a draw written out, one of them three times, one left out."""
    counts_UC = np.random.default_rng(7).integers(0, 4, (6, 5)).astype(float)
    counts_UC[:, 0] += 2
    given_UCC = counts_UC[:, :, None] * (counts_UC[:, None, :] - np.eye(5)) / (counts_UC.sum(axis=1)[:, None, None] - 1)
    often_U = np.array([3, 0, 1, 1, 1, 0])
    drawn = alpha_of_coincidences(np.tensordot(often_U, given_UCC, 1)[None], level)
    assert drawn == pytest.approx([alpha(np.repeat(counts_UC, often_U, axis=0), level)])


def test_alpha_of_guessing_is_about_zero_and_its_interval_covers_it():
    guess = np.random.default_rng(1)
    ranked = [one for n in range(400) for one in both(str(n), *(tuple(guess.permutation(2)) for _ in range(2)))]
    found = alpha_of_pairs(table(*ranked), DRAWS)
    assert found.low < 0 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(400), rel=0.2)  # α of coins: a mean of ±1


def test_alpha_on_ranks_keeps_numbers_of_answers_apart():
    ranked = [*both("i", (0, 1, 2), (0, 1, 2)), *both("j", (0, 1), (1, 0)), *both("k", (0, 0), (0, 1))]
    found = alpha_of_ranks(readings(ranked), DRAWS)
    assert set(found) == {2, 3}
    assert found[3].value == 1.0
    assert found[2].value < 0


def test_tau_of_a_single_tie_is_undefined():
    assert math.isnan(tau_b((0, 0, 0), (0, 1, 2)))


def test_tau_of_two_annotators_is_the_mean_over_their_items():
    ranked = [*both("i", (0, 1, 2), (0, 1, 2)), *both("j", (0, 1, 2), (2, 1, 0)), *both("k", (0, 0), (0, 1))]
    (found,) = tau_of_annotators(readings(ranked))
    assert (found.first, found.second, found.tau_b, found.items, found.undefined) == ("ann", "bob", 0.0, 3, 1)


def test_w_is_one_where_all_give_one_order_and_zero_where_two_are_opposed():
    assert kendall_w([(0, 1, 2, 2)] * 3) == pytest.approx(1.0)
    assert kendall_w([(0, 1, 2), (2, 1, 0)]) == pytest.approx(0.0)


def test_w_of_two_is_spearmans_correlation_moved_to_between_zero_and_one():
    """W = (ρ + 1) / 2 for two rankings (Kendall 1948); here ρ = 1 - 6 · 2 / (3 · 8) = ½."""
    assert kendall_w([(0, 1, 2), (1, 0, 2)]) == pytest.approx(0.75)


def test_a_block_is_what_the_same_annotators_ranked_whole():
    ranked = [*both("i", (0, 1, 2), (0, 1, 2)), *both("j", (0, 1, 2), (2, 1, 0)), ranking("k", "ann", (0, 1, 2))]
    (block,) = blocks(readings(ranked))
    assert (block.annotators, block.answers, block.items, block.w) == (("ann", "bob"), 3, 2, pytest.approx(0.5))


def test_consistency_compares_a_repeat_with_its_own_first_ranking():
    again = [
        ranking(place_K=(0, 1, 2), saved=1.0),
        ranking(place_K=(0, 2, 1), saved=2.0, kind="repeat"),
        ranking(annotator="bob", place_K=(2, 1, 0), saved=3.0),
    ]
    found = self_consistency(again)
    assert set(found) == {"ann"}
    assert found["ann"].with_ties == found["ann"].without_ties == pytest.approx(2 / 3)
    assert found["ann"].tau_b == pytest.approx(1 / 3)


def test_gold_is_right_where_the_best_answer_is_one_of_the_known_best():
    asked = [
        ranking("i", place_K=(0, 1, 2), gold_K=(0, 0, 1), kind="gold"),
        ranking("j", place_K=(1, 1, 0), gold_K=(0, 0, 1), kind="gold"),
    ]
    gold = gold_accuracy(asked)["ann"]
    assert (gold.items, gold.right, gold.accuracy) == (2, 1, 0.5)
    assert gold.pairs == 0.5  # of gold's two decided pairs an item, all of the first and none of the second


def test_the_interval_of_a_mean_is_that_of_the_normal_law_for_many_prompts():
    value_G = np.tile([0.0, 1.0], 500)
    found = Bootstrap(resamples=2000).mean(value_G)
    assert (found.low, found.high) == pytest.approx(
        (0.5 - 1.96 * 0.5 / 1000**0.5, 0.5 + 1.96 * 0.5 / 1000**0.5), abs=4e-3
    )


def test_the_same_seed_draws_the_same_interval():
    value_G = np.arange(20.0)
    assert Bootstrap(100).mean(value_G) == Bootstrap(100).mean(value_G)
    assert Bootstrap(100).mean(value_G) != Bootstrap(100, seed=1).mean(value_G)
