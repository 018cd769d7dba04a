"""Pace, contradictions and flags, on rankings made by hand."""

import math

import pytest
from feedback.ranked import ranking

from burnish.feedback.agreement.conduct import Limits, active_items_an_hour, conduct, is_too_fast, transitivity


def test_a_pause_of_more_than_two_minutes_is_not_work():
    """Gaps of 60, 120, 600 and 60 s: three items in 240 s."""
    assert active_items_an_hour([0, 60, 180, 780, 840]) == pytest.approx(3600 * 3 / 240)


def test_one_ranking_shows_no_pace():
    assert math.isnan(active_items_an_hour([5.0]))


def test_figures_of_an_annotator_follow_from_their_rankings():
    ranked = [
        ranking("i", place_K=(0, 0, 1), seconds=20.0, acceptable=0, saved=0.0),
        ranking("j", place_K=(0, 1), seconds=40.0, acceptable=1, saved=90.0),
        ranking("k", place_K=(0, 1), seconds=None, saved=120.0),
    ]
    found = conduct(ranked)["ann"]
    assert found.rankings == 3
    assert found.median_seconds == 30.0
    assert found.tie_rate == pytest.approx(1 / 5)
    assert found.none_acceptable_rate == pytest.approx(1 / 3)
    assert found.active_items_an_hour == pytest.approx(3600 * 2 / 120)
    assert found.flags == ()


def test_a_fifth_of_the_reading_time_is_too_fast():
    """Two answers of 6,000 characters are 2,000 words: 300 s at 400 words a minute, a fifth is 60 s."""
    known = {"length_K": (6000, 6000)}
    assert is_too_fast(ranking(seconds=59.0, **known), Limits())
    assert not is_too_fast(ranking(seconds=61.0, **known), Limits())
    assert is_too_fast(ranking(seconds=2.9), Limits())
    assert not is_too_fast(ranking(seconds=None), Limits())


def test_whoever_always_prefers_what_stands_first_is_flagged():
    first = [ranking(str(n), place_K=(1, 0), shown_K=(1, 0), seconds=60.0) for n in range(10)]
    assert conduct(first)["ann"].flags == ("constant position: A is best in 10 of 10",)
    assert conduct(first[:9])["ann"].flags == ()


def test_whoever_misses_gold_is_flagged_and_nothing_is_left_out():
    asked = [ranking(str(n), place_K=(1, 0), gold_K=(0, 1), kind="gold") for n in range(3)]
    found = conduct(asked)["ann"]
    assert found.flags == ("gold: 3 of 3 wrong",)
    assert found.rankings == 3


def insertion(*comparisons, answers=4):
    return ranking(place_K=tuple(range(answers)), mode="insertion", comparisons=comparisons)


def test_a_question_that_the_answers_before_it_decide_tests_transitivity():
    assert transitivity([insertion((0, 1, ">"), (1, 2, "="), (0, 2, ">"))]) == (1, 1)
    assert transitivity([insertion((0, 1, ">"), (1, 2, "="), (0, 2, "="))]) == (0, 1)
    assert transitivity([insertion((0, 1, ">"), (0, 2, ">"), (1, 2, "<"))]) == (0, 0)


def test_the_same_question_turned_round_is_redundant():
    assert transitivity([insertion((0, 1, ">"), (1, 0, "<"))]) == (1, 1)


def test_what_was_implied_holds_through_a_chain():
    """D > C > B > A by three answers; then A against D."""
    assert transitivity([insertion((1, 0, ">"), (2, 1, ">"), (3, 2, ">"), (0, 3, "<"))]) == (1, 1)


def test_placing_asks_nothing_twice():
    assert transitivity([ranking(comparisons=())]) == (0, 0)
