"""A critic on the policy's own trunk: one pass for both, a head that starts at 0 and is not saved with the model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from methods.conftest import PROMPTS, short_ppo
from methods.written import farthest, lines, weights
from pydantic import ValidationError
from safetensors.torch import load_file

from burnish.methods.ppo import Critic, PPOConfig, ppo
from burnish.models.adapters import Lora
from burnish.models.load import Placement, load_policy
from burnish.types import Prompt


def shared(**changes: Any) -> dict[str, Any]:
    return {"critic": Critic(**({"kind": "shared", "clip_value": 0} | changes)), "lam": 1.0, "whiten": False}


def odd(_: list[Prompt], answers: list[str]) -> list[float]:
    return [float(sum(ord(letter) % 2 for letter in answer)) for answer in answers]


def twos(_: list[Prompt], answers: list[str]) -> list[float]:
    return [2.0] * len(answers)


def test_log_probabilities_and_values_of_a_minibatch_take_one_pass(tiny_model: Path, tmp_path: Path):
    policy = load_policy(tiny_model)
    learned: list[int] = []
    policy.model.base_model.register_forward_hook(lambda *_: learned.append(1) if torch.is_grad_enabled() else None)
    ppo(policy, PROMPTS, short_ppo(inner_epochs=2, minibatches=2, **shared()), by=odd, out=tmp_path)
    assert len(learned) == 2 * 2


def test_what_the_critic_knew_is_told(tiny_model: Path, tmp_path: Path):
    """Every answer to a prompt scores the same. A head of zeros knows nothing of that, and then learns it."""

    def by_prompt(prompts: list[Prompt], _: list[str]) -> list[float]:
        return [float(ord(str(prompt)[0]) % 2) for prompt in prompts]

    settings = short_ppo(steps=6, batch_size=8, inner_epochs=8, unfinished_penalty=0, beta=0)
    settings = settings.model_copy(update=shared(learning_rate=1e-2))
    ppo(tiny_model, PROMPTS, settings, by=by_prompt, out=tmp_path)
    told = [line["explained_variance"] for line in lines(tmp_path)]
    assert told[0] == 0
    assert told[-1] > 0.2


def test_the_head_expects_nothing_at_first_and_then_learns(tiny_model: Path, tmp_path: Path):
    """At KL 0 each token of an answer that scores 2 is to be followed by 2: ½·2² is what a value of 0 costs."""
    settings = short_ppo(steps=3, inner_epochs=1, unfinished_penalty=0, **shared(learning_rate=1e-2))
    ppo(tiny_model, PROMPTS, settings, by=twos, out=tmp_path)
    losses = [line["value_loss"] for line in lines(tmp_path)]
    assert losses[0] == pytest.approx(2)
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("passes, same", [(1, True), (2, False)])
def test_a_head_of_zeros_teaches_the_trunk_nothing_and_a_later_one_does(
    passes: int, same: bool, tiny_model: Path, tmp_path: Path
):
    """A critic of its own that says 0 has the same advantages."""
    one = shared(learning_rate=1e-2, value_weight=1)
    other = {**one, "critic": Critic(learning_rate=1e-2, clip_value=0)}
    ppo(tiny_model, PROMPTS, short_ppo(inner_epochs=passes, **one), by=odd, out=tmp_path / "shared")
    ppo(tiny_model, PROMPTS, short_ppo(inner_epochs=passes, **other), by=odd, out=tmp_path / "separate")
    assert (farthest(weights(tmp_path / "shared"), weights(tmp_path / "separate")) < 1e-6) == same


def test_while_it_warms_up_only_the_head_learns(tiny_model: Path, tmp_path: Path):
    settings = short_ppo(steps=3, unfinished_penalty=0, **shared(warmup=3, learning_rate=1e-2))
    ppo(tiny_model, PROMPTS, settings, by=twos, out=tmp_path)
    told = lines(tmp_path)
    assert told[2]["value_loss"] < told[0]["value_loss"]
    assert all(line["critic_grad_norm"] > 0 for line in told)
    assert farthest(weights(tmp_path), load_file(tiny_model / "model.safetensors")) == 0


def test_after_the_warm_up_the_policy_learns_from_ratios_of_1(tiny_model: Path, tmp_path: Path):
    ppo(tiny_model, PROMPTS, short_ppo(steps=2, **shared(warmup=1)), by=odd, out=tmp_path)
    first, second = lines(tmp_path)
    assert "clip_fraction" not in first
    assert second["ratio_first"] == pytest.approx(1, abs=1e-5)
    assert second["grad_norm"] > 0


@pytest.mark.parametrize("cut", [{"micro_batch_tokens": 24}, {"packed": False}], ids=["cut", "padded"])
def test_cut_otherwise_or_padded_it_is_the_same_run(cut: dict[str, Any], tiny_model: Path, tmp_path: Path):
    def run(name: str, *, packed: bool = True, **settings: Any) -> list[dict[str, float]]:
        policy = load_policy(tiny_model, Placement(dtype="float64"), packed=packed)  # but its norms are in float32
        config = short_ppo(steps=3, minibatches=2, **shared(warmup=1), **settings)
        ppo(policy, PROMPTS, config, by=odd, out=tmp_path / name)
        return lines(tmp_path / name)

    names = ("value_loss", "critic_grad_norm", "reward", "kl_k1")
    for one, other in zip(run("whole"), run("other", **cut), strict=True):
        assert [one[n] for n in names] == pytest.approx([other[n] for n in names], rel=1e-6, abs=1e-6)
    assert farthest(weights(tmp_path / "whole"), weights(tmp_path / "other")) < 1e-5  # a step of Adam is 1e-3


@pytest.mark.parametrize("lora", [None, Lora(rank=2)], ids=["whole", "lora"])
def test_a_checkpoint_holds_the_head_and_the_saved_model_is_the_policy_alone(
    lora: Lora | None, tiny_model: Path, tmp_path: Path
):
    ppo(tiny_model, PROMPTS, short_ppo(lora=lora, **shared()), by=odd, out=tmp_path)
    (checkpoint,) = (tmp_path / "checkpoints").glob("step-*")
    assert sorted(file.name for file in checkpoint.glob("*.safetensors")) == ["policy.safetensors"]
    kept = load_file(checkpoint / "policy.safetensors")
    assert kept["weight//value_head.weight"].any()
    assert weights(tmp_path).keys() == load_file(tiny_model / "model.safetensors").keys()


def test_a_loaded_policy_has_no_head_after_its_run(tiny_model: Path, tmp_path: Path):
    policy = load_policy(tiny_model)
    before = policy.trainable().keys()
    ppo(policy, PROMPTS, short_ppo(**shared()), by=odd, out=tmp_path)
    assert policy.trainable().keys() == before


def test_a_weight_beside_the_policy_s_loss_is_for_a_shared_critic():
    assert PPOConfig(critic={"kind": "shared", "value_weight": 0.5}).critic.value_weight == 0.5
    with pytest.raises(ValidationError, match="leave it out or write kind: shared"):
        PPOConfig(critic={"value_weight": 0.5})
