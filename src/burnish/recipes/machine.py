"""Whether this machine can do what a stage asks: its device and precision, its memory and its disk."""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish import processes
from burnish.errors import ConfigError
from burnish.recipes.graph import Result, Stage, leaves
from burnish.recipes.load import Recipe
from burnish.recipes.stages import METHODS

if TYPE_CHECKING:
    from burnish.methods.on_policy_settings import OnPolicyConfig
    from burnish.methods.reject_settings import RejectConfig

TRAINED = 16  # bytes a weight: float32 weight and gradient, and AdamW's two moments
ONLY_READ = 4
CHECKPOINT = 12  # weight and two moments
ADAPTER = 0.02  # weights of an adapter, as a share of the model's
KEPT = 2  # checkpoints that are never pruned; while one is written it lies beside them
Sizes = Mapping[str, Sequence[int]]
"""How many weights the models have that each stage makes."""


@dataclass(frozen=True, slots=True)
class Need:
    """Estimated bytes: of memory, and on the disk of what a stage makes and of one checkpoint.

    `rounds` keep checkpoints of their own until the stage is done; `once`: each saves at its end alone.
    """

    memory: int
    result: int
    checkpoint: int
    keeps: bool
    rounds: int = 1
    once: bool = False

    @property
    def left(self) -> int:
        """On the disk once the stage is done."""
        return self.result + self._kept * self.checkpoint * self.keeps

    @property
    def passing(self) -> int:
        """Beside that, while it runs."""
        written = 0 if self.once else 1  # beside those that are kept
        return (self._kept * (not self.keeps) + written) * self.checkpoint

    @property
    def _kept(self) -> int:
        return self.rounds * (1 if self.once else KEPT)


def troubles(stage: Stage) -> list[str]:
    """What this machine has not got, with what to write instead; empty where all is there."""
    import torch

    device = getattr(stage.config, "device", "auto")
    dtype = getattr(stage.config, "dtype", "auto")
    told = []
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        told.append(
            f"{stage.name}.device: {device}, and torch sees no CUDA device; write `device: cpu` or leave it out"
        )
    if device == "mps" and not torch.backends.mps.is_available():
        told.append(f"{stage.name}.device: mps, and torch has no MPS here; write `device: cpu` or leave it out")
    on_cpu = device == "cpu" or (
        device == "auto" and not torch.cuda.is_available() and not torch.backends.mps.is_available()
    )
    if on_cpu and dtype in ("bfloat16", "float16") and "precision" not in getattr(stage.config, "skip_check", ()):
        told.append(
            f"{stage.name}.dtype: {dtype} on a CPU is less exact and no faster; write `dtype: float32` or leave it out"
            + (" (if it is meant: skip_check: [precision])" if hasattr(stage.config, "skip_check") else "")
        )
    return told


def refuse(stages: Sequence[Stage], recipe: Recipe, out: Path, *, force: bool) -> None:
    """Raise ConfigError for what this machine cannot do of `stages`; `force` lets pass what is only estimated."""
    if told := refused(stages, recipe, out, force=force):
        raise ConfigError("\n".join(told))


def refused(stages: Sequence[Stage], recipe: Recipe, out: Path, *, force: bool = False) -> list[str]:
    """What this machine cannot do of `stages`, a line each; `force` leaves out what is only estimated."""
    short = [] if force else shortage(recipe, stages, out)
    if short:
        short[-1] += "\nThese are estimates; --force starts all the same."
    return [line for stage in stages for line in troubles(stage)] + short


