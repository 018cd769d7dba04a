"""Words that differ from another answer are marked, in any script; nothing of an answer is lost or becomes markup."""

import re
import time
from html import unescape

from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.evaluation.report.differences import marked


def test_words_that_the_other_does_not_have_are_marked():
    assert marked("a warm and funny film.", "a warm and moving film.") == "a warm and <mark>funny</mark> film."


def test_an_answer_that_says_the_same_has_no_mark():
    assert marked("the same words", "the same words") == "the same words"


def test_chinese_is_compared_by_character():
    assert marked("春风吹绿江南岸。", "春风又绿江南岸。") == "春风<mark>吹</mark>绿江南岸。"


def test_words_that_go_on_are_one_mark():
    assert marked("so it ends quite well now", "so it ends") == "so it ends <mark>quite well now</mark>"


def test_a_word_that_both_happen_to_have_between_two_differences_is_marked_with_them():
    """`the` stands in both, between other words."""
    shown = marked("we saw a dog near the old mill and left", "we saw a cat beside the new house and left")
    assert shown == "we saw a <mark>dog near the old mill</mark> and left"


def test_answers_with_hardly_anything_in_common_have_no_marks():
    assert "<mark>" not in marked("one two three four five six", "seven eight nine ten one twelve")


def test_markup_in_an_answer_stays_text():
    assert marked("a <b>bold</b> film here", "a plain film here") == "a <mark>&lt;b&gt;bold&lt;/b&gt;</mark> film here"


def test_an_answer_that_only_repeats_itself_is_compared_in_no_time():
    """Character by character there are two million pairs of equal ones."""
    began = time.perf_counter()
    assert marked("好" * 1500, "好" * 1400) == "好" * 1500
    assert time.perf_counter() - began < 1


TEXTS = st.text(alphabet="ab<>&\"' \n.,好春x_1é", max_size=60)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS, first=TEXTS)
def test_without_its_marks_it_is_the_answer(text, first):
    assert unescape(re.sub("</?mark>", "", marked(text, first))) == text
