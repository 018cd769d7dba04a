"""Words of a text, as judges and figures count them, and how much of a text repeats itself."""

import re
from collections.abc import Sequence

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W\d_{_CJK}]+(?:['’][^\W\d_{_CJK}]+)*|\d+|[^\w\s]|_")


def words(text: str) -> list[str]:
    """Words, numbers and marks in lower case. Chinese, Japanese and Korean signs count one by one."""
    return _WORD.findall(text.casefold())


def runs(word_W: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Every n words in a row, in order."""
    return [tuple(word_W[i : i + n]) for i in range(len(word_W) - n + 1)]


def repetition(word_W: Sequence[str], n: int = 3) -> float:
    """Share of the runs of n words that already stood earlier in the same text; 0 where it is too short to have two."""
    all_runs = runs(word_W, n)
    return 1 - len(set(all_runs)) / len(all_runs) if all_runs else 0.0
