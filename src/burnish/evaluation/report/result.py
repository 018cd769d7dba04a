"""The report's first half: what came out. The result in a sentence, the verdicts, and the answers to read."""

from collections.abc import Sequence

from burnish.evaluation.report import charts, words
from burnish.evaluation.report.parts import asked_and_answered, dot, figure
from burnish.evaluation.report.run import Comparison, Run, Sample
from burnish.evaluation.report.svg import Sheet, escaped
from burnish.evaluation.sentence import told

PROMPTS = 10
NOTES = 10
FEW = 6  # models whose columns get equal widths; more scroll


def opening(run: Run, _: Sheet) -> str:
    said = [_result(comparison) for comparison in run.comparisons]
    headline = said[0][0] if said else f"{len(run.stages)} stages, no verdict yet"
    lead = "".join(f'<p class="lead">{text}</p>' for _, text in said)
    notes = "".join(f'<p class="small warn">{escaped(note)}</p>' for note in run.notes[:NOTES])
    return (
        f'<header><p class="run">{escaped(run.name)}</p><h1>{escaped(headline)}</h1>{lead}'
        f'<p class="small">{escaped(_when(run))}</p>{notes}</header>'
    )


def _when(run: Run) -> str:
    seconds = [stage.seconds for stage in run.stages if stage.seconds is not None]
    finished = max((stage.finished for stage in run.stages), default="")
    facts = [f"{len(seconds)} of {len(run.stages)} stages done"] if len(seconds) < len(run.stages) else []
    facts += [f"{words.duration(sum(seconds))} of computing"] if seconds else []
    facts += [f"finished {finished.replace('T', ' ').replace('+00:00', ' UTC')}"] if finished else []
    return ", ".join(facts)


def _result(comparison: Comparison) -> tuple[str, str]:
    """A headline, and a paragraph as HTML, about one comparison."""
    baseline, *others = comparison.verdicts
    rated = [(model, v) for model in others if (v := comparison.verdicts[model]).get("win_rate") is not None]
    if not rated:
        return f"{baseline} stands alone", "No other model was compared with it."
    better = [model for model, v in rated if (v.get("win_rate_low") or 0) > 0.5]
    count = _prompt_count(comparison)
    text = f"On {count} held-out prompts" if count else "On held-out prompts"
    text += f", judged by {escaped(comparison.judge)}: " if comparison.judge else ": "
    said = told(comparison.verdicts)
    text += f"{'; '.join(escaped(said[model]['sentence']) for model, _ in rated if model in said)}."
    for model, _ in rated:
        if warned := said.get(model, {}).get("warning"):
            text += f' <span class="warn">{escaped(warned[:1].upper() + warned[1:])}.</span>'
        if names := [row.title for row in words.ROWS if _watch(row, comparison, model)]:
            text += f' <span class="warn">Look at {escaped(model)}: {escaped(words.listing(names).lower())}.</span>'
    return _headline(baseline, better, [model for model, _ in rated if model not in better]), text


def _headline(baseline: str, better: list[str], rest: list[str]) -> str:
    if not better:
        return f"No model answers better than {baseline}"
    headline = f"{words.listing(better)} answer{'s' if len(better) == 1 else ''} better than {baseline}"
    return headline + (f"; {words.listing(rest)} {'does' if len(rest) == 1 else 'do'} not" if rest else "")


def _rate(figures: words.Figures) -> str:
    return f"{words.percent(figures.get('win_rate'))} ({_between(words.ROWS[0], figures)})"


def _between(row: words.Row, figures: words.Figures) -> str:
    """The interval of a row that has one, written as the row's own figure is."""
    low, high = (figures.get(f"{row.name}_{end}") for end in ("low", "high"))
    scale = 100 if row.percent else 1
    return "–".join(words.number(None if end is None else scale * end, row.digits) for end in (low, high))


def _watch(row: words.Row, comparison: Comparison, model: str) -> bool:
    base = next(iter(comparison.verdicts))
    value, against = comparison.verdicts[model].get(row.name), comparison.verdicts[base].get(row.name)
    return value is not None and against is not None and model != base and row.watch(value, against)


def _prompt_count(comparison: Comparison) -> int:
    return max((len(samples) for samples in comparison.samples.values()), default=0)


# ---- the verdicts


def verdicts(run: Run, sheet: Sheet) -> str:
    return "".join(_verdict(comparison, sheet, number) for number, comparison in enumerate(run.comparisons))


