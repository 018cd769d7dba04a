"""Stages of people, each in a process and at a terminal of its own, which can be killed; and who sits there."""

import os
import pty
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from feedback.served import Visitor, signed_in
from forks import FORKS

from burnish.cli.main import main
from burnish.methods.evaluate import EvaluateConfig, evaluate
from burnish.methods.reject import reject
from burnish.methods.reject_settings import RejectConfig
from burnish.rollout.settings import Sampling
from burnish.types import Group

PROMPTS = [Group(f"{i} is ", origin=f"prompts:{i + 1}") for i in range(6)]
SHORT: dict[str, Any] = {"max_length": 32, "sampling": Sampling(max_new_tokens=6), "annotators": ("ann",)}

Stage = Callable[[Path, Path], Any]


def picking(model: Path, out: Path) -> Any:
    config = RejectConfig(samples=3, epochs=3, batch_size=1, save_every=1, **SHORT)
    return reject(model, PROMPTS, config, by="people", out=out)


def comparing(model: Path, out: Path) -> Any:
    models = {"first": model, "other": model.parent / "other"}
    return evaluate(models, PROMPTS, EvaluateConfig(**SHORT), by="people", out=out)


def running_recipe(recipe: Path, out: Path) -> Any:
    sys.exit(main(["run", str(recipe), "--out", str(out)]))


def _at(terminal: str, stage: Stage, model: Path, out: Path) -> None:
    for number in (0, 1, 2):
        os.dup2(os.open(terminal, os.O_RDWR), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    torch.set_num_threads(1)
    stage(model, out)


class AtTerminal:
    """A stage that runs, and all that it has told."""

    def __init__(self, stage: Stage, model: Path, out: Path) -> None:
        self.told = ""
        self._ours, self._theirs = pty.openpty()
        self.process = FORKS.Process(target=_at, args=(os.ttyname(self._theirs), stage, model, out), daemon=True)
        self.process.start()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while said := os.read(self._ours, 4096):
                self.told += said.decode(errors="replace")
        except OSError:  # nobody has the other end any more
            pass

    def visitor(self) -> Visitor:
        """Who opens the link that was told."""
        self.wait(lambda: "loses nothing" in self.told)
        found = re.search(r"ann \w+s at (\S+)", self.told)
        assert found is not None, self.told
        return signed_in(found[1])

    def wait(self, there: Callable[[], bool], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not there():
            assert self.process.is_alive() or there(), f"it ended with {self.process.exitcode}:\n{self.told}"
            assert time.monotonic() < until, self.told
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.kill()
        assert self.ended_with() == -9, f"it ended before it could be killed:\n{self.told}"

    def end(self) -> None:
        assert self.ended_with() == 0, self.told

    def ended_with(self) -> int | None:
        self.process.join(60)
        os.close(self._theirs)
        self._reader.join(10)
        os.close(self._ours)
        return self.process.exitcode


def decide(visitor: Visitor, order: Callable[[int], list[list[str]]], mode: str) -> dict[str, Any]:
    """Decide the next item: what was shown as saved, with the answers as they were shown."""
    item = visitor.next()
    sent = {"assignment": item["id"], "key": str(uuid.uuid4()), "order": order(len(item["answers"])), "mode": mode}
    status, body, _ = visitor.post("/api/submit", sent)
    assert status == 200, body
    return {"answers": item["answers"], "prompt": item["prompt"][0]["text"], "order": sent["order"]}
