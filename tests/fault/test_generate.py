"""`burnish generate` as a process: a signal ends it with 75, two never write one file, and a change can be allowed."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from forks import Command

from burnish.cli.main import main

CHUNKS = 20


@pytest.fixture
def words(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command: so many chunks of one prompt that it cannot be done before a signal comes."""
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"prompt": f"prompt {i}"}) + "\n" for i in range(CHUNKS)]
    (tmp_path / "prompts.jsonl").write_text("".join(rows), encoding="utf-8")
    settings = ["chunk=1", "samples=1", "max_new_tokens=24", "max_length=64"]
    given = ["--model", str(tiny_model), "--prompts", "prompts.jsonl", "--out", "answers.jsonl", "--threads", "1"]
    return ["generate", *given, *(word for key in settings for word in ("--set", key))]


@contextmanager
def under_way(words: list[str]) -> Iterator[Command]:
    """The command as a process of its own that has committed a few chunks."""
    command = Command(*words)
    while committed() < 3:
        assert command.running(), command.end()
        time.sleep(0.002)
    try:
        yield command
    finally:
        command.kill()


def committed() -> int:
    state = Path(".answers.jsonl.burnish/answers.part.json")
    return int(json.loads(state.read_text(encoding="utf-8"))["chunks"]) if state.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_75_and_the_same_command_goes_on(words: list[str], number: signal.Signals):
    with under_way(words) as command:
        command.signal(number)
        code, told = command.end()
    assert code == 75, told
    safe = committed()
    assert 3 <= safe < CHUNKS
    assert f"stopped after {safe} of {CHUNKS} prompts, saved. Run the same command again to go on." in told
    assert not Path("answers.jsonl").exists()
    assert main(words) == 0
    whole = ["whole.jsonl" if word == "answers.jsonl" else word for word in words]
    assert main(whole) == 0
    assert Path("answers.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_two_at_once_do_not_write_one_file(words: list[str], capsys: pytest.CaptureFixture[str]):
    with under_way(words) as command:
        command.signal(signal.SIGSTOP)
        assert main(words) == 73
    assert f"is held by process {command.pid} on " in capsys.readouterr().err


def test_a_change_that_is_allowed_reaches_answers_that_are_half_there(
    words: list[str], capsys: pytest.CaptureFixture[str]
):
    with under_way(words):
        pass
    safe = committed()
    before = Path(".answers.jsonl.burnish/answers.part.jsonl").read_bytes().splitlines()[:safe]
    shorter = [*words, "--set", "temperature=0.5"]
    assert main(shorter) == 78
    assert "generate.temperature: 1.0 then, 0.5 now" in capsys.readouterr().err
    assert main([*shorter, "--allow-changed", "temperature"]) == 0
    after = Path("answers.jsonl").read_bytes().splitlines()
    assert after[:safe] == before
    assert len(after) == CHUNKS
    assert main(shorter) == 0  # and needs no telling again
