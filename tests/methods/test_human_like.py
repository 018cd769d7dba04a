"""A verdict beside people's own answers: every model has the figure, and what is missing is told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import ConfigError, DataError
from burnish.evaluation.told_apart import FEWEST
from burnish.evaluation.verdict import Measured
from burnish.methods.evaluate import EvaluateConfig, evaluate
from burnish.methods.human_like import told_by_people
from burnish.methods.verdicts import Compared
from burnish.rollout.settings import Sampling
from burnish.types import Answer, Group, Message

PROMPTS = [Group(f"{i} + {i} = ", origin=f"prompts:{i + 1}") for i in range(FEWEST + 2)]
PEOPLE = [replace(group, answers=(Answer(f"{2 * i}."),)) for i, group in enumerate(PROMPTS[:-2])]
CONFIG = EvaluateConfig(max_length=64, sampling=Sampling(max_new_tokens=8))


def by_length(prompts: Any, answers: list[str]) -> list[float]:
    return [float(len(answer)) for answer in answers]


def test_every_model_stands_beside_people(
    tiny_model: Path, other_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    models = {"first": tiny_model, "other": other_model}
    people = [replace(PEOPLE[0], prompt=(Message("user", "0 + 0 = "),)), *PEOPLE[1:]]  # the same prompt, as a turn
    figures = evaluate(models, PROMPTS, CONFIG, by=by_length, out=tmp_path, people=people)
    for name in models:
        assert figures[name]["told_apart"] > 0.9, "random bytes are no sums"
        assert figures[name]["told_apart_prompts"] == FEWEST
    assert {"win_rate", "told_apart_low", "told_apart_by_length"} <= figures["first"].keys()
    assert json.loads((tmp_path / "verdict.json").read_text())["other"]["told_apart"] == figures["other"]["told_apart"]
    told = capsys.readouterr().err
    assert f"people: 2 of {len(PROMPTS)} prompts have no answer by people" in told
    assert "answers of first were cut by their length" in told


def test_without_people_nothing_changes(tiny_model: Path, tmp_path: Path):
    alone = evaluate({"one": tiny_model}, PROMPTS[:6], CONFIG, by=by_length, out=tmp_path)
    assert not any(name.startswith("told_apart") for name in alone["one"])


def test_few_prompts_are_refused(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="people: 5 of the prompts have an answer by people"):
        evaluate({"one": tiny_model}, PROMPTS[:6], CONFIG, by=by_length, out=tmp_path, people=PEOPLE[:5])


def test_so_are_those_that_are_few_for_want_of_room_before_any_model_is_asked(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    long = "0 + " * 40
    prompts, people = ([replace(rows[0], prompt=long), *rows[1:]] for rows in (PROMPTS[:FEWEST], PEOPLE))
    config = CONFIG.model_copy(update={"on_too_long": "skip"})
    with pytest.raises(ConfigError, match=f"people: {FEWEST - 1} of the prompts have an answer by people"):
        evaluate({"one": tiny_model}, prompts, config, by=by_length, out=tmp_path, people=people)
    assert "evaluate: one" not in capsys.readouterr().err


def test_rows_that_are_no_answer_by_a_person_are_refused(tiny_model: Path, tmp_path: Path):
    ranked = [replace(PEOPLE[0], answers=(Answer("0"), Answer("1")))]
    with pytest.raises(DataError, match=r"prompts:1: people: .* found 2 answers"):
        evaluate({"one": tiny_model}, PROMPTS[:6], CONFIG, by=by_length, out=tmp_path, people=ranked)


def test_a_prompt_is_asked_about_once_and_a_model_that_nobody_was_asked_about_has_no_figure(tmp_path: Path):
    """A prompt that is there as text and as a turn is one; where all texts are alike there is nothing to ask."""
    rows = [Group("2 + 2 = "), Group((Message("user", "2 + 2 = "),))]
    said = Measured([["4", "4"]] * 2, *[[[0.0, 0.0]] * 2] * 3, [[1, 1]] * 2, [[True, True]] * 2, 0.0, 0)
    found = Compared({"first": said, "other": said}, asked=[0, 1])
    figures = told_by_people(rows, found, {"2 + 2 = ": [" 4\n"]}, EvaluateConfig(), tmp_path)
    assert sorted(str(own["told_apart_by_people"]) for own in figures.values()) == ["0.5", "None"]
    assert not list(tmp_path.iterdir())
