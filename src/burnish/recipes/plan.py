"""What a recipe would do: every setting with where it came from, what each stage takes, and what is worth knowing."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.data.secrets import masked
from burnish.recipes import machine, power
from burnish.recipes.graph import Result, Stage
from burnish.recipes.load import Recipe
from burnish.recipes.partial import warnings
from burnish.recipes.run import run_folder
from burnish.recipes.stages import METHODS


def plan(
    recipe: Recipe, out: Path | None = None, *, with_power: bool = False, with_time: bool = False
) -> dict[str, Any]:
    """The recipe as one mapping: for each stage its method, inputs, settings (value and `from`), what it needs, notes.

    `needs`: GB of memory, without activations, and of disk; 0 where a model's size cannot be seen beforehand.
    `refused`: what `run` would refuse on this machine, its device, precision, memory and disk.
    `with_power`: of stages that evaluate also how many prompts or rankings decide. This reads the data.
    `with_time`: of stages that are not done also how long they take here, and their memory with activations. This reads
    the data, loads the models and computes for a while.
    """
    partial, needs = warnings(recipe), machine.needs(recipe)
    stages: dict[str, dict[str, Any]] = {
        stage.name: {
            "method": stage.method,
            "inputs": {key: _shown(value) for key, value in stage.inputs.items()},
            "settings": _settings(stage),
            "needs": _gigabytes(needs[stage.name]),
            "notes": notes(stage) + partial.get(stage.name, []),
        }
        for stage in recipe.stages
    }
    if with_power:
        for stage in recipe.stages:
            if (told := power.power(stage)) is not None:
                stages[stage.name]["power"] = told
    folder = run_folder(recipe, out)
    open_stages = [stage for stage in recipe.stages if not (folder / stage.name / "DONE.json").exists()]
    refused = machine.refused(open_stages, recipe, folder)
    if with_time and not refused:
        for name, told in times(recipe, open_stages, folder):
            stages[name]["time"] = told
    planned: dict[str, Any] = masked({"name": recipe.name, "stages": stages, "refused": refused})
    return planned


def times(recipe: Recipe, stages: Sequence[Stage], out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """How long each of these stages takes here, in an own process that begins with the first, and its memory."""
    import torch  # noqa: F401  # a run has it before its first stage begins

    began = time.perf_counter()
    from burnish.recipes.duration import Reckoning  # here: it loads every method

    imported = time.perf_counter() - began
    for name, duration in Reckoning(recipe, out, imported).stages(stages):
        yield name, {"unknown": duration} if isinstance(duration, str) else duration.told()


def _gigabytes(need: machine.Need) -> dict[str, float]:
    return {"memory_gb": round(need.memory / 1e9, 3), "disk_gb": round((need.left + need.passing) / 1e9, 3)}


def notes(stage: Stage) -> list[str]:
    """What follows from the settings, in numbers that a person can judge."""
    told = []
    if getattr(stage.config, "evaluate_every", 0):
        if "evaluate_on" not in METHODS[stage.method].inputs:
            told.append(f"evaluate_every: {stage.method} does not evaluate while it trains")
        elif hasattr(stage.config, "rounds"):
            told.append(f"evaluate_every: {stage.method} evaluates before its first round and after each")
    beta = getattr(stage.config, "first_beta", None)  # of methods that learn from answers of their own
    if beta is None:
        return told
    if not beta:
        return [*told, "beta 0: nothing keeps the policy near its reference"]
    nats = 1 / (2 * beta**2)
    return [
        *told,
        f"beta {beta:g}: for scores of deviation 1 the optimum lies at about 1/(2β²) = {nats:.3g} nats an answer",
    ]


def lines(planned: Mapping[str, Any]) -> list[str]:
    """The plan as text: what was written with its place, what was left at its default on one line."""
    told = [f"{planned['name']}: {len(planned['stages'])} stages"]
    for name, stage in planned["stages"].items():
        told += ["", f"{name}  ({stage['method']})"]
        told += [f"  {key:<18} ← {value}" for key, value in stage["inputs"].items()]
        written = {k: s for k, s in stage["settings"].items() if s["from"] != "default"}
        width = max((len(_value(s["value"])) for s in written.values()), default=0)
        told += [f"  {key:<18} {_value(s['value']):<{width}}  {s['from']}" for key, s in written.items()]
        default = [f"{k} {_value(s['value'])}" for k, s in stage["settings"].items() if s["from"] == "default"]
        told += [f"  by default: {', '.join(default)}"] if default else []
        told += _limits(stage)
        told += [f"  note: {note}" for note in stage["notes"]]
        told += [f"  {line}" for line in power.lines(stage["power"])] if "power" in stage else []
    known = [stage["time"] for stage in planned["stages"].values() if "seconds" in stage.get("time", {})]
    if known:
        low, about, high = (sum(one[key] for one in known) for key in ("low", "seconds", "high"))
        without = [name for name, stage in planned["stages"].items() if "unknown" in stage.get("time", {})]
        every = f"in all, without {', '.join(without)}" if without else "in all"
        told += ["", f"{every}: about {_clock(about)} ({_clock(low)} to {_clock(high)})"]
    return told + ([""] if planned["refused"] else []) + [f"refused here: {line}" for line in planned["refused"]]


def _limits(stage: Mapping[str, Any]) -> list[str]:
    """What a stage needs of the machine, and of time where that was measured."""
    needs, took = stage["needs"], stage.get("time", {})
    told = [f"  needs: {needs['memory_gb']:.2f} GB of memory and activations, {needs['disk_gb']:.2f} GB of disk"]
    told = told if needs["memory_gb"] else []
    if "unknown" in took:
        return [*told, f"  takes: not known, for {took['unknown']}"]
    if took:
        parts = ", ".join(f"{name} {_clock(seconds)}" for name, seconds in took["parts"].items() if seconds >= 0.05)
        within = f"{_clock(took['low'])} to {_clock(took['high'])}"
        told = [f"  needs: {took['peak_gb']:.2f} GB of memory, {took['disk_gb']:.2f} GB of disk"]
        told += [f"  takes: about {_clock(took['seconds'])} ({within}): {parts}"]
        told += [f"  takes: more, for nobody knows how long that is: {who}" for who in took["left_out"]]
    return told


def _clock(seconds: float) -> str:
    """`1:05:09`, `5:09` below an hour, `9.5 s` below a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _settings(stage: Stage) -> dict[str, dict[str, Any]]:
    values = stage.config.model_dump(mode="json")
    return {key: {"value": value, "from": stage.given.get(key, "default")} for key, value in values.items()}


def _value(value: Any) -> str:
    """As a recipe would have it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value) if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    who = next((key for key in ("by", "judge") if isinstance(value, Mapping) and key in value), "")
    if who:
        others = ", ".join(f"{key} {inner}" for key, inner in value.items() if key != who)
        return _shown(value[who]) + (f" ({others})" if others else "")
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return f"stage {value}" if isinstance(value, Result) else str(value)
