"""What every method that learns from answers of its own can be told: penalties, bounds, scores, averages."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from methods.conftest import PROMPTS, short_ppo
from methods.written import farthest, lines, weights
from pydantic import ValidationError
from safetensors.torch import load_file

from burnish.errors import ConfigError
from burnish.methods.carried import Moments
from burnish.methods.ppo import Critic, PPOConfig, ppo
from burnish.models.adapters import Lora
from burnish.objectives.kl import next_beta
from burnish.types import Prompt


def vowels(_: list[Prompt], answers: list[str]) -> list[float]:
    return [float(sum(letter in "aeiou" for letter in answer)) for answer in answers]


# ---- where the KL is paid, and what it costs


def test_k1_in_the_loss_is_refused_with_the_reason():
    with pytest.raises(ValidationError, match="its expected gradient is 0"):
        PPOConfig(kl="k1")


def test_beta_and_what_chooses_it_are_not_both_given():
    with pytest.raises(ValidationError, match="beta and target_kl are both set"):
        PPOConfig(beta=0.1, target_kl=6)
    with pytest.raises(ValidationError, match="adaptive_beta needs a target_kl"):
        PPOConfig(adaptive_beta=True)
    with pytest.raises(ValidationError, match="cannot start from beta 0"):
        PPOConfig(adaptive_beta=True, target_kl=6, beta=0)


def test_target_kl_chooses_the_beta_whose_optimum_lies_there():
    assert PPOConfig(target_kl=5.6).first_beta == pytest.approx(0.3, abs=0.002)
    assert PPOConfig(target_kl=50).first_beta == pytest.approx(0.1)
    assert PPOConfig(target_kl=50, beta=0.2, adaptive_beta=True).first_beta == 0.2  # where it starts


def test_beta_follows_the_kl_of_the_iteration_before(tiny_model: Path, reward_model: Path, tmp_path: Path):
    settings = short_ppo(steps=3, target_kl=0.05, adaptive_beta=True)
    ppo(tiny_model, PROMPTS, settings, by=reward_model, out=tmp_path)
    told = lines(tmp_path)
    assert told[0]["beta"] == settings.first_beta
    for before, after in pairwise(told):
        assert after["beta"] == next_beta(before["beta"], before["kl_k1"], 0.05)
    assert told[1]["beta"] == pytest.approx(0.98 * told[0]["beta"])  # at KL 0 it is too dear


@pytest.mark.parametrize("kind", ["sequence_k2", "token_k2", "token_k3"])
def test_paid_in_the_loss_the_kl_brings_back_a_policy_that_is_away(
    kind: str, tiny_model: Path, other_model: Path, tmp_path: Path
):
    """There is no score to climb, and it starts away from the reference."""
    away = {"skip_check": ("reference",), "steps": 4, "unfinished_penalty": 0, "samples": 4, "learning_rate": 3e-3}
    ppo(tiny_model, PROMPTS, short_ppo(**away, kl=kind, beta=1), by=nothing, out=tmp_path, reference=other_model)
    told = lines(tmp_path)
    assert told[-1]["kl_k1"] < 0.9 * told[0]["kl_k1"]


def nothing(_: list[Prompt], answers: list[str]) -> list[float]:
    return [0.0] * len(answers)


def test_a_reference_that_is_refreshed_lies_where_the_policy_was_then(tiny_model: Path, tmp_path: Path):
    settings = short_ppo(steps=5, reference_every=2)
    ppo(tiny_model, PROMPTS, settings, by=vowels, out=tmp_path)
    away = [line["kl_k1"] != 0 for line in lines(tmp_path)]
    assert away == [False, True, False, True, False]


def test_a_reference_that_cannot_be_refreshed_is_refused_with_the_reason(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ValidationError, match="with lora the reference is the same weights"):
        PPOConfig(reference_every=2, lora=Lora())
    with pytest.raises(ConfigError, match="a reference is named"):
        ppo(tiny_model, PROMPTS, short_ppo(reference_every=2), by=vowels, out=tmp_path, reference=tiny_model)


# ---- passes


def test_passes_end_where_the_policy_is_too_far_from_the_one_that_spoke(
    tiny_model: Path, reward_model: Path, tmp_path: Path
):
    far = short_ppo(inner_epochs=4, stop_kl=1e-6)
    ppo(tiny_model, PROMPTS, far, by=reward_model, out=tmp_path / "far")
    assert lines(tmp_path / "far")[0]["updates"] == 2  # at the first it has not moved, at the second it has
    near = short_ppo(inner_epochs=4, stop_kl=10)
    ppo(tiny_model, PROMPTS, near, by=reward_model, out=tmp_path / "near")
    assert lines(tmp_path / "near")[0]["updates"] == 4


@pytest.mark.parametrize("clip", [{"high": 4}, {"dual": 1.01}], ids=["high", "dual"])
def test_once_ratios_have_moved_the_further_bounds_act(
    clip: dict[str, float], tiny_model: Path, reward_model: Path, tmp_path: Path
):
    """Neither changes the first pass, where every ratio is 1."""
    for passes, differ in ((1, False), (4, True)):
        moved = {"inner_epochs": passes, "clip_ratio": 0.01, "learning_rate": 1e-2}
        ppo(tiny_model, PROMPTS, short_ppo(**moved), by=reward_model, out=tmp_path / f"{passes}")
        ppo(tiny_model, PROMPTS, short_ppo(**moved, clip=clip), by=reward_model, out=tmp_path / f"{passes}-bound")
        away = farthest(*(weights(tmp_path / name) for name in (f"{passes}", f"{passes}-bound")))
        assert (away > 0) == differ


def test_entropy_that_is_paid_for_rises(tiny_model: Path, tmp_path: Path):
    settings = short_ppo(steps=4, beta=0, entropy_bonus=1, unfinished_penalty=0, learning_rate=3e-3)
    ppo(tiny_model, PROMPTS, settings, by=nothing, out=tmp_path)
    told = lines(tmp_path)
    assert told[-1]["entropy"] > told[0]["entropy"] + 1e-3


def test_while_the_critic_warms_up_the_policy_stays(tiny_model: Path, reward_model: Path, tmp_path: Path):
    settings = short_ppo(steps=3, critic=Critic(warmup=2, learning_rate=1e-2))
    ppo(tiny_model, PROMPTS, settings, by=reward_model, out=tmp_path)
    first, second, third = lines(tmp_path)
    assert "loss" not in first
    assert second["kl_k1"] == 0
    assert third["kl_k1"] == 0  # of what was drawn before its first step
    assert third["ratio_first"] == pytest.approx(1, abs=1e-5)
    assert first["value_loss"] > 0
    assert farthest(weights(tmp_path), load_file(tiny_model / "model.safetensors")) > 0


# ---- scores


def test_running_moments_are_those_of_all_scores_so_far():
    score_N = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3 + 100
    moments = Moments()
    for part_N in score_N.split([1, 7, 32]):
        moments.add(part_N)
    white_N = moments.normalised(score_N)
    assert white_N.mean().item() == pytest.approx(0, abs=1e-12)
    assert white_N.std(correction=0).item() == pytest.approx(1, rel=1e-8)


def test_normalised_scores_may_come_on_any_scale(tiny_model: Path, tmp_path: Path):
    def larger(prompts: list[Prompt], answers: list[str]) -> list[float]:
        return [100 * score + 7 for score in vowels(prompts, answers)]

    settings = short_ppo(steps=2, samples=4, scores={"normalise": True}, unfinished_penalty=0)
    ppo(tiny_model, PROMPTS, settings, by=vowels, out=tmp_path / "small")
    ppo(tiny_model, PROMPTS, settings, by=larger, out=tmp_path / "large")
    assert farthest(weights(tmp_path / "small"), weights(tmp_path / "large")) < 1e-4
    assert lines(tmp_path / "large")[0]["reward"] >= 7  # told as it was given


def test_scores_beyond_the_clip_count_as_much_as_those_at_it(tiny_model: Path, tmp_path: Path):
    def steep(prompts: list[Prompt], answers: list[str]) -> list[float]:
        return [1e3 * (score - 0.5) for score in vowels(prompts, answers)]

    def level(prompts: list[Prompt], answers: list[str]) -> list[float]:
        return [0.5 if score > 0.5 else -0.5 for score in vowels(prompts, answers)]

    settings = short_ppo(samples=4, scores={"clip": 0.5})
    ppo(tiny_model, PROMPTS, settings, by=steep, out=tmp_path / "steep")
    ppo(tiny_model, PROMPTS, settings, by=level, out=tmp_path / "level")
    assert farthest(weights(tmp_path / "steep"), weights(tmp_path / "level")) == 0


# ---- weights


def test_what_is_saved_is_the_average_of_the_weights_so_far(tiny_model: Path, reward_model: Path, tmp_path: Path):
    ppo(tiny_model, PROMPTS, short_ppo(), by=reward_model, out=tmp_path / "last")
    ppo(tiny_model, PROMPTS, short_ppo(average=0.75), by=reward_model, out=tmp_path / "average")
    start, last = load_file(tiny_model / "model.safetensors"), weights(tmp_path / "last")
    by_hand = {name: 0.75 * start[name] + 0.25 * last[name] for name in start}
    assert farthest(last, start) > 1e-4
    assert farthest(weights(tmp_path / "average"), by_hand) < 1e-7
