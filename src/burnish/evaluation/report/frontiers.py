"""The pictures of who wins: win rates with their intervals, and win rate over KL, what a model won for how far it went.

A sweep (`dpo/beta=0.1`, `dpo/beta=0.3`) is one curve, joined in the order of its KL. The best of n answers is one as
well, at the KL that it never exceeds, log n - (n - 1)/n (Beirami et al. 2025).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.evaluation.report.charts import Drawing, hue, label
from burnish.evaluation.report.svg import HUES, INK, MUTED, PAPER, SERIES
from burnish.evaluation.report.words import Words

Verdicts = Mapping[str, Mapping[str, float | None]]
BestOfN = Sequence[Mapping[str, float]]


def win_rates(verdicts: Verdicts, say: Words) -> Drawing:
    """A drawing of each model's win rate with its interval, the one to beat left out: it ties with itself."""
    models = list(verdicts)
    shown = [m for m in models[1:] if _whole(verdicts[m], "win_rate", "win_rate_low", "win_rate_high")]

    def draw(axes: Any) -> None:
        for place, model in enumerate(reversed(shown)):
            rate, low, high = _rate(verdicts[model])
            colour = hue(models, model)
            axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.35, solid_capstyle="round")
            axes.plot([rate], [place], color=colour, **_POINT)
            named = say.percent(rate / 100)
            axes.annotate(named, (rate, place), (0, 11), textcoords="offset points", ha="center", color=INK)
        _of_win_rates(axes, shown, [verdicts[model] for model in shown])
        at: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top"}
        axes.annotate(say("chart.as_good"), (50, 1), (5, -4), color=MUTED, **at)
        axes.set_ylim(-0.6, len(shown) - 0.25)
        axes.set_xlabel(say("axis.won_against", model=label(models[0])), loc="right")

    return draw


def frontier(verdicts: Verdicts, best_of_n: BestOfN, say: Words) -> Drawing:
    """A drawing of win rate over KL to the model to beat: every model a point with its intervals, and best of n.

    The bar across is twice the standard error of the KL.
    """
    models = list(verdicts)
    shown = [m for m in models if _whole(verdicts[m], "win_rate", "win_rate_low", "win_rate_high", "kl")]

    def draw(axes: Any) -> None:
        _best_of_n(axes, best_of_n, say)
        for sweep in sweeps(shown, verdicts):
            points = [(_kl(verdicts[model]), _rate(verdicts[model])[0]) for model in sweep]
            axes.plot(*zip(*points, strict=True), color=hue(models, sweep[0]), linewidth=1.2, alpha=0.7)
        for model in shown:
            point(axes, verdicts[model], hue(models, model))
            at = (_kl(verdicts[model]), _rate(verdicts[model])[0])
            axes.annotate(label(model), at, (9, 5), textcoords="offset points", color=INK)
        _of_frontier(axes, [verdicts[model] for model in shown], best_of_n, say)
        axes.set_xlabel(say("axis.kl_to", model=label(models[0])), loc="right")

    return draw


def sweeps(models: Sequence[str], verdicts: Verdicts) -> list[list[str]]:
    """Models that `each` made of one stage, in the order of their KL; those that stand alone are none."""
    of_stage: dict[str, list[str]] = {}
    for model in models:
        stage, slash, _ = model.partition("/")
        if slash:
            of_stage.setdefault(stage, []).append(model)
    return [sorted(made, key=lambda model: _kl(verdicts[model])) for made in of_stage.values() if len(made) > 1]


def point(axes: Any, figures: Mapping[str, float | None], colour: str) -> None:
    """A model's win rate over its KL, with both intervals."""
    rate, low, high = _rate(figures)
    kl, error = _kl(figures), figures.get("kl_se")
    axes.plot([kl, kl], [low, high], color=colour, linewidth=2, alpha=0.5)
    if error is not None:
        axes.plot([kl - 2 * error, kl + 2 * error], [rate, rate], color=colour, linewidth=2, alpha=0.5)
    axes.plot([kl], [rate], color=colour, **_POINT)


def _best_of_n(axes: Any, rows: BestOfN, say: Words) -> None:
    if not rows:
        return
    kl_N, rate_N = [row["kl"] for row in rows], [100 * row["win_rate"] for row in rows]
    axes.plot(kl_N, rate_N, color=MUTED, linewidth=1.5, linestyle=(0, (5, 2)), marker="o", markersize=4)
    for kl, row in zip(kl_N, rows, strict=True):
        if "win_rate_low" in row and "win_rate_high" in row:
            ends = [100 * row["win_rate_low"], 100 * row["win_rate_high"]]
            axes.plot([kl, kl], ends, color=MUTED, linewidth=1.5, alpha=0.5)
    name = say("chart.best_of", n=f"{rows[-1]['n']:.0f}")
    axes.annotate(name, (kl_N[-1], rate_N[-1]), (7, -12), textcoords="offset points", color=MUTED)


