"""Conditions on a verdict's figures, for a CI that must stop where a model got worse: `win_rate_low > 0.5`."""

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.data.problems import nearest
from burnish.errors import BurnishError, UsageError

COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
SHAPE = re.compile(r"\s*(?:([\w./=+-]+)\.)?(\w+(?:/[^\s<>=]+)?)\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*")


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


def conditions(texts: Sequence[str]) -> list[Condition]:
    """Raises UsageError for what is no condition."""
    found = []
    for text in texts:
        match = SHAPE.fullmatch(text)
        try:
            limit = float(match[4]) if match else math.nan
        except ValueError:
            limit = math.nan
        if match is None or math.isnan(limit):
            raise UsageError(f"--require {text!r}: expected [MODEL.]FIGURE > NUMBER, such as 'win_rate_low > 0.5'")
        found.append(Condition(match[1] or "", match[2], match[3], limit))
    return found


def hold(wanted: Sequence[Condition], figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise RequirementError with a line for each model of which a condition does not hold.

    A figure that is no number meets nothing. Raises UsageError for a model or a figure of which there is none.
    """
    lines = []
    names = list(figures)
    for condition in wanted:
        if condition.model and condition.model not in figures:
            raise UsageError(f"--require: no model is called {condition.model}{nearest(condition.model, names)}")
        for name in [condition.model] if condition.model else names[1:] or names:
            if condition.figure not in figures[name]:
                near = nearest(condition.figure, figures[name])
                raise UsageError(f"--require: there is no figure {condition.figure}{near}")
            value = figures[name][condition.figure]
            if value is None or not COMPARE[condition.compare](value, condition.limit):
                lines.append(
                    f"not met: {name}.{condition.figure} {condition.compare} {condition.limit:g}; it is {value}"
                )
    if lines:
        raise RequirementError("\n".join(lines))
