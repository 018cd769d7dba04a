"""Lines of a file, and rows: what every reader of records is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burnish.data.problems import RowError
from burnish.data.sources import ROW_LIMIT, Source, Stream

WHOLE_LIMIT = 1 << 30  # bytes of a file that has to be read whole


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `line` counts from 1, in parquet rows. `value` holds its fields, unless `problem` says what is wrong.
    `clean`: no string in it holds a control character; else one may."""

    line: int
    value: dict[str, Any]
    problem: str = ""
    column: int | None = None
    clean: bool = False


def lines_of(source: Source, stream: Stream) -> Iterator[tuple[int, bytes | None]]:
    """(line number, line with its end), None for a line that is longer than a row may be: it is skipped unread."""
    number = 0
    while line := stream.readline(ROW_LIMIT + 1):
        number += 1
        if len(line) <= ROW_LIMIT or line.endswith(b"\n"):
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(1 << 20)
        yield number, None


def decoded(line: bytes, offset: int) -> str:
    """The line as text. `offset`: how many bytes of the file stand before it."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        guess = _guess(line)
        raise RowError(
            f"not UTF-8: byte 0x{line[error.start]:02X} at byte {offset + error.start} of the file; it looks like "
            f"{guess}; convert: iconv -f {guess} -t UTF-8 FILE > OUT",
            column=error.start + 1,
        ) from None
    return text.removeprefix("\ufeff") if offset == 0 else text


def _guess(line: bytes) -> str:
    try:
        wide = [character for character in line.decode("gb18030") if not character.isascii()]
    except UnicodeDecodeError:
        return "LATIN1"
    common = sum("\u4e00" <= character <= "\u9fff" or "\u3000" <= character <= "\uff5e" for character in wide)
    return "GB18030" if wide and common >= 0.9 * len(wide) and len(wide) > 1 else "LATIN1"
