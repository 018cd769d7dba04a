"""A disk that is full or fails, memory that runs out, a loss that is no number: told with a code, and gone on from."""

import errno
import json
import math
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault.conftest import Unbroken
from fault.disks import mounted
from fault.typed import ROWS, lines, results, with_fault, words
from forks import FORKS, as_started

from burnish.cli.main import main
from burnish.data.convert import write
from burnish.testing import faults
from burnish.training.checkpoint import newest_checkpoint
from burnish.types import Answer, Group

# ---- the disk


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(here: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    disk = here / "disk"
    disk.mkdir()
    with mounted(disk, "size=8m"):
        yield disk


def test_a_disk_that_is_full_is_told_in_bytes_and_the_run_goes_on_once_there_is_room(
    small_disk: Path, unbroken: Unbroken, capsys: pytest.CaptureFixture[str]
):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * ((8 << 20) - (1200 << 10)))
    assert main(words("sft", "disk/run")) == 74
    told = capsys.readouterr().err
    assert "the checkpoint of step 6 could not be written" in told, told
    needed, free = (int(number.replace(",", "")) for number in numbers_before(told, (" bytes", " are free")))
    assert needed > free > 0
    assert "step-000004 is whole" in told
    ballast.unlink()
    assert main(words("sft", "disk/run")) == 0
    assert results(small_disk / "run") == unbroken("sft")


def numbers_before(text: str, marks: tuple[str, ...]) -> list[str]:
    return [text.split(mark)[0].split()[-1] for mark in marks]


def test_a_write_that_fails_half_way_leaves_the_last_save_and_nothing_of_its_own(
    here: Path, unbroken: Unbroken, capsys: pytest.CaptureFixture[str]
):
    with_fault(words("sft", "run"), "exit:1@step.end:5")  # two saves are there
    with files_of_at_most(50_000):
        assert main(words("sft", "run")) == 74
    told = capsys.readouterr().err
    assert "could not be written" in told
    assert "File too large" in told
    assert [path.name for path in sorted((here / "run/checkpoints").iterdir())] == ["step-000002", "step-000004"]
    assert main(words("sft", "run")) == 0
    assert results(here / "run") == unbroken("sft")


@pytest.mark.faults
def test_a_full_disk_at_the_second_file_of_a_checkpoint(here: Path, unbroken: Unbroken):
    faults.arm(f"raise:OSError:{errno.ENOSPC}@ckpt.write:2")
    assert main(words("ppo", "run")) == 74
    faults.arm("")
    assert list((here / "run/checkpoints").iterdir()) == []
    assert main(words("ppo", "run")) == 0
    assert results(here / "run") == unbroken("ppo")


@pytest.fixture
def read_only(here: Path) -> Iterator[Path]:
    """A folder that nobody can write, root neither."""
    folder = here / "disk"
    folder.mkdir(mode=0o555)
    if os.geteuid():
        yield folder
        return
    with mounted(folder, "ro"):
        yield folder


def test_a_folder_that_may_not_be_written_is_told_at_once(read_only: Path, capsys: pytest.CaptureFixture[str]):
    assert main(words("sft", "disk")) == 73
    assert "disk: cannot be written (Read-only file system); choose another --out" in capsys.readouterr().err.replace(
        "Permission denied", "Read-only file system"
    )


# ---- memory


def test_memory_that_runs_out_ends_with_71_and_what_helps(
    here: Path, unbroken: Unbroken, capsys: pytest.CaptureFixture[str]
):
    faults.arm("raise:MemoryError@loss:5")
    assert main(words("sft", "run")) == 71
    told = capsys.readouterr().err
    for word in ("step 5", "GB were used", "micro_batch_tokens", "activation_checkpointing", "lora", "max_length"):
        assert word in told
    faults.arm("")
    assert main(words("sft", "run")) == 0
    assert results(here / "run") == unbroken("sft")


@pytest.mark.faults
def test_a_real_limit_of_memory_is_met_by_smaller_micro_batches_where_that_was_asked_for(here: Path):
    """600 rows of 200 tokens at once want some 100 MB more than the process may have; 30 at once do not."""
    long = [Group(f"{i}: ", (Answer("x" * 190),), origin=f"long:{i}") for i in range(600)]
    write(long, "demonstration", here / "long.jsonl")
    typed = ["sft", "--model", "model", "--data", "long.jsonl", "--threads", "1"]
    for setting in ("steps=1", "batch_size=600", "max_length=256", "micro_batch_tokens=120000"):
        typed += ["--set", setting]
    for out, more, wanted in (("fails", (), 71), ("halves", ("--set", "auto_micro_batch=true"), 0)):
        given = ([*typed, "--out", out, *more], os.getcwd(), dict(os.environ))
        process = FORKS.Process(target=_with_little_memory, args=given, daemon=True)
        process.start()
        process.join(120)
        assert process.exitcode == wanted
    (line,) = lines(here / "halves")
    assert line["micro_batch_tokens"] < 120000
    assert math.isfinite(line["loss"])


def _with_little_memory(typed: list[str], folder: str, environment: dict[str, str]) -> None:
    as_started(folder, environment)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))
    os._exit(main(typed))


# ---- numbers


def test_a_loss_that_is_no_number_ends_with_70_and_its_batch_is_kept(here: Path, unbroken: Unbroken):
    faults.arm("nan@loss:5")
    assert main(words("sft", "run")) == 70
    (told,) = json.loads((here / "run/bad_batch.json").read_text())
    assert (told["step"], told["loss"]) == (5, "nan")
    origins = {row["origin"] for row in told["rows"]}
    assert origins < {f"demonstrations.jsonl:{row + 1}" for row in range(ROWS)}
    assert len(origins) == 4
    assert all(row["loss"] == "nan" and row["prompt"] and row["answers"] for row in told["rows"])
    assert math.isnan(lines(here / "run")[-1]["loss"])
    found, _ = newest_checkpoint(here / "run/checkpoints")
    assert found is not None
    assert found.step == 4
    assert all(tensor.isfinite().all() for tensor in found.tensors("model").values())
    faults.arm("")
    assert main(words("sft", "run")) == 0
    assert results(here / "run") == unbroken("sft"), "the note is no result of the run that ended well"


def test_ppo_leaves_out_what_is_no_number_and_goes_on_so_when_killed(here: Path):
    """Step 3 has two passes of two parts, in each of which policy and critic learn: eight batches."""
    skip = {"on_nonfinite": "skip", "max_skipped": 8}
    faults.arm("nan@loss:3")
    assert main(words("ppo", "whole", **skip)) == 0
    told = lines(here / "whole")
    assert [math.isnan(line["loss"]) for line in told] == [False, False, True, False, False, False]
    assert math.isnan(told[2]["value_loss"])
    assert [line.get("skipped", 0) for line in told] == [0, 0, 8, 8, 8, 8]
    assert len(json.loads((here / "whole/bad_batch.json").read_text())) == 8
    with_fault(words("ppo", "cut", **skip), "nan@loss:3,kill@step.end:5")
    assert main(words("ppo", "cut", **skip)) == 0
    assert json.dumps(results(here / "cut")) == json.dumps(results(here / "whole"))  # a NaN is not equal to itself
    assert main(words("ppo", "less", **(skip | {"max_skipped": 7}))) == 70
