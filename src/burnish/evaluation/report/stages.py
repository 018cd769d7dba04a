"""What each stage did: its final figures, its curves, and of a reward model how far its certainty can be trusted."""

import math
from statistics import fmean

from burnish.evaluation.report import charts
from burnish.evaluation.report.parts import SIZE, Page, figure, method_name
from burnish.evaluation.report.run import Run, StageRecord
from burnish.evaluation.report.svg import INK, MUTED, escaped
from burnish.evaluation.report.words import CURVES, FACTS, SHARES, Words, between, number, signed
from burnish.evaluation.report.words import figure as figure_of

FALLEN = -1.0  # nats: an answer that has become e times less likely
MEANT = ("apo_down",)  # losses that push both down on purpose


def stages(run: Run, page: Page) -> str:
    colour = {m: charts.hue(list(c.verdicts), m) for c in run.comparisons for m in c.verdicts}
    body = "".join(_stage(stage, page, n, colour.get(stage.name, INK)) for n, stage in enumerate(run.stages))
    return f"<section><h2>{escaped(page.say('stages.title'))}</h2>{body}</section>"


def _stage(stage: StageRecord, page: Page, place: int, colour: str) -> str:
    say = page.say
    facts = [(say(f"fact.{key}"), told) for key in FACTS if (told := _fact(stage, key, say))]
    facts += [(say("fact.took"), say.duration(stage.seconds))] if stage.seconds is not None else []
    told = "".join(f"<span>{escaped(name)} <b>{escaped(value)}</b></span>" for name, value in facts)
    told = told or escaped(say("stages.not_done"))
    pictures = "".join(_curve(stage, keys, page, f"c{place}-{n}", colour) for n, keys in enumerate(CURVES))
    pictures += _calibration(stage, page, f"r{place}") if stage.reliability else ""
    kind = method_name(stage.method, say)
    kind = f"<span>{escaped(kind)}</span>" if kind.lower() != stage.name.lower() else ""
    grid = f'<div class="pictures">{pictures}</div>' if pictures else ""
    return (
        f'<div class="stage"><h3>{escaped(stage.name)}{kind}</h3><p class="facts">{told}</p>'
        f"{_direction(stage, say)}{_trackers(stage, say)}{grid}</div>"
    )


def _fact(stage: StageRecord, key: str, say: Words) -> str:
    """A final figure as text, a share with its interval where the stage has one; empty where there is none."""
    value, *ends = (stage.figures.get(f"{key}{end}") for end in ("", "_low", "_high"))
    if not isinstance(value, int | float):
        return ""
    written = say.percent(float(value), 1) if key in SHARES else figure_of(float(value))
    low, high = (100 * float(end) if isinstance(end, int | float) else None for end in ends)
    return written + (f" ({between(low, high, 0)})" if low is not None and high is not None else "")


# ---- curves


def _curve(stage: StageRecord, keys: tuple[str, ...], page: Page, name: str, colour: str) -> str:
    say, title = page.say, page.say(f"curve.{keys[0]}")
    lines = [
        charts.Line(say.known(f"curve.{keys[0]}.{key}", ""), *series(stage, key), MUTED if place else colour)
        for place, key in enumerate(keys)
        if sum(key in row for row in stage.metrics) > 1
    ]
    if not lines:
        return ""
    meaning = say(f"curve.{keys[0]}.means")
    level = stage.figures.get("heldout_accuracy") if keys == ("accuracy",) else None
    level = float(level) if isinstance(level, int | float) else None
    if level is not None:
        meaning += say("curve.accuracy.heldout", share=say.percent(level, 1))
    return figure(
        title,
        meaning,
        lambda: charts.curves(lines, level, say),
        page,
        label=say("curve.label", figure=title, stage=stage.name),
        name=name,
        size=SIZE,
    )


def series(stage: StageRecord, key: str) -> tuple[list[float], list[float]]:
    """Steps and values of one figure, of the steps that have it."""
    rows = [row for row in stage.metrics if key in row]
    return [row["step"] for row in rows], [row[key] for row in rows]


def _trackers(stage: StageRecord, say: Words) -> str:
    """Trackers that failed; what they lack stands in metrics.jsonl."""
    told = (say("tracker.failed", name=one.name, count=one.failed, why=one.why) for one in stage.trackers)
    return "".join(f'<p class="facts warn">▾ {escaped(line)}</p>' for line in told)


# ---- which way the log-probabilities of answers in order went


def _direction(stage: StageRecord, say: Words) -> str:
    """Where what was preferred and what was not went: a gap also grows where both fall, the known failure of DPO."""
    moved = _moved(stage)
    if moved is None:
        return ""
    chosen, rejected, key = moved
    fell = "both_fell" if max(chosen, rejected) < 0 else "both_rose" if min(chosen, rejected) >= 0 else ""
    way = fell or ("parted" if chosen >= 0 else "crossed")
    said = say(f"direction.{way}", chosen=signed(chosen), rejected=signed(rejected)) + say(f"direction.{key}")
    text = f'<p class="facts">{escaped(said)}</p>'
    if chosen < FALLEN and stage.settings.get("loss") not in MEANT:
        text += f'<p class="facts warn">▾ {escaped(say("direction.warning", chosen=signed(chosen)))}</p>'
    return text


def _moved(stage: StageRecord) -> tuple[float, float, str] | None:
    """Nats an answer that chosen and rejected ones gained: over the reference, the mean of the last tenth of the steps;
    of a loss without one, from the first tenth to the last."""
    gains = [_finite(stage, f"gain_{which}") for which in ("chosen", "rejected")]
    if min(map(len, gains)) > 1:
        return fmean(_tenth(gains[0])), fmean(_tenth(gains[1])), "over_reference"
    both = [_finite(stage, f"logp_{which}") for which in ("chosen", "rejected")]
    if min(map(len, both)) > 1:
        chosen, rejected = (fmean(_tenth(values)) - fmean(values[: len(_tenth(values))]) for values in both)
        return chosen, rejected, "since_start"
    return None


def _finite(stage: StageRecord, key: str) -> list[float]:
    return [value for value in series(stage, key)[1] if math.isfinite(value)]


def _tenth(values: list[float]) -> list[float]:
    return values[-max(1, len(values) // 10) :]


# ---- a reward model's certainty


def _calibration(stage: StageRecord, page: Page, name: str) -> str:
    say, bins = page.say, stage.reliability
    told = (
        say(
            "calibration.bin",
            pairs=f"{one['pairs']:.0f}",
            sure=say.percent(one["sure"]),
            right=say.percent(one["right"]),
            between="–".join(number(100 * one[f"right_{end}"], 0) for end in ("low", "high") if f"right_{end}" in one),
        )
        for one in bins
    )
    return figure(
        say("calibration.title"),
        say("calibration.means"),
        lambda: charts.calibration(bins, say),
        page,
        label=say("calibration.label", stage=stage.name, bins=say("semicolon").join(told)),
        name=name,
        size=SIZE,
    )
