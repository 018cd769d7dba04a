"""The judges of verse that ship: a poet's couplet beats a spoilt one, and there is nothing that beats a good one."""

import json
import math
import random
from dataclasses import replace
from importlib import resources

import pytest

from burnish.errors import ConfigError, DataError
from burnish.evaluation.splits import VERSE_SHARES, demo_split
from burnish.rewards.judges import judge_of, load_judge, save_judge, shipped
from burnish.rewards.prosody import clauses
from burnish.rewards.verse import (
    DRAWN,
    SIGNS,
    SPOILERS,
    Company,
    Verse,
    couplets,
    fit_verse,
    followed,
    from_json,
    to_json,
)
from burnish.types import Message

A, B = "verse-a", "verse-b"
both = pytest.mark.parametrize("name", [A, B])


@pytest.fixture(scope="module")
def heldout():
    text = resources.files("burnish").joinpath("assets/demo-zh/heldout_couplets.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [(row["prompt"], row["response"]) for row in rows]


def share_lost(judge, pairs, texts):
    """Share of openings to which a text is scored below what the poet wrote."""
    lost = [
        judge.score(opening, text) < judge.score(opening, poet)
        for (opening, poet), text in zip(pairs, texts, strict=True)
    ]
    return sum(lost) / len(lost)


@both
@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_spoilt_couplet_loses_to_the_poets(name, spoil, heldout):
    generator = random.Random(1)
    pool = [couplet for _, couplet in heldout]
    pairs = heldout[:100]
    spoilt = [spoil(opening, couplet, pool, generator) for opening, couplet in pairs]
    assert share_lost(shipped(name), pairs, spoilt) > 0.7


@both
def test_what_is_empty_copied_or_said_again_and_again_loses(name, heldout):
    judge, pairs = shipped(name), heldout[:100]
    for spoil in (
        lambda opening, couplet: "",
        lambda opening, couplet: opening,
        lambda opening, couplet: couplet + couplet,
        lambda opening, couplet: "".join(couplet[-2] if sign not in "，。" else sign for sign in couplet),
        lambda opening, couplet: couplet[-2] * 30,
    ):
        assert share_lost(judge, pairs, [spoil(*pair) for pair in pairs]) > 0.9


@both
def test_fine_words_that_rhyme_do_not_win(name, heldout):
    """A list of nature's characters with the poet's own rhyme: measure and rhyme alone are not enough."""
    pairs = heldout[:100]
    listed = ["山水风月花，江云雪雨" + couplet[-2] + "。" for _, couplet in pairs]
    assert share_lost(shipped(name), pairs, listed) > 0.7


@both
def test_each_sign_lowers_a_score_and_no_score_is_above_the_bias(name, heldout):
    judge = shipped(name)
    used = SIGNS if name == B else SIGNS[:-1]
    assert all(weight < 0 for weight in judge.weight[: len(used)])
    assert all(sign >= 0 for opening, couplet in heldout[:50] for sign in judge.signs(opening, couplet))
    assert max(judge.score(opening, couplet) for opening, couplet in heldout) <= judge.bias


@pytest.mark.parametrize("name, part", [(A, "judge_a"), (B, "judge_b")])
def test_a_judge_learned_from_the_poems_of_its_part(name, part):
    assert {demo_split("".join(poem), VERSE_SHARES) for poem in shipped(name).poems} == {part}


def test_the_judges_know_no_clause_in_common():
    known = [
        {clause for poem in shipped(name).poems for couplet in poem for clause in clauses(couplet)} for name in (A, B)
    ]
    assert not known[0] & known[1]


def test_fitting_its_poems_again_gives_the_same_judge():
    judge = shipped(A)
    assert fit_verse(judge.poems, company=False) == judge


@both
def test_a_file_keeps_every_score(name, tmp_path, heldout):
    judge = replace(shipped(name), poems=shipped(name).poems[:40])
    save_judge(judge, tmp_path / "judge.json.gz")
    openings, poets = zip(*heldout[:20], strict=True)
    assert load_judge(tmp_path / "judge.json.gz")(openings, poets) == judge(openings, poets)


def test_the_last_turn_of_a_conversation_is_the_opening(heldout):
    (opening, couplet), judge = heldout[0], shipped(A)
    turns = (Message("user", "作诗"), Message("assistant", "好"), Message("user", opening))
    assert judge([turns, opening], [couplet, couplet]) == [judge.score(opening, couplet)] * 2


def test_company_is_the_log_ratio_to_chance():
    """Three times a clause 山 and a clause 水: they meet 3 times, and by chance they would 1.5 times."""
    company = Company([["山，水。"]] * 3)
    assert company.mean("山，", "水。") == pytest.approx(math.log((3 + DRAWN) / (1.5 + DRAWN)), rel=1e-5)
    assert company.mean("山，", "山。") == 0  # who returns is told by `returns`
    assert company.mean("山，", "火。") == 0  # nobody knows 火


def test_couplets_follow_each_other_two_by_two():
    poem = couplets("甲，乙。丙，丁。戊，己。")
    assert poem == ["甲，乙。", "丙，丁。", "戊，己。"]
    assert followed(poem) == [("甲，乙。", "丙，丁。")]


def test_a_judge_needs_poems():
    with pytest.raises(ConfigError, match="at least 50 quatrains; found 2"):
        fit_verse([["甲，乙。", "丙，丁。"]] * 4, company=False)


@pytest.mark.parametrize(
    "change",
    [{"bias": "x"}, {"bias": math.nan}, {"usual": [1]}, {"weight": {"shape": -1}}, {"poems": []}, {"poems": None}],
)
def test_a_file_that_is_no_judge_of_verse_is_told(change):
    value = to_json(Verse((("甲，乙。",),), (0.0, 0.0), 1.0, (-1.0,) * len(SIGNS)))
    with pytest.raises(DataError, match="no judge of verse"):
        from_json(value | change)


def test_a_judge_of_verse_is_found_by_its_kind():
    assert isinstance(
        judge_of(resources.files("burnish").joinpath(f"assets/judges/{A}.json.gz").read_bytes(), A), Verse
    )
