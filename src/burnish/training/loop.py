"""The one loop of all methods: global batch → micro-batches → summed losses, divided once → clip → step → record.

A method hands it a function `step(i)` that makes one line of figures, by one or more calls of an `Update`. Sums are
divided once by the global count (tokens, pairs, groups), so the step does not depend on how the batch was cut.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from burnish.batch.pack import TreeBatch, micro_batches, pack
from burnish.errors import ConfigError, Interrupted, NonFiniteLoss
from burnish.models.model import Model
from burnish.training.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    save_checkpoint,
    write_durably,
)
from burnish.training.config import MethodConfig
from burnish.training.identity import differences
from burnish.training.metrics import Figures, MetricsFile, last_figures
from burnish.training.order import Order, derived_seed
from burnish.training.progress import tell
from burnish.training.schedule import rate
from burnish.training.signals import signals
from burnish.types import Tree


@dataclass(frozen=True)
class StepLoss:
    """What a loss says of one micro-batch: the sum over its units, how many units, and figures, one value a unit."""

    total: Tensor
    count: float
    figures: Mapping[str, Tensor] = field(default_factory=dict)


Loss = Callable[[TreeBatch], StepLoss]


@dataclass(frozen=True)
class WholeBatch:
    """A loss that must know something of its whole batch: `of` gives the loss of a batch's trees, without gradient and
    before any micro-batch is computed."""

    of: Callable[[Sequence[Tree]], Loss]


def loss_on(trees: Sequence[Tree], loss: Loss | WholeBatch) -> Loss:
    """What `loss` is on a batch of these trees."""
    return loss.of(trees) if isinstance(loss, WholeBatch) else loss


Evaluate = Callable[[int], Figures]
"""Figures of held-out rows, by the model as it is after so many steps."""


class Kept(Protocol):
    """Whatever a checkpoint keeps: weights with their optimiser, and what else a method carries from step to step."""

    def tensors(self) -> Mapping[str, Tensor]: ...

    def restore(self, tensors: Mapping[str, Tensor]) -> None: ...


class Follower(Kept, Protocol):
    """What follows the model that learns: a reference that is refreshed."""

    def after(self, steps: int) -> None: ...


@dataclass(frozen=True)
class Apart:
    """Parameters with a peak rate and a clipping of their own; `name` stands before `_grad_norm` in the figures."""

    name: str
    parameters: frozenset[str]
    learning_rate: float


@dataclass(frozen=True)
class Mixed:
    """Rows of another kind that join an update: `weight` times the mean of their loss is added to the loss.

    `units` is what that mean is over: the sum of `loss`'s counts, known before any of them is computed.
    """

    trees: Sequence[Tree]
    loss: Loss
    weight: float
    units: float


class Update:
    """One optimiser step on one model from one global batch. Holds the optimiser, so a checkpoint asks it for state."""

    def __init__(
        self, learner: Model, config: MethodConfig, *, learning_rate: float | None = None, apart: Apart | None = None
    ) -> None:
        self.learner = learner
        self.config = config
        self.peak = config.learning_rate if learning_rate is None else learning_rate
        self.apart = apart
        self.parameters = learner.trainable()
        named = frozenset() if apart is None else apart.parameters
        self.common = [p for name, p in self.parameters.items() if name not in named]
        self.own = [p for name, p in self.parameters.items() if name in named]
        groups = self._groups(self.common, self.peak)
        if apart is not None:
            groups += self._groups(self.own, apart.learning_rate)
        self.optimiser = torch.optim.AdamW(
            groups,
            lr=self.peak,
            betas=(config.adam.beta1, config.adam.beta2),
            eps=config.adam.epsilon,
            fused=True,
        )

    def _groups(self, parameters: Sequence[torch.nn.Parameter], peak: float) -> list[dict[str, Any]]:
        # biases and norms are not pulled to zero: it is a prior on directions, which they are not
        decayed = [p for p in parameters if p.dim() >= 2]
        kept = [p for p in parameters if p.dim() < 2]
        return [
            {"params": decayed, "weight_decay": self.config.weight_decay, "peak": peak},
            {"params": kept, "weight_decay": 0.0, "peak": peak},
        ]

    def __call__(
        self,
        trees: Sequence[Tree],
        loss: Loss,
        *,
        step: int,
        steps: int,
        whole: bool = False,
        mixed: Mixed | None = None,
    ) -> Figures:
        """Step `step` of `steps`. `whole`: the loss compares a tree's answers, so no tree may be split.

        `mixed` rows learn in the same step; `mix_loss` is their mean loss, `own_grad_norm` the gradient's norm without
        them. Raises NonFiniteLoss, before the weights change, where the loss or the gradient is not finite.
        """
        self.learner.model.train(self.config.dropout > 0 or self.config.activation_checkpointing)
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        units: dict[str, int] = {}
        total, count, tokens = 0.0, 0.0, 0
        for batch in self._batches(trees, step, whole=whole):
            told = loss(batch)
            told.total.backward()
            total += told.total.item()
            count += told.count
            tokens += len(batch.token_T)
            for name, values in told.figures.items():
                sums[name] = sums.get(name, 0.0) + values.detach().double().sum().item()
                units[name] = units.get(name, 0) + values.numel()
        beside = self._mix(mixed, count, step) if mixed is not None else {}
        self.learner.model.eval()
        if not count:
            raise ConfigError(
                f"step {step + 1} has nothing to learn: none of its {len(trees)} groups gives a learned token or a "
                f"decided pair (first: {trees[0].origin or trees[0].id})"
            )
        total += 0.0 if mixed is None else mixed.weight * beside["mix_loss"] * count
        norms = self._step(count, rate(self.config, step, steps), total, step)
        figures = {"loss": total / count, **norms, **beside}
        figures["learning_rate"] = rate(self.config, step, steps) * self.peak
        figures["tokens"] = tokens
        return figures | {name: sums[name] / units[name] for name in sums if units[name]}

    def _batches(self, trees: Sequence[Tree], step: int, *, whole: bool, name: str = "dropout") -> Iterator[TreeBatch]:
        """The micro-batches of a step, each with the random numbers of its own place."""
        for index, part in enumerate(micro_batches(trees, self.config.micro_batch_tokens, whole=whole)):
            if self.config.dropout:
                torch.manual_seed(derived_seed(self.config.seed, name, step, index))
            yield pack(part).to(self.learner.device)

    def _mix(self, mixed: Mixed, count: float, step: int) -> Figures:
        """Add the gradient of `mixed` to one that will be divided by `count`."""
        alone = [p.grad for p in self.common if p.grad is not None]
        figures = {"own_grad_norm": torch.nn.utils.get_total_norm(alone).item() / max(count, 1)}
        total = 0.0
        for batch in self._batches(mixed.trees, step, whole=False, name="mixed"):
            told = mixed.loss(batch)
            (told.total * (mixed.weight * count / mixed.units)).backward()
            total += told.total.item()
        return figures | {"mix_loss": total / mixed.units}

    def _step(self, count: float, share: float, total: float, step: int) -> Figures:
        parts = {"grad_norm": [p.grad for p in self.common if p.grad is not None]}
        if self.apart is not None:
            parts[f"{self.apart.name}_grad_norm"] = [p.grad for p in self.own if p.grad is not None]
        norms = {name: torch.nn.utils.get_total_norm(grads).item() / count for name, grads in parts.items()}
        if not (math.isfinite(total) and all(map(math.isfinite, norms.values()))):
            raise NonFiniteLoss(
                f"step {step + 1}: loss {total / count}, gradient norm {norms['grad_norm']}. The weights were not "
                "changed. Usual causes: a learning rate that is too high, float16, a damaged model file."
            )
        limit = self.config.max_grad_norm
        for name, grads in parts.items():
            scale = min(1.0, limit / (norms[name] + 1e-6)) if limit else 1.0
            if grads:
                torch._foreach_mul_(grads, scale / count)
        for group in self.optimiser.param_groups:
            group["lr"] = share * group["peak"]
        self.optimiser.step()
        return norms

    def tensors(self) -> dict[str, Tensor]:
        names = {p: name for name, p in self.parameters.items()}
        weights = {f"weight//{name}": p.detach() for name, p in self.parameters.items()}
        return weights | {f"adam//{k}": v for k, v in optimiser_tensors(self.optimiser, names).items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        weights = {k.removeprefix("weight//"): v for k, v in tensors.items() if k.startswith("weight//")}
        if weights.keys() != self.parameters.keys():
            raise ConfigError(
                f"the checkpoint's weights are others: {sorted(weights.keys() ^ self.parameters.keys())[:5]}"
            )
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])
        restore_optimiser(
            self.optimiser,
            self.parameters,
            {k.removeprefix("adam//"): v for k, v in tensors.items() if k.startswith("adam//")},
        )


def train(
    kept: Mapping[str, Kept],
    steps: int,
    step: Callable[[int], Figures],
    config: MethodConfig,
    *,
    out: Path,
    identity: Mapping[str, str],
    evaluate: Evaluate | None = None,
    from_start: bool = False,
) -> Figures:
    """Run `step(0) … step(steps - 1)`, recording and saving, from the newest checkpoint on; return the last figures.

    `kept` is what a checkpoint holds, by the name of its file.
    `evaluate` gives figures of held-out rows, every `evaluate_every` steps and after the last one; `from_start` also
    before the first, in a line of its own as step 0.
    `identity` names what must be the same for a resume to mean anything (hashes of config, data, model). Raises
    ConfigError where a checkpoint has another one, Interrupted after a clean save on SIGTERM or SIGINT.
    """
    folder = out / "checkpoints"
    found, troubles = newest_checkpoint(folder)
    for trouble in troubles:
        print(f"warning: a checkpoint is broken and was put aside: {trouble}", file=sys.stderr)
    done = _resume(found, kept, identity) if found else 0
    offset = found.facts["metrics_offset"] if found else 0

    with MetricsFile(out / "metrics.jsonl", offset) as metrics, signals() as asked:

        def save(after: int) -> None:
            facts = {"metrics_offset": metrics.offset, "identity": dict(identity), "threads": torch.get_num_threads()}
            save_checkpoint(folder, after, {name: one.tensors() for name, one in kept.items()}, facts)

        if evaluate and from_start and not done:
            before = evaluate(0)
            metrics.write({"step": 0, **before})
            tell(0, steps, before, _next_evaluation(0, steps, config))
        for i in range(done, steps):
            began = time.perf_counter()
            try:
                figures = step(i)
            except NonFiniteLoss as error:
                metrics.write({"step": i + 1, "loss": math.nan})
                write_durably(out / "bad_batch.json", json.dumps({"step": i + 1, "error": str(error)}))
                raise
            seconds = time.perf_counter() - began
            if evaluate and (i + 1 == steps or (config.evaluate_every and (i + 1) % config.evaluate_every == 0)):
                figures |= evaluate(i + 1)
            speed = {"seconds": seconds, "tokens_per_second": figures["tokens"] / seconds, "peak_gb": _peak_gb()}
            metrics.write({"step": i + 1, **figures, **speed})
            tell(i + 1, steps, figures | speed, _next_evaluation(i + 1, steps, config) if evaluate else 0)
            if i + 1 == steps or asked or (config.save_every and (i + 1) % config.save_every == 0):
                save(i + 1)
            if asked and i + 1 < steps:
                raise Interrupted(f"stopped after step {i + 1} of {steps}, saved. Run the same command again to go on.")
    return last_figures(out / "metrics.jsonl")


def train_on(
    learner: Model,
    trees: Sequence[Tree],
    loss: Loss | WholeBatch,
    config: MethodConfig,
    *,
    out: Path,
    identity: Mapping[str, str],
    whole: bool = False,
    evaluate: Evaluate | None = None,
    beside: Mapping[str, Follower] | None = None,
) -> Figures:
    """`train` for a method whose steps are one update from fixed rows: SFT, reward model, DPO, pretraining.

    `beside`: what else changes from step to step, by the name that it has in checkpoints.
    """
    update = Update(learner, config)
    rows = Order.of(len(trees), config)
    followers = beside or {}

    def step(i: int) -> Figures:
        batch = rows.take(trees, i)
        figures = update(batch, loss_on(batch, loss), step=i, steps=rows.steps, whole=whole)
        for follower in followers.values():
            follower.after(i + 1)
        return figures

    kept = {"model": update, **followers}
    return train(kept, rows.steps, step, config, out=out, identity=identity, evaluate=evaluate)


def _next_evaluation(done: int, steps: int, config: MethodConfig) -> int:
    """The step after which held-out rows are measured next; 0 after the last."""
    if done == steps:
        return 0
    every = config.evaluate_every or steps
    return min(steps, (done // every + 1) * every)


def _resume(found: Checkpoint, kept: Mapping[str, Kept], identity: Mapping[str, str]) -> int:
    changed = differences(found.facts["identity"], identity)
    if changed:
        raise ConfigError(
            f"{found.path} was written by another run:\n" + "\n".join(changed) + "\n"
            "To go on, put back what was changed; to start afresh, choose another --out."
        )
    for name, one in kept.items():
        one.restore(found.tensors(name))
    return found.step


def _peak_gb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    import resource  # not on Windows, which has no training here

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
