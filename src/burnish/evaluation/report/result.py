"""The report's first half: what came out. The result in a sentence, and the verdicts with all their figures."""

from collections.abc import Mapping, Sequence

from burnish.evaluation.aims import measured
from burnish.evaluation.report import charts, frontiers
from burnish.evaluation.report.matrix import matrix
from burnish.evaluation.report.parts import Page, beside, dot, dotted, figure, scrolling, size_for, table
from burnish.evaluation.report.run import Comparison, Run
from burnish.evaluation.report.svg import escaped
from burnish.evaluation.report.words import AIMS, ROWS, Figures, Row, Words, number, rows_of
from burnish.evaluation.sentence import told

NOTES = 10
FEW = 6  # models whose columns get equal widths; more scroll


def opening(run: Run, page: Page) -> str:
    say = page.say
    said = [result(comparison, say) for comparison in run.comparisons]
    headline = said[0][0] if said else say("headline.none_yet", stages=len(run.stages))
    lead = "".join(f'<p class="lead">{text}</p>' for _, text in said)
    notes = "".join(f'<p class="small warn">{escaped(say(n.key, **n.named))}</p>' for n in run.notes[:NOTES])
    return (
        f'<header><p class="run">{escaped(run.name)}</p><h1>{escaped(headline)}</h1>{lead}'
        f'<p class="small">{escaped(_when(run, say))}</p>{notes}</header>'
    )


def _when(run: Run, say: Words) -> str:
    seconds = [stage.seconds for stage in run.stages if stage.seconds is not None]
    finished = max((stage.finished for stage in run.stages), default="")
    facts = [say("when.done", done=len(seconds), stages=len(run.stages))] if len(seconds) < len(run.stages) else []
    facts += [say("when.computing", time=say.duration(sum(seconds)))] if seconds else []
    facts += [say("when.finished", moment=moment(finished))] if finished else []
    return say("comma").join(facts)


def moment(finished: str) -> str:
    return finished.replace("T", " ").replace("+00:00", " UTC")


def result(comparison: Comparison, say: Words) -> tuple[str, str]:
    """A headline, and a paragraph as HTML, about one comparison."""
    baseline, *others = comparison.verdicts
    rated = [(model, v) for model in others if (v := comparison.verdicts[model]).get("win_rate") is not None]
    if not rated:
        what = say("headline.measured", models=say.listing(list(comparison.verdicts)))
        return what, escaped(say("result.measured", stage=comparison.stage))
    better = [model for model, v in rated if (v.get("win_rate_low") or 0) > 0.5]
    count = prompt_count(comparison)
    text = say("result.on", count=count) if count else say("result.on_some")
    text += say("result.judged", judge=comparison.judge) if comparison.judge else ""
    said = told(comparison.verdicts, say.language)
    sentences = say("semicolon").join(said[model]["sentence"] for model, _ in rated if model in said)
    text = escaped(text + say("result.colon") + sentences + say("stop"))
    for model, _ in rated:
        if warned := said.get(model, {}).get("warning"):
            text += _warned(warned[:1].upper() + warned[1:] + say("stop"), say)
        if names := [row.title(say) for row in ROWS if _watch(row, comparison, model)]:
            text += _warned(say("result.look", model=model, figures=say.listing(names).lower()), say)
    return _headline(baseline, better, [model for model, _ in rated if model not in better], say), text


def _warned(text: str, say: Words) -> str:
    return f'{say("gap")}<span class="warn">{escaped(text)}</span>'


def _headline(baseline: str, better: list[str], rest: list[str], say: Words) -> str:
    if not better:
        return say("headline.none", baseline=baseline)
    key = "headline.one" if len(better) == 1 else "headline.several"
    headline = say(key, better=say.listing(better), baseline=baseline)
    left = "headline.rest_one" if len(rest) == 1 else "headline.rest_several"
    return headline + (say(left, rest=say.listing(rest)) if rest else "")


def _watch(row: Row, comparison: Comparison, model: str) -> bool:
    base = next(iter(comparison.verdicts))
    value, against = comparison.verdicts[model].get(row.name), comparison.verdicts[base].get(row.name)
    return value is not None and against is not None and model != base and row.watch(value, against)


def prompt_count(comparison: Comparison) -> int:
    return max((len(samples) for samples in comparison.samples.values()), default=0)


# ---- the verdicts


def verdicts(run: Run, page: Page) -> str:
    return "".join(_verdict(run, comparison, page, number) for number, comparison in enumerate(run.comparisons))


