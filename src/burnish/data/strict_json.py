"""JSON, read strictly: what Python's parser lets pass but another parser would read otherwise is an error here.

Refused: a key that stands twice in an object (the first value would vanish), NaN and Infinity and numbers beyond a
double, lone surrogates and NUL in strings (they cannot be encoded, or end a text early), nesting and numbers of fields
beyond any honest row.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from burnish.data.problems import RowError, printable

DEPTH_LIMIT = 50
FIELD_LIMIT = 200
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
_ESCAPE = re.compile(r"\\[ubf]")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise RowError(f'key "{printable(twice, 60)}" stands twice in one object; keep one of them')
    if len(made) > FIELD_LIMIT:
        raise RowError(f"an object has {len(made)} fields, the limit is {FIELD_LIMIT}; remove what is not needed")
    return made


def _constant(name: str) -> Any:
    raise RowError(f"{name} is not JSON; write null, or leave the field out")


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise RowError(f"number {printable(digits, 40)} is too large for a double; write a smaller one")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)


def value_at(text: str, start: int) -> tuple[Any, int]:
    """The JSON value that begins at `start`, and where it ends. Raises RowError, its column from `start`."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise RowError(f"invalid JSON ({error.msg[:1].lower()}{error.msg[1:]})", column=error.pos - start + 1) from None
    except RecursionError:
        raise RowError(_too_deep()) from None
    except ValueError as error:  # an integer of thousands of digits
        raise RowError(f"invalid number ({printable(str(error), 80)}); shorten it") from None
    if text.count("[", start, end) + text.count("{", start, end) > DEPTH_LIMIT and _deeper(value, DEPTH_LIMIT):
        raise RowError(_too_deep())
    return value, end


def parse(text: str, *, any_text: bool = False) -> Any:
    """One JSON value and nothing after it. `any_text`: also with NUL and half characters, for who keeps no text of it.
    Raises RowError."""
    start = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        value, end = value_at(text, start)
    except RowError as error:
        raise RowError(str(error), column=error.column and error.column + start) from None
    rest = text[end:].lstrip(" \t\r\n")
    if rest:
        raise RowError("invalid JSON (something stands after the value)", column=len(text) - len(rest) + 1)
    if not any_text and _ESCAPE.search(text):
        check_strings(value)
    return value


def _too_deep() -> str:
    return f"nested more than {DEPTH_LIMIT} deep; flatten it"


def _deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects stand more than `limit` deep in one another, found level by level."""
    level = [value]
    for _ in range(limit + 1):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value


def strings(value: Any) -> Iterator[str]:
    """Every string in a value, keys included."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str):
            yield current
        else:
            if isinstance(current, dict):
                yield from (key for key in current if isinstance(key, str))
            waiting.extend(_inside(current))


def check_strings(value: Any) -> None:
    """Raises RowError where a string holds NUL or half a character."""
    for text in strings(value):
        if "\0" in text:
            raise RowError(
                f"a text holds a NUL character (\\u0000) after {printable(text.split(chr(0))[0][-20:])!r}; remove it"
            )
        found = None if text.isascii() else _SURROGATE.search(text)
        if found:
            raise RowError(
                f"a text holds half a character (\\u{ord(found.group()):04x}); write the whole one or remove it"
            )


def is_clean(text: str) -> bool:
    """Whether no string of this JSON can hold a control character: none stands in it, nor an escape that makes one."""
    return not _CONTROL.search(text) and not _ESCAPE.search(text)


def holds_controls(value: Any) -> bool:
    """Whether a string holds control characters other than tab and line ends: allowed, but worth a warning."""
    return any(_CONTROL.search(text) for text in strings(value))


def finite(value: Any) -> Any:
    """`value` with null for what JSON cannot say: a figure that is not there, or no number."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
