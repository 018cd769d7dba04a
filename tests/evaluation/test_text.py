"""Figures of wording."""

from burnish.evaluation.text import answer_length, distinct_2, repetition, unique_answers


def test_distinct_2_counts_pairs_over_all_answers():
    """a b, b a and a b again: two of three are distinct. No pair crosses from one answer to the next."""
    assert distinct_2(["a b a", "a b"]) == 2 / 3


def test_one_sentence_for_every_prompt_is_not_varied():
    assert unique_answers(["A fine film.", "a  fine film.", "Dull.", "a fine film."]) == 0.5


def test_repetition_is_a_mean_over_answers():
    """Six words 'so so so so so so' have four runs, one distinct: ¾. The other answer repeats nothing."""
    assert repetition(["so so so so so so", "a fine film"]) == 0.75 / 2


def test_length_is_a_mean_over_answers():
    assert answer_length([[3, 5], [1]]) == 3.0


def test_no_answers_have_no_variety():
    assert distinct_2([]) == unique_answers([]) == repetition([]) == answer_length([]) == 0.0
    assert distinct_2(["", "word"]) == 0.0
