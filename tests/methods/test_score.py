"""`score`: what it writes is read again, and where people ranked, its scores are held to their order."""

import json
import math
from pathlib import Path

import pytest
import torch

from burnish.data.detect import FORMATS
from burnish.data.read import read
from burnish.feedback.records import Item
from burnish.feedback.scores import scores_of
from burnish.feedback.store import Store
from burnish.feedback.unsure import ask_about, uncertainty
from burnish.methods.reward import RewardConfig, reward
from burnish.methods.score import ScoreConfig, score
from burnish.models.load import load_scorer
from burnish.types import Answer, Group


@pytest.fixture(scope="module")
def fresh(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("score") / "model"
    load_scorer(tiny_model, fresh_head=True).save(folder)
    return folder


PLACE = {"max_length": 128, "template": "dialogue"}
ANSWERED = [name for name, made in FORMATS.items() if made.kind not in ("text", "prompt")]
ROWS = {
    "votes": {"id": 7, "prompt": "Which?", "answers": ["this", "that"], "votes": [1, 1, 0]},
    "label-studio": {
        "data": {"prompt": "Which?", "items": [{"id": "a", "body": "this"}, {"id": "b", "body": "that"}]},
        "annotations": [{"result": [{"type": "ranker", "value": {"ranker": {"_": ["a", "b"]}}}]}],
    },
    "argilla": None,  # what it exports is too long for one row here; tests/data reads it
    "hh": {"chosen": "\n\nHuman: Hi!\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi!\n\nAssistant: Go."},
    "implicit": {"chosen": "The sky is blue.", "rejected": "The sky is green."},
}


@pytest.mark.parametrize("name", [name for name in ANSWERED if ROWS.get(name, True)])
def test_rows_of_every_kind_become_samples_that_are_read_again(name: str, fresh: Path, tmp_path: Path):
    """Nothing but the file says what it holds: no kind is asked for. Every answer keeps its text and has its score."""
    row = ROWS.get(name) or json.loads(FORMATS[name].example.replace("…", "words"))
    if "answers" in row and len(set(row["answers"])) < len(row["answers"]):
        row["answers"] = [f"words {n}" for n in range(len(row["answers"]))]
    if row.get("chosen") == row.get("rejected") == "words":
        row["rejected"] = "others"
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    score(fresh, file, ScoreConfig(**PLACE), out=tmp_path)
    given, again = read(file), read(tmp_path / "scores.jsonl")
    assert [[a.text for a in one.answers] for one in again] == [[a.text for a in one.answers] for one in given]
    assert all(a.score is not None and math.isfinite(a.score) for one in again for a in one.answers)
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all({"model", "seed", "scores"} <= one.keys() for one in rows)


def pairs(count: int, first: int = 0) -> list[Group]:
    """What is right is also what is longer."""
    return [
        Group(f"{n} + {n} = ", (Answer("it is " + "so" * (n % 5 + 1)), Answer("no")), ((0,), (1,)), origin=f"pairs:{n}")
        for n in range(first, first + count)
    ]


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("score") / "reward"
    settings = RewardConfig(steps=30, batch_size=8, learning_rate=2e-3, max_length=64, heldout=0)
    return out, reward(tiny_model, pairs(60), settings, out=out, evaluate_on=pairs(25, first=60))


def test_what_training_measured_is_what_scoring_measures_on_the_same_rows(trained, tmp_path: Path):
    """The saved model's scores times its deviation are the log-odds that it was trained to give."""
    out, figures = trained
    again = score(out / "model", pairs(25, first=60), ScoreConfig(max_length=64), out=tmp_path)
    assert again["accuracy"] == figures["heldout_accuracy"]
    for name in ("calibration_error", "length_share"):
        assert again[name] == pytest.approx(figures[f"heldout_{name}"], abs=1e-5)
    assert again["own_above_other"] == figures["own_above_other"]
    told = [json.loads((folder / "evaluation.json").read_text(encoding="utf-8")) for folder in (out, tmp_path)]
    assert told[0]["by_length"] == told[1]["by_length"]
    assert told[0]["by_length"].keys() == {"better is longer"}


def test_scores_that_length_explains_are_warned_of(trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out, _ = trained
    figures = score(out / "model", pairs(25, first=60), ScoreConfig(max_length=64), out=tmp_path)
    assert figures["length_share"] > 0.5
    said = capsys.readouterr().err
    assert (
        f"warning: length alone explains {figures['length_share']:.0%} of what tells answers to a prompt apart" in said
    )


def test_files_without_an_order_are_scored_and_not_judged(fresh: Path, tmp_path: Path):
    asked = [Group("1 + 1 = ", (Answer("2"), Answer("3")))]
    assert score(fresh, asked, ScoreConfig(max_length=64), out=tmp_path).keys() == {"answers", "score_mean"}
    assert not (tmp_path / "evaluation.json").exists()
    (again,) = read(tmp_path / "scores.jsonl")
    table = torch.tensor([answer.score for answer in again.answers])
    assert table.isfinite().all()


def test_two_scalings_of_one_model_are_equally_unsure(trained: tuple[Path, dict[str, float]], tmp_path: Path):
    """A third of the score with three times the `score_deviation` says the same of every pair: σ(3 · s / 3)."""
    scorer = load_scorer(trained[0] / "model")
    groups = [
        Group(one.prompt, one.answers, id=str(n), extra={"model": "m", "seed": 0}) for n, one in enumerate(pairs(5))
    ]
    with Store.create(tmp_path / "s.db") as store:
        store.add_items([Item(group) for group in groups])
        found, means = [], []
        for name in ("whole", "third"):
            scorer.save(tmp_path / name)
            score(tmp_path / name, groups, ScoreConfig(max_length=64), out=tmp_path / f"{name}-scored")
            file = tmp_path / f"{name}-scored/scores.jsonl"
            means.append(ask_about(store, [file])["mean"])
            found.append((read(file, format="sample"), scores_of(store.items(), file)[0]))
            with torch.no_grad():
                scorer.score_head.weight /= 3
            scorer.model.config.score_mean = scorer.mean / 3
            scorer.model.config.score_deviation = 3 * scorer.deviation
    (whole, log_odds), (third, again) = found
    for one, other in zip(whole, third, strict=True):
        assert [3 * a.score for a in other.answers] == pytest.approx([a.score for a in one.answers], abs=1e-4)
        assert other.extra["score_deviation"] == pytest.approx(3 * one.extra["score_deviation"])
    for item, scores in log_odds.items():
        assert again[item] == pytest.approx(scores, abs=1e-4)
    assert means[1] == pytest.approx(means[0], abs=1e-4)
    as_if_log_odds = [uncertainty([[a.score for a in one.answers]]) for one in third]
    assert sum(as_if_log_odds) / len(as_if_log_odds) > means[0] + 0.01  # else nothing was shown
