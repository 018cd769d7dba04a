"""Linear layers whose weights lie as oneDNN reads them, for one call of the sampler on a CPU.

A plain product brings the weights into an order of its own in every call. Over the few rows of a decoding step that is
a part of the work, most of all under a wide head; the precision stays float32. It costs a second copy of the weights
until the call is over. An adapter is added to that copy, so that no token pays for matrices of its own.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from burnish.models.adapters import adapted_weight
from burnish.models.head import Head
from burnish.models.model import Policy

MOST_BYTES = 4 << 30  # of the second copy
LEAST_ANSWERS = 8  # fewer rows wait for the weights to come from memory, in whatever order they lie
_ROWS = 64  # what oneDNN is told to expect; the order that it chooses serves 2 to 2048 rows as well as their own would


@cache
def available() -> bool:
    """Whether this build of torch has the two operators, which are its own compiler's and promised to nobody else."""
    x, weight = torch.ones(2, 3), torch.arange(12.0).view(4, 3)
    try:
        return torch.equal(product(x, packed(weight), None), x @ weight.T)
    except (AttributeError, NotImplementedError, RuntimeError):
        return False


def packed(weight: Tensor) -> Tensor:
    """A copy of `weight` (out, in) in an order of oneDNN's choice, which only `product` can read."""
    made: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
    return made


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x·Wᵀ + b of a `packed` weight."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


@dataclass(frozen=True)
class PackedHead(Head):
    """A head whose whole product is one of a packed weight."""

    packed_VD: Tensor | None = None

    def product(self, hidden_LD: Tensor, columns: slice = slice(None)) -> Tensor:
        if self.packed_VD is None or columns != slice(None):
            return super().product(hidden_LD, columns)
        return product(hidden_LD, self.packed_VD, self.bias_V)


@contextmanager
def prepacked(policy: Policy, answers: int) -> Iterator[Head]:
    """Within it the policy's linear layers multiply by packed weights; what it gives is a head that does.

    Nothing is packed for fewer than `LEAST_ANSWERS`, away from the CPU, in another precision than float32, where the
    copy would take more than `MOST_BYTES`, and where torch lacks the operators.
    """
    head = policy.head
    size = sum(p.numel() * p.element_size() for p in policy.model.parameters())
    worth = answers >= LEAST_ANSWERS and size <= MOST_BYTES
    if not worth or policy.device.type != "cpu" or policy.model.dtype != torch.float32 or not available():
        yield head
        return
    with ExitStack() as swapped:
        for layer, weight in _linear_layers(policy):
            base: Any = layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer
            layer.forward = partial(_forward, packed(weight), base.bias)  # a module looks at itself before its class
            swapped.callback(delattr, layer, "forward")
        yield PackedHead(head.weight_VD, head.bias_V, head.scale, head.softcap, packed(head.weight_VD))


def _forward(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    return product(x, weight, bias)


def _linear_layers(policy: Policy) -> Iterator[tuple[Any, Tensor]]:
    """Each linear layer of the trunk with the weight that it multiplies by, its adapter included."""

    def within(module: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, Tensor]]:
        weight = adapted_weight(module) if policy.adapter is not None else None
        if weight is None and type(module) is torch.nn.Linear:
            weight = module.weight
        if weight is None:
            for child in module.children():
                yield from within(child)
        elif "forward" not in vars(module):
            yield module, weight

    return within(policy.trunk)