def _of_win_rates(axes: Any, models: Sequence[str], shown: Sequence[Mapping[str, float | None]]) -> None:
    """What every picture of win rates has: the line of a half, the range of what is `shown`, a model a row."""
    axes.axvline(50, color=INK, linewidth=1.2)
    axes.set_yticks(range(len(models)), [label(model) for model in reversed(models)])
    for tick in axes.get_yticklabels():
        tick.set_color(INK)
    axes.set_xlim(*_range(shown))
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _of_frontier(axes: Any, shown: Sequence[Mapping[str, float | None]], best_of_n: BestOfN, say: Words) -> None:
    """What every picture of win rate over KL has: the line of a half, its ranges and what stands upwards."""
    axes.axhline(50, color=INK, linewidth=1.2)
    axes.set_ylim(*_range([*shown, *best_of_n]))
    furthest = max([_kl(figures) for figures in shown] + [row["kl"] for row in best_of_n], default=0.0) or 1.0
    axes.set_xlim(-0.06 * furthest, 1.3 * furthest)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title(say("axis.won"), loc="left", fontsize=11, color=MUTED)


# ---- several runs


def win_rates_beside(verdicts_R: Sequence[Verdicts], say: Words) -> Drawing:
    """A drawing of the win rates of the same models in several runs, each run in its hue, one under the other."""
    models = list(dict.fromkeys(model for verdicts in verdicts_R for model in list(verdicts)[1:]))

    def draw(axes: Any) -> None:
        drawn = []
        for place, model in enumerate(reversed(models)):
            for number, verdicts in enumerate(verdicts_R):
                figures = verdicts.get(model, {})
                if not _whole(figures, "win_rate", "win_rate_low", "win_rate_high"):
                    continue
                drawn.append(figures)
                rate, low, high = _rate(figures)
                at = place + 0.6 * (0.5 - (number + 0.5) / len(verdicts_R))
                colour = of_run(number)
                axes.plot([low, high], [at, at], color=colour, linewidth=4, alpha=0.35, solid_capstyle="round")
                axes.plot([rate], [at], color=colour, marker="o", markersize=6, markeredgecolor=PAPER)
        _of_win_rates(axes, models, drawn)
        axes.set_ylim(-0.6, len(models) - 0.4)
        axes.set_xlabel(say("axis.won"), loc="right")

    return draw


def frontier_beside(verdicts_R: Sequence[Verdicts], say: Words) -> Drawing:
    """A drawing of win rate over KL of every model of several runs, each run in its hue."""

    def draw(axes: Any) -> None:
        shown = []
        for number, verdicts in enumerate(verdicts_R):
            for model, figures in list(verdicts.items())[1:]:
                if _whole(figures, "win_rate", "win_rate_low", "win_rate_high", "kl"):
                    shown.append(figures)
                    point(axes, figures, of_run(number))
                    at = (_kl(figures), _rate(figures)[0])
                    axes.annotate(label(model), at, (8, 5), textcoords="offset points", color=INK, fontsize=9)
        _of_frontier(axes, shown, (), say)
        axes.set_xlabel(say("axis.kl"), loc="right")

    return draw


def of_run(number: int) -> str:
    """The hue of a run beside others: here none is the one to beat."""
    return HUES[number % SERIES]


_POINT: dict[str, Any] = {"marker": "o", "markersize": 9, "markeredgecolor": PAPER, "markeredgewidth": 1.5}


def _range(shown: Sequence[Mapping[str, float | None]]) -> tuple[float, float]:
    """Percent of wins to show: every interval, never less than 40 to 70, so that small differences look small."""
    lows = [_rate(figures)[1] - 3 for figures in shown]
    highs = [_rate(figures)[2] + 5 for figures in shown]
    return max(min([40.0, *lows]), 0.0), min(max([70.0, *highs]), 100.0)


def _rate(figures: Mapping[str, float | None]) -> tuple[float, float, float]:
    """Win rate and its ends in percent; where there is no interval they are the rate."""
    rate = figures.get("win_rate") or 0.0
    low, high = (figures.get(f"win_rate_{end}") for end in ("low", "high"))
    return 100 * rate, 100 * (rate if low is None else low), 100 * (rate if high is None else high)


def _kl(figures: Mapping[str, float | None]) -> float:
    return float(figures.get("kl") or 0.0)


def _whole(figures: Mapping[str, float | None], *names: str) -> bool:
    return all(isinstance(value := figures.get(name), float) and math.isfinite(value) for name in names)
