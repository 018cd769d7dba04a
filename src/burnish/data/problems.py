"""How bad input is told: `file:line: what is wrong; what was found; what to do`, safe to print on any terminal."""

import difflib
import json
import unicodedata
from collections.abc import Iterable

from burnish.errors import DataError
from burnish.types import Prompt

EXCERPT = 60  # characters of a line shown around a fault


class RowError(DataError):
    """This row cannot be used. The reader adds to the message where it stands. `column` counts from 1."""

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column


def printable(text: str, limit: int = 200) -> str:
    """`text` with control, invisible and direction-changing characters escaped, at most `limit` characters long."""
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def named_prompt(prompt: Prompt, index: int) -> str:
    """A prompt in a message: its number, counted from 1, and its beginning."""
    text = prompt if isinstance(prompt, str) else prompt[-1].content if prompt else ""
    return f'prompt {index + 1} ("{printable(text, 50)}")'


def for_terminal(text: str) -> str:
    """`text` that may be printed: C0 and C1 controls but newline and tab, and marks that turn the direction, are shown
    escaped, so that no text from a file can drive the terminal or disguise itself."""
    return "".join(
        character if character in "\n\t" or not _drives(character) else _escaped(character) for character in text
    )


def _drives(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in (
        "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def json_for_terminal(value: object) -> str:
    """A value as one line of JSON in which no character drives the terminal: those are written as \\u escapes."""
    said = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\u{ord(character):04x}" if _drives(character) else character for character in said)


def described(value: object) -> str:
    """What a value is, in JSON's words, with its beginning."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'text "{printable(value, 40)}"'
    if isinstance(value, int | float):
        return f"number {value}" if abs(value) < 1e15 else "a huge number"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object with {listed(value) or 'nothing'}"
    return type(value).__name__


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Names for a message: at most `limit` of them."""
    names = list(names)
    shown = ", ".join(printable(str(name), 40) for name in names[:limit])
    return f"{shown}, … ({len(names)} in all)" if len(names) > limit else shown


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing where no known word is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def excerpt(line: str, column: int) -> str:
    """The line around `column` (from 1), and under it a caret; wide characters count two."""
    start = max(0, column - 1 - EXCERPT // 2)
    before = printable(line[start : column - 1], 10 * EXCERPT)
    after = printable(line[column - 1 : start + EXCERPT], 10 * EXCERPT)
    lead = "…" if start else ""
    width = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in lead + before)
    return f"  {lead}{before}{after}{'…' if len(line) > start + EXCERPT else ''}\n  {' ' * width}^"
