"""What a method that learns from its own answers is to reach on the models of `listed`, and how near it came."""

from pathlib import Path
from typing import Any

import torch
from enumerable import Optimum, kl, objective
from listed import END, PLACE, answers, logprobs, reward_model, scores
from torch import Tensor

from burnish.models.adapters import Lora
from burnish.rollout.settings import Sampling
from burnish.types import Group

PROMPTS = ("a", "b")
STEERED = answers(longest=3)
BETA, CUT = 0.6, 1.0
"""Price of a nat, and what an answer without an end loses."""

SETTINGS: dict[str, Any] = {
    **PLACE,
    "steps": 40,
    "batch_size": 4,
    "samples": 32,
    "learning_rate": 2e-3,
    "schedule": "linear",
    "beta": BETA,
    "unfinished_penalty": CUT,
    "sampling": Sampling(max_new_tokens=STEERED.longest),
}
"""40 iterations of 128 answers; the rate goes to 0, so that what is left is not noise.

At 5e-3 one seed in three loses an answer early and has not found it at the end.
"""


def groups() -> list[Group]:
    return [Group(prompt) for prompt in PROMPTS]


def steering(base: Path, folder: Path, *, lora: Lora | None = None) -> Path:
    """The reward model that is climbed."""
    return reward_model(base, folder, STEERED, PROMPTS[0], lora=lora)


def within_reach(optimum: Optimum, reference_A: Tensor) -> Optimum:
    """It is neither at the reference nor out of sight: else to reach it would prove nothing."""
    assert 0.5 <= kl(optimum.logprob_A, reference_A) <= 3
    return optimum


def paid(judge: Path, prompt: str) -> Tensor:
    cut_A = torch.tensor([sampled[-1] != END for sampled in STEERED.tokens])
    return scores(judge, STEERED, prompt) - CUT * cut_A


def share(logprob_A: Tensor, base: Path, judge: Path, prompt: str) -> float:
    """How much of the way from J(reference) to β·log Z."""
    reference_A, reward_A = logprobs(base, STEERED, prompt), paid(judge, prompt)
    optimum = within_reach(Optimum.of(reference_A, reward_A, BETA), reference_A)
    return optimum.share(objective(logprob_A, reference_A, reward_A, BETA))


def shares(model: Path, base: Path, judge: Path) -> list[float]:
    """The share of each prompt."""
    return [share(logprobs(model, STEERED, prompt), base, judge, prompt) for prompt in PROMPTS]
