"""Each edit does what its name says, in scripts with spaces and without, and does nothing where it could not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.evaluation.twins import EDITS, sentences, worse_twins

ENGLISH = "Rome is old. It has seven hills! Who built it?"
CHINESE = "罗马很古老。它有七座山丘！是谁建的？"


def twin(name: str, text: str, seed: int = 0) -> str | None:
    return EDITS[name](text, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "text, parts",
    [
        (ENGLISH, ["Rome is old.", "It has seven hills!", "Who built it?"]),
        (CHINESE, ["罗马很古老。", "它有七座山丘！", "是谁建的？"]),
        ('He said "Stop." Then he left', ['He said "Stop."', "Then he left"]),
        ("It costs 3.50 here... Or more.", ["It costs 3.50 here...", "Or more."]),
        ("first line\nsecond line\n\nthird", ["first line", "second line", "third"]),
        ("  \n ", []),
    ],
)
def test_sentences_end_with_their_marks_or_lines(text: str, parts: list[str]):
    assert sentences(text) == parts


@given(st.text(alphabet="ab .!?\n。！”", max_size=60))
def test_sentences_lose_nothing_but_space(text: str):
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_the_last_sentence_stands_there_once_more():
    assert twin("repeated_sentence", ENGLISH) == ENGLISH + " Who built it?"
    assert twin("repeated_sentence", CHINESE) == CHINESE + "是谁建的？"


def test_the_opener_flatters_in_the_answer_s_language():
    assert twin("flattering_opener", ENGLISH) == (twin("flattering_opener", "x") or "")[:-1] + ENGLISH
    assert (twin("flattering_opener", ENGLISH) or "").startswith("What a wonderful question!")
    assert (twin("flattering_opener", CHINESE) or "").startswith("这个问题问得太好了！")


def test_the_double_is_the_answer_twice():
    assert twin("doubled_length", ENGLISH + "\n") == f"{ENGLISH}\n\n{ENGLISH}"


def test_a_list_has_an_item_a_sentence():
    assert twin("lists", ENGLISH) == "- Rome is old.\n- It has seven hills!\n- Who built it?"


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_shuffled_sentences_are_the_same_in_another_order(text: str):
    for seed in range(20):
        shuffled = twin("shuffled_sentences", text, seed)
        assert shuffled is not None
        assert sentences(shuffled) != sentences(text)
        assert sorted(sentences(shuffled)) == sorted(sentences(text))


def test_the_other_language_is_of_another_script_and_about_as_long():
    assert not set(twin("other_language", ENGLISH) or "x") & set("abcdefghijklmnopqrstuvwxyz")
    assert set(twin("other_language", CHINESE) or "") <= set(map(chr, range(128)))
    long = ENGLISH * 20
    assert len(twin("other_language", long) or "") == pytest.approx(len(long) / 2, abs=2)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_the_end_is_cut_inside_the_last_sentence(text: str):
    cut = twin("cut_end", text)
    assert cut is not None
    assert text.startswith(cut)
    assert sentences(cut)[:-1] == sentences(text)[:-1]
    assert 0 < len(sentences(cut)[-1]) < len(sentences(text)[-1])


@pytest.mark.parametrize(
    "name, text",
    [
        ("lists", "One sentence."),
        ("lists", "- one\n- two"),
        ("shuffled_sentences", "Ha. Ha."),
        ("cut_end", "No"),
        *[(name, " \n") for name in EDITS],
    ],
)
def test_where_an_edit_would_change_nothing_there_is_no_twin(name: str, text: str):
    assert twin(name, text) is None


@given(st.text(max_size=80))
def test_no_twin_is_the_answer_itself_or_blank(text: str):
    for made in worse_twins(text, np.random.default_rng(0)).values():
        assert made.strip()
        assert made.strip() != text.strip()
