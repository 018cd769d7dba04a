"""The pictures of numbers: what a stage learned step by step, who wins, and what the win cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.data.problems import for_terminal, printable
from burnish.evaluation.report.svg import HUES, INK, MUTED, PAPER, SERIES

POINTS = 300  # of a curve at most; more would be told apart by nobody
SMOOTHED = 40  # steps from which on a mean over neighbours is drawn over the single steps

Drawing = Callable[[Any], None]
"""Puts a picture on matplotlib's axes."""

Verdicts = Mapping[str, Mapping[str, float | None]]


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


def curves(lines: Sequence[Line], level: float | None) -> Drawing:
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
        axes.set_xlabel("step", loc="right")
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


def win_rates(verdicts: Verdicts) -> Drawing:
    """A drawing of each model's win rate with its interval, the one to beat left out: it ties with itself."""
    models = list(verdicts)
    shown = [m for m in models[1:] if _whole(verdicts[m], "win_rate", "win_rate_low", "win_rate_high")]

    def draw(axes: Any) -> None:
        for place, model in enumerate(reversed(shown)):
            rate, low, high = (_percent(verdicts[model][f"win_rate{end}"]) for end in ("", "_low", "_high"))
            colour = hue(models, model)
            axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
            axes.plot(
                [rate], [place], color=colour, marker="o", markersize=9, markeredgecolor=PAPER, markeredgewidth=1.5
            )
            axes.annotate(f"{rate:.0f} %", (rate, place), (0, 11), textcoords="offset points", ha="center", color=INK)
        axes.axvline(50, color=INK, linewidth=1.2)
        axes.annotate(
            "as good",
            (50, 1),
            (5, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            color=MUTED,
        )
        axes.set_yticks(range(len(shown)), [label(model) for model in reversed(shown)])
        for tick in axes.get_yticklabels():
            tick.set_color(INK)
        axes.set_ylim(-0.6, len(shown) - 0.25)
        axes.set_xlim(*_range(verdicts, shown))
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"% of prompts won against {label(models[0])}", loc="right")

    return draw


def cost(verdicts: Verdicts) -> Drawing:
    """A drawing of win rate over KL: what a model won, and how far it went for it."""
    models = list(verdicts)
    shown = [m for m in models if _whole(verdicts[m], "win_rate", "win_rate_low", "win_rate_high", "kl")]

    def draw(axes: Any) -> None:
        for model in shown:
            figures = verdicts[model]
            rate, low, high = (_percent(figures[f"win_rate{end}"]) for end in ("", "_low", "_high"))
            kl, error, colour = float(figures["kl"] or 0), figures.get("kl_se"), hue(models, model)
            axes.plot([kl, kl], [low, high], color=colour, linewidth=2, alpha=0.5)
            if error is not None:
                axes.plot([kl - 2 * error, kl + 2 * error], [rate, rate], color=colour, linewidth=2, alpha=0.5)
            axes.plot([kl], [rate], color=colour, marker="o", markersize=9, markeredgecolor=PAPER, markeredgewidth=1.5)
            axes.annotate(label(model), (kl, rate), (9, 5), textcoords="offset points", color=INK)
        axes.axhline(50, color=INK, linewidth=1.2)
        axes.set_ylim(*_range(verdicts, shown))
        furthest = max((float(verdicts[m]["kl"] or 0) for m in shown), default=1.0)
        axes.set_xlim(-0.06 * (furthest or 1), 1.3 * (furthest or 1))
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel(f"KL to {label(models[0])}, nats an answer", loc="right")
        axes.set_title("% won", loc="left", fontsize=11, color=MUTED)

    return draw


def frontier(evaluations: Sequence[Mapping[str, float]]) -> Drawing:
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
            name = f"step {evaluations[place]['step']:.0f}"
            axes.annotate(name, (kl_E[place], reward_E[place]), (6, -11), textcoords="offset points", color=INK)
        axes.margins(x=0.15, y=0.15)
        axes.locator_params(axis="both", nbins=5)
        axes.set_xlabel("KL, nats an answer", loc="right")

    return draw


def _range(verdicts: Verdicts, models: Sequence[str]) -> tuple[float, float]:
    """Percent of wins to show: every interval, never less than 40 to 70, so that small differences look small."""
    low = min([40.0, *(_percent(verdicts[model]["win_rate_low"]) - 3 for model in models)])
    high = max([70.0, *(_percent(verdicts[model]["win_rate_high"]) + 5 for model in models)])
    return max(low, 0.0), min(high, 100.0)


def label(name: str) -> str:
    return printable(for_terminal(name), 24)


def _whole(figures: Mapping[str, float | None], *names: str) -> bool:
    return all(isinstance(value := figures.get(name), float) and math.isfinite(value) for name in names)


def _percent(value: float | None) -> float:
    return 100 * (value or 0.0)
