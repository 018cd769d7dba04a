"""Real processes and a real server on this machine: what a tracker does, and what the run that it follows notices."""

import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
from rewards.served import reply, serving
from training.test_loop import cross_entropy, lines, rows, settings, weights

from burnish.errors import ConfigError
from burnish.models.load import load_policy
from burnish.models.model import Policy
from burnish.training import tracker_worker, trackers
from burnish.training.config import MethodConfig, TrackerName, resolve
from burnish.training.loop import train_on
from burnish.training.trackers import troubles

WANDB = """\
import os, time, urllib.request

class Settings:
    def __init__(self, **settings):
        pass

class Run:
    def log(self, figures, step):
        body = b'{"step": %d, "figures": %d}' % (step, len(figures))
        request = urllib.request.Request(os.environ["WANDB_BASE_URL"], body, {"Key": os.environ["WANDB_API_KEY"]})
        urllib.request.urlopen(request, timeout=60).close()

    def finish(self):
        AT_THE_END

def init(**named):
    AT_THE_START
    return Run()
"""
"""A library of that name, which sends each step to the address that the real one's variable names."""
KEY = "a-key-that-nobody-may-read"


def run(model: Path, out: Path, *, dies_in: int = 0, **changes: object) -> Policy:
    policy = load_policy(model)
    calls: list[int] = []

    def loss(batch: object) -> object:
        calls.append(1)
        if len(calls) == dies_in:
            raise KeyboardInterrupt
        return cross_entropy(policy)(batch)

    train_on(policy, rows(), loss, settings(save_every=2, **changes), out=out, identity={})
    return policy


@pytest.fixture(scope="module")
def untracked(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Path]:
    out = tmp_path_factory.mktemp("untracked")
    return run(tiny_model, out), out


def wandb(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str, *, start: str = "pass", end: str = "pass") -> None:
    folder.mkdir()
    (folder / "wandb.py").write_text(WANDB.replace("AT_THE_START", start).replace("AT_THE_END", end))
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(trackers, "GRACE", 1.0)


def same(policy: Policy, out: Path, untracked: tuple[Policy, Path]) -> bool:
    whole, other = untracked
    equal = all(torch.equal(a, b) for a, b in zip(weights(policy), weights(whole), strict=True))
    return equal and lines(out) == lines(other)


