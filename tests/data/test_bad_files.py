"""Files that are not what they should be: each gets a message with file, line, what is wrong and what to do."""

import gzip
import json
import os

import pytest

from burnish.data import sources
from burnish.data.read import examine, read
from burnish.errors import ConfigError, DataError, MissingInput, WriteFailed

GOOD = b'{"prompt": "a", "response": "b"}\n'


@pytest.fixture
def accepted(tmp_path):
    def count(data, name="train.jsonl", **wish):
        path = tmp_path / name
        path.write_bytes(data)
        return len(read(path, **wish))

    return count


# ---- is it there


def test_a_missing_file_names_the_one_that_was_meant(tmp_path):
    (tmp_path / "train_sft.jsonl").write_bytes(GOOD)
    with pytest.raises(MissingInput, match=r"train.jsonl: no such file \(cwd .*\). Did you mean .*train_sft.jsonl\?"):
        read(tmp_path / "train.jsonl")
    with pytest.raises(MissingInput, match="no such file"):
        read(tmp_path / "no" / "folder.jsonl")


def test_a_folder_lists_the_files_in_it_that_can_be_read(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"")
    (tmp_path / "b.py").write_bytes(b"")
    with pytest.raises(MissingInput, match=r"is a folder; name a file in it: a.jsonl.gz$"):
        read(tmp_path)


@pytest.mark.parametrize(
    "path", ["with\0nul.jsonl", "new\nline.jsonl", "x" * 300 + ".jsonl", "../../../../../etc/passwd"]
)
def test_odd_paths_are_shown_escaped(path):
    with pytest.raises((MissingInput, DataError)) as caught:
        read(path)
    assert "\0" not in str(caught.value)
    assert "\n" not in str(caught.value).split(":")[0]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(MissingInput, match="not a regular file"):
        read(tmp_path / "pipe.jsonl")


def test_an_empty_file_and_one_of_blank_lines(refused):
    assert "train.jsonl: empty: no examples" in refused(b"")
    assert "train.jsonl: empty: no examples" in refused(b"\n  \n\r\n")
    assert "empty: no examples" in refused(gzip.compress(b""), "train.jsonl.gz")
    assert "empty: no examples" in refused(b"prompt,response\n", "train.csv")
    assert "empty: no examples" in refused(b"[]", "train.json")


def test_blank_lines_between_rows_are_passed_over(accepted):
    assert accepted(b"\n" + GOOD + b"\n   \n" + GOOD + b"\n") == 2


def test_a_name_that_does_not_tell_is_told_what_to_do(refused, accepted):
    assert "found ending 'data'; use one of .jsonl" in refused(GOOD, "train.data")
    assert accepted(GOOD, "train.data", format="jsonl") == 1


# ---- is it what its name says


def test_gzip_by_name_only(refused):
    assert "not gzip, although it ends in .gz; found text" in refused(GOOD, "train.jsonl.gz")
    assert "found zip" in refused(b"PK\x03\x04....", "train.jsonl.gz")


def test_gzip_without_the_name(refused):
    assert "train.jsonl: is gzip; add .gz to its name" in refused(gzip.compress(GOOD))


@pytest.mark.parametrize(
    ("data", "name", "real"),
    [
        (GOOD, "train.parquet", "not parquet; found text"),
        (b"PAR1....", "train.jsonl", "not jsonl; found parquet"),
        (b"PK\x03\x04....", "train.csv", "not csv; found zip; unpack it first"),
        (b"version https://git-lfs.github.com/spec/v1\n", "train.jsonl", "Git LFS pointer; fetch the file itself"),
        (b"<!DOCTYPE html><html>", "train.jsonl", "found HTML"),
        (b"\x00\x01\x02\x03" * 8 + b"\x07" * 600, "train.jsonl", "found binary data"),
    ],
)
def test_other_things_are_called_by_their_name(refused, data, name, real):
    assert real in refused(data, name)


def test_what_is_packed_is_looked_at_too(refused):
    assert "the gzip file holds no jsonl; found zip" in refused(gzip.compress(b"PK\x03\x04...."), "train.jsonl.gz")


