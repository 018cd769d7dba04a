"""The report's second half: how it came about. The chain, what each stage did, and how to repeat it."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from burnish.evaluation.report import charts, words
from burnish.evaluation.report.chain import ACROSS, DOWN, Box, chain
from burnish.evaluation.report.parts import dot, drawn, figure, method_name
from burnish.evaluation.report.run import Edge, Run, StageRecord
from burnish.evaluation.report.svg import INK, MUTED, Sheet, escaped


def the_chain(run: Run, _: Sheet) -> str:
    boxes = [_box(run, stage) for stage in run.stages]
    edges = list(run.edges)
    if run.base and all(stage.name != "base" for stage in run.stages):
        name = PurePath(run.base).name
        boxes.insert(0, Box("base", "pretrained", "" if name == "base" else charts.label(name)))
        edges[:0] = [Edge("base", stage.name, weights=True) for stage in run.stages if _starts_from(stage, run.base)]
    label = "The chain: " + "; ".join(f"{edge.target} from {edge.source}" for edge in edges)
    pictures = drawn(
        "the chain", lambda: "".join(chain(boxes, edges, direction, label=label) for direction in (ACROSS, DOWN))
    )
    return (
        f'<section><h2>The chain</h2><figure>{pictures}<p class="key small"><span>weights go on</span>'
        '<span class="data">answers, rankings or scores go on</span></p></figure></section>'
    )


def _starts_from(stage: StageRecord, base: str) -> bool:
    models = stage.inputs.get("models")
    several = models.values() if isinstance(models, Mapping) else models if isinstance(models, list) else []
    return base in [stage.inputs.get("model"), *several]


def _box(run: Run, stage: StageRecord) -> Box:
    kind = method_name(stage.method)
    kind = kind if kind != stage.name else ""
    for comparison in run.comparisons:
        models = list(comparison.verdicts)
        if stage.name in models:
            wins = f"wins {words.percent(comparison.verdicts[stage.name].get('win_rate'))}"
            return Box(stage.name, kind, "to beat" if stage.name == models[0] else wins, dot(models, stage.name))
        if stage.name == comparison.stage:
            count = max((len(samples) for samples in comparison.samples.values()), default=0)
            return Box(stage.name, kind, f"{count} prompts" if count else "")
    return Box(stage.name, kind, _told(stage))


def _told(stage: StageRecord) -> str:
    """A stage's one figure in the picture."""
    found = {key: float(value) for key, value in stage.figures.items() if isinstance(value, int | float)}
    if "heldout_accuracy" in found:
        return f"{words.percent(found['heldout_accuracy'])} of pairs"
    for key in ("rankings", "answers"):
        if key in found:
            return f"{words.number(found[key], 0)} {key}"
    if "loss" in found:
        return f"loss {words.figure(found['loss'])}"
    return "" if stage.seconds is not None else "not done"


# ---- the stages


def stages(run: Run, sheet: Sheet) -> str:
    colour = {m: charts.hue(list(c.verdicts), m) for c in run.comparisons for m in c.verdicts}
    body = "".join(_stage(stage, sheet, n, colour.get(stage.name, INK)) for n, stage in enumerate(run.stages))
    return f"<section><h2>What each stage did</h2>{body}</section>"


def _stage(stage: StageRecord, sheet: Sheet, number: int, colour: str) -> str:
    facts = [
        (
            name,
            (words.percent(float(value), 1) if name in words.SHARES else words.figure(float(value)))
            + _between(stage, key),
        )
        for key, name in words.FACTS.items()
        if isinstance(value := stage.figures.get(key), int | float)
    ]
    facts += [("took", words.duration(stage.seconds))] if stage.seconds is not None else []
    told = "".join(f"<span>{escaped(name)} <b>{escaped(value)}</b></span>" for name, value in facts) or "not done yet"
    pictures = "".join(_curve(stage, curve, sheet, f"c{number}-{n}", colour) for n, curve in enumerate(words.CURVES))
    kind = method_name(stage.method)
    kind = f"<span>{escaped(kind)}</span>" if kind.lower() != stage.name.lower() else ""
    grid = f'<div class="pictures">{pictures}</div>' if pictures else ""
    return f'<div class="stage"><h3>{escaped(stage.name)}{kind}</h3><p class="facts">{told}</p>{grid}</div>'


