"""What several sections of the report are made of."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from burnish.evaluation.report import charts, words
from burnish.evaluation.report.run import Sample
from burnish.evaluation.report.svg import SERIES, Sheet, escaped, picture

ANSWER_LIMIT, PROMPT_LIMIT = 1500, 800  # characters shown

NAMES = {
    "pretrain": "pretraining",
    "sft": "fine-tuning",
    "generate": "sampling",
    "rank": "ranking",
    "reward": "reward model",
    "dpo": "DPO",
    "kto": "KTO",
    "ppo": "PPO",
    "grpo": "GRPO",
    "rloo": "RLOO",
    "reinforce": "REINFORCE++",
    "online_dpo": "online DPO",
    "reject": "best of n",
    "evaluate": "verdict",
}
"""Methods in the reader's words."""


def failed(what: str, error: Exception) -> str:
    """What stands where a part could not be made."""
    why = f"{type(error).__name__}: {str(error)[:300]}"
    return f'<p class="failed">Could not be made: {escaped(what)} ({escaped(why)})</p>'


def drawn(what: str, draw: Callable[[], str]) -> str:
    """A picture, or a note in its place: one that cannot be drawn must not cost the others."""
    try:
        return draw()
    except Exception as error:  # whatever it is, it is told on the page and on stderr
        print(f"report: {what} could not be drawn: {type(error).__name__}: {error}", file=sys.stderr)
        return failed(what, error)


def figure(
    title: str,
    meaning: str,
    draw: Callable[[], Callable[[Any], None]],
    sheet: Sheet,
    *,
    label: str,
    name: str,
    size: tuple[float, float],
) -> str:
    """A picture with its title and what it shows."""
    svg = drawn(label, lambda: picture(draw(), sheet, label=label, name=name, size=size))
    return f"<figure><figcaption>{escaped(title)}<span>{escaped(meaning)}</span></figcaption>{svg}</figure>"


def dot(models: Sequence[str], model: str) -> str:
    """The class that gives a model its colour, the same as in the pictures."""
    index = list(models).index(model)
    return "base" if index == 0 else f"hue-{(index - 1) % SERIES}"


def method_name(method: str) -> str:
    return NAMES.get(method, method)


def asked_and_answered(answers: Sequence[tuple[str, str, Sample]]) -> str:
    """A prompt, and answers to it side by side: each with who or what gave it and the class of its colour."""
    asked = escaped(shortened(answers[0][2].prompt, PROMPT_LIMIT))
    cards = "".join(_answer(*one) for one in answers)
    return f'<div class="prompt"><p>{asked}</p><div class="answers">{cards}</div></div>'


def _answer(name: str, colour: str, sample: Sample) -> str:
    score = words.number(sample.score) if sample.score is not None else ""
    score += f", judge {words.number(sample.judge)}" if sample.judge is not None else ""
    text = escaped(shortened(sample.answer.strip(), ANSWER_LIMIT)) or '<span class="none">(nothing)</span>'
    end = "" if sample.finished else ' <span class="cut">(no end)</span>'
    title = f'<span class="dot {colour}"></span>{escaped(charts.label(name))}'
    return f'<div class="answer"><h4><span>{title}</span><span>{score}</span></h4><p>{text}{end}</p></div>'


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit} characters more)"
