"""Whatever a file holds, reading it gives groups or an error of ours, never another exception."""

import gzip
import io
import json
import os

import pytest
from fuzz import bounded, damaged, edits, fuzzed
from hypothesis import given
from hypothesis import strategies as st

from burnish.data.convert import record, to_kind
from burnish.data.detect import FORMATS
from burnish.data.formats import KINDS
from burnish.data.read import examine
from burnish.errors import BurnishError, DataError

COLUMNS = sorted(
    {column for one in FORMATS.values() for column in one.needs} | {"id", "margin", "tools", "system", "tokens"}
)
COLUMNS += ["input", "history", "scores", "logprobs", "finished", "sources", "model", "acceptable"]
ROLES = ["user", "assistant", "system", "tool", "gpt", "human"]

scalars = (
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=5) | st.just("\n\nAssistant: x")
)
turns = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(ROLES), "content": scalars, "from": st.sampled_from(ROLES), "value": scalars}
)
talks = st.lists(turns, max_size=4)
values = st.recursive(
    scalars | talks | st.lists(st.integers(0, 3), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*COLUMNS, "value", "rank", "items"]), inner)
    ),
    max_leaves=6,
)
rows = st.dictionaries(st.sampled_from(COLUMNS), values, max_size=6)


def looked_at(path, **wish):
    with bounded("files"):
        try:
            return examine(path, **wish)
        except BurnishError:
            return None


@fuzzed(150)
@given(
    data=st.binary(max_size=300),
    name=st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.txt", "a.parquet", "a.jsonl.gz"]),
)
def test_any_bytes(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(data)
    looked_at(path)


@fuzzed(150)
@given(
    data=st.binary(max_size=300),
    name=st.sampled_from(["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz", "a.parquet.gz"]),
)
def test_any_bytes_packed(tmp_path, data, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(data))
    looked_at(path)


@fuzzed(150)
@given(text=st.text(st.sampled_from('{}[]",:\\\n 1eaN"promt'), max_size=80))
def test_almost_json(tmp_path, text):
    for name in ("a.jsonl", "a.json", "a.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        looked_at(path)


@fuzzed(400)
@given(row=rows, name=st.sampled_from(sorted(FORMATS)))
def test_any_row_in_any_format(tmp_path, row, name):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    looked_at(path)
    reading = looked_at(path, format=name)
    if reading is None:
        return
    for group in reading.groups:  # what was read can be written, and can become what it can become
        try:
            json.dumps(record(group, reading.kind), default=str)
        except DataError:
            continue
        for kind in KINDS:
            try:
                to_kind([group], reading.kind, kind)
            except DataError:
                continue


@fuzzed(150)
@given(row=rows, at=st.integers(0, 400))
def test_a_row_that_was_cut_anywhere(tmp_path, row, at):
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(row).encode()[:at])
    looked_at(path)


def whole_files():
    """A good file of each container, by name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"prompt": f"question {n}", "answers": ["好", "no"], "ranking": [[0], [1]]} for n in range(5)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    stream = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a"] * 9, "response": ["b"] * 9}), stream)
    return {
        "a.jsonl": lines,
        "a.json": json.dumps(rows, indent=1).encode(),
        "a.csv": b'prompt,response\n"a, ""b""\nc",d\n' * 3,
        "a.parquet": stream.getvalue(),
        "a.jsonl.gz": gzip.compress(lines, mtime=0),
        "a.txt": "Once upon a time\n好\n".encode(),
    }


WHOLE = whole_files()


@fuzzed(300)
@given(name=st.sampled_from(sorted(WHOLE)), harm=edits)
def test_a_good_file_that_was_damaged(tmp_path, name, harm):
    path = tmp_path / name
    path.write_bytes(damaged(WHOLE[name], harm))
    looked_at(path)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_of_a_page(tmp_path, seed):
    path = tmp_path / "a.jsonl"
    path.write_bytes(os.urandom(5000))
    assert looked_at(path) is None
