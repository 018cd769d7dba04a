"""Stages as a graph: whose result a stage takes, in which order they run, and how `each:` makes several of one."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from burnish.address import Address
from burnish.data.problems import described, printable
from burnish.rewards.by import URL, Allowed, parts

MOST_OF_EACH = 1000
LONGEST_LABEL = 200  # letters; file systems take 255 bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What another stage leaves: `path` under that stage's folder."""

    stage: str
    path: str

    def __str__(self) -> str:
        return self.stage


@dataclass(frozen=True, slots=True)
class Stage:
    """One folder of a run. `inputs` holds results, paths, hub ids and who judges; `given` says of each key of `config`
    that is no default where it was written; `allowed` what the command line permits to those who judge."""

    name: str
    method: str
    inputs: Mapping[str, Any]
    config: BaseModel
    given: Mapping[str, str]
    allowed: Allowed

    @property
    def parents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(leaf.stage for leaf in leaves(self.inputs) if isinstance(leaf, Result)))

    def placed(self, run: Path) -> dict[str, Any]:
        """Its inputs as its method takes them: results as paths under `run`, judges as functions, http addresses ready
        to be asked."""
        given = {key: placed(value, run) for key, value in self.inputs.items() if value is not None}
        if isinstance(model := given.get("model"), str) and URL.match(model):
            given["model"] = Address(model, insecure=self.allowed.insecure)
        for key in given.keys() & {"by", "judge"}:
            given[key] = who(given[key], self.allowed)
        return given


def who(by: Any, allowed: Allowed) -> Any:
    """Who judges, ready to be asked: a reward model's path, or a list of weighted parts, which know their names; or
    `people`."""
    if by == "people":
        return by
    made = parts(by, allowed=allowed)
    alone = made[0].model if not isinstance(by, list | tuple | Mapping) else None
    return list(made) if alone is None else alone


def leaves(value: Any) -> Iterator[Any]:
    """What stands in a structure of mappings and lists."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def placed(value: Any, run: Path) -> Any:
    if isinstance(value, Result):
        return run / value.stage / value.path
    if isinstance(value, Mapping):
        return {key: placed(inner, run) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [placed(inner, run) for inner in value]
    return value


def in_order(stages: Sequence[Stage]) -> tuple[list[Stage], list[str]]:
    """Each stage after those whose results it takes, else as written; and the stages of a cycle, if there is one."""
    left = {stage.name: stage for stage in stages}
    order: list[Stage] = []
    while left:
        ready = next((s for s in left.values() if not any(parent in left for parent in s.parents)), None)
        if ready is None:
            return order, _cycle(left)
        order.append(left.pop(ready.name))
    return order, []


def _cycle(stages: Mapping[str, Stage]) -> list[str]:
    """Following parents from any stage that waits for another must come back to where it was."""
    trail = [next(iter(stages))]
    while True:
        parent = next(p for p in stages[trail[-1]].parents if p in stages)
        if parent in trail:
            return [*trail[trail.index(parent) :], parent]
        trail.append(parent)


def each(name: str, values: Any) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """`each: {beta: [0.03, 0.1]}` → [("dpo/beta=0.03", {"beta": 0.03}), …], or what is wrong with it.

    Several keys make every combination.
    """
    if not isinstance(values, Mapping) or not values:
        return [], f"must name a key and its values, such as {{beta: [0.03, 0.1]}}; found {described(values)}"
    for key, some in values.items():
        if not isinstance(some, list) or not some or any(isinstance(v, dict | list) for v in some):
            return [], f"{key} must be a list of single values; found {described(some)}"
    if (count := math.prod(map(len, values.values()))) > MOST_OF_EACH:
        return [], f"would make {count} stages; at most {MOST_OF_EACH} are made of one"
    made: dict[str, dict[str, Any]] = {}
    for chosen in itertools.product(*values.values()):
        pairs = dict(zip(values, chosen, strict=True))
        label = ",".join(f"{key}={_label(value)}" for key, value in pairs.items())
        if len(label) > LONGEST_LABEL:
            return (
                [],
                f"{printable(label, 60)} would name a folder in {len(label)} letters; at most {LONGEST_LABEL}",
            )
        if label in made:
            return [], f"{label} would be two stages; keep one"
        made[label] = pairs
    return [(f"{name}/{label}", pairs) for label, pairs in made.items()], ""


def _label(value: object) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "_", str(value).lower() if isinstance(value, bool) else str(value))
