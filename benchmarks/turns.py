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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "PYTHONWARNINGS": "ignore",
}


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

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: dict[str, str], python: str = sys.executable
    ) -> None:
        self.name, self.log = name, log
        ours, theirs = os.pipe(), os.pipe()  # read end, write end
        self._go, self._answers = os.fdopen(ours[1], "w"), os.fdopen(theirs[0])
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                [python, *command],
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


@contextmanager
def worker(
    name: str, command: list[str], folder: Path, environment: dict[str, str], python: str = sys.executable
) -> Iterator[Worker]:
    process = Worker(name, [str(HERE / command[0]), *command[1:]], folder / f"{name}.log", environment, python)
    try:
        yield process
    finally:
        process.stop()


def alternate(
    row: str, count: int, theirs: Worker, own: Worker, product: Worker
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[float]]:
    """What each side tells of `count` turns, and the rate of the product beside each. `own` begins every other time."""
    told: dict[str, list[dict[str, Any]]] = {theirs.name: [], own.name: []}
    rates: list[float] = []
    for i in range(count):
        for side in (theirs, own) if i % 2 else (own, theirs):
            told[side.name].append(side.turn())
            rates.append(product.turn()["rate"])
        last = {name: turns[-1] for name, turns in told.items()}
        note(f"{row}: {i + 1} of {count}: " + ", ".join(f"{name} {_said(turn)}" for name, turn in last.items()))
    return told[theirs.name], told[own.name], rates


def _said(turn: dict[str, Any]) -> str:
    parts = [f"{turn['seconds']:.2f} s"]
    parts += [f"{name} {turn[name]:.5g}" for name in ("loss", "value_loss", "grad_norm", "sampling") if name in turn]
    return ", ".join(parts)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def peak_gb() -> float:
    """The most memory that this process has had at any time."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
