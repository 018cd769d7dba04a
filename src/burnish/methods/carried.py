"""What a run carries from iteration to iteration beside what it trains: β, reference, score moments, average weights,
the best weights.

Each lies in the checkpoint as tensors, in the precision that it is computed in: a killed run goes on bit by bit.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from burnish.models.model import Model
from burnish.objectives import kl


class Price:
    """β, fixed, or following the KL that it is to hold (Ziegler et al. 2019, §2.2) where `target` is given."""

    def __init__(self, beta: float, target: float | None) -> None:
        self.beta = beta
        self.target = target

    def follow(self, measured: float) -> None:
        """`measured`: the iteration's KL in nats an answer, by k1; one that is no number says nothing of β."""
        if self.target is not None and math.isfinite(measured):
            self.beta = kl.next_beta(self.beta, measured, self.target)

    def tensors(self) -> dict[str, Tensor]:
        return {"beta": torch.tensor(self.beta, dtype=torch.float64)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self.beta = tensors["beta"].item()


class Anchor:
    """The reference, where it follows the policy: reference ← (1 - share) · reference + share · policy, each `every`
    steps (Gorbatovski et al. 2024, TR-DPO)."""

    def __init__(self, reference: Model, policy: Model, *, every: int, share: float = 1.0) -> None:
        self.reference = reference.trainable()
        self.policy = policy.trainable()
        self.every = every
        self.share = share

    @torch.no_grad()
    def after(self, steps: int) -> None:
        if steps % self.every:
            return
        for name, weight in self.reference.items():
            weight.lerp_(self.policy[name], self.share)

    def tensors(self) -> Mapping[str, Tensor]:
        return self.reference

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, weight in self.reference.items():
            weight.copy_(tensors[name])


class Moments:
    """Count, mean and sum of squared gaps of all scores that the run has seen (Chan et al. 1983), in float64."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, score_N: Tensor) -> None:
        score_N = score_N.double()
        count, mean = len(score_N), score_N.mean().item()
        gap, both = mean - self.mean, self.count + len(score_N)
        self.squares += ((score_N - mean) ** 2).sum().item() + gap**2 * self.count * count / both
        self.mean += gap * count / both
        self.count = both

    def normalised(self, score_N: Tensor) -> Tensor:
        """(s - mean) / √(deviation² + 1e-8), of all scores so far. Equal scores become 0."""
        deviation = math.sqrt(self.squares / max(self.count, 1) + 1e-8)
        return (score_N - self.mean) / deviation

    def tensors(self) -> dict[str, Tensor]:
        return {"moments": torch.tensor([self.count, self.mean, self.squares], dtype=torch.float64)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        count, self.mean, self.squares = tensors["moments"].tolist()
        self.count = int(count)


class Average:
    """The exponential average of a model's trained weights: average ← decay · average + (1 - decay) · weights.

    It starts as the weights that come in. Kept in float32 at least: in half precision a step of 1 - decay is lost.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.weights = model.trainable()
        self.average = {name: p.detach().to(_kept(p), copy=True) for name, p in self.weights.items()}

    @torch.no_grad()
    def add(self) -> None:
        for name, weight in self.weights.items():
            self.average[name].lerp_(weight.to(_kept(weight)), 1 - self.decay)

    @torch.no_grad()
    def put(self) -> None:
        """The model's weights become their average."""
        for name, weight in self.weights.items():
            weight.copy_(self.average[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model's weights are their average."""
        weights = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self.weights.items():
                    weight.copy_(weights[name])

    def tensors(self) -> dict[str, Tensor]:
        return self.average

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, average in self.average.items():
            average.copy_(tensors[name])


class Best:
    """The trained weights of the evaluation with the largest value so far, the first of equals."""

    def __init__(self, model: Model) -> None:
        self.weights = model.trainable()
        self.step, self.value = 0, -math.inf
        self.kept: dict[str, Tensor] = {}

    def offer(self, step: int, value: float) -> None:
        """The model as it is after `step` steps, worth `value`."""
        if value > self.value:
            self.step, self.value = step, value
            self.kept = {name: weight.detach().clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def put(self) -> None:
        """The model's weights become the best that were offered."""
        for name, weight in self.weights.items():
            weight.copy_(self.kept[name])

    def tensors(self) -> dict[str, Tensor]:
        at = torch.tensor([self.step, self.value], dtype=torch.float64)
        return {"step_and_value": at} | {f"weight//{name}": weight for name, weight in self.kept.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        step, self.value = tensors["step_and_value"].tolist()
        self.step = int(step)
        self.kept = {name: tensors[f"weight//{name}"].to(weight.device) for name, weight in self.weights.items()}


def _kept(weight: Tensor) -> torch.dtype:
    return torch.float64 if weight.dtype == torch.float64 else torch.float32
