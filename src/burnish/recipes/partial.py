"""Judges of a verdict who took part in what they judge: a policy is best at pleasing whom it was trained to please.

A judge that PPO or rejection sampling optimised, or that ranked what was learned from, is told and not refused: its
figure may be wanted beside another's. With `weight: 0` it stands there and decides nothing, so nothing is told.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.data.problems import listed
from burnish.recipes.graph import Result, Stage, leaves
from burnish.recipes.load import Recipe
from burnish.recipes.stages import METHODS


def warnings(recipe: Recipe) -> dict[str, list[str]]:
    """What is to be said of stages that give a verdict, by their name; of most nothing is."""
    verdicts = [stage for stage in recipe.stages if {"models", "by"} <= stage.inputs.keys()]
    told = {verdict.name: _of(verdict, _went_into(verdict, recipe.stages)) for verdict in verdicts}
    return {name: lines for name, lines in told.items() if lines}


def _of(verdict: Stage, before: Sequence[Stage]) -> list[str]:
    lines = []
    for judge in dict.fromkeys(_deciding(verdict.inputs["by"])):
        if judge == "people":  # whom the models are to please; no score of theirs was climbed
            continue
        took = [stage for stage in before if judge in _deciding(stage.inputs.get("by"))]
        optimised = [stage.name for stage in took if "model" in METHODS[stage.method].gives]
        ranked = [stage.name for stage in took if "groups" in METHODS[stage.method].gives]
        if optimised:
            lines.append(f"by {judge}: {listed(optimised)} learned to raise its score, so its verdict proves little")
        elif ranked:
            lines.append(f"by {judge}: it made the labels ({listed(ranked)}) that the models learned from")
    advice = "; let another judge decide, beside which this one may stand with weight 0"
    return [line + advice for line in lines]


def _went_into(verdict: Stage, stages: Sequence[Stage]) -> list[Stage]:
    """The stages that the judged models come from, themselves included. A judge's own making is no part of it."""
    names = {leaf.stage for leaf in leaves(verdict.inputs["models"]) if isinstance(leaf, Result)}
    for stage in reversed(stages):  # in a recipe each stage comes after those that it takes from
        if stage.name in names:
            names.update(stage.parents)
    return [stage for stage in stages if stage.name in names]


def _deciding(by: Any) -> list[str]:
    """Everyone in a `by:` whose word counts, each under one name wherever it is written."""
    if by is None or (isinstance(by, Mapping) and by.get("weight", 1) == 0):
        return []
    if isinstance(by, Mapping):
        return _deciding(by.get("by", by.get("judge")))
    if isinstance(by, list | tuple):
        return [one for part in by for one in _deciding(part)]
    return [str(by.resolve()) if isinstance(by, Path) else str(by)]
