"""What is committed is whole, or it is named: the ways in which a checkpoint is damaged, and what a cut one leaves."""

import errno
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from burnish.errors import CheckpointError, WriteFailed
from burnish.testing import faults
from burnish.training.checkpoint import newest_checkpoint, remove_unfinished, save_checkpoint, write_durably

SHARDS = {"model": {"w": torch.arange(4.0)}, "critic": {"w": torch.arange(9.0)}}


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.arm("")


def saved(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step, SHARDS, {"number": step})


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("step-*"))


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    """Damage: the manifest as JSON with this change."""

    def damage(checkpoint: Path) -> None:
        manifest = json.loads((checkpoint / "manifest.json").read_text())
        change(manifest)
        (checkpoint / "manifest.json").write_text(json.dumps(manifest))

    return damage


def cut(checkpoint: Path) -> None:
    file = checkpoint / "critic.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def flip(checkpoint: Path) -> None:
    content = bytearray((checkpoint / "critic.safetensors").read_bytes())
    content[-1] ^= 1
    (checkpoint / "critic.safetensors").write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file is cut": (cut, r"critic\.safetensors has \d+ bytes, its manifest says \d+"),
    "one bit is another": (flip, r"critic\.safetensors does not have the hash of its manifest"),
    "a file is gone": (lambda path: (path / "critic.safetensors").unlink(), r"No such file.*critic\.safetensors"),
    "the manifest is gone": (lambda path: (path / "manifest.json").unlink(), r"No such file.*manifest\.json"),
    "the manifest is empty": (lambda path: (path / "manifest.json").write_text(""), "Expecting value"),
    "the manifest is cut": (lambda path: (path / "manifest.json").write_text('{"step": 4'), "Expecting"),
    "the manifest is not UTF-8": (lambda path: (path / "manifest.json").write_bytes(b'{"\xff": 1}'), "can't decode"),
    "the manifest is a list": (lambda path: (path / "manifest.json").write_text("[]"), "names no files"),
    "the manifest names no files": (edited(lambda told: told.update(files={})), "names no files"),
    "the manifest has no files": (edited(lambda told: told.pop("files")), "has no 'files'"),
    "the manifest has no facts": (edited(lambda told: told.pop("facts")), "has no 'facts'"),
    "the manifest is of another step": (edited(lambda told: told.update(step=7)), "is of step 7"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_damaged_is_named_kept_aside_and_not_taken(tmp_path: Path, what: str):
    damage, told = DAMAGES[what]
    saved(tmp_path, 2, 4)
    damage(tmp_path / "step-000004")
    found, troubles = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == found.facts["number"] == 2
    (line,) = troubles
    assert "step-000004" in line
    assert re.search(told, line), line
    (aside,) = tmp_path.glob("broken-step-000004-*")
    assert (aside / "why.txt").read_text().strip() in line


def test_a_disk_that_cannot_be_read_costs_the_newest_checkpoint_and_not_the_run(tmp_path: Path):
    saved(tmp_path, 2, 4)
    faults.arm("raise:OSError:5@ckpt.read:4")
    found, troubles = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2
    assert "Input/output error" in troubles[0]


def test_where_all_are_damaged_each_is_listed_with_its_reason_every_time(tmp_path: Path):
    saved(tmp_path, 2, 4)
    cut(tmp_path / "step-000002")
    flip(tmp_path / "step-000004")
    for _ in range(2):
        with pytest.raises(CheckpointError) as error:
            newest_checkpoint(tmp_path)
        assert error.value.exit_code == 65
        for told in ("step-000002", "bytes, its manifest says", "step-000004", "does not have the hash"):
            assert told in str(error.value)


def test_only_what_is_whole_counts_among_those_that_are_kept(tmp_path: Path):
    """Two that are whole stay, however many broken ones are newer."""
    saved(tmp_path, 2, 4)
    cut(tmp_path / "step-000004")
    saved(tmp_path, 6)
    assert steps(tmp_path) == ["step-000002", "step-000004", "step-000006"]
    saved(tmp_path, 8)
    assert steps(tmp_path) == ["step-000006", "step-000008"]


def test_a_save_that_came_out_too_short_prunes_nothing(tmp_path: Path):
    saved(tmp_path, 2, 4)
    faults.arm("truncate:1@ckpt.after_rename:6")
    saved(tmp_path, 6)
    assert steps(tmp_path) == ["step-000002", "step-000004", "step-000006"]


@pytest.mark.parametrize("point", ["ckpt.write:2", "ckpt.before_rename"])
def test_a_disk_that_fills_leaves_what_was_there_and_nothing_else(tmp_path: Path, point: str):
    saved(tmp_path, 2)
    faults.arm(f"raise:OSError:{errno.ENOSPC}@{point}")
    with pytest.raises(WriteFailed) as error:
        saved(tmp_path, 4)
    told = str(error.value)
    assert "No space left on device" in told
    assert "it needs 62 bytes, and " in told  # 13 numbers of 4 bytes, and a fifth
    assert " are free" in told
    assert "step-000002 is whole" in told
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


def test_what_a_killed_process_left_is_no_checkpoint_and_is_removed(tmp_path: Path):
    saved(tmp_path, 2)
    for name in (".tmp-step-000004-0a1b2c3d", ".trash-step-000000-0a1b2c3d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    found, troubles = newest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, troubles) == (2, [])
    assert remove_unfinished(tmp_path) == [".tmp-step-000004-0a1b2c3d", ".trash-step-000000-0a1b2c3d"]
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]


def test_a_small_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    write_durably(tmp_path / "DONE.json", "old")
    with pytest.raises(UnicodeEncodeError):
        write_durably(tmp_path / "DONE.json", "half a character: \ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("DONE.json", "old")]
