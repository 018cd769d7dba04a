"""Trackers that are told a run's figures (`track`), each by a process of its own: nothing one does reaches the run.

A tracker that fails is tried again a few times and then left alone. The run does not hear of it until its end, where it
waits `GRACE` seconds at most, tells what failed, and goes on.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from burnish.training import tracker_worker

GRACE = 5.0  # seconds that a run waits at its end for what is not sent
FOLDER = "track"
"""In a stage's folder: what trackers wrote, and how far each is."""
INSTEAD = {"tensorboard": "pip install 'burnish[track]'", "wandb": "pip install wandb"}


@contextmanager
def tracked(names: Sequence[str], folder: Path, *, resumed: bool) -> Iterator[None]:
    """Within, what is appended to `folder`/metrics.jsonl is sent to these trackers. `resumed`: what they have stays."""
    started = {name: _started(name, folder, resumed=resumed) for name in names}
    workers = {name: worker for name, worker in started.items() if worker is not None}
    try:
        yield
    finally:
        for worker in workers.values():  # all of them, before any is waited for
            if worker.stdin is not None:
                with suppress(OSError):
                    worker.stdin.close()
        for name, worker in workers.items():
            code = _ended(worker)
            late = f"was not done {GRACE:g} s after the run" if code == tracker_worker.LATE else f"ended with {code}"
            for line in ([f"tracker {name} {late}"] if code else []) + list(map(str, troubles(folder, name))):
                print(f"warning: {line}; metrics.jsonl has all", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A tracker that failed so many times, `why` the last time; it has no step after `sent` where it was given up."""

    name: str
    failed: int
    why: str
    sent: int
    gave_up: bool

    def __str__(self) -> str:
        times = "once" if self.failed == 1 else f"{self.failed} times"
        what = f"; {INSTEAD[self.name]}" if self.why.startswith("ModuleNotFoundError") else ""
        last = f"; nothing was sent after step {self.sent}" if self.gave_up else ""
        return f"tracker {self.name} failed {times}: {self.why}{what}{last}"


def troubles(folder: Path, name: str = "*") -> list[Trouble]:
    """What failed of the trackers of a stage, of its rounds and members."""
    found = []
    for file in sorted(folder.rglob(f"{FOLDER}/{name}.json")):
        with suppress(OSError, ValueError, KeyError):  # of a worker that could not even write this
            state = json.loads(file.read_text(encoding="utf-8"))
            if state["failed"]:
                found.append(Trouble(file.stem, state["failed"], state["why"], max(state["sent"], 0), state["gave_up"]))
    return found


def _started(name: str, folder: Path, *, resumed: bool) -> subprocess.Popen[bytes] | None:
    state = "resumed" if resumed else "anew"
    typed = [sys.executable, "-P", tracker_worker.__file__, name, str(folder.resolve()), state, str(GRACE)]
    try:
        # in a session of its own: Ctrl-C is the run's, and what the tracker starts ends with it
        return subprocess.Popen(
            typed,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        print(f"warning: tracker {name} could not be started ({error}); the run goes on without it", file=sys.stderr)
        return None


def _ended(worker: subprocess.Popen[bytes]) -> int:
    """Wait for a worker, and end what it started and, where it takes too long, itself. Returns its code, or LATE."""
    late = False
    try:
        worker.wait(GRACE + 1)
    except subprocess.TimeoutExpired:
        late = True
    with suppress(OSError):
        os.killpg(worker.pid, signal.SIGKILL)
    code = worker.wait()
    return tracker_worker.LATE if late else code
