"""Records that are added to a file one by one, each on the disk before anybody is told so."""

import fcntl
import json
import logging
import os
from pathlib import Path
from typing import BinaryIO

from burnish.data.convert import record
from burnish.data.problems import RowError, listed, printable
from burnish.data.read import examine
from burnish.data.sources import ENDINGS
from burnish.data.strict_json import parse
from burnish.errors import DataError, UsageError, WriteFailed
from burnish.types import Group

_TAIL = 1 << 16  # bytes that are looked at together for where the last line begins
_log = logging.getLogger(__name__)


def append(group: Group, kind: str, path: str | Path) -> None:
    """Add the group to a file of JSON lines as a record of `kind`; it lies on the disk when this returns.

    A line that a process left half written is put into `NAME.discarded-0`, so that neither it nor the next one is lost.
    Two processes may append to one file. Raises UsageError for a name that is not one of JSON lines, DataError where
    the file holds records of another kind or format, WriteFailed where the disk is full; what was there stays.
    """
    where = Path(path)
    check_name(where)
    line = json.dumps(record(group, kind), ensure_ascii=False, allow_nan=False, default=str) + "\n"
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(where, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed: a size that was read stays the size
            _mend(file, where)
            size = file.seek(0, os.SEEK_END)
            if size:
                _check_kind(where, kind)
            _write(file, line.encode(), size)
        sync_folder(where.parent)
    except OSError as error:
        raise WriteFailed(
            f"{printable(str(where))}: cannot be written ({error.strerror}); what it held is safe. Free some space or "
            "name another file."
        ) from error


def check_name(path: str | Path) -> None:
    """Raise UsageError unless lines can be appended to a file of this name."""
    stem, _, ending = Path(path).name.rpartition(".")
    if not stem or ENDINGS.get(ending.lower()) != "jsonl":
        raise UsageError(f"{printable(str(path))}: records are appended to a file of JSON lines; name it NAME.jsonl")


def sync_folder(path: Path) -> None:
    """Have the names in a folder on the disk: a file whose bytes are there may still lack its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file: BinaryIO, line: bytes, size: int) -> None:
    try:
        written = file.write(line)
        while written < len(line):  # a write that fills the disk writes a part and says so
            written += file.write(line[written:])
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def _mend(file: BinaryIO, where: Path) -> None:
    """Let the file end with a whole line. A last line that is whole but for its end gets it."""
    tail = _last_line(file)
    if not tail:
        return
    size = file.seek(0, os.SEEK_END)
    try:
        whole = isinstance(parse(tail.decode("utf-8")), dict)
    except (UnicodeDecodeError, RowError):
        whole = False
    if whole:
        _write(file, b"\n", size)
        return
    number = len(list(where.parent.glob(f"{where.name}.discarded-*")))
    aside = where.with_name(f"{where.name}.discarded-{number}")
    with aside.open("xb") as kept:
        kept.write(tail)
        kept.flush()
        os.fsync(kept.fileno())
    file.truncate(size - len(tail))
    _log.warning("%s ended in half a line, which is now in %s", where, aside.name)


def _last_line(file: BinaryIO) -> bytes:
    """What stands after the last newline."""
    at = file.seek(0, os.SEEK_END)
    tail = b""
    while at and b"\n" not in tail:
        start = max(0, at - _TAIL)
        file.seek(start)
        tail = file.read(at - start) + tail
        at = start
    return tail.rpartition(b"\n")[2]


def _check_kind(where: Path, kind: str) -> None:
    found = examine(where, limit=1)
    if found.formats != (kind,):
        raise DataError(
            f"{printable(str(where))}: holds {listed(found.formats)} rows, and a {kind} would be no row like them; "
            "name another file"
        )
