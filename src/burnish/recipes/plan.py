"""What a recipe would do: every setting with where it came from, what each stage takes, and what is worth knowing."""

import json
from collections.abc import Mapping
from typing import Any

from burnish.data.secrets import masked
from burnish.recipes import machine, power
from burnish.recipes.graph import Result, Stage
from burnish.recipes.load import Recipe
from burnish.recipes.partial import warnings
from burnish.recipes.run import run_folder
from burnish.recipes.stages import METHODS


def plan(recipe: Recipe, *, with_power: bool = False) -> dict[str, Any]:
    """The recipe as one mapping: for each stage its method, inputs, settings (value and `from`), and notes.

    `refused`: what `run` would refuse on this machine, its device, precision, memory and disk.
    `with_power`: of stages that evaluate also how many prompts or rankings decide. This reads the data.
    """
    partial = warnings(recipe)
    stages: dict[str, dict[str, Any]] = {
        stage.name: {
            "method": stage.method,
            "inputs": {key: _shown(value) for key, value in stage.inputs.items()},
            "settings": _settings(stage),
            "notes": notes(stage) + partial.get(stage.name, []),
        }
        for stage in recipe.stages
    }
    if with_power:
        for stage in recipe.stages:
            if (told := power.power(stage)) is not None:
                stages[stage.name]["power"] = told
    folder = run_folder(recipe)
    open_stages = [stage for stage in recipe.stages if not (folder / stage.name / "DONE.json").exists()]
    refused = [line for stage in open_stages for line in machine.troubles(stage)]
    refused += machine.shortage(recipe, open_stages, folder)
    planned: dict[str, Any] = masked({"name": recipe.name, "stages": stages, "refused": refused})
    return planned


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
        told += [f"  note: {note}" for note in stage["notes"]]
        told += [f"  {line}" for line in power.lines(stage["power"])] if "power" in stage else []
    return told + ([""] if planned["refused"] else []) + [f"refused here: {line}" for line in planned["refused"]]


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
