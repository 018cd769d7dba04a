"""What a person sees of a method that samples, in a terminal: a table that grows by a line an iteration.

    step  reward    KL  judge  length  ended  entropy  clipped  critic  seconds

The last iterations stay on the screen, below them the last evaluation and the time that is left; what is written on
stderr meanwhile (a warning, say) stands above. Where the terminal is narrow, columns go, those at the end of `COLUMNS`
first.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

KEPT = 8  # iterations, fewer where the terminal is low
AROUND = 5  # lines of it that are none of these: headings, evaluation, time left, and two that the shell has


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of metrics.jsonl under its heading; `place` is where it stands, `width` what its numbers need."""

    key: str
    heading: str
    place: int
    width: int
    written: Callable[[float], str]


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"


def _short(value: float) -> str:
    return f"{value:.3g}"


COLUMNS = (
    Column("step", "step", 0, 6, lambda value: f"{value:.0f}"),
    Column("reward", "reward", 1, 9, _short),
    Column("kl_k1", "KL", 2, 7, lambda value: f"{value:.3f}"),
    Column("heldout_judge", "judge", 3, 9, _short),
    Column("seconds", "seconds", 9, 7, _short),
    Column("answer_length", "length", 4, 6, lambda value: f"{value:.1f}"),
    Column("ended", "ended", 5, 5, _percent),
    Column("entropy", "entropy", 6, 7, lambda value: f"{value:.2f}"),
    Column("clip_fraction", "clipped", 7, 7, lambda value: f"{100 * value:.1f}%"),
    Column("explained_variance", "critic", 8, 6, lambda value: f"{value:.2f}"),
)
"""The first ones matter most."""


def is_iteration(figures: Mapping[str, float]) -> bool:
    """Whether these are of a method that samples: they have a KL, or answers to held-out prompts."""
    return "kl_k1" in figures or "heldout_reward" in figures


class Iterations:
    """The table, told every step until the last one; `close` leaves it as it stands."""

    def __init__(self) -> None:
        self.console: Console
        self.rows: list[Mapping[str, float]] = []
        self.evaluation: Mapping[str, float] = {}
        self.done = self.steps = self.next_evaluation = 0
        self.first, self.began, self.told = 0, 0.0, 0.0
        self.live: Live | None = None

    def __call__(self, done: int, steps: int, figures: Mapping[str, float], next_evaluation: int) -> None:
        self.told = time.monotonic()
        if self.live is None:
            self.first, self.began = done, self.told
            self._open()
        self.done, self.steps, self.next_evaluation = done, steps, next_evaluation
        self.rows = [*self.rows, {"step": done, **figures}][-KEPT:]  # anew: another thread may be drawing the old ones
        if "heldout_reward" in figures:
            self.evaluation = {"step": done, **figures}
        if self.live is not None:
            self.live.refresh()
        if done == steps:
            self.close()

    def _open(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(stderr=True)
        # every second, so that one sees that an iteration which takes minutes goes on
        self.live = Live(console=self.console, get_renderable=self.shown, refresh_per_second=1, redirect_stdout=False)
        self.live.start()

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()
        self.live = None
        self.rows = []
        self.evaluation = {}

    # ---- what stands there

    def shown(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        below = [line for line in (self.evaluated(), self.progress()) if line]
        return Group(self._table(), *(Text(line, no_wrap=True, overflow="ellipsis") for line in below))

    def _table(self) -> "RenderableType":
        from rich.table import Table

        columns = self.columns()
        table = Table(box=None, padding=(0, 0, 0, 1), pad_edge=True, header_style="bold")
        for column in columns:
            table.add_column(column.heading, justify="right", min_width=column.width, no_wrap=True)
        for row in self.rows[-max(1, self.console.height - AROUND) :]:
            style = "bold red" if row.get("heldout_parted") else None
            told = (column.written(row[column.key]) if column.key in row else "" for column in columns)
            table.add_row(*told, style=style)
        return table

    def columns(self) -> list[Column]:
        """Those that some iteration has a figure for, as many as the terminal is wide, in the order of their places."""
        kept: list[Column] = []
        used = 0
        for column in COLUMNS:
            if any(column.key in row for row in (*self.rows, self.evaluation)):
                used += column.width + 1
                if used <= self.console.width or not kept:
                    kept.append(column)
        return sorted(kept, key=lambda column: column.place)

    def evaluated(self) -> str:
        """The last evaluation; empty where nothing is held out."""
        found = self.evaluation
        if not found:
            return ""
        told = [f"reward {_short(found['heldout_reward'])}"]
        told += [f"judge {_short(found['heldout_judge'])}"] if "heldout_judge" in found else []
        told += [f"KL {_short(found['heldout_kl'])} ± {_short(found['heldout_kl_se'])}"]
        told += ["PARTED"] if found.get("heldout_parted") else []
        return f"held-out after step {found['step']:.0f}: {', '.join(told)}"

    def progress(self) -> str:
        """`step 12 of 60, evaluation in 8, 0:41 in the next, 33:10 left`."""
        told = f"step {self.done} of {self.steps}"
        if self.next_evaluation:
            told += f", evaluation in {self.next_evaluation - self.done}"
        if self.done == self.steps:
            return told
        now = time.monotonic() - self.told
        told += f", {clock(now)} in the next"
        if self.done == self.first:
            return told
        each = (self.told - self.began) / (self.done - self.first)
        return f"{told}, {clock(max(0.0, (self.steps - self.done) * each - now))} left"


def clock(seconds: float) -> str:
    """`1:05:09`, or `5:09` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
