"""How far a run is, and why each stage would be reused, resumed or run."""

from pathlib import Path
from typing import Any

from burnish.data.problems import listed
from burnish.errors import ConfigError, MissingInput
from burnish.recipes.artefacts import Hashes
from burnish.recipes.folder import done_figures, read_json
from burnish.recipes.load import load
from burnish.recipes.run import standings


def status(run: Path) -> dict[str, Any]:
    """For each stage what the next call would do with it, why, and its figures if it is done.

    The recipe is read where it lay when the run began. Where it or its inputs are gone, `warning` says so, and what is
    told is what the folder alone knows. Raises MissingInput for a folder that is no run.
    """
    lock = read_json(run / "lock.json")
    if lock is None:
        there = sorted(p.parent.name for p in run.glob("*/lock.json")) if run.is_dir() else []
        hint = f"; runs in it: {listed(there)}" if there else ""
        raise MissingInput(f"{run}: no run: there is no lock.json in it{hint}")
    told: dict[str, Any] = {"name": lock["name"], "run": str(run)}
    try:
        typed_in = Path(lock["typed_in"])
        recipe = load(Path(lock["recipe"]), lock["set"], typed_in=typed_in, allow_code=True, insecure=True)
    except (ConfigError, MissingInput) as error:
        told["warning"] = str(error)
        told["stages"] = {name: _alone(run / name, stage["method"]) for name, stage in lock["stages"].items()}
        return told
    told["stages"] = {
        name: {
            "method": stage.method,
            "does": found.does,
            "why": found.why,
            "changes": {key: list(pair) for key, pair in found.changes.items()},
            "figures": done_figures(run / name),
        }
        for name, (stage, found) in standings(recipe, run, Hashes.of(run)).items()
    }
    return told


def lines(told: dict[str, Any]) -> list[str]:
    """A line a stage."""
    width = max(len(name) for name in told["stages"])
    rows = [f"{told['name']}: {told['run']}"]
    for name, stage in told["stages"].items():
        rows.append(f"  {name:<{width}}  {stage['does']:<7} {stage['why']}")
        rows += [
            f"  {'':<{width}}          {key}: {old} then, {new} now" for key, (old, new) in stage["changes"].items()
        ]
    return rows + ([f"warning: {told['warning']}"] if "warning" in told else [])


def _alone(folder: Path, method: str) -> dict[str, Any]:
    done = (folder / "DONE.json").exists()
    begun = (folder / "inputs.json").exists()
    does = "reuse" if done else "resume" if begun else "run"
    why = "done" if done else "not finished" if begun else "nothing is there"
    return {"method": method, "does": does, "why": why, "changes": {}, "figures": done_figures(folder)}
