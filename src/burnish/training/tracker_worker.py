"""What sends a run's figures to one tracker: a process of its own, which reads metrics.jsonl as it grows.

    python tracker_worker.py NAME FOLDER anew|resumed GRACE

The file is the queue: the run writes it in any case, waits for nobody, and keeps what could not be sent. Whatever a
tracker does (an error, a server that hangs, a signal handler, a thread that does not end) it does here. FOLDER is where
metrics.jsonl lies. Of this process stays `FOLDER/track/NAME.json`: the run's name there, the last step that was sent,
and what failed. A run that is resumed goes on after that step; one that begins anew has a new name and no points yet.

Nothing but the standard library and the tracker is imported. The end of stdin says that the run is over or dead; what
is not sent GRACE seconds later is not sent.
"""

import fcntl
import json
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

EVERY = 0.5  # seconds between two looks at the file
MOST_IN_A_ROW = 5  # failures; then nothing more is tried
LATE = 75  # what this ends with where not all is sent when GRACE is over
PAUSE = 0.2  # seconds after the first of these; twice as long after each


class Tracker(Protocol):
    def send(self, step: int, figures: Mapping[str, float]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Event files in `folder`; what an earlier process wrote there from step `sent` + 1 on counts no more."""

    def __init__(self, folder: Path, run: str, name: str, sent: int) -> None:
        sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # it would import it, for seconds, and use none
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=sent + 1 if sent else None)

    def send(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WandB:
    """Weights & Biases, with the key that the environment or `wandb login` has; figures alone are sent, no code, no
    settings, nothing of the machine. `WANDB_MODE=offline` writes into `folder` what `wandb sync` sends later."""

    def __init__(self, folder: Path, run: str, name: str, sent: int) -> None:
        import wandb

        quiet = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        project = os.environ.get("WANDB_PROJECT", "burnish")
        self.run = wandb.init(project=project, id=run, name=name, dir=str(folder), resume="allow", settings=quiet)

    def send(self, step: int, figures: Mapping[str, float]) -> None:
        self.run.log(dict(figures), step=step)

    def flush(self) -> None:
        pass  # it sends from a thread of its own

    def close(self) -> None:
        self.run.finish()


TRACKERS: Mapping[str, type[TensorBoard] | type[WandB]] = {"tensorboard": TensorBoard, "wandb": WandB}


class Sender:
    """One tracker, and how far it is: `sent` is the last step that it has."""

    def __init__(self, name: str, folder: Path, *, resumed: bool) -> None:
        self.name, self.folder = name, folder
        self.own = folder / "track" / name
        self.state = self.own.with_suffix(".json")
        self.known: dict[str, Any] = {
            "run": uuid.uuid4().hex[:16],
            "sent": -1,
            "failed": 0,
            "why": "",
            "gave_up": False,
        }
        self.in_a_row = 0
        self.tracker: Tracker | None = None
        self.own.mkdir(parents=True, exist_ok=True)
        self.lock = self.own.with_suffix(".lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)  # that of a run that was killed may still be sending
        if resumed:
            self.known |= self._before() | {"gave_up": False}
        else:
            shutil.rmtree(self.own)
            self.own.mkdir()
        self.keep()

    def _before(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.state.read_text(encoding="utf-8"))
            return found
        except (OSError, ValueError):
            return {}

    def keep(self) -> None:
        aside = self.state.with_suffix(".tmp")
        aside.write_text(json.dumps(self.known) + "\n", encoding="utf-8")
        aside.replace(self.state)

    def take(self, lines: list[str]) -> None:
        """Send these lines, but those that the tracker has."""
        new = [line for line in map(json.loads, lines) if line["step"] > self.known["sent"]]
        while new and not self.known["gave_up"]:
            try:
                self.tracker = self.tracker or self._opened()
                for line in new:
                    figures = {k: v for k, v in line.items() if k != "step" and isinstance(v, int | float)}
                    self.tracker.send(line["step"], figures)
                    self.known["sent"] = line["step"]
                self.tracker.flush()
                self.in_a_row, new = 0, []
            except Exception as error:  # whatever it is
                new = [line for line in new if line["step"] > self.known["sent"]]
                self.failed(error)
            self.keep()

    def _opened(self) -> Tracker:
        kind = TRACKERS[self.name]
        return kind(self.own, self.known["run"], "/".join(self.folder.resolve().parts[-2:]), self.known["sent"])

    def failed(self, error: Exception) -> None:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        self.known |= {"failed": self.known["failed"] + 1, "why": why}
        self.in_a_row += 1
        self.known["gave_up"] = self.in_a_row >= MOST_IN_A_ROW or isinstance(error, ImportError)
        if not self.known["gave_up"]:
            time.sleep(PAUSE * 2 ** (self.in_a_row - 1))

    def close(self) -> None:
        try:
            if self.tracker is not None:
                self.tracker.close()
        except Exception as error:  # whatever it is
            self.failed(error)
        self.keep()


def growing(file: Path, over: threading.Event) -> Iterator[list[str]]:
    """The whole lines that were added since the last look, until a look after `over` finds no more."""
    at = 0
    while True:
        last = over.is_set()
        with file.open("rb") as found:
            found.seek(at)
            added = found.read()
        whole = added[: added.rfind(b"\n") + 1]
        at += len(whole)
        if whole:
            yield whole.decode().splitlines()
        elif last:
            return
        over.wait(EVERY)


def main(name: str, folder: Path, grace: float, *, resumed: bool) -> None:
    os.nice(10)  # the run's own threads come first
    over = threading.Event()

    def end() -> None:
        sys.stdin.read()
        over.set()
        time.sleep(grace)
        os._exit(LATE)

    threading.Thread(target=end, daemon=True).start()
    sender = Sender(name, folder, resumed=resumed)
    for lines in growing(folder / "metrics.jsonl", over):
        sender.take(lines)
    sender.close()
    os._exit(0)  # whatever the tracker would still do at an exit


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[4]), resumed=sys.argv[3] == "resumed")
