"""What a recipe's verdicts can tell: how many prompts or held-out rankings tell 55 % from 50 %, before any is asked."""

from pathlib import Path
from typing import Any

from burnish.evaluation.intervals import each_of
from burnish.evaluation.power import power_of, prompts_needed
from burnish.recipes.graph import Stage
from burnish.recipes.stages import METHODS

RATE, POWER = 0.55, 0.8
TIES = (0.0, 0.2, 0.4)
ALIKE = (0.0, 0.5, 1.0)
"""Correlations of two answers to one prompt: each tells as much as a prompt, half of it, nothing."""


def power(stage: Stage) -> dict[str, Any] | None:
    """How many a stage needs and what those that are there can tell, by the share of ties; None where none is asked.

    `there` is None where another stage makes them. Raises DataError for a file that cannot be read.
    """
    inputs = METHODS[stage.method].inputs
    if stage.inputs.get("models") and stage.inputs.get("prompts"):
        key, of, comparisons = "prompts", "prompts", max(len(stage.inputs["models"]) - 1, 1)
    elif stage.inputs.get("evaluate_on") and inputs["evaluate_on"].kind == "ranking":
        key, of, comparisons = "evaluate_on", "rankings", 1
    else:
        return None
    there = _counted(stage, key)
    samples = getattr(stage.config, "samples", 1) if key == "prompts" else 1
    rows = [
        _row(ties, alike, samples, each_of(comparisons), there)
        for ties in TIES
        for alike in (ALIKE if samples > 1 else ALIKE[-1:])
    ]
    return {"of": of, "there": there, "comparisons": comparisons, "samples": samples, "rows": rows}


def _row(ties: float, alike: float, samples: int, level: float, there: int | None) -> dict[str, Any]:
    needed = prompts_needed(RATE, ties=ties, samples=samples, alike=alike, level=level, power=POWER)
    chance = there and power_of(there, RATE, ties=ties, samples=samples, alike=alike, level=level)
    return {"ties": ties, "alike": alike, "needed": needed, "chance": chance}


def _counted(stage: Stage, key: str) -> int | None:
    """The records in the files that an input names."""
    from burnish.data.read import examine

    files = [one for one in stage.inputs[key] if isinstance(one, Path)]
    if len(files) < len(stage.inputs[key]):
        return None
    return len(examine(files, kind=METHODS[stage.method].inputs[key].kind).groups)


def lines(told: dict[str, Any]) -> list[str]:
    """The same as a table."""
    of, there, alike = told["of"], told["there"], told["samples"] > 1
    several = f", and for {told['comparisons']} models at once" if told["comparisons"] > 1 else ""
    heads = ["ties", *(["alike"] if alike else []), of, *([f"told by {there:,}"] if there is not None else [])]
    rows = [
        [
            f"{row['ties']:.0%}",
            *([f"{row['alike']:g}"] if alike else []),
            f"{row['needed']:,}",
            *([f"{row['chance']:.0%}"] if there is not None else []),
        ]
        for row in told["rows"]
    ]
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    table = ["  ".join(c.rjust(width) for c, width in zip(row, widths, strict=True)) for row in [heads, *rows]]
    head = f"power: {of} that tell {RATE:.0%} from 50% with a chance of {POWER:.0%}, at 95%{several}"
    return [head, *(f"  {line}" for line in table)]
