"""From files to groups: the one way in for every kind of record.

A file's rows are streamed; what comes out is a list of groups, small beside the model that will learn from them. A bad
row is told with its file and line. By default any bad row refuses the file, and the first ten are listed; with
`on_bad_row: skip` they are left out, written to a file of rejected rows, and refused only above a share of one in a
hundred.
"""

import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from burnish.data.convert import to_kind
from burnish.data.detect import FORMATS, LOOKED_AT, Asked, asked, detect
from burnish.data.formats import Format
from burnish.data.lines import Row
from burnish.data.problems import RowError
from burnish.data.rows import rows
from burnish.data.sources import Source, locate
from burnish.data.strict_json import holds_controls
from burnish.errors import ConfigError, DataError, WriteFailed
from burnish.types import Answer, Group

SHOWN = 10
MAX_BAD_FRACTION = 0.01
REJECTED = ".rejected.jsonl"
Paths = str | Path | Sequence[str | Path]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: where it is, why, and its fields where they could be read."""

    origin: str
    reason: str
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file gave. `kind` is that of the groups; `formats` are those of the files, in their order."""

    groups: list[Group]
    kind: str
    formats: tuple[str, ...]
    rows: int
    bad: tuple[BadRow, ...]
    warnings: tuple[str, ...]


def read(
    path: Paths,
    *,
    kind: str | None = None,
    format: str | None = None,  # noqa: A002  the option's own name
    on_bad_row: str = "fail",
    limit: int | None = None,
    rejected: str | Path | None = None,
    max_bad_fraction: float = MAX_BAD_FRACTION,
) -> list[Group]:
    """The groups of a file, or of several of one kind.

    `kind`: text, prompt, demonstration, comparison, ranking, sample or judgement. A file of another kind is converted
    where that loses nothing that the kind could hold (see convert.to_kind), and refused otherwise. `format`: where the
    columns fit two formats, or the name does not say how rows are kept. `limit`: stop after so many groups.
    `rejected`: where skipped rows are written; beside the file by default.

    Raises MissingInput, DataError (naming file and line), ConfigError.
    """
    reading = examine(path, kind=kind, format=format, limit=limit)
    refuse(reading, on_bad_row, max_bad_fraction=max_bad_fraction)
    set_aside(reading, Path(rejected) if rejected is not None else _beside(path))
    for warning in reading.warnings:
        _log.warning("%s", warning)
    return reading.groups


def examine(
    path: Paths,
    *,
    kind: str | None = None,
    format: str | None = None,  # noqa: A002
    limit: int | None = None,
) -> Reading:
    """Everything that the files hold, their bad rows among it, without refusing for those."""
    wish = asked(kind, format)
    paths = [path] if isinstance(path, str | Path) else list(path)
    if not paths:
        raise ConfigError("data: no file is named; name at least one")
    readings = []
    left = limit
    for one in paths:
        readings.append(_examine(locate(one, wish.container), wish, left))
        left = None if left is None else left - len(readings[-1].groups)
        if left is not None and left <= 0:
            break
    kinds = {reading.kind for reading in readings}
    if len(kinds) > 1:
        told = "; ".join(f"{one}: {reading.kind}" for one, reading in zip(paths, readings, strict=False))
        raise DataError(f"the files are of different kinds ({told}); read them apart, or say `kind:`")
    return Reading(
        groups=[group for reading in readings for group in reading.groups],
        kind=readings[0].kind,
        formats=tuple(name for reading in readings for name in reading.formats),
        rows=sum(reading.rows for reading in readings),
        bad=tuple(bad for reading in readings for bad in reading.bad),
        warnings=tuple(warning for reading in readings for warning in reading.warnings),
    )


ANSWER = attrgetter(*(field.name for field in fields(Answer) if field.name != "extra"))


