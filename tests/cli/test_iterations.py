"""A method that samples, at a terminal: a table that grows, and what is written meanwhile above it."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from cli.watched import colourless, dumb, iterations, narrow, screen
from fault.people import AtTerminal, Stage, running_recipe

HEADINGS = ["step", "reward", "KL", "judge", "length", "ended", "entropy", "clipped", "critic", "seconds"]


def seen(stage: Stage, out: Path) -> str:
    """All that was written on a terminal of 80 columns."""
    running = AtTerminal(stage, out, out)
    running.end()
    return running.told


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def test_the_last_iterations_stand_below_a_warning_and_above_the_last_evaluation(tmp_path: Path):
    lines = [line for line in screen(seen(iterations, tmp_path)) if line]
    assert lines[0] == "warning: step 8: over-optimised"
    assert lines[1].split() == HEADINGS
    assert [line.split()[0] for line in lines[2:-2]] == [str(step) for step in range(5, 13)]
    assert lines[-3].split() == ["12", "1.25", "2.500", "0.625", "23.4", "93%", "2.31", "1.2%", "0.40", "41"]
    assert lines[-4].split() == ["11", "1.25", "2.500", "23.4", "93%", "2.31", "1.2%", "0.40", "41"]
    assert lines[-2:] == ["held-out after step 12: reward 1.5, judge 0.625, KL 3 ± 0.25", "step 12 of 12"]
    assert max(map(len, lines)) <= 80


def test_while_it_runs_it_says_when_the_next_evaluation_is_and_what_time_is_left(tmp_path: Path):
    written = seen(iterations, tmp_path)
    assert re.search(r"step 5 of 12, evaluation in 3, 0:\d\d in the next, 0:\d\d left", written)


def test_in_a_narrow_terminal_what_matters_least_goes(tmp_path: Path):
    lines = [line for line in screen(seen(narrow, tmp_path)) if line]
    assert lines[1].split() == HEADINGS[:4]
    assert max(map(len, lines)) <= 40


def test_without_colour_nothing_is_coloured(tmp_path: Path):
    colours = re.compile(r"\x1b\[[\d;]*(3\d|4\d|9\d)m")
    assert not colours.search(seen(colourless, tmp_path))


def test_a_terminal_that_cannot_go_back_gets_lines(tmp_path: Path):
    written = seen(dumb, tmp_path)
    assert "\x1b" not in written
    assert [line.strip() for line in written.splitlines()] == [
        "step 1 of 12, reward 1.25",
        "warning: step 8: over-optimised",
        "step 12 of 12, reward 1.25",
    ]


def test_ctrl_c_ends_a_run_after_its_iteration_and_leaves_the_table(tiny_model: Path, tmp_path: Path):
    rows = [json.dumps({"prompt": f"{i} + {i} = "}) + "\n" for i in range(4)]
    (tmp_path / "prompts.jsonl").write_text("".join(rows))
    shape = {"steps": 500, "batch_size": 2, "samples": 2, "max_length": 32, "sampling": {"max_new_tokens": 4}}
    stage = {"method": "rloo", "model": str(tiny_model), "prompts": "prompts.jsonl", "by": "judges:favourable-a"}
    recipe = {"name": "r", "roots": [str(tiny_model.parent)], "stages": {"rloo": stage | shape}}
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    running = AtTerminal(running_recipe, tmp_path / "r.yaml", tmp_path / "r")
    running.wait(lambda: "step 2 of 500" in running.told)
    assert running.process.pid is not None
    os.kill(running.process.pid, signal.SIGINT)
    assert running.ended_with() == 75
    lines = [line for line in screen(running.told) if line]
    (heading,) = [place for place, line in enumerate(lines) if line.split()[:2] == ["step", "reward"]]
    (told,) = [place for place, line in enumerate(lines) if "stopped after step" in line]
    assert heading < told
    assert running.told.rfind("\x1b[?25h") > running.told.rfind("\x1b[?25l"), "the cursor is there again"
