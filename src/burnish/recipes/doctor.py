"""The checks before step one, alone: of this machine, of a model, of a recipe or of a run."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.recipes import machine
from burnish.recipes.folder import versions
from burnish.recipes.graph import Result, Stage
from burnish.recipes.load import load
from burnish.recipes.run import run_folder
from burnish.recipes.stages import METHODS
from burnish.recipes.status import status
from burnish.training.config import MethodConfig, StageConfig

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
    import torch

    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return {
        "versions": versions(),
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "device": device,
        "memory_gb": round(machine.available_memory() / 1e9, 2),
    }


def a_model(path: str) -> dict[str, Any]:
    """Load a model as a training command does: its files, its forward pass, its template."""
    from burnish.data.templates import resolve
    from burnish.models.load import load_policy, load_scorer
    from burnish.models.model import Model

    model: Model = load_scorer(path) if _scores(Path(path)) else load_policy(path)
    template = resolve(model.tokenizer, "auto")
    return {
        "model": path,
        "kind": type(model).__name__,
        "architecture": type(model.model).__name__,
        "weights": sum(p.numel() for p in model.model.parameters()),
        "path": "packed" if model.packed else f"padded: {model.padded_because}",
        "template": template.name,
        "template_hash": template.hash,
        "end_tokens": sorted(template.end_tokens),
    }


def _scores(path: Path) -> bool:
    """Whether a folder says that it holds a reward model; what is no folder is taken for a language model."""
    file = path / "config.json"
    return file.is_file() and "SequenceClassification" in file.read_text(encoding="utf-8")


def a_recipe(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Read a recipe, its data and its models, and prove on real rows what each training stage proves.

    A stage that waits for another's result is read, and checked only as far as its files go.
    """
    recipe = load(path, settings, allow_code=True, insecure=True)
    machine.refuse(recipe.stages, recipe, run_folder(recipe), force=False)
    return {stage.name: _stage(stage) for stage in recipe.stages}


def _stage(stage: Stage) -> dict[str, Any]:
    from burnish.data.read import examine, refuse

    config = stage.config
    assert isinstance(config, StageConfig)  # noqa: S101 (every method's is; for the type checker)
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
