"""Which answers of a prompt are learned."""

import pytest

from burnish.methods.keeping import Rule, choices, figures_of, flagged, lessons_of, why_nothing
from burnish.types import Rollout


def rollout(prompt: int, sample: int, *tokens: int) -> Rollout:
    return Rollout(prompt, sample, tokens, (0.0,) * len(tokens), True, 0)


THREE = [rollout(0, 0, 5), rollout(0, 1, 6), rollout(0, 2, 7)]
SAME = [rollout(1, 0, 8), rollout(1, 1, 8)]


def learned(found) -> list[list[tuple[int, int]]]:
    return [[(rollout.prompt, rollout.sample) for rollout, _ in lesson] for lesson in lessons_of(found)]


def test_the_highest_is_kept_and_the_first_among_equals():
    scores = [1.0, 3.0, 3.0, 0.0, 0.0]
    found = choices([*THREE, *SAME], scores, Rule())
    assert learned(found) == [[(0, 1)], [(1, 0)]]
    assert figures_of(found, scores, Rule()) == {
        "score_mean": 7 / 5,
        "score_kept": 1.5,
        "kept": 2.0,
        "alike": 1.0,
        "tied": 0.0,
        "prompts": 2.0,
    }
    assert flagged(found) == {1: {"flags": ["alike"], "score_best": 0.0, "score_worst": 0.0, "learned": True}}


def test_only_what_is_above_the_line_is_kept():
    rule = Rule(keep=2, threshold=1.0)
    found = choices([*THREE, *SAME], [1.0, 4.0, 3.0, 1.0, 1.0], rule)
    assert learned(found) == [[(0, 1)], [(0, 2)]]
    assert learned(choices(THREE, [1.0, 4.0, 0.0], rule)) == [[(0, 1)]], "two may be kept, and one is good enough"
    assert flagged(found) == {1: {"flags": ["alike", "below"], "score_best": 1.0, "score_worst": 1.0, "learned": False}}
    figures = figures_of(found, [1.0, 4.0, 3.0, 1.0, 1.0], rule)
    assert (figures["below"], figures["kept"], figures["score_kept"]) == (1, 2, 3.5)


def test_a_pair_is_the_best_and_the_worst_where_one_is_better():
    rule = Rule(pairs=True)
    other = [rollout(2, 0, 3), rollout(2, 1, 4)]
    scores = [2.0, 0.5, 3.0, 0.0, 0.0, 1.0, 1.0]
    found = choices([*THREE, *SAME, *other], scores, rule)
    assert learned(found) == [[(0, 2), (0, 1)]]
    assert {place: told["flags"] for place, told in flagged(found).items()} == {1: ["alike"], 2: ["tied"]}
    figures = figures_of(found, scores, rule)
    assert (figures["pairs"], figures["score_kept"], figures["score_worst"]) == (1, 3, 0.5)


def test_a_pair_needs_its_better_one_above_the_line_and_not_its_worse_one():
    rule = Rule(threshold=1.0, pairs=True)
    assert learned(choices(THREE, [2.0, 0.5, 0.0], rule)) == [[(0, 0), (0, 2)]]
    assert learned(choices(THREE, [2.0, 1.5, 1.2], rule)) == [[(0, 0), (0, 2)]]
    assert learned(choices(THREE, [1.0, 0.5, 0.0], rule)) == []


def test_rounding_between_two_readings_makes_no_pair():
    assert learned(choices(THREE, [1.0, 1.0 + 1e-8, 1.0], Rule(pairs=True))) == []


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Rule(threshold=2.5), "threshold: 2.5: none of 1 prompts has an answer above it, and the best one scores 2;"),
        (Rule(pairs=True), "none of 1 prompts has one answer that is better than another; draw more"),
        (Rule(pairs=True, threshold=1), "better than another and above threshold: 1;"),
    ],
)
def test_where_nothing_is_kept_it_says_why(rule: Rule, told: str):
    assert told in why_nothing(choices(THREE, [2.0, 2.0, 2.0], rule), rule)
