"""The command: in a terminal, in a pipe, and never driven by what a model writes."""

import io
import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny import byte_tokenizer, tiny_llama

from burnish.cli.answers import Columns, Running, Stacked, shown
from burnish.cli.main import main
from burnish.data.problems import for_terminal
from burnish.data.read import read

OPTIONS = ["--set", "template=dialogue", "--max-new-tokens", "6"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    tiny_llama(seed=1).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def piped(lines: str | bytes, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """What the next command reads; it works in `folder`."""
    said = lines if isinstance(lines, bytes) else lines.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said), encoding="utf-8"))
    monkeypatch.chdir(folder)


def test_a_line_that_is_piped_in_is_a_turn_and_what_is_saved_trains_a_reward_model(
    tiny_model: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    piped("one\n/save A > B\n/save\n\n/clear\ntwo 漢\n/save B > A\n/quit\nthree\n", monkeypatch, tmp_path)
    assert main(["chat", str(tiny_model), "--against", str(other), *OPTIONS]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("A  tiny\n") == printed.out.count("B  other\n") == 2
    assert printed.err.count("saved as a ranking in rankings.jsonl") == 2
    assert "\x1b" not in printed.out
    assert [len(group.answers) for group in read(tmp_path / "rankings.jsonl", kind="ranking")] == [2, 2]
    assert len(read(tmp_path / "demonstrations.jsonl", kind="demonstration")) == 1
    trained = ["--data", "rankings.jsonl", "--out", "reward", "--set", "steps=1", "--set", "template=dialogue"]
    trained += ["--set", "batch_size=2", "--set", "max_length=200", "--set", "skip_check=score"]
    assert main(["reward", "--model", str(tiny_model), *trained]) == 0
    assert (tmp_path / "reward/model/config.json").exists()


def test_blind_names_come_when_they_are_asked_for(
    tiny_model: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    said = "one\n/retry\n/keep C\n/save A > B to orders.jsonl\n/history\n"
    for lines, names in ((said, False), (said + "/reveal\n", True)):
        piped(lines, monkeypatch, tmp_path)
        assert main(["chat", str(tiny_model), "--against", str(other), "--blind", *OPTIONS]) == 0
        printed = capsys.readouterr()
        shown_names = [name for name in ("tiny", "other") if name in printed.out + printed.err]
        assert shown_names == (["tiny", "other"] if names else [])
        assert [line for line in printed.out.splitlines() if line in "ABCD" and line] == ["A", "B", "C", "D"]
    assert len(read(tmp_path / "orders.jsonl", kind="ranking")) == 2


def test_a_setting_may_hold_spaces_as_in_a_shell(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    piped('/set temperature=0.5 stop=\'["a b", "c"]\'\n/set\n', monkeypatch, tmp_path)
    assert main(["chat", str(tiny_model), *OPTIONS]) == 0
    told = capsys.readouterr().err
    assert "temperature         0.5" in told
    assert "stop                ['a b', 'c']" in told


def test_the_dialogue_as_one_object(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    piped("one\r\n/retry\n", monkeypatch, tmp_path)
    assert main(["chat", str(tiny_model), "--json", "--seed", "3", *OPTIONS]) == 0
    printed = capsys.readouterr()
    (turn,) = json.loads(printed.out)["turns"]
    assert (turn["prompt"], turn["kept"], list(turn["answers"])) == ("one", "B", ["A", "B"])
    assert for_terminal(turn["answers"]["A"]["text"]) in printed.err


@pytest.mark.parametrize(
    ("lines", "told", "code"),
    [
        ("/retry\n", "say something first", 64),
        ("/svae\n", "did you mean save", 64),
        ("one\n/save Q\n", "no such answer", 64),
        ("/set temperature=-1\n", "temperature", 78),
        ("/set stop='a\n", "quotation", 64),
        (b"\xff\n", "line 1 of what is piped in is not UTF-8", 65),
    ],
)
def test_without_a_person_what_cannot_be_done_ends_it(
    lines: str | bytes,
    told: str,
    code: int,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    piped(lines, monkeypatch, tmp_path)
    assert main(["chat", str(tiny_model), *OPTIONS]) == code
    assert told in capsys.readouterr().err


def test_a_name_that_no_line_can_be_added_to_is_refused_before_a_model_is_loaded(capsys: pytest.CaptureFixture[str]):
    assert main(["chat", "no/such/model", "--save", "saved.csv"]) == 64
    assert "NAME.jsonl" in capsys.readouterr().err


HOSTILE = "a\x1b[2Jb\x9b31mc\r\x07\u202ed\n漢"
ESCAPED = "a\\x1b[2Jb\\x9b31mc\\r\\x07\\u202ed\n漢"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_models_text_never_drives_the_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    running, stacked, columns = io.StringIO(), io.StringIO(), Terminal()
    for out, screen, texts in (
        (running, shown(running, ["A"]), [HOSTILE]),
        (stacked, shown(stacked, ["A", "B"]), [HOSTILE, "x"]),
        (columns, shown(columns, ["A", "B"]), [HOSTILE, "x"]),
    ):
        for end in range(len(HOSTILE)):
            screen.update([HOSTILE[:end], "x"][: len(texts)])
        screen.close(texts)
        written = out.getvalue()
        for line in ESCAPED.splitlines():
            assert line in written
        for control in ("\x1b[2J", "\x9b", "\x07", "\u202e"):
            assert control not in written
    assert isinstance(shown(running, ["A"]), Running)
    assert isinstance(shown(stacked, ["A", "B"]), Stacked)
    assert isinstance(shown(columns, ["A", "B"]), Columns)


def test_what_runs_on_is_what_was_written_each_letter_once():
    out = io.StringIO()
    screen = Running(out)
    for texts in (["a"], ["a"], ["ab"], ["ab c"]):
        screen.update(texts)
    screen.close(["ab c!"])
    assert out.getvalue() == "ab c!\n"


def test_a_narrow_terminal_gets_one_answer_below_the_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert isinstance(shown(Terminal(), ["A", "B"]), Stacked)


class Typist:
    """A command in a terminal of its own, which Ctrl-C typed there reaches.

    Forked, since a new process would load torch for ten seconds before it says a word.
    """

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            code = 70
            # as a shell starts what is in front; where pytest runs behind, Ctrl-C is ignored, by its children too
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115  until it ends
                os.chdir(folder)
                code = main(command)
            finally:
                os._exit(code)  # pytest's own ending is the parent's
        self.unread = b""

    def sees(self, wanted: bytes) -> bytes:
        """What stands on the screen up to `wanted`, from where it was looked at last."""
        end = time.monotonic() + 60
        while wanted not in self.unread:
            if time.monotonic() > end:
                os.kill(self.child, signal.SIGKILL)
                pytest.fail(f"{wanted!r} did not come; seen {self.unread!r}")
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.unread += os.read(self.terminal, 65536)
        seen, found, self.unread = self.unread.partition(wanted)
        return seen + found

    def sees_something(self) -> None:
        """More than it has seen: an answer is being written."""
        while not self.unread:
            self.unread += os.read(self.terminal, 65536)

    def presses_until(self, keys: bytes, wanted: bytes) -> bytes:
        """Again after two seconds, as people do: what is typed before readline listens is lost."""
        end = time.monotonic() + 60
        while wanted not in self.unread and time.monotonic() < end:
            self.types(keys)
            again = time.monotonic() + 2
            while wanted not in self.unread and (left := again - time.monotonic()) > 0:
                if select.select([self.terminal], [], [], left)[0]:
                    self.unread += os.read(self.terminal, 65536)
        return self.sees(wanted)

    def types(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def ends_with(self) -> int:
        """Its exit code; killed where it goes on for 20 seconds."""
        end = time.monotonic() + 20
        while (over := os.waitpid(self.child, os.WNOHANG))[0] == 0:
            if time.monotonic() > end:
                os.kill(self.child, signal.SIGKILL)
            time.sleep(0.02)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(over[1])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # what runs in the child computes in one thread
def test_in_a_terminal_ctrl_c_stops_an_answer_a_mistake_ends_nothing_and_ctrl_d_leaves(tmp_path: Path):
    tiny_llama(max_position_embeddings=8192).save_pretrained(tmp_path / "long")
    byte_tokenizer().save_pretrained(tmp_path / "long")
    chat = ["chat", "long", "--set", "template=dialogue", "--set", "min_new_tokens=8000", "--max-new-tokens", "8000"]
    typist = Typist(chat, tmp_path)
    typist.sees(b"> ")
    typist.types(b"one\n")
    typist.sees(b"one\r\n")
    typist.sees_something()
    typist.types(b"\x03")
    typist.sees(b"stopped; what was written is kept")
    for keys, told in ((b"/svae\n", b"did you mean save"), (b"/save\n", b"saved as a demonstration")):
        typist.sees(b"> ")
        typist.types(keys)
        typist.sees(told)
    typist.sees(b"> ")
    typist.presses_until(b"\x03", b"/quit leaves")
    typist.sees(b"> ")
    typist.types(b"\x04")
    assert typist.ends_with() == 0
    (group,) = read(tmp_path / "demonstrations.jsonl", kind="demonstration")
    assert group.answers[0].finished is False
    assert group.answers[0].tokens
