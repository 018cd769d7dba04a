"""Several runs beside each other: their verdicts, what was set otherwise, and the curves of the same stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from burnish.evaluation.report import charts, frontiers
from burnish.evaluation.report.course import command_of
from burnish.evaluation.report.parts import SIZE, Page, beside, dotted, figure, size_for, table
from burnish.evaluation.report.result import result
from burnish.evaluation.report.run import Comparison, Run, StageRecord
from burnish.evaluation.report.stages import series
from burnish.evaluation.report.svg import SERIES, escaped
from burnish.evaluation.report.took import cost, memory, pace
from burnish.evaluation.report.words import CURVES, Figures, Row, Words, number, rows_of
from burnish.training.config import flat


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs under names that tell them apart."""

    names: tuple[str, ...]
    runs: tuple[Run, ...]

    def heads(self) -> list[str]:
        """Each run's name with the dot of its hue, as HTML."""
        return [dotted(f"hue-{place % SERIES}", charts.label(name)) for place, name in enumerate(self.names)]


def side_by_side(runs: Sequence[Run]) -> Runs:
    """The runs under their own names where these differ, else under their folders', else with their number."""
    for names in ([run.name for run in runs], [run.folder.resolve().name for run in runs]):
        if len(set(names)) == len(names):
            return Runs(tuple(names), tuple(runs))
    return Runs(tuple(f"{run.name} {place}" for place, run in enumerate(runs, 1)), tuple(runs))


def opening(runs: Runs, page: Page) -> str:
    say = page.say
    said = "".join(
        f'<p class="lead"><b>{head}</b> {_result(run, say)}</p>'
        for head, run in zip(runs.heads(), runs.runs, strict=True)
    )
    title = say("side.title", runs=say.listing(runs.names))
    return f"<header><h1>{escaped(title)}</h1>{said}</header>"


def _result(run: Run, say: Words) -> str:
    if not run.comparisons:
        return escaped(say("headline.none_yet", stages=len(run.stages)) + say("stop"))
    return result(run.comparisons[0], say)[1]


# ---- verdicts


def verdicts(runs: Runs, page: Page) -> str:
    say, found = page.say, [run.comparisons[0] for run in runs.runs if run.comparisons]
    if not found:
        return ""
    unlike = "".join(f'<p class="warn">▾ {escaped(say(key))}</p>' for key in _unlike(found))
    of_run = [run.comparisons[0].verdicts if run.comparisons else {} for run in runs.runs]
    models = list(dict.fromkeys(model for verdicts in of_run for model in verdicts))
    size = size_for(models)
    pictures = figure(
        say("win_rates.title"),
        say("side.win_rates"),
        lambda: frontiers.win_rates_beside(of_run, say),
        page,
        label=say("win_rates.title"),
        name="w",
        size=size,
    ) + figure(
        say("frontier.title"),
        say("side.frontier"),
        lambda: frontiers.frontier_beside(of_run, say),
        page,
        label=say("frontier.label"),
        name="k",
        size=size,
    )
    return (
        f'<section><h2>{escaped(say("verdict.title"))}</h2><p class="aside">{escaped(say("side.verdicts"))}</p>{unlike}'
        f'{_legend(runs)}<div class="pair">{pictures}</div>{_figures(runs, of_run, models, say)}</section>'
    )


def _unlike(comparisons: Sequence[Comparison]) -> list[str]:
    """What makes the verdicts no verdicts on the same thing, as keys of the words."""
    asked = {tuple(sample.prompt for sample in next(iter(one.samples.values()), ())) for one in comparisons}
    first = {next(iter(one.verdicts)) for one in comparisons}
    judges = {one.judge for one in comparisons}
    told = (("side.other_judge", judges), ("side.other_prompts", asked), ("side.other_first", first))
    return [key for key, different in told if len(different) > 1]


def _legend(runs: Runs) -> str:
    return f'<p class="legend small">{"".join(f"<span>{head}</span>" for head in runs.heads())}</p>'


def _figures(runs: Runs, of_run: Sequence[Mapping[str, Figures]], models: Sequence[str], say: Words) -> str:
    """Every figure of every model, a column a run."""
    merged = {f"{place} {model}": v for place, verdicts in enumerate(of_run) for model, v in verdicts.items()}
    rows = []
    for row in rows_of(merged):
        for model in models:
            cells = [_cell(row, verdicts.get(model), say) for verdicts in of_run]
            if any(cell != "–" for cell in cells):
                rows.append([beside(f"{row.title(say)} · {charts.label(model)}"), *cells])
    return table(["", *runs.heads()], rows, say("verdict.label"))


def _cell(row: Row, figures: Figures | None, say: Words) -> str:
    if figures is None or row.figure() not in figures:
        return "–"
    return beside(row.value(figures, say), row.between(figures))


# ---- what was set otherwise


