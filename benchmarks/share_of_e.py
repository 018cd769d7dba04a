"""The score of the row `grpo`: cheap, and the same on both sides."""

import re

CONTROL = re.compile(r"<\S*?>")
"""What a sampled control token looks like: it is a part of burnish's text of an answer, and not of TRL's."""


def share_of_e(answer: str) -> float:
    """How much of an answer is the letter e."""
    text = CONTROL.sub("", answer)
    return text.count("e") / max(len(text), 1)