def test_a_gzip_file_that_was_cut_or_damaged(refused):
    packed = gzip.compress(GOOD * 1000)
    assert "seems cut" in refused(packed[: len(packed) // 2], "train.jsonl.gz")
    assert "damaged gzip" in refused(packed[:20] + bytes(20) + packed[40:], "train.jsonl.gz")


def test_a_gzip_bomb_is_not_unpacked(refused):
    bomb = gzip.compress(b" " * (64 << 20))
    message = refused(bomb, "train.jsonl.gz")
    assert "unpacks to more than 100 times its size (a gzip bomb?)" in message
    assert int(message.split("found ")[1].split(" bytes")[0].replace(",", "")) < 16 << 20


def test_a_small_file_that_packs_well_is_no_bomb(accepted):
    assert accepted(gzip.compress(GOOD * 5_000), "train.jsonl.gz") == 5_000


# ---- encodings


def test_utf16_is_recognised_with_and_without_its_mark(refused):
    text = GOOD.decode()
    assert "looks like UTF-16 (BOM FF FE); convert: iconv -f UTF-16" in refused(text.encode("utf-16"))
    assert "looks like UTF-16 (every second byte is zero)" in refused(text.encode("utf-16-le"))


def test_latin_1_is_told_with_line_and_byte(refused):
    message = refused(GOOD + '{"prompt": "caf\xe9", "response": "b"}\n'.encode("latin-1"))
    offset = len(GOOD) + len('{"prompt": "caf')
    assert f"train.jsonl:2:{len('{prompt: caf') + 4}: not UTF-8: byte 0xE9 at byte {offset} of the file" in message
    assert "iconv -f LATIN1 -t UTF-8" in message


def test_chinese_encodings_are_guessed(refused):
    assert "iconv -f GB18030" in refused('{"prompt": "今天天气怎么样", "response": "很好"}\n'.encode("gb18030"))


def test_a_utf8_mark_and_windows_line_ends_are_accepted(accepted):
    assert accepted(b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") * 2) == 2
    assert accepted("\ufeffprompt,response\r\na,b\r\n".encode(), "train.csv") == 1


# ---- JSON


def test_invalid_json_is_shown_with_a_caret(refused):
    message = refused(GOOD * 16 + b'{"prompt": "a" "response": "b"}\n')
    assert "train.jsonl:17:16: invalid JSON (expecting ',' delimiter)" in message
    shown, caret = message.splitlines()[1:3]
    assert shown[caret.index("^")] == '"'
    assert shown[caret.index("^") :].startswith('"response"')


def test_the_caret_stands_right_behind_wide_characters(refused):
    shown, caret = refused('{"prompt": "你好" "response": "b"}\n'.encode()).splitlines()[1:3]
    assert caret.index("^") - shown.index('"response"') == 2  # two characters before it take two columns


def test_a_cut_last_line_is_called_so(refused):
    assert "train.jsonl:2:" in (message := refused(GOOD + b'{"prompt": "a", "resp'))
    assert "the file seems cut: its last line is incomplete" in message


def test_an_array_in_a_jsonl_is_accepted(accepted):
    rows = [json.loads(GOOD)] * 3
    assert accepted(json.dumps(rows).encode()) == 3
    assert accepted(json.dumps(rows, indent=2).encode()) == 3


def test_json_spread_over_lines_is_recognised(refused, accepted):
    spread = json.dumps(json.loads(GOOD), indent=2).encode() + b"\n"
    assert "spread over several lines" in (message := refused(spread * 2))
    assert "jq -c . FILE" in message
    assert accepted(spread * 2, format="json") == 2
    assert accepted(spread * 2, "train.json") == 2


def test_a_json_file_of_lines_is_accepted(accepted):
    assert accepted(GOOD * 3, "train.json") == 3


def test_a_fault_in_a_json_file_has_its_line_and_column(refused):
    message = refused(b'[\n {"prompt": "a", "response": "b"},\n {"prompt": "c" "response": "d"}\n]', "train.json")
    assert "train.json:3:17: invalid JSON (expecting ',' delimiter)" in message
    assert "seems cut" in refused(b'[{"prompt": "a", "response": "b"},', "train.json")
    assert "something stands after the array" in refused(b"[" + GOOD.strip() + b"] 7", "train.json")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"[1, 2]", "expected an object, found a list of 2"),
        (b"3", "expected an object, found number 3"),
        (b"null", "expected an object, found null"),
        (b'"text"', 'expected an object, found text "text"'),
        (b'{"prompt": "a", "response": "b", "prompt": "c"}', 'key "prompt" stands twice'),
        (b'{"prompt": "a", "response": "b", "x": NaN}', "NaN is not JSON"),
        (b'{"prompt": "a", "response": "b", "x": -Infinity}', "-Infinity is not JSON"),
        (b'{"prompt": "a", "response": "b", "x": 1e999}', "number 1e999 is too large"),
        (b'{"prompt": "a", "response": "b", "x": ' + b"1" * 5000 + b"}", "invalid number"),
        (b'{"prompt": "a\\u0000", "response": "b"}', "a text holds a NUL character"),
        (b'{"prompt": "a\0", "response": "b"}', "a NUL byte stands in the line"),
        (b'{"prompt": "a\\ud800", "response": "b"}', "a text holds half a character"),
        (b'{"prompt": "a", "x": ' + b"[" * 60 + b"]" * 60 + b"}", "nested more than 50 deep"),
        (b'{"prompt": ' + b"[" * 100_000, "nested more than 50 deep"),
        (b'{"prompt": "a\x1b", "response": "b"}', "invalid JSON (invalid control character"),
        (json.dumps({str(n): n for n in range(201)}).encode(), "an object has 201 fields, the limit is 200"),
    ],
)
def test_rows_that_are_no_honest_json(refused, row, reason):
    message = refused(GOOD + row + b"\n")
    assert "train.jsonl:2" in message
    assert reason in message