def _verdict(comparison: Comparison, sheet: Sheet, number: int) -> str:
    found = comparison.verdicts
    models = list(found)
    size = (5.4, 1.5 + 0.5 * min(len(models), 12))
    rates = figure(
        "Win rate",
        "with 95 % intervals, by prompt" + (f", for all {len(models) - 1} at once" if len(models) > 2 else ""),
        lambda: charts.win_rates(found),
        sheet,
        label="Win rate with its 95 % interval: " + "; ".join(f"{m} {_rate(found[m])}" for m in models[1:]),
        name=f"w{number}",
        size=size,
    )
    cost = figure(
        "What the wins cost",
        f"up is better, left is nearer to {charts.label(models[0])}",
        lambda: charts.cost(found),
        sheet,
        label="Win rate of each model over its KL",
        name=f"k{number}",
        size=size,
    )
    judge = f" by {escaped(comparison.judge)}" if comparison.judge else ""
    return (
        '<section><h2>Which model answers better</h2><p class="aside">Every model answered the same held-out prompts '
        f"from the same seeds. An answer wins where it is judged better{judge}; a tie is half a win. A high rate alone "
        "proves little: the figures below say whether the answers are still answers.</p>"
        f'<div class="pair">{rates}{cost}</div><div class="wide">{_table(comparison)}</div>'
        f'<p class="small"><span class="warn">▾</span> asks for a look at the answers: {words.WATCHED}.</p></section>'
    )


def _table(comparison: Comparison) -> str:
    models = list(comparison.verdicts)
    head = "".join(
        f'<th scope="col"><span class="dot {dot(models, m)}"></span>{escaped(charts.label(m))}</th>' for m in models
    )
    known = {row.name for row in words.ROWS} | words.INSIDE
    there = dict.fromkeys(name for figures in comparison.verdicts.values() for name in figures)
    extra = [words.Row(name, name.replace("_", " "), "", 3) for name in there if name not in known]
    rows = [*(row for row in words.ROWS if row.name in there), *extra]
    body = "".join(
        f'<tr><th scope="row">{escaped(row.title)}<span>{escaped(row.meaning)}</span></th>'
        f"{''.join(_cell(row, comparison, model) for model in models)}</tr>"
        for row in rows
    )
    few = " few" if len(models) <= FEW else ""
    return f'<table class="verdict{few}"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(row: words.Row, comparison: Comparison, model: str) -> str:
    figures = comparison.verdicts[model]
    value = figures.get(row.name)
    shown = words.percent(value, row.digits) if row.percent else words.number(value, row.digits)
    beside = ""
    if row.name == "win_rate" and model == next(iter(comparison.verdicts)):
        beside = "to beat"
    elif f"{row.name}_low" in figures:
        beside = _between(row, figures)
    elif row.name == "kl":
        beside = f"± {words.number(figures.get('kl_se'), 2)}"
    watch = ' class="watch"' if _watch(row, comparison, model) else ""
    return f"<td{watch}>{escaped(shown)}{f'<span>{escaped(beside)}</span>' if beside else ''}</td>"


# ---- the answers


def answers(run: Run, _: Sheet) -> str:
    return "".join(_side_by_side(comparison) for comparison in run.comparisons)


def _side_by_side(comparison: Comparison) -> str:
    models = [model for model in comparison.verdicts if model in comparison.samples]
    if not models:
        return ""
    count = min(len(comparison.samples[model]) for model in models)
    chosen = evenly(count, PROMPTS)
    body = "".join(_prompt(comparison, models, [comparison.samples[m][index] for m in models]) for index in chosen)
    return (
        f'<section><h2>The same prompts, answered by each</h2><p class="aside">{len(chosen)} of {count} held-out '
        "prompts, evenly spaced in their file: nobody chose them. The number is the judge's score of the answer.</p>"
        f"{body}</section>"
    )


def evenly(count: int, wanted: int) -> list[int]:
    """`wanted` places in 0..count-1, evenly spaced; all of them where there are fewer."""
    return [index * count // wanted for index in range(wanted)] if count > wanted else list(range(count))


def _prompt(comparison: Comparison, models: Sequence[str], samples: Sequence[Sample]) -> str:
    colours = (dot(list(comparison.verdicts), model) for model in models)
    return asked_and_answered(list(zip(models, colours, samples, strict=True)))
