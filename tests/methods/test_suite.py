"""A suite from end to end on tiny models: what is asked, what is written down, log-probabilities as transformers'."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import byte_tokenizer, tiny_llama

from burnish.cli.main import main
from burnish.data.templates import resolve
from burnish.errors import ConfigError, DataError
from burnish.evaluation.choices import choices_of
from burnish.evaluation.safety import figures_of
from burnish.evaluation.suites import questions
from burnish.methods.evaluate import EvaluateConfig, evaluate
from burnish.methods.suite import PRIMER, suite_figures
from burnish.models.load import load_policy
from burnish.rollout.settings import Sampling
from burnish.types import Group

SHORT = Sampling(max_new_tokens=6)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models with room for the longest question of BBQ, byte by byte."""
    place = tmp_path_factory.mktemp("suite")
    for seed, name in enumerate(("first", "other")):
        tiny_llama(seed, max_position_embeddings=4096).save_pretrained(place / name)
        byte_tokenizer().save_pretrained(place / name)
    return {name: place / name for name in ("first", "other")}


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_suite_stands_alone_and_is_a_gate(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    words = ["evaluate", "--models", ",".join(map(str, models.values())), "--suite", "safety", "--out", str(out)]
    words += ["--set", "limit=2", "--set", "sampling.max_new_tokens=6", "--set", "max_length=4096"]
    assert main([*words, "--require", "safe >= 0", "--require", "refused_harmful/xstest <= 1"]) == 0
    told = capsys.readouterr()
    assert "safety: other, 14 prompts" in told.err
    assert "safe (safe)" not in told.out, "one aim alone is no table"
    assert re.search(r"refused_safe +\S+ \[\S+–\S+\]", told.out)
    assert "refused_safe_low" not in told.out, "an interval stands behind its figure"
    assert main([*words, "--require", "other.safe > 1"]) == 1, "what is done is reused, and a gate still asked"
    assert main([*words, "--require", "win_rate_low > 0.5"]) == 64, "nobody judges"
    verdict = json.loads((out / "verdict.json").read_text())
    assert verdict["first"]["suite_prompts"] == 14.0
    assert verdict["first"]["safe_difference"] == 0.0
    assert {name.split("/")[0] for name in verdict["other"]} == figures_of("safety")
    assert verdict["first"]["safe_low"] <= verdict["first"]["safe"] <= verdict["first"]["safe_high"]
    answers, choices = lines(out / "safety.jsonl"), lines(out / "choices.jsonl")
    assert len(answers) == 2 * 8
    assert len(choices) == 2 * 6
    row = next(row for row in answers if row["model"] == "other" and row["set"] == "advbench")
    assert row["wanted"] == "refusal"
    assert row["verdict"] in ("refused", "degenerate", "answered")
    assert {"prompt", "answer", "rule", "finished"} <= row.keys()
    assert all(len(row["choices"]) == len(row["logprobs"]) for row in choices)


def test_a_choice_has_the_log_probability_that_transformers_gives_it(models: dict[str, Path], tmp_path: Path):
    policy = load_policy(models["first"])
    config = EvaluateConfig(max_length=4096)
    suite_figures({"first": policy}, "safety", config, SHORT, limit=1, out=tmp_path)
    template = resolve(policy.tokenizer)
    asked = [one for one in questions("safety", 1) if one.part.wanted == "choice"]
    for question, row in zip(asked, lines(tmp_path / "choices.jsonl"), strict=True):
        bbq = question.part.set == "bbq"
        before = f"{question.row['context']}\n\n" if bbq else PRIMER
        ask = f"{before}Q: {question.row['question' if bbq else 'prompt']}\nA:"
        for choice, logprob in zip(choices_of(question.row), row["logprobs"], strict=True):
            prompt, said = template.prompt_tokens(ask), template.encoder.plain(f" {choice}", follows=True)
            with policy.stock() as model, torch.no_grad():
                logit_TV = model(torch.tensor([[*prompt, *said]])).logits[0, len(prompt) - 1 : -1]
            expected = logit_TV.double().log_softmax(-1)[range(len(said)), said].sum()
            assert logprob == pytest.approx(float(expected), abs=1e-3)


def test_a_model_answers_the_same_again_and_two_are_compared_on_the_same_prompts(
    models: dict[str, Path], tmp_path: Path
):
    twice = {"first": models["first"], "again": models["first"]}
    found = suite_figures(twice, "safety-zh", EvaluateConfig(), SHORT, limit=3, out=tmp_path)
    assert found["first"] == found["again"]
    assert found["first"].keys() == figures_of("safety-zh")
    rows = lines(tmp_path / "safety.jsonl")
    assert [row["answer"] for row in rows[:3]] == [row["answer"] for row in rows[3:]]
    assert [row["prompt"] for row in rows[:3]] == [one.prompt for one in questions("safety-zh", 3)]
    assert not (tmp_path / "choices.jsonl").exists()


def test_a_question_that_does_not_fit_is_named_before_any_model_is_asked(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = EvaluateConfig(suite="safety", limit=1, max_length=200, sampling=SHORT)
    with pytest.raises(DataError, match=r"truthfulqa: .* has \d+ tokens with its longest answer, above max_length 200"):
        evaluate(models, config=config, out=tmp_path)
    assert "safety: first" not in capsys.readouterr().err


def test_half_of_what_a_verdict_needs_is_refused(models: dict[str, Path], tmp_path: Path):
    with pytest.raises(ConfigError, match=r"name `prompts` and who judges \(`by`\), or `suite: safety`"):
        evaluate(models, out=tmp_path)


@pytest.mark.parametrize("key", ["base", "text", "people"])
def test_what_stands_beside_prompts_is_refused_without_them(models: dict[str, Path], tmp_path: Path, key: str):
    with pytest.raises(ConfigError, match=f"evaluate: {key} says nothing without `prompts`"):
        evaluate(models, None, EvaluateConfig(suite="safety"), out=tmp_path, **{key: models["first"]})


def test_a_suite_that_does_not_fit_is_told_before_anybody_judges(models: dict[str, Path], tmp_path: Path):
    def by(prompts: Any, answers: list[str]) -> list[float]:
        raise AssertionError("asked before the suite was laid out")

    config = EvaluateConfig(suite="safety", limit=1, max_length=200, sampling=SHORT)
    with pytest.raises(DataError, match=r"truthfulqa: .* above max_length 200"):
        evaluate(models, [Group("1 + 1 = ", origin="prompts:1")], config, by=by, out=tmp_path)
