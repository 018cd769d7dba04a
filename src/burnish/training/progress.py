"""Who watches a run: the loop tells each step, whoever runs it decides what is shown."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Watch = Callable[[int, int, Mapping[str, float], int], None]
"""Called with the steps that are done, how many there are, the last step's figures, and the step after which held-out
rows are measured next, 0 where they are not. Figures of step 0 are of held-out rows before the first step."""
_watch: ContextVar[Watch | None] = ContextVar("_watch", default=None)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Within, `watch` is told every step."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def tell(done: int, steps: int, figures: Mapping[str, float], next_evaluation: int = 0) -> None:
    """Tell whoever watches, if anybody does."""
    watch = _watch.get()
    if watch is not None:
        watch(done, steps, figures, next_evaluation)
