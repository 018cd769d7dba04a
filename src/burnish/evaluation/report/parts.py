"""What several sections of the report are made of."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from burnish.evaluation.report.svg import SERIES, Sheet, escaped, picture

NAMES = {
    "pretrain": "pretraining",
    "sft": "fine-tuning",
    "generate": "sampling",
    "rank": "ranking",
    "reward": "reward model",
    "dpo": "DPO",
    "ppo": "PPO",
    "grpo": "GRPO",
    "rloo": "RLOO",
    "reinforce": "REINFORCE++",
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
