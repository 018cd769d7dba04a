"""A reward: prompts and answers in, one finite number an answer out. What others return is checked here."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from burnish.data.problems import described, named_prompt
from burnish.types import Prompt

TextReward = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]
Table = list[list[float]]
"""A row a group, with a score for each of its answers."""


def score_trouble(scores: Any, prompts: Sequence[Prompt], first: int = 0) -> str:
    """What is wrong with `scores` as one number for each of `prompts`; empty where nothing is.

    `first`: the place of the first of them among all that were asked, to name a prompt by.
    """
    if isinstance(scores, str | bytes | dict) or not hasattr(scores, "__len__"):
        return f"a list of scores is wanted; found {described(scores)}"
    if len(scores) != len(prompts):
        where = named_prompt(prompts[0], first) if prompts else "no prompt"
        return f"{len(prompts)} answers from {where} on need as many scores; found {len(scores)}"
    for index, score in enumerate(scores):
        if not is_number(score):
            found = described(score) if isinstance(score, str | list | dict | bool | None) else f"{score!r:.40}"
            asked = named_prompt(prompts[index], first + index)
            return f"the score of an answer to {asked} is no finite number; found {found}"
    return ""


def is_number(value: Any) -> bool:
    """A finite number, of Python, numpy or torch; a truth value is none."""
    if isinstance(value, bool | str | bytes):
        return False
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False
