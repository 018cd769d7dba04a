"""Killed at every point at which something could be half done: the same command gives what an unbroken run gives."""

import json
from pathlib import Path

import pytest
from fault.conftest import Unbroken
from fault.typed import results, with_fault, words

from burnish.cli.main import main
from burnish.training.checkpoint import newest_checkpoint

POINTS = {
    "before the first save": "kill@loss:1",
    "between forward and backward": "kill@loss:7",
    "between backward and the optimiser": "kill@step.after_backward:7",
    "between two steps": "kill@step.end:7",
    "in the first file of the first save": "kill@ckpt.write:1",
    "between fsync and rename": "kill@ckpt.before_rename:6",
    "between rename and prune": "kill@ckpt.after_rename:6",
    "in a prune": "kill@ckpt.prune",
    "before DONE.json": "kill@stage.before_done",
}
OF_MANY = {"between forward and backward", "between two steps", "between fsync and rename", "before DONE.json"}
MORE = pytest.mark.faults
FIRST_SAVE = {"before the first save", "in the first file of the first save"}


@pytest.mark.parametrize("when", [pytest.param(when, marks=MORE if when in OF_MANY else ()) for when in POINTS])
def test_killed_at_any_point_a_run_gives_the_same_losses_and_weights(when: str, here: Path, unbroken: Unbroken):
    code, told = with_fault(words("sft", "run"), POINTS[when])
    assert code == -9, told
    found, troubles = newest_checkpoint(here / "run/checkpoints")
    assert (found is None, troubles) == (when in FIRST_SAVE, [])
    assert main(words("sft", "run")) == 0
    assert results(here / "run") == unbroken("sft")
    assert not (here / "run/checkpoints").exists()


def test_a_save_that_was_cut_is_told_and_leaves_no_bytes(here: Path, capsys: pytest.CaptureFixture[str]):
    with_fault(words("sft", "run"), "exit:1@ckpt.before_rename:6")
    (left,) = (here / "run/checkpoints").glob(".tmp-step-000006-*")
    capsys.readouterr()
    assert main(words("sft", "run", keep_checkpoints="true")) == 0
    assert f"{left.relative_to(here)}: left by a process that was killed, and removed" in capsys.readouterr().err
    assert [path.name for path in sorted((here / "run/checkpoints").iterdir())] == ["step-000008", "step-000010"]


@pytest.mark.parametrize(
    "point",
    [
        "ckpt.write:2",
        pytest.param("step.after_backward:4", marks=MORE),
        pytest.param("ckpt.after_rename:4", marks=MORE),
    ],
)
def test_a_run_with_two_models_and_sampling_too(point: str, here: Path, unbroken: Unbroken):
    """The second file of a checkpoint is the critic's."""
    assert with_fault(words("ppo", "run"), f"kill@{point}")[0] == -9
    assert main(words("ppo", "run")) == 0
    assert results(here / "run") == unbroken("ppo")


def test_a_kill_amid_a_rounds_answers_costs_no_more_than_a_chunk(
    here: Path, unbroken: Unbroken, capsys: pytest.CaptureFixture[str]
):
    """The third chunk of four lies in the file and was not committed."""
    assert with_fault(words("reject", "run"), "kill@chunk.write:3")[0] == -9
    begun = json.loads((here / "run/rounds/1/samples.part.json").read_text())
    assert begun["chunks"] == 2
    capsys.readouterr()
    assert main(words("reject", "run")) == 0
    drawn = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reject: round 1: ")]
    assert drawn == [f"reject: round 1: {count} of 16 prompts" for count in (12, 16)]
    assert results(here / "run") == unbroken("reject")


def test_a_folder_that_was_claimed_and_not_begun_is_still_ours(here: Path, unbroken: Unbroken):
    """What a kill between two files of a folder's beginning leaves must not make it somebody else's."""
    for out in (here / "run", here / "many"):
        out.mkdir()
        (out / ".tmp-inputs.json-0a1b2c3d").write_text("{")
        (out / "run.lock").write_text("process 1 on nowhere\n")
    assert main(words("sft", "run")) == 0
    assert results(here / "run") == unbroken("sft")
    assert main([*words("recipe", "many"), "--set", "sft.steps=0"]) == 78, "it is looked at, and its setting refused"
