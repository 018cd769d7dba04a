import pytest

from burnish.cli import progress
from burnish.cli.progress import Bar, Lines, clock, shown_steps
from burnish.training.progress import tell


def test_a_log_gets_the_first_and_the_last_step_and_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    now = iter([100.0, 104.0, 111.0, 116.0, 120.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines = Lines()
    for step in range(1, 6):
        lines(step, 5, {"loss": 2.0})
    assert capsys.readouterr().err.splitlines() == [
        "  step 1 of 5, loss 2",
        "  step 3 of 5, loss 2, 0:11 left",  # two steps in 11 seconds, two to come
        "  step 5 of 5, loss 2",
    ]


def test_a_second_stage_counts_anew(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(progress.time, "monotonic", iter(range(100, 200)).__next__)
    lines = Lines()
    for stage in (2, 3):
        for step in range(1, stage + 1):
            lines(step, stage, {"reward": 0.5})
    assert capsys.readouterr().err.splitlines()[2] == "  step 1 of 3, reward 0.5"


def test_a_terminal_gets_a_bar_that_ends(capsys: pytest.CaptureFixture[str]):
    bar = Bar()
    for step in (1, 2):
        bar(step, 2, {"loss": 1.25})
    assert bar.progress is None
    assert "2/2" in capsys.readouterr().err


def test_steps_are_shown_only_where_somebody_watches(capsys: pytest.CaptureFixture[str]):
    tell(1, 1, {"loss": 1.0})
    assert capsys.readouterr().err == ""
    with shown_steps():
        tell(1, 1, {"loss": 1.0})
    assert "step 1 of 1" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "shown"), [(9, "0:09"), (309.4, "5:09"), (3909, "1:05:09")])
def test_a_time_reads_as_on_a_clock(seconds: float, shown: str):
    assert clock(seconds) == shown
