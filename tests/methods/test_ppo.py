"""PPO on a tiny model: what it starts from, and what it tells of its first step."""

from pathlib import Path

import pytest
from methods.conftest import PROMPTS, short_ppo
from methods.written import lines

from burnish.errors import ConfigError, DataError
from burnish.methods.ppo import ppo
from burnish.models.adapters import Lora
from burnish.models.load import load_policy, load_scorer
from burnish.types import Group


def test_however_a_pass_is_cut_the_first_ratio_is_1_and_the_sampler_agrees(
    tiny_model: Path, reward_model: Path, tmp_path: Path
):
    cut = short_ppo(steps=3, minibatches=2, micro_batch_tokens=24)
    ppo(tiny_model, PROMPTS, cut, by=reward_model, out=tmp_path)
    told = lines(tmp_path)
    assert len(told) == 3
    for line in told:
        assert line["ratio_first"] == pytest.approx(1, abs=1e-5)
        assert 0 <= line["sampler_gap_mean"] <= line["sampler_gap"] <= 1e-4


def test_the_policy_leaves_a_reference_that_stays(tiny_model: Path, reward_model: Path, tmp_path: Path):
    """A loaded policy is trained in place; what it is held to must not move with it."""
    ppo(load_policy(tiny_model), PROMPTS, short_ppo(steps=2), by=load_scorer(reward_model), out=tmp_path)
    first, second = lines(tmp_path)
    assert first["kl_k1"] == 0
    assert abs(second["kl_k1"]) > 1e-3


def test_prompts_that_leave_no_room_for_an_answer_can_be_left_out(
    tiny_model: Path, reward_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    prompts = [*PROMPTS[:3], Group("so long a prompt " * 3, origin="prompts:4")]
    with pytest.raises(DataError, match="prompts:4: the prompt has 51 tokens and an answer needs 6"):
        ppo(tiny_model, prompts, short_ppo(), by=reward_model, out=tmp_path)
    ppo(tiny_model, prompts, short_ppo(on_too_long="skip"), by=reward_model, out=tmp_path)
    assert "1 of 4: rows were left out" in capfd.readouterr().err


def test_another_reference_is_another_run(tiny_model: Path, other_model: Path, reward_model: Path, tmp_path: Path):
    settings = short_ppo(skip_check=("reference",))
    ppo(tiny_model, PROMPTS, settings, by=reward_model, out=tmp_path, reference=other_model)
    with pytest.raises(ConfigError, match="written by another run:\n  reference: "):
        ppo(tiny_model, PROMPTS, settings, by=reward_model, out=tmp_path, reference=tiny_model)


def test_a_fresh_adapter_starts_at_kl_0(tiny_model: Path, reward_model: Path, tmp_path: Path):
    figures = ppo(tiny_model, PROMPTS, short_ppo(lora=Lora(rank=2)), by=reward_model, out=tmp_path)
    assert figures["kl_k1"] == 0


def test_dropout_moves_the_ratio_and_is_no_mistake(tiny_model: Path, reward_model: Path, tmp_path: Path):
    figures = ppo(tiny_model, PROMPTS, short_ppo(dropout=0.2), by=reward_model, out=tmp_path)
    assert abs(figures["ratio_first"] - 1) > 1e-3
    assert figures["kl_k1"] == 0
