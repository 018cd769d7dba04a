import errno
import os
import subprocess
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.errors import UsageError
from burnish.testing import faults


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.arm("")


def test_a_fault_comes_at_its_point_and_number_and_nowhere_else():
    faults.arm("raise:OSError:28@ckpt.write:2, nan@loss:5")
    assert not faults.reach("ckpt.write", 1)
    assert not faults.reach("loss", 4)
    assert faults.reach("loss", 5)
    with pytest.raises(OSError, match="No space left") as full:
        faults.reach("ckpt.write", 2)
    assert full.value.errno == errno.ENOSPC


def test_without_a_number_it_comes_each_time():
    faults.arm("raise:MemoryError@step.end")
    for step in (1, 2):
        with pytest.raises(MemoryError):
            faults.reach("step.end", step)


def test_a_file_loses_its_end_and_a_folder_that_of_its_largest_file(tmp_path: Path):
    (tmp_path / "small").write_bytes(b"x" * 10)
    (tmp_path / "large").write_bytes(b"x" * 300)
    faults.arm("truncate:100@ckpt.after_rename")
    faults.reach("ckpt.after_rename", 3, file=tmp_path)
    faults.reach("ckpt.after_rename", 3, file=tmp_path / "small")
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"small": 0, "large": 200}


@pytest.mark.parametrize(("fault", "code"), [("kill@step.end:7", -9), ("exit:3@step.end", 3)])
def test_a_process_has_what_its_environment_says(fault: str, code: int):
    program = "from burnish.testing.faults import reach; reach('step.end', 6); reach('step.end', 7)"
    given = os.environ | {faults.VARIABLE: fault}
    assert subprocess.run([sys.executable, "-c", program], env=given, check=False).returncode == code


@pytest.mark.parametrize(
    "text",
    [
        "kill",
        "kill@nowhere",
        "smash@loss",
        "kill@loss:x",
        "nan:1@loss",
        "sleep:-1@loss",
        "raise:print@loss",
        "exit@loss",
    ],
)
def test_what_is_no_fault_is_refused(text: str):
    with pytest.raises(UsageError, match=faults.VARIABLE):
        faults.arm(text)


def test_a_point_where_nothing_is_armed_costs_nothing_that_shows():
    """A step has some ten of them and takes a millisecond at the very least; here 1,000 take less than that."""
    assert min(timeit.repeat(lambda: faults.reach("loss", 1), number=1000, repeat=20)) < 1e-3