def test_other_control_characters_are_a_warning(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"prompt": "a\\u001b[31m", "response": "b"}\n')
    assert "1 rows hold control characters" in examine(path).warnings[0]


def test_a_line_above_the_limit_is_not_loaded(refused, monkeypatch):
    import burnish.data.lines
    import burnish.data.rows

    for module in (burnish.data.lines, burnish.data.rows):
        monkeypatch.setattr(module, "ROW_LIMIT", 1 << 20)
    long = b'{"prompt": "' + b"x" * (5 << 20) + b'", "response": "b"}\n'
    message = refused(GOOD + long + GOOD)
    assert f"train.jsonl:2: the row is longer than 1 MB (limit reached at byte {len(GOOD) + (1 << 20)})" in message


def test_a_huge_line_needs_no_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "train.jsonl"
    with path.open("wb") as stream:
        stream.write(b'{"prompt": "')
        for _ in range(100):
            stream.write(b"x" * (1 << 20))
        stream.write(b'"}\n' + GOOD)
    tracemalloc.start()
    reading = examine(path, format="demonstration")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [bad.reason[:31] for bad in reading.bad] == ["the row is longer than 10 MB (l"]
    assert len(reading.groups) == 1
    assert peak < 40 << 20


# ---- text


def test_a_text_file_is_one_text(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes("Once\r\n\r\n好\n".encode())
    (group,) = read(path)
    assert (group.prompt, group.answers[0].text) == ("", "Once\n\n好\n")
    path.write_bytes(b"Once upon a time\0")
    with pytest.raises(DataError, match="NUL"):
        read(path)


# ---- several bad rows


def test_ten_bad_rows_are_listed_and_all_are_counted(refused):
    message = refused((GOOD + b'{"prompt": "a", "response": ""}\n') * 30)
    assert "30 of 60 rows cannot be used" in message
    assert message.count("response is empty or blank") == 10
    assert "… and 20 more" in message
    assert "on_bad_row: skip" in message


def test_bad_rows_are_left_out_and_written_aside(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD * 199 + b'{"prompt": "a", "response": ""}\n')
    assert len(read(path, on_bad_row="skip")) == 199
    (line,) = (tmp_path / "train.rejected.jsonl").read_text().splitlines()
    told = json.loads(line)
    assert told["origin"].endswith("train.jsonl:200")
    assert "response is empty or blank" in told["reason"]
    assert told["row"] == {"prompt": "a", "response": ""}


def test_too_many_bad_rows_are_refused_although_they_may_be_left_out(refused):
    data = GOOD * 98 + b'{"prompt": "a", "response": ""}\n' * 2
    assert "That is 2.0%, above max_bad_fraction (1.0%)" in refused(data, on_bad_row="skip")


def test_a_rejected_file_that_cannot_be_written_is_an_error(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD * 199 + b'{"prompt": "a", "response": ""}\n')
    with pytest.raises(WriteFailed, match="cannot be written"):
        read(path, on_bad_row="skip", rejected=tmp_path / "no" / "folder.jsonl")
    with pytest.raises(ConfigError, match="on_bad_row: drop"):
        read(path, on_bad_row="drop")


def test_a_limit_stops_the_reading_before_later_faults(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD * 200 + b"{")
    assert len(read(path, limit=150)) == 150


def test_several_files_must_be_of_one_kind(tmp_path):
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    one.write_bytes(GOOD)
    other.write_bytes(b'{"text": "a"}\n')
    assert len(read([one, one])) == 2
    with pytest.raises(DataError, match=r"different kinds \(.*a.jsonl: demonstration; .*b.jsonl: text\)"):
        read([one, other])


def test_a_file_above_the_size_limit_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FILE_LIMIT", 10)
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match="the limit is"):
        read(path)


def test_rows_that_repeat_are_a_warning(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(GOOD * 3 + b'{"prompt": "c", "response": "d"}\n')
    (warning,) = examine(path).warnings
    assert "2 rows repeat an earlier one" in warning
    votes = [{"id": "x", "prompt": "a", "answers": ["b", "c"], "ranking": [0, 1], "annotator": who} for who in "pq"]
    path.write_text("".join(json.dumps(row) + "\n" for row in votes), encoding="utf-8")
    assert examine(path).warnings == ()
