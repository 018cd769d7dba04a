"""Texts for pretraining become rows of equal length."""

import pytest

from burnish.batch.texts import text_trees
from burnish.data.templates import resolve
from burnish.errors import DataError
from burnish.types import Answer, Group
from tests.data.conftest import byte_level


@pytest.fixture(scope="module")
def plain():
    return resolve(byte_level(), "none")


def text_of(text):
    return Group("", (Answer(text),), origin="rows.jsonl:7")


def test_texts_are_joined_with_the_end_of_text_and_cut_into_rows(plain):
    texts = ["The quick brown fox jumps.", "今天天气很好", "What is the answer?"]
    report = text_trees([text_of(text) for text in texts], plain, max_length=7)
    end = plain.tokenizer.eos_token_id
    joined = [token for text in texts for token in [*plain.tokenizer.encode(text), end]]
    rows = [tree.branches[0] for tree in report.trees]
    assert [token for row in rows for token in row.tokens] == joined
    assert all(len(row.tokens) == 7 for row in rows[:-1])
    assert all(tree.prompt == () for tree in report.trees)
    assert all(row.learned == (False,) + (True,) * (len(row.tokens) - 1) for row in rows)


def test_a_text_with_a_control_token_in_it_stays_one_text(plain):
    report = text_trees([text_of("one<|endoftext|>two")], plain, max_length=100)
    assert report.trees[0].branches[0].tokens.count(plain.tokenizer.eos_token_id) == 1


def test_prompts_are_no_texts(plain):
    with pytest.raises(DataError, match=r"rows.jsonl:7: pretraining reads texts"):
        text_trees([Group("What?", (Answer("Yes."),), origin="rows.jsonl:7")], plain, max_length=100)
