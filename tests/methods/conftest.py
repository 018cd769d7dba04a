"""What PPO needs beside a policy: prompts, settings, a reward model, and a model that is not the policy."""

from pathlib import Path
from typing import Any

import pytest
from tiny import byte_tokenizer, tiny_llama

from burnish.methods.ppo import PPOConfig
from burnish.models.load import load_scorer
from burnish.rollout.settings import Sampling
from burnish.types import Group

PROMPTS = [Group(f"{i} + {i} = ", origin=f"prompts:{i + 1}") for i in range(8)]


def short_ppo(**changes: Any) -> PPOConfig:
    short = {"steps": 1, "batch_size": 4, "samples": 2, "max_length": 32, "learning_rate": 1e-3}
    return PPOConfig(**(short | {"sampling": Sampling(max_new_tokens=6)} | changes))


@pytest.fixture(scope="session")
def reward_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ppo") / "reward"
    load_scorer(tiny_model, fresh_head=True).save(folder)
    return folder


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ppo") / "other"
    tiny_llama(seed=1).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
