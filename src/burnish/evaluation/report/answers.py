"""Answers to the same prompts side by side, with the words marked in which one differs from the first."""

from collections.abc import Sequence

from burnish.evaluation.report import charts
from burnish.evaluation.report.differences import marked
from burnish.evaluation.report.parts import Page, dot, dotted
from burnish.evaluation.report.run import Comparison, Run, Sample
from burnish.evaluation.report.svg import escaped
from burnish.evaluation.report.words import Words, number
from burnish.evaluation.splits import evenly

PROMPTS = 10
ANSWER_LIMIT, PROMPT_LIMIT = 1500, 800  # characters shown


def answers(run: Run, page: Page) -> str:
    return "".join(_side_by_side(comparison, page.say) for comparison in run.comparisons)


def _side_by_side(comparison: Comparison, say: Words) -> str:
    models = [model for model in comparison.verdicts if model in comparison.samples]
    if not models:
        return ""
    count = min(len(comparison.samples[model]) for model in models)
    chosen = evenly(count, PROMPTS)
    colours = [dot(list(comparison.verdicts), model) for model in models]
    body = "".join(
        asked_and_answered([(m, c, comparison.samples[m][at]) for m, c in zip(models, colours, strict=True)], say)
        for at in chosen
    )
    about = say("answers.about", shown=len(chosen), count=count)
    differing = say("answers.marked", model=charts.label(models[0])) if len(models) > 1 else ""
    return (
        f'<section><h2>{escaped(say("answers.title"))}</h2><p class="aside">{escaped(about + differing)}</p>'
        f"{body}</section>"
    )


def asked_and_answered(given: Sequence[tuple[str, str, Sample]], say: Words) -> str:
    """A prompt, and answers to it side by side: each with who or what gave it and the class of its colour."""
    first = given[0][2]
    asked = escaped(shortened(first.prompt, PROMPT_LIMIT, say))
    cards = "".join(_answer(name, colour, one, first, say) for name, colour, one in given)
    return f'<div class="prompt"><p>{asked}</p><div class="answers">{cards}</div></div>'


def _answer(name: str, colour: str, sample: Sample, first: Sample, say: Words) -> str:
    score = number(sample.score) if sample.score is not None else ""
    score += say("answers.judge", score=number(sample.judge)) if sample.judge is not None else ""
    text = shortened(sample.answer.strip(), ANSWER_LIMIT, say)
    shown = escaped(text) if sample is first else marked(text, shortened(first.answer.strip(), ANSWER_LIMIT, say))
    shown = shown or f'<span class="none">{escaped(say("answers.nothing"))}</span>'
    end = "" if sample.finished else f' <span class="cut">{escaped(say("answers.no_end"))}</span>'
    title = f"<span>{dotted(colour, charts.label(name))}</span><span>{escaped(score)}</span>"
    return f'<div class="answer"><h3>{title}</h3><p>{shown}{end}</p></div>'


def shortened(text: str, limit: int, say: Words) -> str:
    return text if len(text) <= limit else text[:limit] + say("answers.more", count=len(text) - limit)
