"""What a person sees of a run's steps on stderr: a bar or a table on a terminal, else a line now and then."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from burnish.cli.iterations import Iterations, clock, is_iteration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_APART = 10.0


@contextmanager
def shown_steps() -> Iterator[None]:
    """Within, every step of training is shown."""
    from burnish.training.progress import watched

    steps = Screen() if sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") else Lines()
    try:
        with watched(steps):
            yield
    finally:
        steps.close()


class Lines:
    """For a log: the first step, one every ten seconds, and the last, with the time that is left."""

    def __init__(self) -> None:
        self.began = self.last = 0.0
        self.first = 0

    def __call__(self, done: int, steps: int, figures: Mapping[str, float], _: int = 0) -> None:
        if not done:
            return
        now = time.monotonic()
        starts = not self.began or done <= self.first
        if starts:
            self.began, self.first = now, done
        if starts or done == steps or now - self.last >= SECONDS_APART:
            self.last = now
            rate = (done - self.first) / (now - self.began) if now > self.began else 0.0
            left = f", {clock((steps - done) / rate)} left" if rate and done < steps else ""
            print(f"  step {done} of {steps}{loss(figures)}{left}", file=sys.stderr, flush=True)
        if done == steps:
            self.began = 0.0

    def close(self) -> None:
        pass


class Screen:
    """For a terminal: a table of iterations for a method that samples, a bar for all others."""

    def __init__(self) -> None:
        self.bar, self.iterations = Bar(), Iterations()

    def __call__(self, done: int, steps: int, figures: Mapping[str, float], next_evaluation: int = 0) -> None:
        if is_iteration(figures):
            self.iterations(done, steps, figures, next_evaluation)
        elif done:
            self.bar(done, steps, figures)

    def close(self) -> None:
        self.bar.close()
        self.iterations.close()


class Bar:
    """A bar with rate, time left and loss, which stays where it ended."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.task: TaskID | None = None

    def __call__(self, done: int, steps: int, figures: Mapping[str, float]) -> None:
        if self.progress is None or self.task is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = ("  ", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
            self.progress = Progress(*columns, console=Console(stderr=True))
            self.progress.start()
            self.task = self.progress.add_task("", total=steps, completed=done - 1)
        self.progress.update(self.task, completed=done, description=loss(figures).removeprefix(", "))
        if done == steps:
            self.close()

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
        self.progress = self.task = None


def loss(figures: Mapping[str, float]) -> str:
    """`, loss 3.06`, or the reward where a method climbs one."""
    name = next((name for name in ("reward", "loss") if name in figures), "")
    return f", {name} {figures[name]:.4g}" if name else ""
