"""Files that are not what they should be."""

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

from bad_inputs.kinds import GOOD, Kind, accepted, file

ROWS = [json.loads(GOOD)] * 3


def parquet(columns: dict[str, list[str]], **options: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()


def a_folder(place: Path) -> None:
    (place / "train.jsonl").mkdir()
    (place / "train.jsonl/part-1.jsonl").write_text(GOOD)


def convert(what: str, name: str, *says: str, **more: object) -> Kind:
    """A path that cannot be read at all."""
    return Kind(what, f"data convert {name} --to demonstration --out out.jsonl", 66, says, **more)  # type: ignore[arg-type]


THERE = [
    convert(
        "a file that is not there",
        "train.jsonl",
        "train.jsonl: no such file (cwd ~)",
        "Did you mean train_sft.jsonl?",
        files={"train_sft.jsonl": GOOD},
    ),
    convert("a folder in place of a file", "train.jsonl", "is a folder", "part-1.jsonl", make=a_folder),
    convert("a pipe", "train.jsonl", "not a regular file", make=lambda place: os.mkfifo(place / "train.jsonl")),
    convert("a name with a line break", "'new\nline.jsonl'", "new\\nline.jsonl: no such file"),
    convert("a name of 300 letters", f"{'x' * 300}.jsonl", "cannot be read (File name too long)"),
    file("0 bytes", b"", "train.jsonl: empty: no examples; found 0 bytes"),
    file("only blank lines", "\n  \n\r\n", "train.jsonl: empty: no examples"),
    file("an empty table", "prompt,response\n", "train.csv: empty: no examples", name="train.csv"),
    file(
        "a name that does not say how rows are kept",
        GOOD,
        "train.data: ",
        "found ending 'data'",
        ".jsonl",
        name="train.data",
    ),
]

REAL_KIND = [
    file(
        "gzip by its name only",
        GOOD,
        "train.jsonl.gz: not gzip, although it ends in .gz; found text",
        name="train.jsonl.gz",
    ),
    file("gzip without the name", gzip.compress(GOOD.encode(), mtime=0), "train.jsonl: is gzip; add .gz"),
    file("parquet by its name only", GOOD, "train.parquet: not parquet; found text", name="train.parquet"),
    file("a zip archive called .csv", b"PK\x03\x04....", "not csv; found zip; unpack it first", name="train.csv"),
    file("a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "found Git LFS pointer", "git lfs pull"),
    file("the page of a failed download", "<!DOCTYPE html><html>", "train.jsonl: not jsonl; found HTML"),
    file("binary data", bytes(range(8)) * 80, "train.jsonl: not jsonl; found binary data"),
    file(
        "a gzip file that was cut",
        gzip.compress("".join(GOOD.replace("a", str(i)) for i in range(999)).encode())[:900],
        "train.jsonl.gz: ",
        "seems cut",
        "fetch it again",
        name="train.jsonl.gz",
    ),
    file(
        "a gzip bomb",
        gzip.compress(b" " * (12 << 20), mtime=0),
        "train.jsonl.gz: unpacks to more than 100 times its size",
        name="train.jsonl.gz",
    ),
    file(
        "a parquet bomb",
        parquet({"text": [f"{n}{'a' * 8000}" for n in range(2000)]}, compression="zstd", use_dictionary=False),
        "rows.parquet: unpacks to more than 100 times its size (a parquet bomb?)",
        name="rows.parquet",
    ),
    file(
        "a parquet bomb of one text that repeats",
        parquet({"prompt": ["a"] * 2000, "response": ["b" * 8000] * 2000}),
        "rows.parquet: unpacks to more than 100 times its size (a parquet bomb?)",
        name="rows.parquet",
    ),
    file(
        "a parquet file without the columns",
        parquet({"question": ["a"], "response": ["b"]}),
        "rows.parquet: ",
        "found question, response",
        "which wants prompt",
        name="rows.parquet",
    ),
    file(
        "a parquet file that was cut",
        parquet({"prompt": ["a"] * 99, "response": ["b"] * 99})[:400],
        "rows.parquet: ",
        "damaged parquet",
        name="rows.parquet",
    ),
    file(
        "a CSV row with a cell too many",
        "prompt,response\na,b\nc,d,e\nf,g\n",
        "train.csv:3: found 3 columns, wanted 2 (prompt, response)",
        name="train.csv",
    ),
    file(
        "a CSV quote that never ends", 'prompt,response\n"a,c\n', "train.csv:2: the quoting is wrong", name="train.csv"
    ),
    file("a CSV parted by semicolons", "prompt;response\na;b\n", "parted by ';'; write commas", name="train.csv"),
    file("a CSV column that stands twice", "prompt,prompt\na,b\n", "column prompt stands twice", name="train.csv"),
]

TEXT = [
    file("UTF-16", GOOD.encode("utf-16"), "train.jsonl: looks like UTF-16 (BOM FF FE)", "iconv -f UTF-16"),
    file(
        "Latin-1",
        GOOD.encode() + '{"prompt": "café", "response": "b"}\n'.encode("latin-1"),
        "train.jsonl:2:16: not UTF-8: byte 0xE9 at byte 48",
        "iconv -f LATIN1",
    ),
    file(
        "a Chinese encoding",
        '{"prompt": "今天天气怎么样", "response": "很好"}\n'.encode("gb18030"),
        "train.jsonl:1:",
        "iconv -f GB18030",
    ),
    file("a NUL byte", b'{"prompt": "a\0", "response": "b"}\n', "train.jsonl:1:14: a NUL byte"),
    file("an escaped NUL", '{"prompt": "a\\u0000", "response": "b"}\n', "train.jsonl:1: a text holds a NUL character"),
    file(
        "half a character (a lone surrogate)",
        '{"prompt": "a\\ud800", "response": "b"}\n',
        "train.jsonl:1: a text holds half a character",
    ),
    accepted(
        "other control characters",
        '{"prompt": "a\\u001b[31m", "response": "b"}\n',
        "warning: train.jsonl: 1 rows hold control characters; they are kept",
    ),
    accepted(
        "a byte order mark and Windows line ends",
        b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode() * 2,
        "2 rows, demonstration",
    ),
    accepted("blank lines between rows", f"\n{GOOD}\n   \n{GOOD}\n", "2 rows, demonstration"),
    accepted("a JSON array in a .jsonl", json.dumps(ROWS), "3 rows, demonstration"),
]

JSON = [
    file(
        "JSON with a comma missing",
        GOOD * 16 + '{"prompt": "a" "response": "b"}\n',
        "train.jsonl:17:16: invalid JSON (expecting ',' delimiter)",
        "^",
    ),
    file(
        "a last line that was cut",
        GOOD + '{"prompt": "a", "resp',
        "train.jsonl:2:",
        "the file seems cut: its last line is incomplete",
    ),
    file(
        "JSON spread over several lines",
        (json.dumps(ROWS[0], indent=2) + "\n") * 2,
        "train.jsonl:1: ",
        "spread over several lines",
        "jq -c . FILE",
        "format: json",
    ),
    file(
        "a row that is a list",
        GOOD + "[1, 2]\n",
        "train.jsonl:2: expected an object, found a list of 2; write one object a row",
    ),
    file("a row that is a number", GOOD + "3\n", "train.jsonl:2: expected an object, found number 3"),
    file("a row that is null", GOOD + "null\n", "train.jsonl:2: expected an object, found null"),
    file("a row that is text", GOOD + '"text"\n', 'train.jsonl:2: expected an object, found text "text"'),
    file(
        "a key that stands twice",
        GOOD + '{"prompt": "a", "response": "b", "prompt": "c"}\n',
        "train.jsonl:2",
        'key "prompt" stands twice',
    ),
    file("NaN", GOOD + '{"prompt": "a", "response": "b", "x": NaN}\n', "train.jsonl:2", "NaN is not JSON"),
    file(
        "Infinity",
        GOOD + '{"prompt": "a", "response": "b", "x": -Infinity}\n',
        "train.jsonl:2",
        "-Infinity is not JSON",
    ),
    file(
        "a number that no float holds",
        GOOD + '{"prompt": "a", "response": "b", "x": 1e999}\n',
        "train.jsonl:2",
        "number 1e999 is too large",
    ),
    file("100,000 brackets", GOOD + '{"prompt": ' + "[" * 100_000 + "\n", "train.jsonl:2", "nested more than 50 deep"),
    file(
        "an object of 201 fields",
        GOOD + json.dumps({str(n): n for n in range(201)}) + "\n",
        "train.jsonl:2: an object has 201 fields, the limit is 200",
    ),
    file(
        "a line of 11 MB",
        GOOD + '{"prompt": "' + "x" * (11 << 20) + '", "response": "b"}\n',
        "train.jsonl:2: the row is longer than 10 MB (limit reached at byte 10485793); split it",
    ),
    file(
        "thirty bad rows among sixty",
        (GOOD + '{"prompt": "a", "response": ""}\n') * 30,
        "30 of 60 rows cannot be used",
        "train.jsonl:2: ",
        "… and 20 more",
        "on_bad_row: skip",
    ),
    file(
        "more bad rows than may be skipped",
        GOOD * 98 + '{"prompt": "a", "response": ""}\n' * 2,
        "That is 2.0%, above max_bad_fraction (1.0%)",
        options="--on-bad-row skip",
    ),
]

SECTIONS = {
    "Is the file there": THERE,
    "Is it what its name says": REAL_KIND,
    "Characters": TEXT,
    "JSON": JSON,
}
