"""Rows of tables: CSV and parquet."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from burnish.data.lines import WHOLE_LIMIT, Row, decoded, lines_of
from burnish.data.problems import RowError, described, listed, printable
from burnish.data.sources import ROW_LIMIT, Source, Stream, check_ratio
from burnish.data.strict_json import FIELD_LIMIT, check_strings, parse, strings
from burnish.errors import DataError

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


def csv_rows(source: Source, stream: Stream) -> Iterator[Row]:
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
        self.lines = lines_of(source, stream)
        self.offset = 0
        self.size = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        number, line = next(self.lines)
        if line is None:
            raise DataError(f"{self.source.name}:{number}: the line is longer than {ROW_LIMIT >> 20} MB; split it")
        try:
            text = decoded(line, self.offset)
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


def parquet_rows(source: Source, stream: Stream) -> Iterator[Row]:
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
                sizes = [sum(map(len, strings(value))) for value in values]
                unpacked += max(batch.nbytes, sum(sizes))  # the file's own figure counts a text that repeats once
                check_ratio(source, unpacked, size)
                for value, characters in zip(values, sizes, strict=True):
                    line += 1
                    yield _parquet_row(line, value, characters)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{source.name}: damaged parquet after row {line} ({printable(str(error), 160)}); fetch it again"
        ) from None


def _parquet_row(line: int, value: dict[str, Any], characters: int) -> Row:
    fields = {name: inner for name, inner in value.items() if inner is not None}
    try:
        if characters > ROW_LIMIT:
            raise RowError(f"the row is longer than {ROW_LIMIT >> 20} MB; split it")
        check_strings(fields)
    except RowError as error:
        return Row(line, {}, str(error))
    return Row(line, fields)
