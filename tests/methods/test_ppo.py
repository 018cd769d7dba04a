"""PPO on a tiny model: what it starts from, and what it tells of its first step."""

import json
from pathlib import Path

import pytest
from methods.conftest import PROMPTS, short_ppo

from burnish.methods.ppo import ppo
from burnish.models.adapters import Lora
from burnish.models.load import load_policy, load_scorer


def figures_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def test_however_a_pass_is_cut_the_first_ratio_is_1_and_the_sampler_agrees(
    tiny_model: Path, reward_model: Path, tmp_path: Path
):
    cut = short_ppo(steps=3, minibatches=2, micro_batch_tokens=24)
    ppo(tiny_model, PROMPTS, cut, by=reward_model, out=tmp_path)
    lines = figures_of(tmp_path)
    assert len(lines) == 3
    for line in lines:
        assert line["ratio_first"] == pytest.approx(1, abs=1e-5)
        assert 0 <= line["sampler_gap_mean"] <= line["sampler_gap"] <= 1e-4


def test_the_policy_leaves_a_reference_that_stays(tiny_model: Path, reward_model: Path, tmp_path: Path):
    """A loaded policy is trained in place; what it is held to must not move with it."""
    ppo(load_policy(tiny_model), PROMPTS, short_ppo(steps=2), by=load_scorer(reward_model), out=tmp_path)
    first, second = figures_of(tmp_path)
    assert first["kl_k1"] == 0
    assert abs(second["kl_k1"]) > 1e-3


def test_a_fresh_adapter_starts_at_kl_0(tiny_model: Path, reward_model: Path, tmp_path: Path):
    figures = ppo(tiny_model, PROMPTS, short_ppo(lora=Lora(rank=2)), by=reward_model, out=tmp_path)
    assert figures["kl_k1"] == 0


def test_dropout_moves_the_ratio_and_is_no_mistake(tiny_model: Path, reward_model: Path, tmp_path: Path):
    figures = ppo(tiny_model, PROMPTS, short_ppo(dropout=0.2), by=reward_model, out=tmp_path)
    assert abs(figures["ratio_first"] - 1) > 1e-3
    assert figures["kl_k1"] == 0
