"""Signals that a scheduler or a person sends to a run: it saves, and says what it ends with."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from fault.conftest import Unbroken
from fault.typed import results, words
from forks import Command

from burnish.cli.main import main

FOURTH = "checkpoints/step-000004"
SLOW = "sleep:1@step.after_backward:5"


def at_step_five(there: str, **changes: Any) -> Command:
    """A run that is in its fifth step for a while: `there` was made right before it."""
    command = Command(*words("sft", "run", **changes), environment={**os.environ, "BURNISH_FAULT": SLOW})
    while not any(Path("run").glob(there)):
        assert command.running(), command.end()
        time.sleep(0.002)
    time.sleep(0.25)
    return command


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_saves_after_the_step_and_ends_with_75(number: int, here: Path, unbroken: Unbroken):
    command = at_step_five(FOURTH)
    command.signal(number)
    code, told = command.end()
    assert code == 75, told
    assert "stopped after step 5 of 10, saved. Run the same command again to go on." in told
    assert ("Ctrl-C once more stops now" in told) == (number == signal.SIGINT)
    assert (here / "run/checkpoints/step-000005").exists()
    assert main(words("sft", "run")) == 0
    assert results(here / "run") == unbroken("sft")


def test_ctrl_c_twice_leaves_at_once_with_130_and_names_the_last_save(here: Path, unbroken: Unbroken):
    command = at_step_five(FOURTH)
    command.signal(signal.SIGINT)
    time.sleep(0.05)
    command.signal(signal.SIGINT)
    code, told = command.end()
    assert code == 130, told
    assert told.splitlines()[-2:] == [
        "the last save is of step 4 of 10",
        "stopped. What was saved stays: run the same command again to go on.",
    ]
    assert main(words("sft", "run")) == 0
    assert results(here / "run") == unbroken("sft")


def test_sigusr1_saves_after_the_step_and_the_run_goes_on(here: Path, unbroken: Unbroken):
    command = at_step_five("metrics.jsonl", save_every=0, keep_checkpoints="true")
    command.signal(signal.SIGUSR1)
    code, told = command.end()
    assert code == 0, told
    asked, last = sorted(path.name for path in (here / "run/checkpoints").iterdir())
    assert asked in ("step-000001", "step-000002", "step-000003", "step-000004", "step-000005")
    assert last == "step-000010"
    assert results(here / "run") == unbroken("sft")


@pytest.mark.faults
def test_a_signal_in_the_last_step_of_a_stage_starts_no_further_stage(here: Path):
    command = Command(
        *words("recipe", "run"), environment={**os.environ, "BURNISH_FAULT": "sleep:1@step.after_backward:4"}
    )
    while not (here / "run/sft/checkpoints/step-000003").exists():
        assert command.running(), command.end()
        time.sleep(0.002)
    time.sleep(0.25)
    command.signal(signal.SIGTERM)
    code, told = command.end()
    assert code == 75, told
    assert "stopped after step 4 of 4, saved" in told
    assert not (here / "run/answers").exists()
