"""A file's rows, one at a time, each with its line: JSON lines, JSON, CSV, parquet and plain text.

A row that cannot be read comes out as a problem and the next one follows; a file that cannot be read any further
raises DataError.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burnish.data.problems import RowError, described, excerpt, listed, printable
from burnish.data.sources import ROW_LIMIT, Source, Stream, check_ratio, opened
from burnish.data.strict_json import FIELD_LIMIT, check_strings, is_clean, parse, strings, value_at
from burnish.errors import DataError

WHOLE_LIMIT = 1 << 30  # a .json file is read whole, so it has a bound of its own
_GAP = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `line` counts from 1, in parquet rows. `value` holds its fields, unless `problem` says what is wrong.
    `clean`: no string in it holds a control character; else one may."""

    line: int
    value: dict[str, Any]
    problem: str = ""
    column: int | None = None
    clean: bool = False


def rows(source: Source) -> Iterator[Row]:
    """Every row of the file. Raises DataError where the file as a whole cannot be read."""
    reader = {"jsonl": _json_lines, "json": _json_whole, "csv": _csv, "parquet": _parquet, "txt": _text}
    with opened(source) as stream:
        yield from reader[source.container](source, stream)


# ---- lines


def _lines(source: Source, stream: Stream) -> Iterator[tuple[int, bytes | None]]:
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


def _decoded(line: bytes, offset: int) -> str:
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


def _json_lines(source: Source, stream: Stream) -> Iterator[Row]:
    head = stream.peek(1 << 12)[: 1 << 12].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"[") and head[1:].lstrip()[:1] in (b"{", b"]"):
        yield from _json_whole(source, stream)
        return
    offset = 0
    for number, line in _lines(source, stream):
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
        text = _decoded(line, max(offset, 0)).rstrip("\r\n")
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
        text = _decoded(data, 0)
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


# ---- CSV

_STRUCTURED = frozenset(
    {
        "messages",
        "conversations",
        "answers",
        "ranking",
        "votes",
        "tokens",
        "logprobs",
        "finished",
        "scores",
        "sources",
        "flags",
    }
)
_NUMBERS = frozenset({"score", "margin", "acceptable", "confidence", "seconds", "seed"})


def _csv(source: Source, stream: Stream) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), ROW_LIMIT))
    feed = _Feed(source, stream)
    reader = csv.reader(feed, strict=True)
    header = _header(source, reader)
    start = reader.line_num + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{source.name}:{start}: the quoting is wrong ({error}); wanted the {len(header)} columns "
                f'{listed(header)}; put texts with commas, quotes or line ends in "…", and write a quote in it as ""'
            ) from None
        if cells is None:
            return
        if feed.size > ROW_LIMIT:
            yield Row(start, {}, f"the row is longer than {ROW_LIMIT >> 20} MB; split it")
        elif cells:
            yield _csv_row(start, header, cells)
        feed.size = 0
        start = reader.line_num + 1


class _Feed:
    """Decoded lines for the csv module. `size` counts characters since it was last set to 0."""

    def __init__(self, source: Source, stream: Stream) -> None:
        self.source = source
        self.lines = _lines(source, stream)
        self.offset = 0
        self.size = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        number, line = next(self.lines)
        if line is None:
            raise DataError(f"{self.source.name}:{number}: the line is longer than {ROW_LIMIT >> 20} MB; split it")
        try:
            text = _decoded(line, self.offset)
        except RowError as error:
            raise DataError(f"{self.source.name}:{number}:{error.column}: {error}") from None
        self.offset += len(line)
        self.size += len(text)
        return text


def _header(source: Source, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(f"{source.name}:1: the quoting of the header is wrong ({error})") from None
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{source.name}:1: column {listed(twice)} stands twice; rename one")
    if len(header) > FIELD_LIMIT:
        raise DataError(f"{source.name}:1: {len(header)} columns, the limit is {FIELD_LIMIT}; remove some")
    if len(header) == 1:
        other = next((sign for sign in ("\t", ";", "|") if sign in header[0]), "")
        if other:
            raise DataError(f"{source.name}:1: the columns are parted by {other!r}; write commas")
    return header


def _csv_row(line: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        return Row(
            line,
            {},
            f"found {len(cells)} columns, wanted {len(header)} ({listed(header)}); look for a missing or open quote",
        )
    try:
        value = {name: _cell(name, cell) for name, cell in zip(header, cells, strict=True) if cell != "" and name}
        for name in ("prompt", "response", "completion", "chosen", "rejected", "output", "text", "instruction"):
            if name in header:
                value.setdefault(name, "")
        check_strings(value)
    except RowError as error:
        return Row(line, {}, str(error))
    return Row(line, value)


def _cell(name: str, cell: str) -> Any:
    """A cell is text, but for the fields that hold lists, numbers or true and false in every format."""
    try:
        if name in _STRUCTURED or (name in ("prompt", "chosen", "rejected", "completion") and cell.startswith('[{"')):
            return parse(cell)
        if name == "label" and cell.lower() in ("true", "false"):
            return cell.lower() == "true"
        if name in _NUMBERS:
            return parse(cell)
    except RowError as error:
        raise RowError(f"column {name}: {error}; found {described(cell)}") from None
    return cell


# ---- parquet


def _parquet(source: Source, stream: Stream) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file: Any = source.path
    if source.packed:
        data = stream.read(WHOLE_LIMIT + 1)
        if len(data) > WHOLE_LIMIT:
            raise DataError(f"{source.name}: more than {WHOLE_LIMIT >> 30} GB unpacked; unpack it yourself")
        file = io.BytesIO(data)
    line = unpacked = 0
    size = source.path.stat().st_size
    try:
        with pq.ParquetFile(file) as table:
            names = table.schema_arrow.names
            if len(set(names)) != len(names) or len(names) > FIELD_LIMIT:
                raise DataError(
                    f"{source.name}: columns stand twice, or are more than {FIELD_LIMIT}; found {listed(names)}"
                )
            groups = [table.metadata.row_group(index) for index in range(table.num_row_groups)]
            check_ratio(source, sum(group.total_byte_size for group in groups), size)
            for batch in table.iter_batches(batch_size=64):
                values = batch.to_pylist()
                texts = sum(len(text) for value in values for text in strings(value))
                unpacked += max(batch.nbytes, texts)  # the file's own figure counts a text that repeats once
                check_ratio(source, unpacked, size)
                for value in values:
                    line += 1
                    yield _parquet_row(line, value)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{source.name}: damaged parquet after row {line} ({printable(str(error), 160)}); fetch it again"
        ) from None


def _parquet_row(line: int, value: dict[str, Any]) -> Row:
    fields = {name: inner for name, inner in value.items() if inner is not None}
    try:
        if sum(len(text) for text in strings(fields)) > ROW_LIMIT:
            raise RowError(f"the row is longer than {ROW_LIMIT >> 20} MB; split it")
        check_strings(fields)
    except RowError as error:
        return Row(line, {}, str(error))
    return Row(line, fields)


# ---- plain text


def _text(source: Source, stream: Stream) -> Iterator[Row]:
    """The file is one text. A longer one than a row may be becomes several, parted at a line's end."""
    held: list[str] = []
    size = offset = 0
    first = 1
    for number, line in _lines(source, stream):
        if line is None:
            raise DataError(f"{source.name}:{number}: the line is longer than {ROW_LIMIT >> 20} MB; break it")
        try:
            text = _decoded(line, offset).replace("\r\n", "\n")
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