def _examine(source: Source, wish: Asked, limit: int | None) -> Reading:
    found = rows(source)
    first = list(itertools.islice(found, LOOKED_AT))
    if not first:
        raise DataError(f"{source.name}: empty: no examples; found no row but blank lines")
    good = [row.value for row in first if not row.problem]
    if wish.format is not None:
        chosen = FORMATS[wish.format]
    elif not good:
        raise DataError(_all_bad(source, first))
    else:
        chosen = detect(good, source.name, wish.kind)
    groups: list[Group] = []
    bad: list[BadRow] = []
    counted = controls = repeated = 0
    seen: set[int] = set()
    for row in itertools.chain(first, found):
        counted += 1
        made = _groups(source, row, chosen)
        if isinstance(made, BadRow):
            bad.append(made)
            continue
        controls += not row.clean and holds_controls(row.value)
        key = _content(made)
        repeated += key in seen
        seen.add(key)
        groups += made
        if limit is not None and len(groups) >= limit:
            del groups[limit:]
            break
    _log.info("%s: %d rows, %s (%s)", source.name, counted, chosen.kind, chosen.name)
    warnings = [f"{source.name}: {controls} rows hold control characters; they are kept"] if controls else []
    if repeated:
        warnings.append(f"{source.name}: {repeated} rows repeat an earlier one; `burnish data validate` shows them")
    kind = chosen.kind
    if wish.kind is not None and wish.kind != kind and groups:
        if (kind, wish.kind) != ("comparison", "ranking"):  # a comparison is a ranking of two
            warnings.append(f"{source.name}: read as {kind} ({chosen.name}), used as {wish.kind}")
        groups, kind = to_kind(groups, kind, wish.kind, source.name), wish.kind
    return Reading(groups, kind, (chosen.name,), counted, tuple(bad), tuple(warnings))


def _content(made: Sequence[Group]) -> int:
    """What a row says, whoever says it where, in 64 bits. A row with an id of its own is not another's repetition."""
    said = tuple(
        (
            group.prompt,
            tuple((ANSWER(answer), repr(answer.extra) if answer.extra else "") for answer in group.answers),
            group.order,
            group.extra.get("annotator"),
            group.id if group.id != group.origin else "",
        )
        for group in made
    )
    try:
        return hash(said)
    except TypeError:  # a mapping somewhere, such as a turn's tool calls: repr takes several times as long
        return hash(repr(said))


def _all_bad(source: Source, found: Sequence[Row]) -> str:
    bad = [BadRow(_origin(source, row), row.problem, {}) for row in found]
    return _told(bad, len(found))


def _origin(source: Source, row: Row) -> str:
    column = "" if row.column is None else f":{row.column}"
    return f"{source.name}:{row.line}{column}"


def _groups(source: Source, row: Row, chosen: Format) -> list[Group] | BadRow:
    origin = _origin(source, row)
    if row.problem:
        return BadRow(origin, row.problem, {})
    try:
        made = chosen.read(row.value)
    except RowError as error:
        return BadRow(origin, f"{error} (format {chosen.name})", row.value)
    return [replace(group, origin=origin, id=group.id or origin) for group in made]


# ---- what to do about bad rows


def refuse(reading: Reading, on_bad_row: str = "fail", *, max_bad_fraction: float = MAX_BAD_FRACTION) -> None:
    """Raise DataError for bad rows that may not be skipped."""
    if on_bad_row not in ("fail", "skip"):
        raise ConfigError(f"on_bad_row: {on_bad_row}: choose fail or skip")
    if not reading.bad:
        return
    share = len(reading.bad) / reading.rows
    if on_bad_row == "fail" or not reading.groups:
        raise DataError(_told(reading.bad, reading.rows) + "\nMend them, or leave them out with `on_bad_row: skip`")
    if share > max_bad_fraction:
        raise DataError(
            _told(reading.bad, reading.rows)
            + f"\nThat is {share:.1%}, above max_bad_fraction ({max_bad_fraction:.1%}); mend them or raise it"
        )


def set_aside(reading: Reading, where: Path) -> None:
    """Write the bad rows to `where` with the reasons, and tell how many they are; nothing where there is none."""
    if not reading.bad:
        return
    lines = (
        json.dumps({"origin": bad.origin, "reason": bad.reason, "row": bad.value}, ensure_ascii=False, default=str)
        for bad in reading.bad
    )
    try:
        where.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise WriteFailed(f"{where}: rejected rows cannot be written ({error.strerror}); name another file") from None
    _log.warning("%d of %d rows left out; they and the reasons are in %s", len(reading.bad), reading.rows, where)


def _beside(path: Paths) -> Path:
    return _first(path).with_name(rejected_name(path))


def rejected_name(path: Paths) -> str:
    """What the file of the rows that were left out is called: after the file that they stand in, or the first."""
    return f"{_first(path).name.split('.')[0]}{REJECTED}"


def _first(path: Paths) -> Path:
    return Path(path) if isinstance(path, str | Path) else Path(path[0])


def _told(bad: Sequence[BadRow], count: int) -> str:
    said = [f"{row.origin}: {row.reason}" for row in bad[:SHOWN]]
    if len(bad) == 1:
        return said[0]
    more = f"\n… and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    return f"{len(bad)} of {count} rows cannot be used:\n" + "\n".join(said) + more
