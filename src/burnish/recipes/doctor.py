"""The checks before step one, alone: of this machine, of a model, of a recipe or of a run."""

import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from burnish.data.problems import listed
from burnish.models.files import PICKLES, is_reward_model, model_directory
from burnish.recipes import machine
from burnish.recipes.graph import Result, Stage
from burnish.recipes.load import load
from burnish.recipes.run import run_folder
from burnish.recipes.stages import METHODS
from burnish.recipes.status import status
from burnish.training.config import MethodConfig, StageConfig
from burnish.training.machine import versions

if TYPE_CHECKING:
    from burnish.models.model import Model

LOOKED_AT = 64  # rows of each stage that are put through the model


def doctor(what: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What was found, all of it well: a check that fails raises as it would in a training command."""
    if what is None:
        return this_machine()
    path = Path(what)
    if path.suffix in (".yaml", ".yml"):
        return a_recipe(path, settings or {})
    if (path / "lock.json").exists():
        return status(path)
    return a_model(str(what))


def this_machine() -> dict[str, Any]:
    """Versions, cores, memory, disk, how fast matrices are multiplied here, and what of it is slow or unsafe."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    speeds = {name: round(gigaflops(device, name), 1) for name in ("float32", "bfloat16")}
    found = {
        "versions": versions(),
        "system": platform.platform(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "device": device,
        "memory_gb": round(machine.available_memory() / 1e9, 2),
        "disk_free_gb": round(shutil.disk_usage(Path()).free / 1e9, 2),
        "gigaflops": speeds,
    }
    return {**found, "slow": slow(found), "unsafe": unsafe()}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gigaflops(device: str, dtype: str, *, size: int = 512, seconds: float = 0.1) -> float:
    """10⁹ additions and multiplications a second in the product of two square matrices: the best of those that were
    begun within `seconds`."""
    import torch

    one = torch.ones(size, size, device=device, dtype=getattr(torch, dtype))
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)
    torch.mm(one, one)  # the first product also finds its algorithm
    wait()
    best, until = float("inf"), time.perf_counter() + seconds
    while (began := time.perf_counter()) < until or best == float("inf"):
        torch.mm(one, one)
        wait()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9


def slow(found: Mapping[str, Any]) -> list[str]:
    """What makes this machine slower than it need be, each with what helps."""
    import torch

    told = []
    if found["threads"] > found["cores"]:
        told.append(
            f"{found['threads']} threads on {found['cores']} cores wait for each other; --threads {found['cores']}"
        )
    elif found["threads"] < found["cores"] // 2 and found["device"] == "cpu":
        told.append(
            f"{found['threads']} of {found['cores']} cores compute; --threads {found['cores']}, without OMP_NUM_THREADS"
        )
    load = os.getloadavg()[0]
    if load > found["cores"]:
        told.append(f"{load:.1f} processes want to compute on {found['cores']} cores; wait for the others")
    if found["device"] == "cpu" and Path("/dev/nvidia0").exists():
        told.append(f"there is an NVIDIA device, and torch {torch.__version__} does not see it; install torch for CUDA")
    speeds = found["gigaflops"]
    if found["device"] == "cpu" and speeds["bfloat16"] < speeds["float32"]:
        share = speeds["bfloat16"] / speeds["float32"]
        told.append(f"bfloat16 is multiplied at {share:.2f} of float32's speed; leave dtype at auto")
    if not torch.backends.mkldnn.is_available() and found["device"] == "cpu":
        told.append("this torch was built without oneDNN; install one of pytorch.org's")
    return told


def unsafe() -> list[str]:
    """What gives others, or what others wrote, more than they need, each with what to do."""
    from huggingface_hub.constants import HF_TOKEN_PATH

    told = [f"{name}: burnish needs {needed}" for name, needed in outdated().items()]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        told.append(
            "this is root: a reward function, or what breaks out of a template's process, may do everything; use an "
            "account of its own"
        )
    mask = os.umask(0o077)
    os.umask(mask)
    if not mask & 0o002:
        told.append(f"umask {mask:04o}: others may change what is written here; umask 022")
    token = Path(HF_TOKEN_PATH)
    if token.is_file() and token.stat().st_mode & 0o077:
        told.append(f"{token}: the hub's token can be read by others; chmod 600 {token}")
    return told


def outdated() -> dict[str, str]:
    """Libraries that are older or newer than burnish was made for: name and version → what it needs."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    told = {}
    for needed in map(Requirement, requires("burnish") or ()):
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(needed.name)
        except PackageNotFoundError:
            there = "missing"
        if there == "missing" or not needed.specifier.contains(there, prereleases=True):
            told[f"{needed.name} {there}"] = f"{needed.name}{needed.specifier}"
    return told


def a_model(path: str) -> dict[str, Any]:
    """Load a model as a training command does: its files, its forward pass, its template."""
    from burnish.data.inspect import described, skeleton
    from burnish.data.templates import resolve
    from burnish.models.load import load_policy, load_scorer
    from burnish.types import Message

    model: Model = load_scorer(path) if is_reward_model(Path(path)) else load_policy(path)
    template = resolve(model.tokenizer, "auto")
    weights = sum(p.numel() for p in model.model.parameters())
    asked = (Message("user", "What is this?"),)
    return {
        "model": path,
        "kind": type(model).__name__,
        "architecture": type(model.model).__name__,
        "weights": weights,
        "path": "packed" if model.packed else f"padded: {model.padded_because}",
        "template": template.name,
        "template_hash": template.hash,
        "template_around": skeleton(template.prompt_text(asked[0].content), asked),
        "templates_beside": described(template)["others"],
        "end_tokens": sorted(template.end_tokens),
        "slow": _slow_model(model, weights),
        "unsafe": _unsafe_model(path),
    }


def _slow_model(model: "Model", weights: int) -> list[str]:
    told = []
    if not model.packed:
        told.append("each answer is computed with its prompt on its own, for the packed path is not exact here")
    if not model.tokenizer.is_fast:
        told.append("its tokenizer is written in Python; save it as tokenizer.json for one that is not")
    needed, there = weights * machine.TRAINED / 1e9, machine.available_memory() / 1e9
    if needed > there:
        told.append(
            f"to train all weights takes about {needed:.1f} GB without activations, and {there:.1f} GB are there; "
            "lora: {rank: 16}"
        )
    return told


def _unsafe_model(path: str) -> list[str]:
    """Files in a model's folder that would run where they are loaded otherwise: none of them is touched here."""
    names = sorted(file.name for file in model_directory(path).iterdir())
    code = [name for name in names if name.endswith(".py")]
    pickles = [name for name in names if name.endswith(PICKLES)]
    told = [f"{listed(pickles, 3)}: pickle, which may run code where others load it; remove it"] if pickles else []
    return told + ([f"{listed(code, 3)}: code of the model's own, which is never run here; remove it"] if code else [])


def a_recipe(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read a recipe, its data and its models, and prove on real rows what each training stage proves.

    A stage that waits for another's result is read, and checked only as far as its files go.
    """
    recipe = load(path, settings, allow_code=True, insecure=True)
    machine.refuse(recipe.stages, recipe, run_folder(recipe), force=False)
    return {stage.name: _stage(stage) for stage in recipe.stages}


def _stage(stage: Stage) -> dict[str, Any]:
    from burnish.data.read import examine, refuse

    config = cast(StageConfig, stage.config)  # every method's is
    told: dict[str, Any] = {}
    for key, takes in METHODS[stage.method].inputs.items():
        files = [one for one in stage.inputs.get(key) or () if isinstance(one, Path)] if takes.takes == "groups" else []
        if files:
            reading = examine(files, kind=takes.kind)
            refuse(reading, config.on_bad_row, max_bad_fraction=config.max_bad_fraction)
            told[key] = f"{len(reading.groups)} records" + (f", {len(reading.bad)} skipped" if reading.bad else "")
            if key == "data" and isinstance(config, MethodConfig):
                told["checks"] = _checks(stage, reading.groups[:LOOKED_AT])
    return told


def _checks(stage: Stage, groups: list[Any]) -> str:
    from burnish.batch.trees import trees
    from burnish.data.templates import resolve
    from burnish.methods.checks import CHECKS, check_before_step_one
    from burnish.methods.inputs import as_policy

    model = stage.inputs.get("model")
    if isinstance(model, Result) or model is None:
        return f"wait for {model}"
    if stage.method not in ("sft", "dpo", "kto", "reward") or not isinstance(stage.config, MethodConfig):
        return "made when it runs"
    policy = as_policy(model, stage.config)
    template = resolve(policy.tokenizer, stage.config.template)
    rows = trees(
        groups,
        template,
        max_length=stage.config.max_length,
        learn_from=stage.config.learn_from,
        on_too_long=stage.config.on_too_long,
    ).trees
    check_before_step_one(policy, rows, template, stage.config)
    return f"hold on {len(rows)} rows: {', '.join(c for c in CHECKS if c not in stage.config.skip_check)}"
