"""SIGTERM and SIGINT as a wish to stop, SIGUSR1 as one to save: met where nothing is lost by it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class StopAskedError(Exception):
    """Raised by a signal that came within `Wish.at_once`."""


class Wish:
    """Signals asked for so far. A second SIGINT leaves at once, wherever it comes."""

    def __init__(self, told: str = "") -> None:
        self.asked: list[int] = []
        self._told = told
        self._save = False
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

    def to_save(self) -> bool:
        """Whether SIGUSR1 came since this was last asked."""
        came, self._save = self._save, False
        return came

    def note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self._save = True
            return
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked.append(number)
        if not self._waits:
            raise StopAskedError
        if self._told and number == signal.SIGINT:
            with suppress(RuntimeError):  # the signal came amid another line, and Python does not mix the two
                print(self._told, file=sys.stderr, flush=True)


@contextmanager
def signals(told: str = "") -> Iterator[Wish]:
    """Within, SIGTERM, SIGINT and SIGUSR1 are noted; what stops or saves for them is the caller's to say.

    `told` is said once a first SIGINT came that is not met at once.
    """
    wish = Wish(told)
    try:
        before = {s: signal.signal(s, wish.note) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    except ValueError:  # not in the main thread, where Python takes no handlers: the caller's own stay
        yield wish
        return
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def outlived(number: int) -> Iterator[None]:
    """Within, this signal ends nothing: where nothing waits for it there is nothing to do for it.

    A handler and not SIG_IGN, which processes that are started from here would inherit.
    """
    try:
        before = signal.signal(number, lambda *_: None)
    except ValueError:  # as above
        yield
        return
    try:
        yield
    finally:
        signal.signal(number, before)