def test_tensorboard_has_every_figure_once_also_of_a_run_that_was_cut(
    tiny_model: Path, tmp_path: Path, untracked: tuple[Policy, Path], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(KeyboardInterrupt):  # in step 4; step 3 was sent, and is computed again
        run(tiny_model, tmp_path, dies_in=4, track=["tensorboard"])
    cut = list(points(tmp_path / "track/tensorboard"))
    assert {step for _, step, _ in cut} == {1, 2, 3}
    resumed = run(tiny_model, tmp_path, track="tensorboard")
    assert same(resumed, tmp_path, untracked)
    found = list(points(tmp_path / "track/tensorboard"))
    assert len({(tag, step) for tag, step, _ in found}) == len(found)
    for line in lines(tmp_path):
        for name, value in line.items():
            if name != "step":
                sent = next(v for tag, step, v in found if (tag, step) == (name, line["step"]))
                assert sent == pytest.approx(value, rel=1e-6), "it keeps float32"
    assert troubles(tmp_path) == []
    assert "tracker" not in capsys.readouterr().err


def points(folder: Path) -> Iterator[tuple[str, int, float]]:
    """What TensorBoard's event files hold: records of length, a check sum, the event, another one."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.iterdir()):
        content, at = file.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + size])
            yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value)
            at += size + 16


def test_a_run_that_begins_anew_has_nothing_of_the_one_before(tiny_model: Path, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):  # nothing is saved yet
        run(tiny_model, tmp_path, dies_in=2, track="tensorboard")
    run(tiny_model, tmp_path, track="tensorboard", learning_rate=2e-3)
    found = [step for tag, step, _ in points(tmp_path / "track/tensorboard") if tag == "loss"]
    assert found == [1, 2, 3, 4, 5, 6]


def test_a_tracker_behind_http_is_sent_every_step_once_and_its_key_lies_nowhere(
    tiny_model: Path, tmp_path: Path, untracked: tuple[Policy, Path], monkeypatch: pytest.MonkeyPatch
):
    with serving(lambda handler, _: reply(handler, b"{}")) as (url, came):
        wandb(monkeypatch, tmp_path / "lib", url)
        with pytest.raises(KeyboardInterrupt):
            run(tiny_model, tmp_path / "out", dies_in=4, track="wandb")
        found = run(tiny_model, tmp_path / "out", track="wandb")
    assert same(found, tmp_path / "out", untracked)
    assert [question["step"] for question, _ in came] == [1, 2, 3, 4, 5, 6]
    assert {headers["Key"] for _, headers in came} == {KEY}
    kept = b"".join(file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert KEY.encode() not in kept


@pytest.mark.parametrize("trouble", ["500", "hangs", "is not there"])
def test_a_tracker_whose_server_fails_changes_no_run(
    trouble: str,
    tiny_model: Path,
    tmp_path: Path,
    untracked: tuple[Policy, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def answer(handler: object, _: object) -> None:
        if trouble == "hangs":
            time.sleep(3)
        reply(handler, b"{}", status=500)

    with serving(answer) as (url, came):
        address = url if trouble != "is not there" else "http://127.0.0.1:1/"
        wandb(monkeypatch, tmp_path / "lib", address)
        began = time.monotonic()
        found = run(tiny_model, tmp_path / "out", track="wandb")
        assert time.monotonic() - began < 10
    assert same(found, tmp_path / "out", untracked)
    assert bool(came) == (trouble != "is not there")
    told = capsys.readouterr().err
    assert "tracker wandb" in told
    assert "metrics.jsonl has all" in told
    if trouble == "hangs":
        assert "was not done 1 s after the run" in told
    else:
        (one,) = troubles(tmp_path / "out")
        assert one.failed >= 1
        assert ("HTTP Error 500" if trouble == "500" else "urlopen error") in one.why


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"start": "raise ModuleNotFoundError('No module named wandb')"}, "pip install wandb"),
        ({"start": "os._exit(7)"}, "tracker wandb ended with 7"),
        ({"end": "time.sleep(60)"}, "was not done"),
        ({"end": "raise ValueError('at the\\nend')"}, "failed once: ValueError: at the end"),
    ],
)
def test_whatever_a_library_does_is_told_and_changes_no_run(
    where: dict[str, str],
    told: str,
    tiny_model: Path,
    tmp_path: Path,
    untracked: tuple[Policy, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    with serving(lambda handler, _: reply(handler, b"{}")) as (url, _):
        wandb(monkeypatch, tmp_path / "lib", url, **where)
        found = run(tiny_model, tmp_path / "out", track="wandb")
    assert same(found, tmp_path / "out", untracked)
    assert told in capsys.readouterr().err


def test_after_a_few_failures_in_a_row_nothing_more_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    class Failing:
        def __init__(self, *_: object) -> None:
            pass

        def send(self, step: int, _: object) -> None:
            asked.append(step)
            raise OSError("down")

    monkeypatch.setattr(tracker_worker, "PAUSE", 0.0)
    monkeypatch.setitem(tracker_worker.TRACKERS, "wandb", Failing)
    sender = tracker_worker.Sender("wandb", tmp_path, resumed=False)
    for step in range(1, 9):
        sender.take([json.dumps({"step": step, "loss": 1.0})])
    assert asked == [1] * tracker_worker.MOST_IN_A_ROW
    (trouble,) = troubles(tmp_path)
    assert str(trouble) == "tracker wandb failed 5 times: OSError: down; nothing was sent after step 0"
    sender.lock.close()
    again = tracker_worker.Sender("wandb", tmp_path, resumed=True)
    again.lock.close()
    assert not again.known["gave_up"], "a resume tries again"


def test_what_was_sent_before_a_failure_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    class FailingOnce:
        def __init__(self, *_: object) -> None:
            pass

        def send(self, step: int, _: object) -> None:
            asked.append(step)
            if asked == [1, 2, 3]:
                raise OSError("down")

        def flush(self) -> None:
            pass

    monkeypatch.setattr(tracker_worker, "PAUSE", 0.0)
    monkeypatch.setitem(tracker_worker.TRACKERS, "wandb", FailingOnce)
    sender = tracker_worker.Sender("wandb", tmp_path, resumed=False)
    sender.take([json.dumps({"step": step, "loss": 1.0}) for step in range(1, 6)])
    sender.lock.close()
    assert asked == [1, 2, 3, 3, 4, 5]
    assert sender.known["sent"] == 5


def test_a_tracker_that_there_is_not_is_refused():
    assert set(get_args(TrackerName)) == set(tracker_worker.TRACKERS)
    with pytest.raises(ConfigError, match="must be tensorboard or wandb; found"):
        resolve(MethodConfig, {"track": ["mlflow"]})
