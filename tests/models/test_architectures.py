"""Our forward pass gives what transformers' own gives, one sequence at a time, in many architectures."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from burnish.batch.pack import pack
from burnish.models.check import check_trees, stock_outputs, why_not_packed
from burnish.models.model import Model, Policy, Scorer
from burnish.models.random_copy import random_copy

Build = Callable[..., PreTrainedModel]


def copy_of(model: PreTrainedModel) -> PreTrainedModel:
    """The check's random copy, in float64 where transformers can: not with experts, nor with XGLM's own mask."""
    copied = random_copy(model)
    experts = any("experts" in name for name, _ in copied.named_parameters())
    return copied if experts or model.config.model_type == "xglm" else copied.double()


def output_and_gradient(model: Model, output: Tensor) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of a random weighting of it in all weights, end to end."""
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parameters = list(model.model.parameters())
    gradients = torch.autograd.grad((output * weight).sum(), parameters, allow_unused=True)
    return output.detach(), torch.cat([g.flatten() for g in gradients if g is not None])


def off(ours: Tensor, stock: Tensor) -> float:
    return ((ours - stock).norm() / stock.norm()).item()


def assert_equal_to_stock(model: Model) -> None:
    batch = pack(check_trees(model.model))
    ours = model.scores(batch) if isinstance(model, Scorer) else model.logprobs(batch)
    output, gradient = output_and_gradient(model, ours)
    with model.stock():
        stock_output, stock_gradient = output_and_gradient(model, stock_outputs(model, batch))
    double = model.model.dtype == torch.float64
    assert off(output, stock_output) < (1e-6 if double else 1e-5)
    assert off(gradient, stock_gradient) < (1e-6 if double else 1e-4)


def test_packed_logprobs_and_gradients_are_those_of_transformers(packed_architecture: str, build: Build):
    model = build(packed_architecture)
    assert why_not_packed(model) == ""
    assert_equal_to_stock(Policy(copy_of(model), None))


def test_packed_scores_and_gradients_are_those_of_transformers(packed_architecture: str, build: Build):
    model = build(packed_architecture, "SequenceClassification")
    if not isinstance(getattr(model, "score", None), torch.nn.Linear):
        pytest.skip("its classifier has another head; load_scorer refuses it")
    assert_equal_to_stock(Scorer(copy_of(model), None))


def test_what_cannot_be_packed_is_caught_and_its_padded_path_is_that_of_transformers(
    padded_architecture: str, build: Build
):
    model = build(padded_architecture)
    reason = why_not_packed(model)
    assert reason
    assert_equal_to_stock(Policy(copy_of(model), None, padded_because=reason))


def test_padded_scores_and_gradients_are_those_of_transformers(padded_architecture: str, build: Build):
    model = build(padded_architecture, "SequenceClassification")
    assert_equal_to_stock(Scorer(copy_of(model), None, padded_because="known from its language model"))


def test_the_padded_path_is_exact_where_the_packed_one_is_too(windowed_architecture: str, build: Build):
    assert_equal_to_stock(Policy(copy_of(build(windowed_architecture)), None, padded_because="asked for"))
