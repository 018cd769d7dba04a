"""Online DPO on a tiny model: who is compared with whom, and what ties do."""

import json
from pathlib import Path

import pytest
import torch
from methods.conftest import PROMPTS
from pydantic import ValidationError
from safetensors.torch import load_file

from burnish.errors import ConfigError
from burnish.methods.online_dpo import OnlineDPOConfig, online_dpo
from burnish.rollout.settings import Sampling
from burnish.types import Prompt

SHORT = {"steps": 1, "batch_size": 4, "max_length": 32, "learning_rate": 1e-3, "sampling": Sampling(max_new_tokens=6)}


def letters(_: list[Prompt], answers: list[str]) -> list[float]:
    return [float(sum(map(ord, answer))) for answer in answers]


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def test_it_starts_at_its_reference_where_every_pair_costs_log_2(tiny_model: Path, tmp_path: Path):
    online_dpo(tiny_model, PROMPTS, OnlineDPOConfig(**SHORT), by=letters, out=tmp_path)
    (line,) = lines(tmp_path)
    assert line["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert line["ratio_first"] == pytest.approx(1, abs=1e-5)
    assert (line["kl_k1"], line["margin"]) == (0, pytest.approx(0, abs=1e-5))
    assert "clip_fraction" not in line


def test_what_is_higher_becomes_likelier_than_what_is_lower(tiny_model: Path, tmp_path: Path):
    config = OnlineDPOConfig(**(SHORT | {"steps": 12, "batch_size": 8}))
    online_dpo(tiny_model, PROMPTS, config, by=letters, out=tmp_path)
    first, *_, last = lines(tmp_path)
    assert last["reward"] > first["reward"]
    assert last["margin"] > 0
    assert last["loss"] < first["loss"]


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_where_all_answers_score_alike_nothing_moves_and_the_run_goes_on(labels: str, tiny_model: Path, tmp_path: Path):
    """A hard label has no pair to learn from; a soft one draws tied answers together, and they are together already."""

    def dull(_: list[Prompt], answers: list[str]) -> list[float]:
        return [0.5] * len(answers)

    config = OnlineDPOConfig(**(SHORT | {"steps": 2, "unfinished_penalty": 0.0, "labels": labels}))
    online_dpo(tiny_model, PROMPTS, config, by=dull, out=tmp_path)
    assert [line["alike"] for line in lines(tmp_path)] == [1, 1]
    before = load_file(tiny_model / "model.safetensors")
    for name, weight in weights(tmp_path).items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=1e-6)


def test_a_step_does_not_depend_on_how_it_was_cut(tiny_model: Path, tmp_path: Path):
    """A prompt whose answers all tie counts in the average, wherever it falls."""

    def some(prompts: list[Prompt], answers: list[str]) -> list[float]:
        scores = letters(prompts, answers)
        return [0.0 if int(str(p)[0]) % 2 else s for p, s in zip(prompts, scores, strict=True)]

    for name, budget in (("one", 8192), ("many", 64)):
        config = OnlineDPOConfig(**(SHORT | {"micro_batch_tokens": budget, "dtype": "float64"}))
        online_dpo(tiny_model, PROMPTS, config, by=some, out=tmp_path / name)
    theirs = weights(tmp_path / "many")
    for name, weight in weights(tmp_path / "one").items():
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=1e-9)


def test_parts_of_nothing_but_ties_leave_the_others_figures_as_they_are(tiny_model: Path, tmp_path: Path):
    """Only the first prompt that is asked has a better answer; each prompt is a part of its own."""
    asked: list[Prompt] = []

    def rarely(prompts: list[Prompt], answers: list[str]) -> list[float]:
        asked.extend(prompts)
        return [float(i % 4) if prompt == asked[0] else 0.0 for i, prompt in enumerate(prompts)]

    config = OnlineDPOConfig(**(SHORT | {"minibatches": 4, "unfinished_penalty": 0.0}))
    figures = online_dpo(tiny_model, PROMPTS, config, by=rarely, out=tmp_path)
    assert 0 <= figures["accuracy"] <= 1
    assert figures["margin"] == pytest.approx(0, abs=0.1)


def test_one_answer_has_none_to_be_compared_with():
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        OnlineDPOConfig(samples=1)


def test_keys_of_a_reward_that_has_a_price_of_kl_are_not_its_own():
    """β stands in its loss; nothing is clipped, and no KL is paid beside."""
    for key in ("kl", "target_kl", "adaptive_beta", "clip_ratio", "clip", "entropy_bonus"):
        with pytest.raises(ValidationError, match="Extra inputs"):
            OnlineDPOConfig(**{key: 1})


def test_nobody_behind_by_is_told(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="by"):
        online_dpo(tiny_model, PROMPTS, OnlineDPOConfig(**SHORT), by=[], out=tmp_path)
