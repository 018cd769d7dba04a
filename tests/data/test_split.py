"""No prompt stands on both sides of a split, and each falls where its hash says."""

import hashlib
from pathlib import Path

import pytest

from burnish.data.read import read
from burnish.data.split import position, prompt_key, split_by_prompt
from burnish.errors import ConfigError, DataError
from burnish.types import Answer, Group, Message

REAL = Path(__file__).parent / "real"


def rows(count, each=1):
    return [Group(f"prompt {number}", (Answer(str(copy)),)) for number in range(count) for copy in range(each)]


def test_rows_of_one_prompt_stay_together():
    train, held = split_by_prompt(rows(200, each=3), 0.2)
    assert not {group.prompt for group in train} & {group.prompt for group in held}
    assert len(train) + len(held) == 600


def test_a_share_is_met_about():
    _, held = split_by_prompt(rows(2000), 0.1)
    assert 150 < len(held) < 250  # 200 expected, deviation 13


def test_a_number_of_rows_is_met_exactly_where_prompts_are_single():
    train, held = split_by_prompt(rows(50), 7)
    assert (len(train), len(held)) == (43, 7)
    _, held = split_by_prompt(rows(50, each=3), 7)
    assert len(held) == 9  # three prompts of three rows


def test_the_side_of_a_prompt_does_not_depend_on_other_rows():
    some, more = rows(300), rows(600)
    held = {group.prompt for group in split_by_prompt(some, 0.3)[1]}
    held_of_more = {group.prompt for group in split_by_prompt(more[::-1], 0.3)[1]}
    assert held == {prompt for prompt in held_of_more if int(prompt.split()[1]) < 300}


def test_the_seed_moves_it():
    assert split_by_prompt(rows(100), 0.5, seed=1) != split_by_prompt(rows(100), 0.5, seed=2)
    assert split_by_prompt(rows(100), 0.5, seed=1) == split_by_prompt(rows(100), 0.5, seed=1)


def test_places_are_fixed_for_good():
    """blake2b of seed and prompt: a changed value would move rows between training and test in every user's data."""
    digest = hashlib.blake2b(b"0\0prompt 0", digest_size=8).digest()
    assert position("prompt 0") == int.from_bytes(digest, "big") / 2**64


def test_a_dialogue_is_known_by_its_first_user_turn():
    first = (Message("system", "s"), Message("user", "Hello  there"))
    assert prompt_key(Group(first)) == prompt_key(Group((*first, Message("assistant", "x"), Message("user", "y"))))
    assert prompt_key(Group(first)) == "Hello there"
    assert prompt_key(Group("", (Answer("a text"),))) == "a text"


def test_rows_can_stay_together_by_a_column():
    groups = read(REAL / "oasst_rankings.jsonl")
    train, held = split_by_prompt(groups, 1, by="tree")
    assert {group.extra["tree"] for group in held}.isdisjoint(group.extra["tree"] for group in train)
    with pytest.raises(DataError, match=r"oasst_rankings.jsonl:1: no field book to split by; found tree"):
        split_by_prompt(groups, 1, by="book")


def test_something_is_left_to_train_on():
    assert split_by_prompt(rows(3), 0) == (rows(3), [])
    assert len(split_by_prompt(rows(3), 0.01)[1]) == 1
    with pytest.raises(DataError, match="all 3 rows would be held out"):
        split_by_prompt(rows(3), 3)
    with pytest.raises(ConfigError, match="held_out: -1"):
        split_by_prompt(rows(3), -1)