def _verdict(run: Run, comparison: Comparison, page: Page, number: int) -> str:
    say, found = page.say, comparison.verdicts
    aims = [AIMS[aim] for aim in measured(found)]
    told = _table_of_aims(found, aims, say)
    left_out = [row.name for row in aims if row.name != "win_rate"]
    if not comparison.judged:
        title = escaped(say("verdict.measured", stage=comparison.stage))
        return f"<section><h2>{title}</h2>{told}{_table(comparison, left_out, say)}</section>"
    judged = say("verdict.judged", judge=comparison.judge) if comparison.judge else ""
    notice = f'<span class="warn">▾</span>{escaped(say("verdict.watched"))}'
    return (
        f"<section><h2>{escaped(say('verdict.title'))}</h2>"
        f'<p class="aside">{escaped(say("verdict.about", judged=judged))}</p>{told}'
        f'<div class="pair">{_win_rates(found, page, number)}{_frontier(run, comparison, page, number)}</div>'
        f'{_table(comparison, left_out, say)}<p class="small">{notice}</p>{matrix(comparison, say)}</section>'
    )


def _win_rates(found: Mapping[str, Figures], page: Page, number: int) -> str:
    say, models = page.say, list(found)
    rates = [f"{m} {ROWS[0].value(found[m], say)} ({ROWS[0].between(found[m])})" for m in models[1:]]
    many = say("win_rates.at_once", models=len(models) - 1) if len(models) > 2 else ""
    return figure(
        say("win_rates.title"),
        say("win_rates.about") + many,
        lambda: frontiers.win_rates(found, say),
        page,
        label=say("win_rates.label", rates=say("semicolon").join(rates)),
        name=f"w{number}",
        size=size_for(models),
    )


def _frontier(run: Run, comparison: Comparison, page: Page, number: int) -> str:
    say, found = page.say, comparison.verdicts
    models, best = list(found), best_of_n(run, comparison)
    about = say("frontier.about", model=charts.label(models[0])) + (say("frontier.best_of_n") if best else "")
    return figure(
        say("frontier.title"),
        about,
        lambda: frontiers.frontier(found, best, say),
        page,
        label=say("frontier.label"),
        name=f"k{number}",
        size=size_for(models),
    )


def best_of_n(run: Run, comparison: Comparison) -> list[Mapping[str, float]]:
    """What the best of n answers of the model to beat wins, by n: told by this stage, or by one that drew from it.

    That one must have asked the judge of this verdict about the same prompts: by the score that chose among them, the
    best of n wins n / (n + 1) whatever it is worth.
    """
    stages = {stage.name: stage for stage in run.stages}
    judging = stages[comparison.stage]
    models = judging.inputs.get("models")
    first = models.get(next(iter(comparison.verdicts))) if isinstance(models, Mapping) else None
    alike = {"model": first, "judge": judging.inputs.get("by"), "prompts": judging.inputs.get("prompts")}
    drew = (stage for stage in run.stages if all(v and stage.inputs.get(key) == v for key, v in alike.items()))
    for stage in [judging, *drew]:
        if stage.best_of_n:
            return sorted(stage.best_of_n, key=lambda row: row["n"])
    return []


def _table_of_aims(found: Mapping[str, Figures], aims: Sequence[Row], say: Words) -> str:
    if not aims:
        return ""
    models = list(found)
    head = ["", *(beside(say(f"aim.{row.name}"), say(f"aim.{row.name}.means")) for row in aims)]
    rows = [
        [dotted(dot(models, m), charts.label(m)), *(beside(*_shown(row, found, m, say)) for row in aims)]
        for m in models
    ]
    return table(head, rows, say("aims.label"))


def _shown(row: Row, found: Mapping[str, Figures], model: str, say: Words) -> tuple[str, str]:
    """A figure, and what stands under it."""
    figures, first = found[model], model == next(iter(found))
    if row.figure() == "win_rate" and first:
        return row.value(figures, say), say("to_beat")
    if row.name == "kl":
        return row.value(figures, say), f"± {number(figures.get('kl_se'), 2)}"
    under = [row.between(figures), "" if first else row.difference(figures, say)]
    return row.value(figures, say), say("semicolon").join(filter(None, under))


def _table(comparison: Comparison, left_out: Sequence[str], say: Words) -> str:
    found = comparison.verdicts
    models = list(found)
    head = "".join(f'<th scope="col">{dotted(dot(models, m), charts.label(m))}</th>' for m in models)
    body = "".join(
        f'<tr><th scope="row">{beside(row.title(say), row.meaning(say))}</th>'
        f"{''.join(_cell(row, comparison, model, say) for model in models)}</tr>"
        for row in rows_of(found, left_out)
    )
    few = " few" if len(models) <= FEW else ""
    made = f'<table class="verdict{few}"><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
    return scrolling(made, say("verdict.label"))


def _cell(row: Row, comparison: Comparison, model: str, say: Words) -> str:
    watch = ' class="watch"' if _watch(row, comparison, model) else ""
    return f"<td{watch}>{beside(*_shown(row, comparison.verdicts, model, say))}</td>"
