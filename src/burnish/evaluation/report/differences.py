"""Words in which an answer differs from another to the same prompt; in Chinese and Japanese, characters."""

import re
from collections import Counter
from difflib import SequenceMatcher

from burnish.evaluation.report.svg import escaped

SHARED = 0.2  # of an answer's words; with less in common marks would cover all of it, and say nothing
MOST_WORK = 400_000  # pairs of equal words: an answer that repeats itself has so many that comparing would not end

_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters that are written without spaces: each is a word of its own."""
_WORD = re.compile(rf"([{_ALONE}]|(?:(?![{_ALONE}])\w)+(?:['’](?:(?![{_ALONE}])\w)+)*|[^\w\s])(\s*)")


def marked(text: str, first: str) -> str:
    """`text` as HTML, with what is not in `first` in <mark>; without marks where they have hardly anything in common.

    A word between two differences that happens to be in both is marked with them.
    """
    own, other = _WORD.findall(text), [word for word, _ in _WORD.findall(first)]
    words = [word for word, _ in own]
    count, counted = Counter(words), Counter(other)
    if not own or sum(count[word] * counted[word] for word in count) > MOST_WORK:
        return escaped(text)
    blocks = SequenceMatcher(None, other, words, autojunk=False).get_matching_blocks()
    same = [False] * len(words)
    for _, start, size in blocks:
        inside = start > 0 and start + size < len(words)
        if size > 1 or not inside:
            same[start : start + size] = [True] * size
    if sum(same) < SHARED * len(words):
        return escaped(text)
    return "".join(_pieces(text, own, same))


def _pieces(text: str, own: list[tuple[str, str]], same: list[bool]) -> list[str]:
    """Runs of equal and of differing words, in turn; the space after a run stands outside its mark."""
    pieces = [escaped(text[: len(text) - sum(len(word) + len(space) for word, space in own)])]
    start = 0
    for end in range(1, len(own) + 1):
        if end < len(own) and same[end] == same[start]:
            continue
        run = "".join(word + space for word, space in own[start:end])
        said, space = run.rstrip(), own[end - 1][1]
        pieces.append(escaped(said) if same[start] else f"<mark>{escaped(said)}</mark>")
        pieces.append(escaped(space))
        start = end
    return pieces
