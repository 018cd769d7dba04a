"""Records of one kind become another where that loses nothing, and what is written is read back as it was."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.data.convert import record, to_kind, write
from burnish.data.read import examine, read
from burnish.errors import ConfigError, DataError, WriteFailed
from burnish.types import Answer, Group, Message

REAL = Path(__file__).parent / "real"
RANKED = Group("a", (Answer("b"), Answer("c"), Answer("d")), order=((2,), (0, 1)), id="x", origin="f:1")
PAIR = Group("a", (Answer("b"), Answer("c")), order=((0,), (1,)), id="x", origin="f:1")
SCORED = Group("a", (Answer("b", score=0.5), Answer("c", score=2.0), Answer("d", score=0.5)), id="x", origin="f:1")


def texts(groups):
    return [[answer.text for answer in group.answers] for group in groups]


def test_a_ranking_gives_a_comparison_for_each_pair_that_it_decides():
    pairs = to_kind([RANKED], "ranking", "comparison")
    assert texts(pairs) == [["d", "b"], ["d", "c"]]  # b and c tie, so they make none
    assert all(pair.order == ((0,), (1,)) for pair in pairs)
    assert [pair.id for pair in pairs] == ["x#2>0", "x#2>1"]


def test_a_full_tie_gives_no_comparison():
    tie = replace(PAIR, order=((0, 1),))
    assert texts(to_kind([tie, PAIR], "ranking", "comparison")) == [["b", "c"]]
    with pytest.raises(DataError, match="every ranking is one single tie"):
        to_kind([tie], "ranking", "comparison")


def test_the_best_answer_is_the_demonstration():
    assert texts(to_kind([RANKED, PAIR], "ranking", "demonstration")) == [["d"], ["b"]]
    assert texts(to_kind([PAIR], "comparison", "demonstration")) == [["b"]]
    assert texts(to_kind([SCORED], "sample", "demonstration")) == [["c"]]
    assert texts(to_kind([replace(SCORED, answers=SCORED.answers[:1])], "sample", "demonstration")) == [["b"]]


def test_samples_are_ranked_by_their_scores():
    (ranked,) = to_kind([SCORED], "sample", "ranking")
    assert ranked.order == ((1,), (0, 2))
    assert texts(to_kind([SCORED], "sample", "comparison")) == [["c", "b"], ["c", "d"]]
    with pytest.raises(DataError, match="the samples have no scores"):
        to_kind([replace(SCORED, answers=(Answer("b"), Answer("c")))], "sample", "ranking")


def test_judgements_come_from_pairs_scores_and_what_was_acceptable():
    liked, other = to_kind([PAIR], "comparison", "judgement")
    assert (liked.answers[0].label, other.answers[0].label) == (True, False)
    acceptable = replace(RANKED, order=((2,), (0,), (1,)), extra={"acceptable": 2})
    told = to_kind([acceptable], "ranking", "judgement")
    assert [(row.answers[0].text, row.answers[0].label) for row in told] == [("d", True), ("b", True), ("c", False)]
    assert [row.answers[0].score for row in to_kind([SCORED], "sample", "judgement")] == [0.5, 2.0, 0.5]
    with pytest.raises(DataError, match="rankings need `acceptable`"):
        to_kind([RANKED], "ranking", "judgement")


def test_what_was_judged_good_can_be_imitated():
    rows = [Group("a", (Answer("b", label=label),)) for label in (True, False)]
    assert texts(to_kind(rows, "judgement", "demonstration")) == [["b"]]


def test_prompts_are_taken_once():
    votes = read(REAL / "pandalm_votes.jsonl")
    assert (len(votes), len(to_kind(votes, "ranking", "prompt"))) == (18, 6)
    assert all(group.answers == () for group in to_kind(votes, "ranking", "prompt"))


def test_what_cannot_be_said_is_refused():
    with pytest.raises(DataError, match=r"holds text records, and ranking records cannot be made.*nothing else"):
        to_kind([Group("", (Answer("a"),))], "text", "ranking")
    with pytest.raises(ConfigError, match="kind: pairs"):
        to_kind([PAIR], "comparison", "pairs")


# ---- writing


@pytest.mark.parametrize("file", sorted(REAL.glob("*.jsonl")), ids=lambda file: file.stem)
def test_real_rows_come_back_as_they_were_written(tmp_path, file):
    reading = examine(file)
    if not reading.groups:
        pytest.skip("only a bad row")
    path = tmp_path / "rows.jsonl"
    assert write(reading.groups, reading.kind, path) == len(reading.groups)
    again = examine(path)
    assert (again.kind, again.bad) == (reading.kind, ())
    for before, after in zip(reading.groups, again.groups, strict=True):
        assert (after.prompt, after.answers, after.order) == (before.prompt, before.answers, before.order)
        assert after.extra == before.extra
        assert after.id == (before.id if before.id != before.origin else after.origin)


TURNS = (Message("user", "a"), Message("assistant", "b", {"tool_calls": [{"name": "f"}]}), Message("tool", "1"))


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("demonstration", Group(TURNS, (Answer("c", extra={"reasoning_content": "hm"}),))),
        ("demonstration", Group(TURNS[:1], (Answer("b", later=(Message("user", "c"), Message("assistant", "d"))),))),
        ("demonstration", Group("a", (Answer("b", tokens=(1, 2), logprobs=(-1.0, -2.0), finished=True),))),
        (
            "comparison",
            Group("a", (Answer("b", later=TURNS[:1] + TURNS[1:2]), Answer("c")), order=((0,), (1,)), margin=1.5),
        ),
        ("comparison", Group("a", (Answer("b", tokens=(1,)), Answer("", tokens=(2,))), order=((0,), (1,)))),
        (
            "ranking",
            Group("a", (Answer("b", source="x"), Answer("c", source="y")), order=((0, 1),), extra={"flags": []}),
        ),
        ("sample", Group("a", (Answer("b", score=1.0, source="m"),), extra={"model": "m", "seed": 4})),
        ("judgement", Group("a", (Answer("b", label=False, score=0.25),))),
    ],
)
def test_whatever_a_group_holds_comes_back(tmp_path, kind, group):
    path = tmp_path / "rows.jsonl"
    write([group], kind, path)
    (again,) = read(path)
    assert (again.prompt, again.answers, again.order, again.margin) == (
        group.prompt,
        group.answers,
        group.order,
        group.margin,
    )
    assert again.extra == group.extra


def test_ranking_to_comparison_to_ranking_keeps_who_is_better(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write(to_kind([RANKED], "ranking", "comparison"), "comparison", path)
    again = read(path, kind="ranking")
    assert [(group.answers[0].text, group.answers[1].text) for group in again] == [("d", "b"), ("d", "c")]


def test_packed_files_are_equal_for_equal_rows(tmp_path):
    one, other = tmp_path / "one.jsonl.gz", tmp_path / "other.jsonl.gz"
    assert write([PAIR], "comparison", one) == write([PAIR], "comparison", other) == 1
    assert one.read_bytes() == other.read_bytes()
    assert json.loads(gzip.decompress(one.read_bytes())) == record(PAIR, "comparison")


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "rows.jsonl"

    def broken():
        yield PAIR
        raise DataError("stop")

    with pytest.raises(DataError, match="stop"):
        write(broken(), "comparison", path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="row 1 holds a number that is not finite"):
        write([Group("a", (Answer("b", score=float("nan")),))], "judgement", path)
    with pytest.raises(WriteFailed, match="cannot be written"):
        write([PAIR], "comparison", "/proc/nowhere/rows.jsonl")
