"""Sampling methods on a tiny model, with a plain function as the judge: it likes answers that hold the letter e."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from burnish.data.read import read
from burnish.evaluation.gate import conditions, hold
from burnish.evaluation.verdict import FIGURES
from burnish.methods.evaluate import EvaluateConfig, evaluate
from burnish.methods.rank import RankConfig, order_by, rank
from burnish.methods.reject import reject
from burnish.methods.reject_settings import RejectConfig
from burnish.methods.reward import RewardConfig, reward
from burnish.methods.score import ScoreConfig, score
from burnish.rollout.settings import Sampling
from burnish.types import Answer, Group, Prompt

SHORT = Sampling(max_new_tokens=8)
PROMPTS = [Group(f"{i} is ", origin=f"prompts:{i + 1}") for i in range(24)]


def likes_e(_: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [float(answer.count("e")) for answer in answers]


def test_equal_scores_tie_and_the_highest_comes_first():
    assert order_by([0.5, 2.0, 0.5, 1.0]) == ((1,), (3,), (0, 2))


def test_scores_within_the_width_tie_from_one_to_the_next():
    assert order_by([1.0, 0.9, 0.8, 0.1], tie_within=0.15) == ((0, 1, 2), (3,))


def test_a_judge_ranks_and_a_reward_model_learns_it_and_scores(tiny_model: Path, tmp_path: Path):
    answers = [
        Group(g.prompt, tuple(Answer(t) for t in ("e" * (i % 3 + 1), "oo", "eeee")), origin=g.origin)
        for i, g in enumerate(PROMPTS)
    ]
    assert rank(RankConfig(), out=tmp_path, answers=answers, by=likes_e) == {"rankings": 24.0, "with_ties": 0.0}
    ranked = read(tmp_path / "ranking.jsonl", kind="ranking")
    assert ranked[0].order == ((2,), (0,), (1,))
    figures = reward(tiny_model, ranked, RewardConfig(epochs=4, learning_rate=2e-3), out=tmp_path / "reward")
    assert figures["heldout_accuracy"] > 0.9
    scored = score(tmp_path / "reward" / "model", ranked, ScoreConfig(), out=tmp_path / "scored")
    assert scored["answers"] == 72.0
    first = read(tmp_path / "scored" / "scores.jsonl", kind="sample")[0]
    given = [answer.score for answer in first.answers]
    assert given[2] == max(s for s in given if s is not None)


BOTH = [
    {"by": likes_e, "weight": 2, "name": "e"},
    {"by": lambda _, answers: [-len(a) for a in answers], "name": "short"},
]
"""Two judges of different taste, by name."""


def test_ranking_by_several_tells_what_each_of_them_said(tmp_path: Path):
    answers = [Group("one ", (Answer("ee"), Answer("o")), origin="answers:1"), Group("two ", (Answer("e"), Answer("")))]
    figures = rank(RankConfig(), out=tmp_path, answers=answers, by=BOTH)
    assert figures["score_mean/e"] == (2 + 0 + 1 + 0) / 4
    assert figures["score_mean/short"] == -(2 + 1 + 1 + 0) / 4
    [row] = read(tmp_path / "ranking.jsonl", kind="ranking", limit=1)
    assert row.order == ((0,), (1,))  # 2 · 2 - 2 against 2 · 0 - 1
    assert row.extra["scores_by_part"] == {"e": [2.0, 0.0], "short": [-2.0, -1.0]}


def test_each_of_several_judges_says_in_the_verdict_what_it_says_alone(tiny_model: Path, tmp_path: Path):
    models = {"sft": tiny_model, "best": tmp_path / "best/model"}
    learn = RejectConfig(samples=4, epochs=2, learning_rate=3e-3, max_length=64, sampling=SHORT)
    reject(tiny_model, PROMPTS, learn, by=likes_e, out=tmp_path / "best")
    settings = EvaluateConfig(max_length=64, sampling=SHORT)
    alone = evaluate(models, PROMPTS, settings, by=likes_e, out=tmp_path / "alone")["best"]
    silent = [{"by": likes_e, "name": "e"}, {"by": BOTH[1]["by"], "name": "short", "weight": 0}]
    both = evaluate(models, PROMPTS, settings, by=silent, out=tmp_path / "both")["best"]
    assert {name: both[name] for name in alone} == alone  # the weight 0 is only reported
    opinion = ("win_rate", "win_rate_low", "win_rate_high", "judge_mean")
    assert {name: both[f"{name}/e"] for name in opinion} == {name: alone[name] for name in opinion}
    assert both["judge_mean/short"] < 0
    first = read(tmp_path / "both/samples.jsonl", kind="sample", limit=1)[0]
    assert first.extra["scores_by_part"]["short"] == [-len(first.answers[0].text)]
    hold(conditions(["best.win_rate/e >= 0", "judge_mean/short < 0"]), {"sft": both, "best": both})


def test_a_model_against_itself_wins_half_at_kl_0(tiny_model: Path, tmp_path: Path):
    text = [Group("", (Answer("the quick brown fox jumps over the lazy dog"),), origin="text:1")]
    settings = EvaluateConfig(samples=2, max_length=64, sampling=SHORT)
    models = {"sft": tiny_model, "twin": tiny_model, "triplet": tiny_model}
    verdicts = evaluate(models, PROMPTS, settings, by=likes_e, out=tmp_path, base=tiny_model, text=text)
    assert verdicts["sft"] == pytest.approx(verdicts["twin"], abs=1e-12)  # the same seeds, so the same answers
    twin = verdicts["twin"]
    assert (twin["win_rate"], twin["win_rate_controlled"], twin["kl"]) == (0.5, 0.5, 0.0)
    assert twin["strength"] == pytest.approx(0.0, abs=1e-9)
    assert None not in twin.values()
    assert {*twin} <= {*FIGURES}, "what may be required of a verdict"
    rows = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3 * len(PROMPTS)
    assert {row["model"] for row in rows} == {"sft", "twin", "triplet"}
    written = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert written["twin"]["sentence"].startswith("twin and sft cannot be told apart: twin wins on 50 % of prompts [")