def settings(runs: Runs, page: Page) -> str:
    say = page.say
    of_run = [_settings(run) for run in runs.runs]
    keys = dict.fromkeys(key for found in of_run for key in found)
    rows = [
        [f"<code>{escaped(key)}</code>", *(escaped(found.get(key, "–")) for found in of_run)]
        for key in keys
        if len({found.get(key) for found in of_run}) > 1
    ]
    made = table(["", *runs.heads()], rows, say("side.settings")) if rows else f"<p>{escaped(say('side.same'))}</p>"
    return f"<section><h2>{escaped(say('side.settings'))}</h2>{made}</section>"


def _settings(run: Run) -> dict[str, str]:
    """Everything that was set, by stage and key; what stages were made from, and with which versions."""
    found: dict[str, str] = {}
    for stage in run.stages:
        found[f"{stage.name}.method"] = stage.method
        for key, value in (flat(stage.settings) | flat(stage.inputs)).items():
            found[f"{stage.name}.{key}"] = str(value)
        made = [f"{name} {digest}".strip() for name, digest in stage.sources if digest and name not in _names(run)]
        found[f"{stage.name} ←"] = ", ".join(made)
    return found | dict(run.versions) | ({"threads": str(run.threads)} if run.threads else {})


def _names(run: Run) -> set[str]:
    """Stages: that their results differ follows from what was set otherwise."""
    return {stage.name for stage in run.stages}


# ---- curves


def curves(runs: Runs, page: Page) -> str:
    say = page.say
    names = dict.fromkeys(stage.name for run in runs.runs for stage in run.stages)
    body = "".join(_stage(name, runs, page, place) for place, name in enumerate(names))
    if not body:
        return ""
    about = f'<p class="aside">{escaped(say("side.curves.about"))}</p>'
    return f"<section><h2>{escaped(say('side.curves'))}</h2>{about}{_legend(runs)}{body}</section>"


def _stage(name: str, runs: Runs, page: Page, place: int) -> str:
    """The figures of one stage that at least two runs tell, over each other."""
    of_run = [_of(run, name) for run in runs.runs]
    pictures = "".join(_curve(name, keys[0], of_run, page, f"c{place}-{at}") for at, keys in enumerate(CURVES))
    title = f"<h3>{escaped(name)}</h3>"
    return f'<div class="stage">{title}<div class="pictures">{pictures}</div></div>' if pictures else ""


def _curve(stage: str, key: str, of_run: Sequence[StageRecord | None], page: Page, name: str) -> str:
    say = page.say
    lines = [
        charts.Line("", *series(one, key), frontiers.of_run(run))
        for run, one in enumerate(of_run)
        if one is not None and sum(key in row for row in one.metrics) > 1
    ]
    if len(lines) < 2:
        return ""
    title = say(f"curve.{key}")
    return figure(
        title,
        say.known(f"curve.{key}.alone", say(f"curve.{key}.means")),
        lambda: charts.curves(lines, None, say),
        page,
        label=say("curve.label", figure=title, stage=stage),
        name=name,
        size=SIZE,
    )


# ---- what they took


def took(runs: Runs, page: Page) -> str:
    say, price = page.say, page.price
    names = dict.fromkeys(stage.name for run in runs.runs for stage in run.stages)
    rows = [[escaped(name), *(_taken(_of(run, name), say) for run in runs.runs)] for name in names]
    totals = [sum(stage.seconds or 0.0 for stage in run.stages) for run in runs.runs]
    paid = [say("took.cost_of", cost=cost(total, price)) if price else "" for total in totals]
    cells = [beside(say.duration(total), one) for total, one in zip(totals, paid, strict=True)]
    rows.append([f"<b>{escaped(say('took.all'))}</b>", *cells])
    again = "".join(f"<pre>{escaped(command_of(run))}</pre>" for run in runs.runs)
    made = table([escaped(say("stage")), *runs.heads()], rows, say("took.title"))
    about = f'<p class="small">{escaped(say("side.took"))}</p>'
    return (
        f"<section><h2>{escaped(say('took.title'))}</h2>{made}{about}</section>"
        f"<section><h2>{escaped(say('again.title'))}</h2>{again}</section>"
        f'<footer><p class="small">{escaped(say("side.footer"))}</p></footer>'
    )


def _of(run: Run, name: str) -> StageRecord | None:
    return next((stage for stage in run.stages if stage.name == name), None)


def _taken(stage: StageRecord | None, say: Words) -> str:
    if stage is None:
        return "–"
    found = [
        say("took.tokens", pace=number(p, 0)) if (p := pace(stage)) is not None else "",
        f"{number(gb, 2)} GB" if (gb := memory(stage)) is not None else "",
    ]
    seconds = "–" if stage.seconds is None else say.duration(stage.seconds)
    return beside(seconds, say("comma").join(filter(None, found)))
