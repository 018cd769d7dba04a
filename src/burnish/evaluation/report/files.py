"""Files of a run, read as they are: what is damaged is told in a note, and the rest stands."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.errors import DataError


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the run's files that the reader must know: a key of the report's words, and what it names."""

    key: str
    named: Mapping[str, object] = field(default_factory=dict)


def object_in(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is no file. Raises DataError where it is damaged."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged ({error})") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: damaged (no object)")
    return value


def told_object(path: Path, notes: list[Note]) -> dict[str, Any]:
    """The same, but a damaged file is told and counts as empty."""
    try:
        return object_in(path)
    except DataError:
        notes.append(Note("note.damaged", {"file": path}))
        return {}


def rows(path: Path, notes: list[Note]) -> Iterator[dict[str, Any]]:
    """A file's objects, line by line; a line that is none is left out and told."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for place, line in enumerate(lines, 1):
            try:
                row = json.loads(line) if line.strip() else {}
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                yield row
            else:
                notes.append(Note("note.line", {"file": path, "line": place}))


def number(value: Any) -> float | None:
    """A finite number, or None."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row."""
    return {str(key): found for key, value in row.items() if (found := number(value)) is not None}


def text(value: Any) -> str:
    """A prompt or an answer as text; turns of a conversation under one another, with who speaks."""
    if isinstance(value, list):
        turns = [turn for turn in value if isinstance(turn, dict)]
        if len(turns) == 1:
            return str(turns[0].get("content", ""))
        return "\n\n".join(f"{turn.get('role', '')}: {turn.get('content', '')}" for turn in turns)
    return value if isinstance(value, str) else "" if value is None else str(value)
