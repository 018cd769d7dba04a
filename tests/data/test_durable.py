"""Records appended one by one: what was said to be there is there, whatever happened in between."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.data.durable import append
from burnish.data.read import read
from burnish.errors import DataError, UsageError, WriteFailed
from burnish.types import Answer, Group

ONE = Group("a", (Answer("b"),))
TWO = Group("c", (Answer("d é 漢"),))


def shown(path: Path) -> list[tuple[object, str]]:
    return [(group.prompt, group.answers[0].text) for group in read(path, kind="demonstration")]


def test_what_is_appended_is_read_back_in_its_order(tmp_path: Path):
    path = tmp_path / "new" / "saved.jsonl"
    append(ONE, "demonstration", path)
    append(TWO, "demonstration", path)
    assert shown(path) == [("a", "b"), ("c", "d é 漢")]


def test_half_a_line_is_kept_aside_and_the_rows_around_it_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "saved.jsonl"
    append(ONE, "demonstration", path)
    with path.open("ab") as file:
        file.write(b'{"prompt": "x", "resp\xe6')
    append(TWO, "demonstration", path)
    assert shown(path) == [("a", "b"), ("c", "d é 漢")]
    assert (tmp_path / "saved.jsonl.discarded-0").read_bytes() == b'{"prompt": "x", "resp\xe6'
    assert "half a line" in caplog.text


def test_a_last_line_that_lacks_only_its_end_is_a_row(tmp_path: Path):
    path = tmp_path / "saved.jsonl"
    path.write_text('{"prompt": "a", "response": "b"}')
    append(TWO, "demonstration", path)
    assert shown(path) == [("a", "b"), ("c", "d é 漢")]
    assert len(list(tmp_path.iterdir())) == 1


def test_another_kind_is_refused_and_nothing_is_written(tmp_path: Path):
    path = tmp_path / "saved.jsonl"
    append(ONE, "demonstration", path)
    before = path.read_bytes()
    pair = Group("a", (Answer("b"), Answer("c")), order=((0,), (1,)))
    with pytest.raises(DataError, match="holds demonstration rows, and a ranking"):
        append(pair, "ranking", path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["saved.csv", "saved.jsonl.gz", "saved", "jsonl"])
def test_a_file_that_lines_cannot_be_added_to_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="JSON lines"):
        append(ONE, "demonstration", tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "saved.jsonl"
    append(ONE, "demonstration", path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))  # a write stops 10 bytes on
    try:
        with pytest.raises(WriteFailed, match="cannot be written"):
            append(TWO, "demonstration", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before


def test_two_processes_lose_no_row(tmp_path: Path):
    path = tmp_path / "saved.jsonl"
    code = (
        "import sys; from burnish.data.durable import append; from burnish.types import Answer, Group\n"
        "for i in range(20): append(Group(sys.argv[2] + str(i), (Answer('x' * 500),)), 'demonstration', sys.argv[1])"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [one.wait() for one in both] == [0, 0]
    rows = [json.loads(line)["prompt"] for line in path.read_text().splitlines()]
    assert sorted(rows) == sorted(f"{name}{i}" for name in "ab" for i in range(20))
