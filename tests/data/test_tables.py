"""CSV and parquet files give the same rows as JSON lines, and tell what is wrong with them."""

import gzip

import pytest

from burnish.data.read import read
from burnish.errors import DataError

# ---- CSV and parquet


def test_csv_with_texts_over_several_lines(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text('prompt,response,id\n"a, ""b""\nc",d,1\ne,f,2\n', encoding="utf-8")
    groups = read(path)
    assert [group.prompt for group in groups] == ['a, "b"\nc', "e"]
    assert [group.origin.rsplit(":")[-1] for group in groups] == ["2", "4"]


def test_csv_cells_of_lists_and_truth_are_read_as_such(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('prompt,answers,ranking\na,"[""b"", ""c""]","[[1], [0]]"\n', encoding="utf-8")
    assert read(path)[0].order == ((1,), (0,))
    path.write_text("prompt,response,label\na,b,true\nc,d,False\n", encoding="utf-8")
    assert [group.answers[0].label for group in read(path)] == [True, False]


def test_csv_with_wrong_quoting_or_columns(refused):
    assert "train.csv:3: found 3 columns, wanted 2 (prompt, response)" in refused(
        b"prompt,response\na,b\nc,d,e\nf,g\n", "train.csv"
    )
    assert "train.csv:2: the quoting is wrong" in refused(b'prompt,response\n"a" b,c\n', "train.csv")
    assert "train.csv:2: the quoting is wrong" in refused(b'prompt,response\n"a,c\n', "train.csv")
    assert "parted by ';'; write commas" in refused(b"prompt;response\na;b\n", "train.csv")
    assert "column prompt stands twice" in refused(b"prompt,prompt\na,b\n", "train.csv")


@pytest.fixture
def parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(columns, name="rows.parquet"):
        path = tmp_path / name
        pq.write_table(pa.table(columns), path)
        return path

    return write


def test_parquet(parquet):
    talk = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]] * 2
    assert [group.answers[0].text for group in read(parquet({"messages": talk}))] == ["b", "b"]
    path = parquet({"prompt": ["a", "c"], "response": ["b", ""]})
    with pytest.raises(DataError, match=r"rows.parquet:2: response is empty or blank"):
        read(path)


def test_parquet_with_a_wrong_schema_lists_what_is_there_and_what_is_wanted(parquet):
    with pytest.raises(DataError, match="found question, response; the nearest is demonstration, which wants prompt"):
        read(parquet({"question": ["a"], "response": ["b"]}))


def test_damaged_parquet(parquet):
    path = parquet({"prompt": ["a"] * 100, "response": ["b"] * 100})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged parquet"):
        read(path)
    packed = path.with_name("rows.parquet.gz")
    packed.write_bytes(gzip.compress(whole))
    assert len(read(packed)) == 100
