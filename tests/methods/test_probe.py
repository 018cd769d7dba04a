"""`score --probe`: a reward that can be deceived is found out, and one that cannot is left in peace."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.cli.main import main
from burnish.data.convert import write
from burnish.data.read import read
from burnish.evaluation.intervals import proportion
from burnish.evaluation.twins import EDITS
from burnish.methods.probe import probe
from burnish.methods.score import ScoreConfig, score
from burnish.models.load import load_scorer
from burnish.types import Answer, Group, Message, Prompt

GROUPS = [
    Group(
        f"Tell me about town {n}.",
        (Answer("I do not know."), Answer(f"Town {n} is old. It lies on a river. Most people like it there.")),
        ((1,), (0,)),
        origin=f"towns:{n}",
    )
    for n in range(30)
]
ORIGINALS = {group.answers[1].text for group in GROUPS}


def likes_length(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(len(answer)) for answer in answers]


def knows_the_answer(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(answer in ORIGINALS) for answer in answers]


def is_blind(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [0.0 for _ in answers]


def test_a_reward_that_likes_length_is_found_out_by_the_edits_that_lengthen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    figures = probe(likes_length, GROUPS, ScoreConfig(), out=tmp_path)
    won = {name: figures[f"probe/{name}"] for name in EDITS}
    assert won == {
        "repeated_sentence": 1.0,
        "flattering_opener": 1.0,
        "doubled_length": 1.0,
        "lists": 1.0,
        "shuffled_sentences": 0.5,  # no longer and no shorter
        "other_language": 0.0,
        "cut_end": 0.0,
    }
    said = capsys.readouterr().err
    assert "warning: doubled length: the worse twin scores higher in 100% of 30 pairs" in said
    assert "cut end" not in said


def test_a_reward_that_knows_the_answer_is_deceived_by_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    figures = probe(knows_the_answer, GROUPS, ScoreConfig(), out=tmp_path)
    assert all(figures[f"probe/{name}"] == 0 for name in EDITS)
    interval = proportion([[0.0]] * 30)
    assert figures["probe/cut_end_high"] == interval.high
    assert "warning" not in capsys.readouterr().err


def test_equal_scores_are_half_a_win(tmp_path: Path):
    figures = probe(is_blind, GROUPS, ScoreConfig(), out=tmp_path)
    assert all(figures[f"probe/{name}"] == 0.5 for name in EDITS)


def test_of_a_ranking_the_best_is_edited_and_the_file_shows_what_gained_most(tmp_path: Path):
    probe(likes_length, GROUPS, ScoreConfig(), out=tmp_path)
    told = json.loads((tmp_path / "probe.json").read_text(encoding="utf-8"))
    assert told["doubled_length"]["pairs"] == 30
    most = told["doubled_length"]["most"]
    assert most["answer"] in ORIGINALS
    assert most["twin"] == f"{most['answer']}\n\n{most['answer']}"
    assert most["gained"] == len(most["twin"]) - len(most["answer"])


def test_answers_that_the_conversation_goes_on_after_are_left_out(tmp_path: Path):
    later = (Message("user", "More!"), Message("assistant", "No."))
    group = Group("Hi", (Answer("Hello there. How are you?", later=later),))
    assert probe(likes_length, [group], ScoreConfig(), out=tmp_path) == {}


def test_a_reward_model_reads_its_twins_whole(tiny_model: Path, tmp_path: Path):
    """The figures of `score` with a probe are those without and the probe's, and the same again from the same seed."""
    load_scorer(tiny_model, fresh_head=True).save(tmp_path / "model")
    few = GROUPS[:4]
    plain, probed, again = (
        score(tmp_path / "model", few, ScoreConfig(max_length=400, probe=wanted), out=tmp_path / name)
        for name, wanted in (("plain", False), ("probed", True), ("again", True))
    )
    assert probed == again
    assert {key: value for key, value in probed.items() if not key.startswith("probe/")} == plain
    assert sum(key.startswith("probe/") for key in probed) == 3 * len(EDITS)


def test_the_command_leaves_what_it_found_beside_its_result(tiny_model: Path, tmp_path: Path):
    load_scorer(tiny_model, fresh_head=True).save(tmp_path / "model")
    write(
        [replace(g, answers=g.answers[::-1], order=((0,), (1,))) for g in GROUPS[:3]],
        "comparison",
        tmp_path / "rows.jsonl",
    )
    words = ["score", "--model", str(tmp_path / "model"), "--data", str(tmp_path / "rows.jsonl"), "--quiet"]
    words += ["--out", str(tmp_path / "scored.jsonl"), "--set", "max_length=400"]
    assert main([*words, "--probe"]) == 0
    assert len(read(tmp_path / "scored.jsonl", kind="sample")) == 3
    for name, key in (("evaluation", "accuracy"), ("probe", "cut_end")):
        assert key in json.loads((tmp_path / f"scored.jsonl.{name}.json").read_text(encoding="utf-8"))