def needs(recipe: Recipe) -> dict[str, Need]:
    """What each stage needs, for models whose size can be seen beforehand.

    Activations are not in it: `micro_batch_tokens` bounds them.
    """
    from burnish.methods.on_policy_settings import OnPolicyConfig  # here, so that `plan --help` waits for no method
    from burnish.methods.reject_settings import RejectConfig

    sizes: dict[str, list[int]] = {}
    found: dict[str, Need] = {}
    for stage in recipe.stages:
        model = _weights(stage.inputs.get("model"), sizes)
        sizes[stage.name] = [model] * getattr(stage.config, "members", 1)
        trains = hasattr(stage.config, "learning_rate") and stage.method not in (
            "generate",
            "score",
            "evaluate",
            "rank",
        )
        lora = getattr(stage.config, "lora", None) is not None
        share = 0.0 if not trains else ADAPTER if lora else 1.0
        trained = int(model * share)
        memory = model * ONLY_READ + trained * (TRAINED - ONLY_READ)
        checkpoint, rounds = trained * CHECKPOINT, 1
        named = _weights(stage.inputs.get("reference"), sizes)
        if isinstance(stage.config, OnPolicyConfig):  # it learns from answers of its own, beside a reference
            judges = [_weights(leaf, sizes) for leaf in leaves(stage.inputs.get("by"))]
            others = [_weights(leaf, sizes) for leaf in leaves(stage.inputs.get("judge"))]
            kind = getattr(getattr(stage.config, "critic", None), "kind", "")
            if kind == "adapter":  # reference and reward models are the policy's own weights
                read, critic = len(judges) * trained, trained
            else:  # with an adapter the reference is the policy without; a shared critic is a row
                read = (named or (0 if lora else model)) + sum(judges)
                critic = (max(judges, default=0) or model) if kind == "separate" else 0
            copies = _copies(stage.config)
            memory += (read + sum(others) + copies * trained) * ONLY_READ + critic * TRAINED
            refreshed = 1 if stage.config.reference_every else 0
            checkpoint += (copies + refreshed) * trained * ONLY_READ + critic * CHECKPOINT
        elif isinstance(stage.config, RejectConfig):
            learning = memory + model * ONLY_READ * bool(stage.config.dpo.reference_every)
            scoring = (model + _scoring(stage, sizes)) * ONLY_READ
            memory = max(learning, scoring) + _beside_rounds(stage, stage.config, model, trained, sizes) * ONLY_READ
            moving = trained * ONLY_READ if stage.config.dpo.reference_every else 0
            checkpoint, rounds = checkpoint + moving, stage.config.rounds
        elif getattr(stage.config, "reference_every", 0):  # DPO's reference is another model where it moves or is named
            memory += model * ONLY_READ
            checkpoint += trained * ONLY_READ
        else:
            memory += named * ONLY_READ
        keeps, once = getattr(stage.config, "keep_checkpoints", False), getattr(stage.config, "save_every", "") == 0
        result = model * ONLY_READ if trains else 0
        found[stage.name] = Need(memory, result, checkpoint, keeps, rounds, once)
    return found


def _scoring(stage: Stage, sizes: Sizes) -> int:
    """Weights of who scores a round of rejection sampling and is then let go, the members of an ensemble in turn."""
    if stage.inputs.get("evaluate_on") is not None:
        return 0  # whoever scores held-out answers too stays: `_beside_rounds`
    return sum(max(_members(leaf, sizes), default=0) for leaf in leaves(stage.inputs.get("by")))


def _beside_rounds(stage: Stage, config: "RejectConfig", model: int, trained: int, sizes: Sizes) -> int:
    """Weights that always lie beside the policy of rejection sampling: those that came in, and what held-out prompts
    are read with."""
    beside = trained if config.start == "incoming" and config.rounds > 1 else 0
    if stage.inputs.get("evaluate_on") is not None:
        beside += sum(_weights(leaf, sizes) for key in ("by", "judge") for leaf in leaves(stage.inputs.get(key)))
        beside += 0 if config.lora is not None else model
    return beside


def _copies(config: "OnPolicyConfig") -> int:
    """How often the trained weights lie beside themselves: averaged, and as the best evaluation had them."""
    return (config.average > 0) + (config.best != "none")


def shortage(recipe: Recipe, stages: Sequence[Stage], out: Path) -> list[str]:
    """Where the estimates of memory and disk for `stages` are above what there is."""
    names = {stage.name for stage in stages}
    estimates = {name: need for name, need in needs(recipe).items() if name in names}
    told = []
    memory = available_memory()
    for name, need in estimates.items():
        copies = processes.on_this_machine() if METHODS[recipe.stage(name).method].shared else 1
        if need.memory * copies > memory:
            each = f" in each of {copies} processes" if copies > 1 else ""
            told.append(
                f"{name}: needs about {need.memory / 1e9:.1f} GB of memory without activations{each}, and "
                f"{memory / 1e9:.1f} GB are there; a smaller model or `lora: {{rank: 16}}` needs less"
            )
    there = next(parent for parent in (out.resolve(), *out.resolve().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    wanted = sum(need.left for need in estimates.values())
    wanted += max((need.passing for need in estimates.values()), default=0)  # a done stage drops its checkpoints
    if wanted > free:
        told.append(f"{there}: needs about {wanted / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free")
    return told


def available_memory() -> int:
    """Bytes that this process may use: the machine's, or its control group's where that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        text = file.read_text().strip() if file.exists() else "max"
        total = min(total, int(text)) if text.isdigit() else total
    return total


def _weights(value: Any, sizes: Sizes) -> int:
    """How many weights a model has, all members of an ensemble together; 0 where unknown."""
    return sum(_members(value, sizes))


def _members(value: Any, sizes: Sizes) -> Sequence[int]:
    """How many weights each member of an ensemble has, or the one model that it is: another stage's, or as the headers
    of its safetensors say; none where unknown."""
    if isinstance(value, Result):
        return sizes.get(value.stage, ())
    if not isinstance(value, Path) or not value.is_dir():
        return ()
    folders = [value] if any(value.glob("*.safetensors")) else value.glob("*/model")
    return [sum(_in_file(file) for file in folder.glob("*.safetensors")) for folder in folders]


def _in_file(file: Path) -> int:
    with file.open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        if size > 100_000_000:
            return 0  # damaged: loading says so, with more to say
        try:
            header = json.loads(handle.read(size))
            shapes = [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
            return sum(math.prod(map(int, shape)) for shape in shapes)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return 0
