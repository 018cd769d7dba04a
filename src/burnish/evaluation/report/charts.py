"""The pictures of numbers over steps, and of how sure a reward model is; frontiers.py has those of who wins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.data.problems import for_terminal, printable
from burnish.evaluation.report.svg import HUES, INK, MUTED, PAPER, SERIES
from burnish.evaluation.report.words import Words

POINTS = 300  # of a curve at most; more would be told apart by nobody
SMOOTHED = 40  # steps from which on a mean over neighbours is drawn over the single steps

Drawing = Callable[[Any], None]
"""Puts a picture on matplotlib's axes."""


def hue(models: Sequence[str], model: str) -> str:
    """A model's colour, the same in every picture: the one to beat is ink's neighbour, the others take hues in turn."""
    index = list(models).index(model)
    return MUTED if index == 0 else HUES[(index - 1) % SERIES]


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    steps: Sequence[float]
    values: Sequence[float]
    colour: str


def curves(lines: Sequence[Line], level: float | None, say: Words) -> Drawing:
    """A drawing of figures over steps and, where given, of a dashed line at `level`."""

    def draw(axes: Any) -> None:
        smooth = False
        for line in lines:
            colour = line.colour
            x, y = kept(line.steps, line.values)
            if len(x) > SMOOTHED:
                smooth = True
                axes.plot(x, y, color=colour, linewidth=1.0, alpha=0.3)
                axes.plot(x, running_mean(y, max(3, len(y) // 20)), color=colour, linewidth=2.0)
            else:
                axes.plot(x, y, color=colour, linewidth=2.0, marker="o" if len(x) < 2 else "", markersize=5)
        if level is not None:
            axes.axhline(level, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        if len(lines) > 1:
            _names_at_ends(axes, lines, smooth)
        axes.margins(x=0.02, y=0.12)
        axes.set_xlabel(say("axis.step"), loc="right")
        axes.locator_params(axis="both", nbins=5)

    return draw


def _names_at_ends(axes: Any, lines: Sequence[Line], smooth: bool) -> None:
    """Each curve's name over its last point: nearer than a legend."""
    for line in lines:
        x, y = kept(line.steps, line.values)
        if len(x):
            at = float(running_mean(y, max(3, len(y) // 20))[-1] if smooth else y[-1])
            axes.annotate(line.name, (x[-1], at), (0, 6), textcoords="offset points", ha="right", color=line.colour)


def kept(steps: Sequence[float], values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Finite values with their steps; of many, means of neighbours."""
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if len(x) <= POINTS:
        return x, y
    edges = np.linspace(0, len(x), POINTS + 1).astype(int)[:-1]
    counts = np.diff([*edges, len(x)])
    return np.add.reduceat(x, edges) / counts, np.add.reduceat(y, edges) / counts


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The mean over `width` neighbours, over fewer at both ends."""
    half = width // 2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def calibration(bins: Sequence[Mapping[str, float]], say: Words) -> Drawing:
    """A drawing of how often a reward model is right over how sure it is, a point a bin; the number is its pairs.

    On the dashed line it is right as often as it is sure. Upright bars are 95 % intervals.
    """

    def draw(axes: Any) -> None:
        axes.plot([50, 100], [50, 100], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.plot([100 * b["sure"] for b in bins], [100 * b["right"] for b in bins], color=HUES[0], linewidth=1.5)
        for one in bins:
            sure, right = 100 * one["sure"], 100 * one["right"]
            ends = [100 * one.get(end, one["right"]) for end in ("right_low", "right_high")]
            if ends[0] < ends[1]:
                axes.plot([sure, sure], ends, color=HUES[0], linewidth=3, alpha=0.35, solid_capstyle="round")
            axes.plot([sure], [right], color=HUES[0], marker="o", markersize=6, markeredgecolor=PAPER)
            name = f"{one['pairs']:.0f}"
            under: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top"}
            axes.annotate(name, (sure, ends[0]), (0, -4), color=MUTED, fontsize=8, **under)
        axes.set_xlim(48, 102)
        axes.margins(y=0.1)
        axes.locator_params(axis="both", nbins=6)
        axes.set_xlabel(say("axis.sure"), loc="right")
        axes.set_title(say("axis.right"), loc="left", fontsize=11, color=MUTED)

    return draw


def over_kl(evaluations: Sequence[Mapping[str, float]], say: Words) -> Drawing:
    """A drawing of held-out reward over exact KL, an evaluation a point, joined as they followed each other.

    Bars are twice the standard error of the KL; a point is hollow where reward and judge had parted.
    """

    def draw(axes: Any) -> None:
        kl_E = [row["heldout_kl"] for row in evaluations]
        reward_E = [row["heldout_reward"] for row in evaluations]
        axes.plot(kl_E, reward_E, color=MUTED, linewidth=1.2)
        for kl, reward, row in zip(kl_E, reward_E, evaluations, strict=True):
            error = 2 * row.get("heldout_kl_se", 0.0)
            fill = PAPER if row.get("heldout_parted") else HUES[0]
            axes.plot([kl - error, kl + error], [reward, reward], color=HUES[0], linewidth=2, alpha=0.4)
            axes.plot([kl], [reward], color=HUES[0], marker="o", markersize=6, markerfacecolor=fill)
        for place in (0, -1):
            name = say("step", step=f"{evaluations[place]['step']:.0f}")
            axes.annotate(name, (kl_E[place], reward_E[place]), (6, -11), textcoords="offset points", color=INK)
        axes.margins(x=0.15, y=0.15)
        axes.locator_params(axis="both", nbins=5)
        axes.set_xlabel(say("axis.kl"), loc="right")

    return draw


def label(name: str) -> str:
    return printable(for_terminal(name), 24)
