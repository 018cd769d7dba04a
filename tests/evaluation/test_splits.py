"""The demo's split: by the sentence alone, whole sentences, in the stated shares."""

from burnish.evaluation.splits import SHARES, demo_split, share


def test_the_shares_are_a_whole():
    assert abs(sum(SHARES.values()) - 1) < 1e-12


def test_spellings_of_one_sentence_stay_together():
    for number in range(200):
        assert demo_split(f"It's film {number}, really!") == demo_split(f"its FILM  {number} really")


def test_parts_have_their_shares():
    counts = dict.fromkeys(SHARES, 0)
    for number in range(4000):
        counts[demo_split(f"sentence {number}")] += 1
    for part, size in SHARES.items():
        deviation = (4000 * size * (1 - size)) ** 0.5
        assert abs(counts[part] - 4000 * size) < 4 * deviation


def test_two_purposes_draw_independently():
    both = sum(share(f"s {n}", "split") < 0.5 and share(f"s {n}", "opening") < 0.5 for n in range(4000))
    assert abs(both - 1000) < 4 * (4000 * 0.25 * 0.75) ** 0.5
