"""A step that hangs ends the process and says where; one that is only long, or a process that is stopped, does not."""

import os
import signal
import time
from pathlib import Path

import pytest
from forks import FORKS

from burnish.errors import RankFailed
from burnish.training.watchdog import FILE, Watchdog, ending_hangs

HANGS = [0.01, 0.01, 0.01, 30]


def steps(folder: str, seconds: list[float]) -> None:
    os.close(2)
    os.open(os.devnull, os.O_WRONLY)
    with ending_hangs(), Watchdog(Path(folder), least=0.2, tick=0.01, telling=1.0) as watchdog:
        for number, one in enumerate(seconds, 1):
            with watchdog.step(number):
                time.sleep(one)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(HANGS, 70), ([0.05, 0.05, 0.05, 0.4], 0), ([0.01, 0.4, 0.01, 0.01], 0)],
    ids=["a hang", "not ten times as long", "before it is known what is usual"],
)
def test_a_step_far_longer_than_usual_ends_the_process(tmp_path: Path, seconds: list[float], code: int):
    process = FORKS.Process(target=steps, args=(str(tmp_path), seconds), daemon=True)
    process.start()
    process.join(20)
    assert process.exitcode == code
    assert (tmp_path / FILE).exists() == (code == 70)
    if code:
        told = (tmp_path / FILE).read_text()
        assert "step 4 has taken" in told
        assert "test_watchdog.py" in told, "the line that hangs"


def test_a_hang_ends_the_process_where_its_file_cannot_be_written(tmp_path: Path):
    process = FORKS.Process(target=steps, args=(str(tmp_path / "gone"), HANGS), daemon=True)
    process.start()
    process.join(20)
    assert process.exitcode == 70


def test_a_hang_ends_the_process_where_opening_its_file_hangs_too(tmp_path: Path):
    os.mkfifo(tmp_path / FILE)  # which nobody reads
    process = FORKS.Process(target=steps, args=(str(tmp_path), HANGS), daemon=True)
    process.start()
    process.join(20)
    assert process.exitcode == 70


def test_a_process_that_is_stopped_for_a_while_does_not_hang(tmp_path: Path):
    process = FORKS.Process(target=steps, args=(str(tmp_path), [0.01, 0.01, 0.01, 0.1]), daemon=True)
    process.start()
    assert process.pid is not None
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGCONT)
    process.join(20)
    assert process.exitcode == 0


@pytest.mark.parametrize("silent", [True, False])
def test_where_another_process_is_missed_is_kept_only_if_it_may_hang(
    silent: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    own = tmp_path / "hang-rank1.txt"
    with pytest.raises(RankFailed), ending_hangs(own), Watchdog(tmp_path / "deleted"):
        raise RankFailed("another process of this run was missed", silent=silent)
    assert own.exists() == silent
    assert capfd.readouterr().err == "", "the error itself is told where it ends the command"
    if silent:
        assert "test_watchdog.py" in own.read_text(), "where it was missed"


def test_who_called_a_function_is_told_and_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    with Watchdog(tmp_path, least=0.05, tick=0.01) as watchdog:
        for number, seconds in enumerate([0.0, 0.0, 0.0, 0.3], 1):
            with watchdog.step(number):
                time.sleep(seconds)
    assert "step 4 has taken" in capfd.readouterr().err
