"""Processes that take turns: each waits for `go`, works, and tells in one line of JSON how long it took.

Only one works at a time, so two trainers share a machine without sharing a moment, and its moods (heat, neighbours)
fall on both alike. Nothing is imported here but the standard library: the process that leads must stay small, since a
child's peak memory counts from what its parent had when the child was made.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Turns:
    """A worker's side. `next()` ends the turn that runs, with what it has to tell, and waits for the one to come."""

    def __init__(self) -> None:
        self._told = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print is no answer
        self._began: float | None = None

    def next(self, **figures: Any) -> None:
        """Returns when it is this process's turn; ends the process when there is no more to do."""
        if self._began is None:
            self._tell({"ready": True})
        else:
            seconds = time.perf_counter() - self._began
            self._tell({"seconds": seconds, "peak_gb": peak_gb(), **figures})
        if sys.stdin.readline().strip() != "go":
            os._exit(0)  # not an exception: a trainer might catch it, or save what it has
        self._began = time.perf_counter()

    def _tell(self, figures: dict[str, Any]) -> None:
        print(json.dumps(figures), file=self._told, flush=True)


class Worker:
    """The leader's side: a process that waits for its turns."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.name, self.log = name, log
        ours, theirs = os.pipe(), os.pipe()  # read end, write end
        self._go, self._answers = os.fdopen(ours[1], "w"), os.fdopen(theirs[0])
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                stdin=ours[0],
                stdout=theirs[1],
                stderr=errors,
                env=os.environ | environment,
            )
        os.close(ours[0])
        os.close(theirs[1])

    def ready(self) -> dict[str, Any]:
        return self._answer()

    def turn(self) -> dict[str, Any]:
        """Let it work once, and wait until it has."""
        print("go", file=self._go, flush=True)
        return self._answer()

    def stop(self) -> None:
        self._go.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            tail = "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[-30:])
            raise SystemExit(f"{self.name} ended with {self._process.wait()}:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def peak_gb() -> float:
    """The most memory that this process has had at any time."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
