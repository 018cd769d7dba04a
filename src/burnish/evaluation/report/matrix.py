"""Every model against every other, from the scores of their answers to the same prompts."""

from burnish.evaluation.intervals import Interval, each_of, proportion, wins
from burnish.evaluation.report import charts
from burnish.evaluation.report.parts import beside, dot, dotted, table
from burnish.evaluation.report.run import Comparison, Sample
from burnish.evaluation.report.svg import escaped
from burnish.evaluation.report.words import Words, between

LEAST = 3  # models; of two, the verdict says it all


def matrix(comparison: Comparison, say: Words) -> str:
    """The table as HTML: each row's win rate against each column's, strongest first; empty where scores do not tell."""
    found = win_rates(comparison)
    models = list(dict.fromkeys(model for model, _ in found))
    if len(models) < LEAST:
        return ""
    strongest = sorted(models, key=lambda m: -sum(found[m, other].mean for other in models if other != m))
    known = list(comparison.verdicts)

    def cell(model: str, other: str) -> str:
        if model == other:
            return "–"
        one = found[model, other]
        ends = between(100 * one.low, 100 * one.high, 0)
        kind = "surely-wins" if one.low > 0.5 else "surely-loses" if one.high < 0.5 else ""
        text = beside(say.percent(one.mean), ends)
        return f'<span class="{kind}" title="{_said(model, other, ends, say)}">{text}</span>' if kind else text

    head = ["", *(dotted(dot(known, model), charts.label(model)) for model in strongest)]
    body = [
        [dotted(dot(known, model), charts.label(model)), *(cell(model, other) for other in strongest)]
        for model in strongest
    ]
    pairs = len(models) * (len(models) - 1) // 2
    about = say("matrix.about", prompts=next(iter(found.values())).prompts, pairs=pairs)
    made = table(head, body, say("matrix.title"))
    return f'<h3 class="later">{escaped(say("matrix.title"))}</h3><p class="small">{escaped(about)}</p>{made}'


def _said(model: str, other: str, ends: str, say: Words) -> str:
    return escaped(say("matrix.cell", model=model, other=other, between=ends))


def win_rates(comparison: Comparison) -> dict[tuple[str, str], Interval]:
    """(model, other) → how often the one's answers score higher than the other's, with an interval that holds for all
    pairs at once.

    Empty where a judge of pairs gave the scores, which compare with the first model's answers alone, and where people
    did, who give none. Models whose answers are not to the same prompts, with a score each, are left out.
    """
    named = (name for figures in comparison.verdicts.values() for name in figures)
    if any(name.partition("/")[0] == "consistency" for name in named):  # of a list of judges, consistency/NAME
        return {}
    scored = {m: s for m in comparison.verdicts if (s := comparison.samples.get(m, ())) and all(map(_scored, s))}
    if not scored:
        return {}
    asked = _asked(next(iter(scored.values())))
    scored = {model: samples for model, samples in scored.items() if _asked(samples) == asked}
    score = {model: [[s or 0.0 for s in one.scores] for one in samples] for model, samples in scored.items()}
    level = each_of(len(scored) * (len(scored) - 1) // 2)
    return {
        (model, other): proportion(wins(score[model], score[other]), level=level)
        for model in score
        for other in score
        if model != other
    }


def _scored(sample: Sample) -> bool:
    return bool(sample.scores) and None not in sample.scores


def _asked(samples: tuple[Sample, ...]) -> list[tuple[str, int]]:
    return [(sample.prompt, len(sample.scores)) for sample in samples]
