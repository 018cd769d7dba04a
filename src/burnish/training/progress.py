"""Who watches a run: the loop tells each step, whoever runs it decides what is shown."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Watch = Callable[[int, int, Mapping[str, float]], None]
"""Called with the steps that are done, how many there are, and the last step's figures."""
_watch: ContextVar[Watch | None] = ContextVar("_watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Within, `watch` is told every step."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def tell(done: int, steps: int, figures: Mapping[str, float]) -> None:
    """Tell whoever watches, if anybody does."""
    watch = _watch.get()
    if watch is not None:
        watch(done, steps, figures)
