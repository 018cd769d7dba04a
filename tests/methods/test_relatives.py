"""PPO's relatives on a tiny model: what their names set, and how prompts that teach nothing are asked again."""

import json
from pathlib import Path

import pytest
from methods.conftest import PROMPTS
from pydantic import ValidationError
from safetensors.torch import load_file

from burnish.methods.grpo import GRPOConfig, grpo
from burnish.methods.reinforce import ReinforceConfig, reinforce
from burnish.methods.rloo import RLOOConfig, rloo
from burnish.rollout.settings import Sampling
from burnish.types import Prompt

SHORT = {"steps": 1, "batch_size": 4, "max_length": 32, "learning_rate": 1e-3, "sampling": Sampling(max_new_tokens=6)}
RELATIVES = {
    "grpo": (grpo, GRPOConfig(**SHORT, samples=4)),
    "dr_grpo": (grpo, GRPOConfig(**SHORT, samples=4, variant="dr_grpo")),
    "dapo": (grpo, GRPOConfig(**SHORT, samples=4, variant="dapo")),
    "gspo": (grpo, GRPOConfig(**SHORT, samples=4, variant="gspo", inner_epochs=2)),
    "rloo": (rloo, RLOOConfig(**SHORT)),
    "reinforce": (reinforce, ReinforceConfig(**SHORT)),
}


def first_line(out: Path) -> dict[str, float]:
    line: dict[str, float] = json.loads((out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return line


def moved(out: Path, start: Path) -> bool:
    before, after = load_file(start / "model.safetensors"), load_file(out / "model" / "model.safetensors")
    return any((before[name] != after[name]).any() for name in before)


@pytest.mark.parametrize("name", RELATIVES)
def test_each_starts_at_its_reference_and_learns_without_a_critic(
    name: str, tiny_model: Path, reward_model: Path, tmp_path: Path
):
    method, config = RELATIVES[name]
    method(tiny_model, PROMPTS, config, by=reward_model, out=tmp_path)
    line = first_line(tmp_path)
    assert line["ratio_first"] == pytest.approx(1, abs=1e-5)
    assert line["kl_k1"] == 0
    assert "value_loss" not in line
    assert moved(tmp_path, tiny_model)


def test_a_variant_s_settings_lie_below_those_that_are_given():
    dapo = GRPOConfig(variant="dapo")
    assert (dapo.clip.high, dapo.denominator, dapo.resample, dapo.beta) == (0.28, "token", 3, 0)
    assert GRPOConfig(variant="dapo", resample=1, beta=0.1).beta == 0.1
    both = GRPOConfig(variant="dapo", clip={"dual": 3}).clip
    assert (both.high, both.dual) == (0.28, 3)
    assert GRPOConfig(variant="dr_grpo", target_kl=50).first_beta == pytest.approx(0.1)


@pytest.mark.parametrize("config", [GRPOConfig, RLOOConfig])
def test_one_answer_has_no_others_to_be_better_than(config):
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        config(samples=1)


# ---- prompts whose answers all score alike


def settings(**changes: object) -> GRPOConfig:
    return GRPOConfig(**(SHORT | {"samples": 4, "beta": 0, "unfinished_penalty": 0, "normalise": "none"} | changes))


def letters(answers: list[str]) -> list[float]:
    return [float(sum(map(ord, answer))) for answer in answers]


def test_they_are_asked_again_until_their_scores_differ(tiny_model: Path, tmp_path: Path):
    asked: list[int] = []

    def late(_: list[Prompt], answers: list[str]) -> list[float]:
        """Tells no difference until it is asked for the third time."""
        asked.append(len(answers))
        return letters(answers) if len(asked) == 3 else [0.0] * len(answers)

    grpo(tiny_model, PROMPTS, settings(resample=5), by=late, out=tmp_path)
    assert asked == [16, 16, 16]
    assert first_line(tmp_path)["alike"] == 1
    assert moved(tmp_path, tiny_model)


def test_what_is_alike_still_is_left_out(tiny_model: Path, tmp_path: Path):
    asked: list[list[Prompt]] = []

    def dull(prompts: list[Prompt], answers: list[str]) -> list[float]:
        """Tells no difference between answers to prompts about an even number."""
        asked.append(prompts)
        scores = letters(answers)
        return [0.0 if int(str(p)[0]) % 2 == 0 else s for p, s in zip(prompts, scores, strict=True)]

    shared = {"shuffle": False, "batch_size": 8}
    grpo(tiny_model, PROMPTS, settings(**shared), by=dull, out=tmp_path / "all")
    grpo(tiny_model, PROMPTS, settings(**shared, resample=1), by=dull, out=tmp_path / "some")
    assert first_line(tmp_path / "some")["alike"] == 0.5
    assert len(asked[-1]) == 16  # 4 prompts × 4 answers, asked again
    assert first_line(tmp_path / "some")["tokens"] < 0.6 * first_line(tmp_path / "all")["tokens"]
