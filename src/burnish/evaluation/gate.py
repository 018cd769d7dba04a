"""Conditions on a verdict's figures, for a CI that must stop where a model got worse: `win_rate_low > 0.5`."""

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.data.problems import listed, nearest
from burnish.errors import BurnishError, UsageError
from burnish.evaluation import safety, told_apart
from burnish.evaluation.suites import PARTS, Suite
from burnish.evaluation.verdict import FIGURES

COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
SHAPE = re.compile(r"\s*(?:([\w./=+-]+)\.)?(\w+(?:/[^\s<>=]+)?)\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")
_OF_FIGURES = "|".join(sorted(FIGURES, key=len, reverse=True))
KNOWN = re.compile(rf"\s*(?:([\w./=+-]+?)\.)?((?:{_OF_FIGURES})(?:/[^\s<>=]+)?)\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")
"""A name behind the figure's slash may have dots too, so a figure that there is is looked for first."""

OF_PEOPLE = ("verdicts", "annotators")
MEASURED_WITH = {"fluency": "base", "perplexity": "text"}
"""The input without which a figure is null."""


class RequirementError(BurnishError):
    """A verdict is not what was required of it."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Condition:
    """`model` empty: every model but the first, which is the one to beat."""

    model: str
    figure: str
    compare: str
    limit: float


def known(word: str, names: Sequence[str]) -> str:
    """What a message says after a name that is none of these."""
    return f"{nearest(word, names)}; there are {listed(names, limit=40)}"


def condition(text: str) -> Condition:
    """Raises ValueError for what is no condition, or names a figure that no verdict has."""
    match = KNOWN.fullmatch(text) or SHAPE.fullmatch(text)
    try:
        limit = float(match[4]) if match else math.nan
    except ValueError:
        limit = math.nan
    if match is None or math.isnan(limit):
        raise ValueError(f"{text!r}: expected [MODEL.]FIGURE > NUMBER, such as 'win_rate_low > 0.5'")
    if match[2].split("/")[0] not in FIGURES:
        raise ValueError(f"{text!r}: there is no figure {match[2]}{known(match[2], FIGURES)}")
    return Condition(match[1] or "", match[2], match[3], limit)


def conditions(texts: Sequence[str]) -> list[Condition]:
    """What `--require` or `require:` says. Raises UsageError as `condition` raises ValueError."""
    try:
        return [condition(text) for text in texts]
    except ValueError as error:
        raise UsageError(f"require {error}") from None


def required(config: object) -> tuple[str, ...]:
    """What a stage's own settings require of its verdict; of a stage that gives none, nothing."""
    found: tuple[str, ...] = getattr(config, "require", ())
    return found


def lacking(figure: str, given: Mapping[str, Any], suite: Suite | None) -> str:
    """What a stage that evaluates needs to have a figure and has not, as the clause of a message; empty where it may
    have it. `given`: its inputs that are there."""
    bare = figure.split("/")[0]
    if bare in safety.FIGURES:
        telling = [f"suite: {name}" for name in PARTS if bare in safety.figures_of(name)]
        found = "it has none" if suite is None else f"it has suite: {suite}"
        return "" if f"suite: {suite}" in telling else f"{bare} is told by {' or '.join(telling)}; {found}"
    needs = ("prompts", "people") if bare in told_apart.FIGURES else ("prompts",)
    if not set(needs) <= set(given):
        return f"{bare} is told of answers to {' and '.join(needs)}; add them"
    if bare in (*told_apart.BY_PEOPLE, *OF_PEOPLE) and given.get("by") != "people":
        return f"{bare} is told where people judge; write by: people"
    needed = MEASURED_WITH.get(bare)
    return f"{bare} is measured with {needed}; add it" if needed and needed not in given else ""


def hold(wanted: Sequence[Condition], figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise RequirementError with a line for each model of which a condition does not hold.

    A figure that is no number meets nothing. Raises UsageError for a model or a figure of which there is none.
    """
    lines = []
    names = list(figures)
    for one in wanted:
        if one.model and one.model not in figures:
            raise UsageError(f"require: no model is called {one.model}{known(one.model, names)}")
        for name in [one.model] if one.model else names[1:] or names:
            if one.figure not in figures[name]:
                near = known(one.figure, list(figures[name]))
                raise UsageError(f"require: the verdict on {name} has no figure {one.figure}{near}")
            value = figures[name][one.figure]
            if value is None or not COMPARE[one.compare](value, one.limit):
                found = "could not be measured" if value is None else f"is {value:.4g}"
                lines.append(f"not met: {name}.{one.figure} {one.compare} {one.limit:g}; it {found}")
    if lines:
        raise RequirementError("\n".join(lines))
