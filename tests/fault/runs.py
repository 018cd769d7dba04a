"""One small run of each method, by name: what the kill tests start in a process of its own and in this one."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from burnish.methods.dpo import DPOConfig, dpo
from burnish.methods.grpo import GRPOConfig, grpo
from burnish.methods.ppo import PPOConfig, ppo
from burnish.methods.reject import reject
from burnish.methods.reject_settings import RejectConfig
from burnish.methods.reward import RewardConfig, reward
from burnish.methods.sft import SFTConfig, sft
from burnish.rewards.by import Part
from burnish.rewards.rubric import Criteria, RubricJudge
from burnish.rollout.settings import Sampling
from burnish.training.metrics import Figures
from burnish.types import Answer, Group, Prompt

STEPS = 24
LOOP = {"steps": STEPS, "batch_size": 4, "save_every": 3, "max_length": 64, "learning_rate": 1e-3}


def answered(count: int = 32) -> list[Group]:
    return [
        Group(
            prompt=f"{i} + {i} = ",
            answers=(Answer(f"{2 * i}."), Answer("no idea"), Answer(f"{2 * i + 1}?")),
            order=((0,), (2,), (1,)),
            origin=f"rows:{i + 1}",
        )
        for i in range(count)
    ]


def demonstrations() -> list[Group]:
    return [Group(group.prompt, group.answers[:1], origin=group.origin) for group in answered()]


def run_sft(model: Path, out: Path) -> Figures:
    return sft(model, demonstrations(), SFTConfig(**LOOP), out=out)


def run_reward(model: Path, out: Path) -> Figures:
    return reward(model, answered(), RewardConfig(**LOOP, evaluate_every=4), out=out)


def run_dpo(model: Path, out: Path) -> Figures:
    return dpo(model, answered(), DPOConfig(**LOOP), out=out)


def run_ppo(model: Path, out: Path, *, by: str = "scorer", **changes: Any) -> Figures:
    """The reward model is a scorer that was made beside the run; demonstrations are mixed in."""
    prompts = [Group(group.prompt, origin=group.origin) for group in answered()]
    shape = {"steps": 10, "sampling": Sampling(max_new_tokens=8), "samples": 2, "minibatches": 2, "mix_rows": 3}
    config = PPOConfig(**(LOOP | shape | changes))
    return ppo(model, prompts, config, by=model.parent / by, out=out, mix=demonstrations())


def run_ppo_shared(model: Path, out: Path) -> Figures:
    """With a critic on the policy's trunk, which warms up past the first checkpoint."""
    return run_ppo(model, out, critic={"kind": "shared", "warmup": 4, "learning_rate": 1e-2})


def run_ppo_adapter(model: Path, out: Path) -> Figures:
    """With policy, critic, reward model and reference on one copy of the weights."""
    critic = {"kind": "adapter", "learning_rate": 1e-2}
    return run_ppo(model, out, by="adapted/model", lora={"rank": 2}, critic=critic)


def run_grpo(model: Path, out: Path) -> Figures:
    """With all that a run may carry from iteration to iteration: β, reference, moments of scores, averaged weights, the
    evaluation that others are compared with, the answers of step 0 that a judge of pairs compares with, and the best
    evaluation's weights."""
    prompts = [Group(group.prompt, origin=group.origin) for group in answered()]
    carried = {"target_kl": 0.1, "adaptive_beta": True, "scores": {"normalise": True}, "average": 0.9, "resample": 1}
    carried["reference_every"] = 2  # the checkpoints, after 3 steps and 9, hold an older policy as reference
    shape = {"steps": 10, "sampling": Sampling(max_new_tokens=8), "samples": 2, "inner_epochs": 2}
    settings = GRPOConfig(**(LOOP | shape | carried), evaluate_every=2, best="heldout_judge")
    held = [Group(f"{i} - {i} = ", origin=f"held:{i + 1}") for i in range(4)]
    judge = [brief, Part("pairs", judge=RubricJudge(first_letter, Criteria("The one that sorts first.")))]
    return grpo(model, prompts, settings, by=model.parent / "scorer", out=out, evaluate_on=held, judge=judge)


def run_reject(model: Path, out: Path) -> Figures:
    """Rounds that learn pairs of all rounds so far, with held-out prompts between them."""
    prompts = [Group(group.prompt, origin=group.origin) for group in answered(12)]
    held = [Group(f"{i} - {i} = ", origin=f"held:{i + 1}") for i in range(4)]
    shape = {"rounds": 2, "samples": [3, 2], "sampling": Sampling(max_new_tokens=8), "accumulate": True}
    shape |= {"epochs": 2, "batch_size": 2, "save_every": 3, "max_length": 64, "learning_rate": 1e-3}
    settings = RejectConfig(**shape, learn="dpo", start="incoming")
    judge = [brief, Part("pairs", judge=RubricJudge(first_letter, Criteria("The one that sorts first.")))]
    return reject(model, prompts, settings, by=model.parent / "scorer", out=out, evaluate_on=held, judge=judge)


def brief(_: list[Prompt], answers: list[str]) -> list[float]:
    return [-float(len(answer)) for answer in answers]


def first_letter(questions: Sequence[str], replies: Sequence[str], _: Sequence[str]) -> list[list[float]]:
    """Asked about two answers, it names the one that sorts first."""
    fenced = [re.findall(r"answer [AB] begins\n(.*?)\n=== ", question, re.DOTALL) for question in questions]
    return [[0.0, -math.inf] if one < other else [-math.inf, 0.0] for one, other in fenced]


RUNS: dict[str, Callable[[Path, Path], Figures]] = {
    "sft": run_sft,
    "reward": run_reward,
    "dpo": run_dpo,
    "ppo": run_ppo,
    "ppo_shared": run_ppo_shared,
    "ppo_adapter": run_ppo_adapter,
    "grpo": run_grpo,
    "reject": run_reject,
}


def run_alone(method: str, model: Path, out: Path) -> None:
    """The run as a process of its own has it."""
    torch.set_num_threads(1)
    RUNS[method](model, out)
