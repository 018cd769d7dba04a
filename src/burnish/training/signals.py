"""SIGTERM and SIGINT as a wish to stop, which is met where nothing is lost by it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopAskedError(Exception):
    """Raised by a signal that came within `Wish.at_once`."""


class Wish:
    """Signals asked for so far. A second SIGINT leaves at once, wherever it comes."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._waits = True

    def __bool__(self) -> bool:
        return bool(self.asked)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, nothing is written that could be left half done: a signal, or one that came before, raises
        StopAskedError."""
        self._waits = False
        try:
            if self.asked:
                raise StopAskedError
            yield
        finally:
            self._waits = True

    def note(self, number: int, _: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked.append(number)
        if not self._waits:
            raise StopAskedError


@contextmanager
def signals() -> Iterator[Wish]:
    """Within, SIGTERM and SIGINT are noted; what stops for them is the caller's to say."""
    wish = Wish()
    try:
        before = {s: signal.signal(s, wish.note) for s in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread, where Python takes no handlers: the caller's own stay
        yield wish
        return
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
