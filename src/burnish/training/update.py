"""One optimiser step: global batch → micro-batches → summed losses, divided once → clip → step.

Sums are divided once by the global count (tokens, pairs, groups), so the step does not depend on how the batch was cut.
"""

import gc
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from burnish import processes
from burnish.batch.pack import TreeBatch, micro_batches, pack
from burnish.errors import ConfigError, NonFiniteLoss, is_out_of_memory
from burnish.models.model import Model
from burnish.testing.faults import reach
from burnish.training.bad_batch import batch_facts, leave_out
from burnish.training.checkpoint import optimiser_tensors, restore_optimiser
from burnish.training.config import MethodConfig
from burnish.training.memory import out_of_memory
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.training.schedule import rate
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


@dataclass
class _Summed:
    """What the micro-batches of a step add up to, their gradient beside it."""

    total: float = 0.0
    count: float = 0.0
    tokens: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    beside: Figures = field(default_factory=dict)

    def add(self, total: float, count: float, tokens: int, sums: Mapping[str, float], units: Mapping[str, int]) -> None:
        self.total += total
        self.count += count
        self.tokens += tokens
        for name in sums:
            self.sums[name] = self.sums.get(name, 0.0) + sums[name]
            self.units[name] = self.units.get(name, 0) + units[name]

    def means(self) -> Figures:
        return {name: self.sums[name] / self.units[name] for name in self.sums if self.units[name]}


