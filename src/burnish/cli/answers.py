"""Answers on a terminal while they are written: one runs on like text, two stand side by side.

A model's text never drives the terminal: what could is shown escaped (`data.problems.for_terminal`).
"""

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from burnish.data.problems import for_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

NARROWEST = 60
"""Columns of a terminal below which two answers stand one below the other."""
_SECONDS_APART = 0.05  # faster than this nobody reads, and drawing a screen full of text takes milliseconds


class Shown(Protocol):
    """`update` with the texts so far, then `close` with the whole ones."""

    def update(self, texts: Sequence[str]) -> None: ...

    def close(self, texts: Sequence[str]) -> None: ...


def shown(out: TextIO, heads: Sequence[str]) -> Shown:
    """How answers are shown on `out`. `heads` stand over them; one answer alone has none."""
    if len(heads) == 1:
        return Running(out)
    if out.isatty():
        from rich.console import Console

        console = Console(file=out, markup=False, highlight=False)
        if not console.is_dumb_terminal and console.width >= NARROWEST:
            return Columns(console, heads)
    return Stacked(out, heads)


class Running:
    """One answer, written on as it grows."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.written = ""

    def update(self, texts: Sequence[str]) -> None:
        text = texts[0]
        # some tokenizers write the end of a text otherwise once it goes on: then it waits until it goes on as it began
        if len(text) > len(self.written) and text.startswith(self.written):
            print(for_terminal(text[len(self.written) :]), end="", file=self.out, flush=True)
            self.written = text

    def close(self, texts: Sequence[str]) -> None:
        if texts and not texts[0].startswith(self.written):
            print(f"\n{for_terminal(texts[0])}", file=self.out, flush=True)
            return
        self.update(texts or [self.written])
        if texts or self.written:
            print(file=self.out, flush=True)


class Stacked:
    """Answers one below the other, once they are whole: where they cannot stand side by side."""

    def __init__(self, out: TextIO, heads: Sequence[str]) -> None:
        self.out = out
        self.heads = heads

    def update(self, texts: Sequence[str]) -> None:
        pass

    def close(self, texts: Sequence[str]) -> None:
        for head, text in zip(self.heads, texts, strict=False):
            print(f"{head}\n{for_terminal(text)}\n", file=self.out, flush=True)


class Columns:
    """Answers side by side. While they grow their last lines are shown; in the end they stand there whole."""

    def __init__(self, console: "Console", heads: Sequence[str]) -> None:
        self.console = console
        self.heads = heads
        self.live: Live | None = None
        self.drawn = 0.0

    def update(self, texts: Sequence[str]) -> None:
        now = monotonic()
        if now - self.drawn < _SECONDS_APART:
            return
        self.drawn = now
        if self.live is None:
            from rich.live import Live

            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()
        self.live.update(self._table(texts, lines=max(1, self.console.height - 3)), refresh=True)

    def close(self, texts: Sequence[str]) -> None:
        if self.live is not None:
            self.live.stop()
        if texts:
            self.console.print(self._table(texts, lines=None))

    def _table(self, texts: Sequence[str], lines: int | None) -> "Table":
        from rich.table import Table

        gap = 3
        width = (self.console.width - gap * (len(self.heads) - 1)) // len(self.heads)
        table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False)
        for head in self.heads:
            table.add_column(head, width=width, header_style="bold", overflow="fold")
        table.add_row(*(self._cell(text, width, lines) for text in texts))
        return table

    def _cell(self, text: str, width: int, lines: int | None) -> Any:
        from rich.text import Text

        wrapped = Text(for_terminal(text)).wrap(self.console, width, overflow="fold")
        return Text("\n").join(wrapped if lines is None else wrapped[-lines:])
