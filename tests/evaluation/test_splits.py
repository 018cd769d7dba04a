"""The demo's split: by the sentence alone, whole sentences, in the stated shares."""

import pytest

from burnish.evaluation.splits import SHARES, VERSE_SHARES, demo_split, evenly, share

both_demos = pytest.mark.parametrize("shares", [SHARES, VERSE_SHARES])


@both_demos
def test_the_shares_are_a_whole(shares):
    assert abs(sum(shares.values()) - 1) < 1e-12


def test_spellings_of_one_sentence_stay_together():
    for number in range(200):
        assert demo_split(f"It's film {number}, really!") == demo_split(f"its FILM  {number} really")


@both_demos
def test_parts_have_their_shares(shares):
    counts = dict.fromkeys(shares, 0)
    for number in range(4000):
        counts[demo_split(f"sentence {number}", shares)] += 1
    for part, size in shares.items():
        deviation = (4000 * size * (1 - size)) ** 0.5
        assert abs(counts[part] - 4000 * size) < 4 * deviation


def test_two_purposes_draw_independently():
    both = sum(share(f"s {n}", "split") < 0.5 and share(f"s {n}", "opening") < 0.5 for n in range(4000))
    assert abs(both - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5


def test_a_few_of_many_are_spread_over_them():
    assert evenly(500, 10) == [0, 50, 100, 150, 200, 250, 300, 350, 400, 450]
    assert evenly(3, 10) == [0, 1, 2]
