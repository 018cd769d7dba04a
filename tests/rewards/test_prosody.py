"""The rules of regular verse, on couplets that everybody knows."""

import pytest

from burnish.rewards.prosody import clauses, discord, measure, readings, returns, shape, tone, unrhymed

STORK = "白日依山尽，黄河入海流。"  # 王之涣, 登鹳雀楼
FURTHER = "欲穷千里目，更上一层楼。"
SEVEN = "朝辞白帝彩云间，千里江陵一日还。"


def test_a_clause_is_a_run_of_chinese_characters():
    assert clauses(STORK) == ["白日依山尽", "黄河入海流"]
    assert clauses("river，𬸚鹤 and") == ["𬸚鹤"]
    assert clauses("") == []


def test_the_measure_is_the_openings():
    assert (measure(STORK), measure(SEVEN), measure("")) == (5, 7, 5)


@pytest.mark.parametrize(
    ("couplet", "edits"),
    [
        (FURTHER, 0),
        (FURTHER.replace("目", ""), 1),
        (FURTHER.replace("目", "目目"), 1),
        (FURTHER.replace("，", "。"), 1),
        (FURTHER.removesuffix("。"), 1),
        (FURTHER.replace("目", "x"), 1),
        (SEVEN, 4),
        (FURTHER + FURTHER, 12),
        ("", 12),
    ],
)
def test_each_edit_that_a_shape_lacks_counts_one(couplet, edits):
    assert shape(STORK, couplet) == edits


def test_a_character_that_stood_before_returns_and_one_said_twice_at_once_does_not():
    assert returns(STORK, FURTHER) == 0
    assert returns(STORK, "欲穷千里日，更上一层楼。") == 1 / 10  # 日 is in the opening
    assert returns(STORK, "欲穷千里目，更上千层楼。") == 1 / 10
    assert returns("白云千载空，", "悠悠") == 0
    assert returns(STORK, STORK) == 1
    assert returns(STORK, "") == 0


def test_a_rhyme_is_in_the_book_and_is_another_character():
    assert unrhymed(STORK, FURTHER) == 0  # 流 and 楼: 十一尤
    assert unrhymed(STORK, "欲穷千里目，更上一层流。") == 1
    assert unrhymed(STORK, "欲穷千里目，更上一层山。") == 1
    assert unrhymed(STORK, "") == 1
    assert unrhymed("", FURTHER) == 1


def test_a_character_of_two_readings_rhymes_by_either_and_has_no_tone_of_its_own():
    assert unrhymed("寒", "看") == unrhymed("汉", "看") == 0
    assert tone("看") == ""
    assert (tone("山"), tone("月"), tone("x")) == ("平", "仄", "")


def test_tones_that_alternate_are_no_discord():
    assert discord(STORK) == 0
    assert discord("山山山山山，山山山山山。") == 1
    assert discord("白日依日尽，黄河入海流。") == 1 / 3  # second and fourth of the first; the others differ
    assert discord("") == 1


def test_the_book_has_106_rhymes_of_which_30_are_level():
    rhymes = frozenset().union(*readings().values())
    assert len(rhymes) == 106
    assert sum(rhyme.startswith("平") for rhyme in rhymes) == 30
