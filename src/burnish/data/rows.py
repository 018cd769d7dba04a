"""A file's rows, one at a time, each with its line: JSON lines, JSON, CSV, parquet (tables.py) and plain text.

A row that cannot be read comes out as a problem and the next one follows; a file that cannot be read any further
raises DataError.
"""

from collections.abc import Iterator
from typing import Any

from burnish.data.lines import WHOLE_LIMIT, Row, decoded, lines_of
from burnish.data.problems import RowError, described, excerpt
from burnish.data.sources import ROW_LIMIT, Source, Stream, opened
from burnish.data.strict_json import check_strings, is_clean, parse, value_at
from burnish.data.tables import csv_rows, parquet_rows
from burnish.errors import DataError

_GAP = " \t\r\n"


def rows(source: Source) -> Iterator[Row]:
    """Every row of the file. Raises DataError where the file as a whole cannot be read."""
    reader = {"jsonl": _json_lines, "json": _json_whole, "csv": csv_rows, "parquet": parquet_rows, "txt": _text}
    with opened(source) as stream:
        yield from reader[source.container](source, stream)


def _json_lines(source: Source, stream: Stream) -> Iterator[Row]:
    head = stream.peek(1 << 12)[: 1 << 12].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"[") and head[1:].lstrip()[:1] in (b"{", b"]"):
        yield from _json_whole(source, stream)
        return
    offset = 0
    for number, line in lines_of(source, stream):
        if line is None:
            where = f" at byte {offset + ROW_LIMIT}" if offset >= 0 else ""
            yield Row(number, {}, f"the row is longer than {ROW_LIMIT >> 20} MB (limit reached{where}); split it")
            offset = -1  # how long it was is not known without reading it
            continue
        blank = not line.strip()
        if not blank:
            yield _json_row(source, number, line, offset, _seems_cut(line, stream))
        offset = offset + len(line) if offset >= 0 else -1


def _seems_cut(line: bytes, stream: Stream) -> bool:
    return not line.endswith(b"\n") and not stream.peek(1)


def _json_row(source: Source, number: int, line: bytes, offset: int, last: bool) -> Row:
    if b"\0" in line:
        return Row(
            number, {}, "a NUL byte stands in the line; the file is damaged, or not text: remove it", line.index(0) + 1
        )
    try:
        text = decoded(line, max(offset, 0)).rstrip("\r\n")
    except RowError as error:
        return Row(number, {}, str(error), error.column)
    try:
        value = parse(text)
    except RowError as error:
        if text.strip() == "{" or (number == 1 and _opens_object(text)):
            raise DataError(
                f"{source.name}:{number}: this is JSON spread over several lines, not one object a line; "
                f"use `jq -c . FILE > OUT`, or `format: json`"
            ) from None
        if last and error.column is not None:
            return Row(
                number, {}, f"the file seems cut: its last line is incomplete ({error}); fetch it again", error.column
            )
        shown = "" if error.column is None else "\n" + excerpt(text, error.column)
        return Row(number, {}, f"{error}{shown}", error.column)
    return _checked(number, value, clean=is_clean(text))


def _opens_object(text: str) -> bool:
    """A first line such as `{ "prompt": "x",`: the object goes on below."""
    return text.lstrip().startswith("{") and text.rstrip().endswith((",", "{", "["))


def _checked(number: int, value: Any, *, clean: bool = False) -> Row:
    if isinstance(value, dict):
        return Row(number, value, clean=clean)
    return Row(number, {}, f"expected an object, found {described(value)}; write one object a row")


# ---- whole JSON files


def _json_whole(source: Source, stream: Stream) -> Iterator[Row]:
    """An array of objects, or objects one after another, in lines or spread over several."""
    data = stream.read(WHOLE_LIMIT + 1)
    if len(data) > WHOLE_LIMIT:
        raise DataError(
            f"{source.name}: a JSON file of more than {WHOLE_LIMIT >> 30} GB would have to be read whole; "
            "write JSON lines: jq -c '.[]' FILE > OUT"
        )
    if b"\0" in data:
        line = data[: data.index(0)].count(b"\n") + 1
        raise DataError(f"{source.name}:{line}: a NUL byte; the file is damaged, or not text: remove it")
    try:
        text = decoded(data, 0)
    except RowError as error:
        line = data[: error.column or 0].count(b"\n") + 1
        raise DataError(f"{source.name}:{line}: {error}") from None
    del data
    for line, value in _values(source, text):
        try:
            check_strings(value)
        except RowError as error:
            yield Row(line, {}, str(error))
        else:
            yield _checked(line, value)


def _after(text: str, position: int) -> int:
    while position < len(text) and text[position] in _GAP:
        position += 1
    return position


def _values(source: Source, text: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of each element of the array, or of each value where the file is no array."""
    line, counted = 1, 0
    position = _after(text, 0)
    array = text[position : position + 1] == "["
    position = _after(text, position + 1) if array else position
    more = text[position : position + 1] != "]" if array else position < len(text)
    while more:
        line, counted = line + text.count("\n", counted, position), position
        try:
            value, end = value_at(text, position)
        except RowError as error:
            raise _json_fault(source, text, position, error) from None
        if end - position > ROW_LIMIT:
            raise DataError(f"{source.name}:{line}: the row is longer than {ROW_LIMIT >> 20} MB; split it")
        yield line, value
        position = _after(text, end)
        if array:
            more = text[position : position + 1] == ","
            position = _after(text, position + 1) if more else position
        else:
            more = position < len(text)
    if array:
        if text[position : position + 1] != "]":
            raise _json_fault(source, text, position, RowError("invalid JSON (expecting ',' or ']')", column=1))
        position = _after(text, position + 1)
        if position < len(text):
            raise _json_fault(source, text, position, RowError("something stands after the array", column=1))


def _json_fault(source: Source, text: str, start: int, error: RowError) -> DataError:
    at = start + (error.column or 1) - 1
    line = text.count("\n", 0, at) + 1
    begin = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    shown = excerpt(text[begin : end if end >= 0 else len(text)], at - begin + 1)
    cut = "; the file seems cut: fetch it again" if not text[at:].strip() else ""
    return DataError(f"{source.name}:{line}:{at - begin + 1}: {error}{cut}\n{shown}")


# ---- plain text


def _text(source: Source, stream: Stream) -> Iterator[Row]:
    """The file is one text. A longer one than a row may be becomes several, parted at a line's end."""
    held: list[str] = []
    size = offset = 0
    first = 1
    for number, line in lines_of(source, stream):
        if line is None:
            raise DataError(f"{source.name}:{number}: the line is longer than {ROW_LIMIT >> 20} MB; break it")
        try:
            text = decoded(line, offset).replace("\r\n", "\n")
            check_strings(text)
        except RowError as error:
            raise DataError(f"{source.name}:{number}: {error}") from None
        if size + len(line) > ROW_LIMIT:
            yield Row(first, {"text": "".join(held)})
            held, size, first = [], 0, number
        held.append(text)
        size += len(line)
        offset += len(line)
    if "".join(held).strip():
        yield Row(first, {"text": "".join(held)})