class Update:
    """One optimiser step on one model from one global batch. Holds the optimiser, so a checkpoint asks it for state."""

    def __init__(
        self, learner: Model, config: MethodConfig, *, learning_rate: float | None = None, apart: Apart | None = None
    ) -> None:
        self.learner = learner
        self.config = config
        self.peak = config.learning_rate if learning_rate is None else learning_rate
        self.apart = apart
        self.budget = config.micro_batch_tokens
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
        them. Where the loss or the gradient is not finite, weights and optimiser stay as they are: raises
        NonFiniteLoss, or returns the figures of a batch that whoever runs this goes on without (bad_batch.py).
        """
        self.learner.model.train(self.config.dropout > 0 or self.config.activation_checkpointing)
        found = self._gradient(trees, loss, step, whole=whole, mixed=mixed)
        self.learner.model.eval()
        reach("step.after_backward", step + 1)
        if not found.count:
            raise ConfigError(
                f"step {step + 1} has nothing to learn: none of its {len(trees)} groups gives a learned token or a "
                f"decided pair (first: {trees[0].origin or trees[0].id})"
            )
        parts, norms = self._norms(found.count)
        figures = {"loss": found.total / found.count, **norms, **found.beside}
        figures["learning_rate"] = rate(self.config, step, steps) * self.peak
        figures["tokens"] = found.tokens
        if self.budget != self.config.micro_batch_tokens:
            figures["micro_batch_tokens"] = self.budget
        if math.isfinite(found.total) and all(map(math.isfinite, norms.values())):
            self._step(found.count, rate(self.config, step, steps), parts, norms)
        else:
            leave_out(self._not_finite(trees, loss, step, figures))
        return figures | found.means()

    def _gradient(self, trees: Sequence[Tree], loss: Loss, step: int, *, whole: bool, mixed: Mixed | None) -> _Summed:
        """The gradient of a step, in smaller parts where memory runs out and `auto_micro_batch` is set.

        Raises OutOfMemory where it still does.
        """
        while True:
            self.optimiser.zero_grad(set_to_none=True)
            try:
                return self._summed(trees, loss, step, whole=whole, mixed=mixed)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                smaller = self._smaller(trees, whole=whole) if self.config.auto_micro_batch else None
                if smaller is None:
                    where = f"step {step + 1}, at most {self.budget} tokens a micro-batch"
                    raise out_of_memory(where, error, self.learner.model) from error
                told = f"step {step + 1}: out of memory at {self.budget} tokens a micro-batch; {smaller} from here on"
            # out of the handler, whose error holds on to the tensors of what failed; its frames may refer to each other
            gc.collect()
            print(f"warning: {told}. Results may differ in their last bits from an unbroken run.", file=sys.stderr)
            self.budget = smaller

    def _smaller(self, trees: Sequence[Tree], *, whole: bool) -> int | None:
        """The next budget, by halves, that cuts a batch into more parts; None where nothing is left to cut."""
        parts, budget = len(self._parts(trees, self.budget, whole=whole)), self.budget // 2
        while budget:
            if len(self._parts(trees, budget, whole=whole)) > parts:
                return budget
            budget //= 2
        return None

    def _summed(self, trees: Sequence[Tree], loss: Loss, step: int, *, whole: bool, mixed: Mixed | None) -> _Summed:
        """The gradient and the sums of all parts; of several processes each computes its share of them."""
        parts = self._parts(trees, self.budget, whole=whole)
        mine = processes.share_of([sum(tree.size for tree in part) for part in parts])

        def learned() -> dict[str, Any]:
            batches = self._batches(parts, step, only=mine)
            told = [self._learned(loss, batch, step) for batch in batches]
            bits = sum(1 << i for i, p in enumerate(self.parameters.values()) if p.grad is not None)
            return {"parts": dict(zip(map(str, mine), told, strict=True)), "with_gradient": hex(bits)}

        answers = processes.together(learned)
        self._add_gradients([int(answer["with_gradient"], 16) for answer in answers], step)
        found = _Summed()
        of_part = {index: told for answer in answers for index, told in answer["parts"].items()}
        for index in range(len(parts)):  # in their order, so that sums do not depend on who computed what
            found.add(**of_part[str(index)])
        if mixed is not None:
            found.beside = self._mix(mixed, found.count, step)
            found.total += mixed.weight * found.beside["mix_loss"] * found.count
        return found

    @staticmethod
    def _parts(trees: Sequence[Tree], budget: int, *, whole: bool) -> list[list[Tree]]:
        """A batch cut as the budget says; of several processes each is to have parts of the same size, and one at least
        where trees allow it."""
        ranks = processes.count()
        if ranks == 1:
            return micro_batches(trees, budget, whole=whole)
        tokens = sum(tree.size for tree in trees)
        rounds = max(1, math.ceil(tokens / (ranks * budget)))
        budget = min(budget, math.ceil(tokens / (ranks * rounds)))
        most = len(trees) if whole else sum(max(1, len(tree.branches)) for tree in trees)
        while len(parts := micro_batches(trees, budget, whole=whole)) < min(ranks, most):
            budget //= 2
        return parts

    def _learned(self, loss: Loss, batch: TreeBatch, step: int) -> dict[str, Any]:
        """Add the gradient of a micro-batch; what `_Summed.add` takes of it."""
        told = self._told(loss, batch, step)
        told.total.backward()
        figures = {name: values.detach().double().sum().item() for name, values in told.figures.items()}
        units = {name: values.numel() for name, values in told.figures.items()}
        return {
            "total": told.total.item(),
            "count": told.count,
            "tokens": len(batch.token_T),
            "sums": figures,
            "units": units,
        }

    def _add_gradients(self, with_gradient: Sequence[int], step: int) -> None:
        """Sum gradients over processes. A bit of `with_gradient` says of a parameter whether a process has one of it:
        where nobody has, nobody steps it, and where one has, all do.

        Raises OutOfMemory, which smaller parts are no answer to: the others are amid the sum and begin nothing again.
        """
        if processes.count() == 1:
            return
        learning = [p for i, p in enumerate(self.parameters.values()) if any(bits >> i & 1 for bits in with_gradient)]
        try:
            reach("gradients.sum", step + 1)
            for parameter in learning:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            processes.sum_in_place([p.grad for p in learning if p.grad is not None])
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(f"step {step + 1}, summing gradients", error, self.learner.model) from error

    @staticmethod
    def _told(loss: Loss, batch: TreeBatch, step: int) -> StepLoss:
        told = loss(batch)
        return replace(told, total=told.total * math.nan) if reach("loss", step + 1) else told

    def _not_finite(self, trees: Sequence[Tree], loss: Loss, step: int, figures: Figures) -> NonFiniteLoss:
        """The error, with each row's loss computed alone: one row may have made all of them what they are."""

        @torch.no_grad()
        def alone() -> dict[str, float]:
            told_of = {}
            for index in processes.share_of([tree.size for tree in trees]):
                told = self._told(loss, pack([trees[index]]).to(self.learner.device), step)
                told_of[str(index)] = told.total.item() / max(told.count, 1)
            return told_of

        losses = {index: value for some in processes.together(alone) for index, value in some.items()}
        return NonFiniteLoss(
            f"step {step + 1}: loss {figures['loss']}, gradient norm {figures['grad_norm']}. The weights were not "
            "changed. Usual causes: a learning rate that is too high, float16, a damaged model file. The batch, row by "
            "row, is in bad_batch.json.",
            batch_facts(
                trees,
                [losses[str(index)] for index in range(len(trees))],
                learner=type(self.learner).__name__,
                step=step + 1,
                **figures,
            ),
        )

    def _batches(
        self, parts: Sequence[Sequence[Tree]], step: int, *, only: Sequence[int], name: str = "dropout"
    ) -> Iterator[TreeBatch]:
        """The micro-batches of a step that `only` names, each with the random numbers of its own place."""
        for index in only:
            if self.config.dropout:
                torch.manual_seed(derived_seed(self.config.seed, name, step, index))
            yield pack(parts[index]).to(self.learner.device)

    def _mix(self, mixed: Mixed, count: float, step: int) -> Figures:
        """Add the gradient of `mixed` to one that will be divided by `count`."""
        alone = [p.grad for p in self.common if p.grad is not None]
        figures = {"own_grad_norm": torch.nn.utils.get_total_norm(alone).item() / max(count, 1)}
        total = 0.0
        parts = micro_batches(mixed.trees, self.budget, whole=False)
        for batch in self._batches(parts, step, only=range(len(parts)), name="mixed"):
            told = mixed.loss(batch)
            (told.total * (mixed.weight * count / mixed.units)).backward()
            total += told.total.item()
        return figures | {"mix_loss": total / mixed.units}

    def _norms(self, count: float) -> tuple[dict[str, list[Tensor]], Figures]:
        """The gradients that are clipped together, and the norm of each such part as it will be stepped with."""
        parts = {"grad_norm": [p.grad for p in self.common if p.grad is not None]}
        if self.apart is not None:
            parts[f"{self.apart.name}_grad_norm"] = [p.grad for p in self.own if p.grad is not None]
        return parts, {name: torch.nn.utils.get_total_norm(grads).item() / count for name, grads in parts.items()}

    def _step(self, count: float, share: float, parts: Mapping[str, list[Tensor]], norms: Figures) -> None:
        limit = self.config.max_grad_norm
        for name, grads in parts.items():
            scale = min(1.0, limit / (norms[name] + 1e-6)) if limit else 1.0
            if grads:
                torch._foreach_mul_(grads, scale / count)
        for group in self.optimiser.param_groups:
            group["lr"] = share * group["peak"]
        self.optimiser.step()

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
