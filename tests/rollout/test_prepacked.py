"""Weights in an order of oneDNN's choice: what is sampled stays what the training pass computes."""

from collections.abc import Callable

import pytest
import torch

from burnish.models.adapters import Lora, added_adapter
from burnish.models.model import Policy
from burnish.rollout import prepacked
from burnish.rollout.gap import sampler_gap, training_logprobs
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.types import Rollout

MakePolicy = Callable[..., Policy]
SETTINGS = Sampling(max_new_tokens=10, temperature=1.5)
ENDS = (4, 5, 6)
PROMPTS = [[14 + (7 * i + j) % 80 for j in range(1 + (5 * i) % 37)] for i in range(40)]  # more than are read at once

needs_operators = pytest.mark.skipif(not prepacked.available(), reason="this torch has no oneDNN operators")


def adapted(policy: Policy) -> Policy:
    """The policy with an adapter that has learned something."""
    policy.adapter = added_adapter(policy.model, Lora(rank=4))
    draw = torch.Generator().manual_seed(0)
    for name, parameter in policy.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1, generator=draw)
    return policy


def sample(policy: Policy, n: int = 2) -> list[Rollout]:
    return LocalEngine(policy).sample(PROMPTS, n, SETTINGS, end_tokens=ENDS, seed=3)


def gap(policy: Policy, rollouts: list[Rollout]) -> float:
    return sampler_gap(rollouts, training_logprobs(policy, PROMPTS, rollouts, SETTINGS, end_tokens=ENDS))[0]


def swapped(policy: Policy) -> list[str]:
    return [name for name, module in policy.model.named_modules() if "forward" in vars(module)]


@needs_operators
@pytest.mark.parametrize("name", ["llama", "gemma2", "opt"])  # opt's layers have a bias
def test_every_linear_layer_multiplies_by_packed_weights_while_answers_are_written(policy: MakePolicy, name: str):
    model = policy(name)
    linear = [name for name, m in model.model.base_model.named_modules() if type(m) is torch.nn.Linear]
    streaming = LocalEngine(model).stream(PROMPTS, 2, SETTINGS, end_tokens=ENDS, seed=3)
    next(streaming)
    assert len(swapped(model)) == len(linear)
    streaming.close()
    assert swapped(model) == []


@needs_operators
def test_an_adapter_is_part_of_what_is_packed(policy: MakePolicy):
    model = adapted(policy("llama"))
    rollouts = sample(model)
    assert gap(model, rollouts) <= 1e-4
    assert swapped(model) == []
    with model.adapter_off():
        assert gap(model, rollouts) > 0.1  # else the adapter would show in nothing
        assert gap(model, sample(model)) <= 1e-4


def test_prompts_that_are_read_in_several_parts_are_read_whole(policy: MakePolicy):
    model = policy("mistral")
    assert gap(model, sample(model)) <= 1e-4


@pytest.mark.parametrize("count", [1, prepacked.LEAST_ANSWERS])
def test_a_few_answers_are_written_with_the_weights_as_they_lie(policy: MakePolicy, count: int):
    model = policy("llama")
    with prepacked.prepacked(model, count):
        assert bool(swapped(model)) == (count >= prepacked.LEAST_ANSWERS and prepacked.available())


def test_other_precisions_and_large_models_are_left_as_they_are(policy: MakePolicy, monkeypatch: pytest.MonkeyPatch):
    model = policy("llama")
    for change in (model.model.double, model.model.bfloat16):
        change()
        with prepacked.prepacked(model, 64) as head:
            assert swapped(model) == []
            assert type(head) is type(model.head)
    model.model.float()
    monkeypatch.setattr(prepacked, "MOST_BYTES", 1000)
    with prepacked.prepacked(model, 64):
        assert swapped(model) == []
