"""Processes that can be killed, at no cost: one of them loads torch, and all others are forks of it."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import TextIO

import torch

from burnish.cli.main import main
from burnish.testing import faults

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "burnish.cli.main",
        "burnish.methods.dpo",
        "burnish.methods.evaluate",
        "burnish.methods.generate",
        "burnish.methods.live",
        "burnish.methods.ppo",
        "burnish.methods.reject",
        "burnish.methods.reward",
        "burnish.methods.sft",
        "burnish.feedback.page.serving",
    ]
)


def as_started(folder: str, environment: Mapping[str, str]) -> None:
    """A fork has what its first process had when that was started: folder, environment, signals."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # as a shell starts what is in front; where pytest runs behind, Ctrl-C is ignored, by its children too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    faults.arm(environment.get(faults.VARIABLE, ""))  # which a process of its own reads once, when it starts


def _run(
    words: Sequence[str], folder: str, environment: Mapping[str, str], out: Connection, errors: Connection
) -> None:
    as_started(folder, environment)
    for number, pipe in ((1, out), (2, errors)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout, sys.stderr = open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115  until it ends
    sys.exit(main(words))


class Command:
    """`burnish WORDS`, run where the test is. `out` is what it prints; nobody types."""

    def __init__(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        (out, its_out), (errors, its_errors) = FORKS.Pipe(duplex=False), FORKS.Pipe(duplex=False)
        given = (words, os.getcwd(), dict(os.environ if environment is None else environment), its_out, its_errors)
        self.process = FORKS.Process(target=_run, args=given, daemon=True)
        self.process.start()
        for pipe in (its_out, its_errors):
            pipe.close()  # so that ours ends where the process does
        self.out, self._errors = _text(out), _text(errors)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def running(self) -> bool:
        return self.process.is_alive()

    @property
    def ended(self) -> bool:
        """Whether `end` or `kill` was called: nothing can be read of it any more."""
        return self.out.closed

    def signal(self, number: int) -> None:
        if self.running():
            os.kill(self.pid, number)

    def end(self, seconds: float = 60) -> tuple[int, str]:
        """Its exit code once it has ended, minus a signal that killed it, and what it wrote on stderr."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
        told = self._errors.read()
        self.kill()
        assert code is not None, f"it ran for more than {seconds:g} seconds, and said:\n{told}"
        return code, told

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.out.close()
        self._errors.close()


def _text(pipe: Connection) -> TextIO:
    file = os.fdopen(os.dup(pipe.fileno()), encoding="utf-8")
    pipe.close()
    return file
