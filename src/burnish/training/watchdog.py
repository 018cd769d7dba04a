"""A run that hangs ends, and says where: a step that is ten times as long as usual, and longer than ten minutes.

A reward function that never returns, a network drive that is gone, a GPU that does not answer: nobody would notice
until the job's time is over. The stacks of all threads go to stderr and to `hang.txt`, and a command ends with 70; who
called a function goes on waiting, in a process that is theirs to end. A command ends also where neither can be written:
the drive that a step waits for may be the one that `hang.txt` lies on. Only steps are watched, once three are done: a
first step may compile, and evaluations differ. Of several processes each watches itself; one that waits in vain for
another for too long keeps where in the same file, and its error says the rest.
"""

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Self

from burnish import processes
from burnish.errors import BurnishError, RankFailed

FILE = "hang.txt"
TELLING = 10.0  # seconds that a message may take before the process ends without it
KNOWN = 3  # steps after which what is usual is known
_ending: ContextVar[bool] = ContextVar("_ending", default=False)
_file: ContextVar[Path | None] = ContextVar("_file", default=None)


@contextmanager
def ending_hangs(file: Path | None = None) -> Iterator[None]:
    """Within, a step that hangs ends the process. `file`: where that is told instead of in the folder's hang.txt."""
    tokens = _ending.set(True), _file.set(file)
    try:
        yield
    finally:
        _ending.reset(tokens[0])
        _file.reset(tokens[1])


@dataclass(slots=True)
class _UnderWay:
    number: int
    waited: float = 0.0


class Watchdog:
    """Watches within its `with`. A step may take `least` seconds, and `times` the median of those before it."""

    def __init__(
        self, folder: Path, *, least: float = 600.0, times: float = 10.0, tick: float = 1.0, telling: float = TELLING
    ) -> None:
        self._file = _file.get() or folder / FILE
        self._least, self._times, self._tick, self._telling = least, times, tick, telling
        self._seconds: deque[float] = deque(maxlen=100)
        self._step: _UnderWay | None = None
        self._ends = _ending.get()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._over.set()
        self._thread.join()
        if isinstance(error, RankFailed) and error.silent:
            self._keep("".join(traceback.format_exception(error)))  # what is said of it is the error's own message

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Within, step `number` is under way."""
        began = time.monotonic()
        self._step = _UnderWay(number)
        try:
            yield
        finally:
            self._step = None
        self._seconds.append(time.monotonic() - began)

    def _watch(self) -> None:
        """Count time by its own ticks: while the whole process is stopped (Ctrl-Z, a laptop's lid) there are none."""
        while not self._over.wait(self._tick):
            step = self._step
            if step is None or len(self._seconds) < KNOWN:
                continue
            step.waited += self._tick
            usual = median(self._seconds)
            if step.waited > max(self._least, self._times * usual):
                if not self._ends:
                    self._tell(step, usual)
                    return
                end = threading.Timer(self._telling, os._exit, (BurnishError.exit_code,))
                end.daemon = True
                end.start()
                try:
                    self._tell(step, usual)
                finally:
                    os._exit(BurnishError.exit_code)

    def _tell(self, step: _UnderWay, usual: float) -> None:
        told = (
            f"step {step.number} has taken {step.waited:.0f} s, and the steps before it {usual:.1f} s each: it hangs. "
            f"Where is below, and in {self._file}. Run the same command again to go on from the last save."
        )
        self._write(told + "\n" + _stacks())

    def _write(self, told: str) -> None:
        stream = sys.stderr if processes.leads() else sys.__stderr__  # the others' is closed to all but errors
        with suppress(OSError, ValueError):  # ValueError: stderr was closed
            print(f"error{processes.of_rank()}: {told}", file=stream, flush=True)
        self._keep(told)

    def _keep(self, told: str) -> None:
        with suppress(OSError):
            self._file.write_text(told, encoding="utf-8")


def _stacks() -> str:
    """Where each thread is. Through a file of the machine's own: faulthandler lets no other thread run while it writes,
    so on a drive or into a pipe that does not answer it would keep the process from ending."""
    try:
        with TemporaryFile() as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            return file.read().decode("utf-8", "replace")
    except OSError as error:
        return f"the stacks cannot be told: {error}\n"
