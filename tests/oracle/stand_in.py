"""A stand-in for a TRL trainer, answers of unlike length, and two losses held to each other.

Each of TRL's loss methods runs as it stands, on a stand-in for its trainer that holds only the settings it reads and on
a model that answers with the tensors of the test.
"""

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

PRECISIONS = pytest.mark.parametrize(
    "dtype, of_loss, of_gradient", [(torch.float64, 1e-6, 1e-6), (torch.float32, 1e-5, 1e-4)]
)
MASK_BS = torch.tensor([[1, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])  # answers of unlike length
ANSWER_T = MASK_BS.nonzero()[:, 0]
LENGTH_B = MASK_BS.sum(1)


def trainer(**settings: Any) -> SimpleNamespace:
    """What TRL's loss methods read of their trainer, on one process and without anything that is off by default."""
    same = SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x, reduce=lambda x, reduction: x)
    return SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(**vars(same), device="cpu", parallelism_config=None, num_processes=1),
        _metrics=defaultdict(lambda: defaultdict(list)),
        aux_loss_enabled=False,
        _total_train_tokens=0,
        **settings,
    )


def drawn(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def logprobs(dtype: torch.dtype, seed: int) -> Tensor:
    """A log-probability a place, zero where no token is."""
    return -drawn(*MASK_BS.shape, dtype=dtype, seed=seed).abs() * 3 * MASK_BS


def both(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], at: Tensor) -> dict[str, float]:
    """‖a - b‖ / ‖b‖ of the two losses and of their gradients."""
    sides = []
    for loss in (ours, theirs):
        point = at.clone().requires_grad_()
        value = loss(point)
        value.backward()
        sides.append((value.detach(), point.grad))
    (loss, gradient), (their_loss, their_gradient) = sides
    assert their_gradient.norm() > 0  # else equality would say nothing
    return {
        "loss": ((loss - their_loss).abs() / their_loss.abs()).item(),
        "gradient": ((gradient - their_gradient).norm() / their_gradient.norm()).item(),
    }