def _between(stage: StageRecord, key: str) -> str:
    """The interval of a share, where the stage has one."""
    ends = [stage.figures.get(f"{key}_{end}") for end in ("low", "high")]
    low, high = (100 * float(end) if isinstance(end, int | float) else None for end in ends)
    return f" ({words.number(low, 0)}–{words.number(high, 0)})" if low is not None and high is not None else ""


def _curve(stage: StageRecord, curve: words.Curve, sheet: Sheet, name: str, colour: str) -> str:
    meaning = curve.meaning
    lines = [
        charts.Line(curve.names[place], *_series(stage, key), MUTED if place else colour)
        for place, key in enumerate(curve.keys)
        if sum(key in row for row in stage.metrics) > 1
    ]
    if not lines:
        return ""
    level = stage.figures.get("heldout_accuracy") if curve.keys == ("accuracy",) else None
    level = float(level) if isinstance(level, int | float) else None
    if level is not None:
        meaning += f"; dashed: {words.percent(level, 1)} of held-out pairs"
    return figure(
        curve.title,
        meaning,
        lambda: charts.curves(lines, level),
        sheet,
        label=f"{curve.title} of {stage.name} over steps",
        name=name,
        size=(3.5, 2.25),
    )


def _series(stage: StageRecord, key: str) -> tuple[list[float], list[float]]:
    rows = [row for row in stage.metrics if key in row]
    return [row["step"] for row in rows], [row[key] for row in rows]


# ---- how to repeat it


def again(run: Run, _: Sheet) -> str:
    facts = [f"{name} {version}" for name, version in run.versions.items()]
    facts += [f"{run.threads} threads"] if run.threads else []
    rows = "".join(
        f'<tr><td class="text">{escaped(stage.name)}</td><td class="text">{_from(stage)}</td>'
        f"<td>{escaped(words.duration(stage.seconds)) if stage.seconds is not None else '–'}</td></tr>"
        for stage in run.stages
    )
    recipe = f"<h3>recipe.yaml</h3><pre>{escaped(run.recipe)}</pre>" if run.recipe else ""
    settings = "".join(
        f"<h3>{escaped(stage.name)}</h3><pre>{escaped(chr(10).join(_flat(stage.settings)))}</pre>"
        for stage in run.stages
        if stage.settings
    )
    every = f"<details><summary>Every setting of every stage</summary>{settings}</details>" if settings else ""
    return (
        f"<section><h2>How to repeat it</h2><pre>{escaped(command(run))}</pre>"
        f'<p class="small">{escaped(", ".join(facts))}</p>{recipe}{every}<div class="wide"><table><thead><tr>'
        '<th class="text">stage</th><th class="text">made from, with the hash of what it held</th><th>time</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></section>"
        '<footer><p class="small">Written by burnish. The folder of this run holds all that this page shows: models, '
        "answers, rankings, figures of every step.</p></footer>"
    )


def command(run: Run) -> str:
    """The command that made the run, with everything that was set on it."""
    demo = run.recipe_path.replace("\\", "/").endswith("burnish/assets/demo/recipe.yaml")
    typed = ["burnish", "demo"] if demo else ["burnish", "run", run.recipe_path or "recipe.yaml"]
    for key, value in run.settings.items():
        typed += ["--seed", str(value)] if key == "seed" else ["--set", f"{key}={value}"]
    return shlex.join([*typed, "--out", str(run.folder)])


def _from(stage: StageRecord) -> str:
    """What a stage was made from, as HTML: names, with the hash of what they held."""
    told = (f"{escaped(name)}{f' <code>{escaped(digest)}</code>' if digest else ''}" for name, digest in stage.sources)
    return "<br>".join(told) or "–"


def _flat(settings: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}: {value}"
