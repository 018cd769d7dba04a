"""Words as judges count them."""

from burnish.rewards.words import repetition, runs, words


def test_marks_and_numbers_are_words_of_their_own():
    assert words("It's GREAT: 10 of 10!") == ["it's", "great", ":", "10", "of", "10", "!"]


def test_chinese_signs_count_one_by_one():
    assert words("好电影。really") == ["好", "电", "影", "。", "really"]


def test_runs_are_shorter_than_the_text_by_n_less_one():
    assert runs(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert runs(["a"], 2) == []


def test_a_text_said_twice_repeats_itself():
    """abcabc has the runs abc bca cab abc: one of four stood before."""
    assert repetition(list("abcabc")) == 0.25
    assert repetition(list("abcdef")) == 0.0
    assert repetition(["a", "b"]) == 0.0
