"""Markdown of models, formatted outside of the server's process, one text at a time and within a bound.

In a thread of the server a slow text would hold the interpreter's lock, and everybody's submit with it. What is not
done in time is shown plain.
"""

import atexit
import json
import threading
from pathlib import Path

from burnish.data.worker import Worker
from burnish.feedback.page.shown import LONGEST_FORMATTED, Tree

SECONDS = 2.0  # of processor time; the worst text of LONGEST_FORMATTED characters that we know takes half of one
WAIT_SECONDS = 10.0  # by the clock
MOST_WAITING = 8  # requests; each holds one of the server's 40 threads, and the others are for submits

_lock = threading.Lock()
_waiting = threading.BoundedSemaphore(MOST_WAITING)
_current: list[Worker] = []


def formatted(text: str, *, seconds: float = SECONDS) -> Tree | None:
    """`markdown(text)`; None where it is too long, takes too long, or too many wait for theirs."""
    if len(text) > LONGEST_FORMATTED or not _waiting.acquire(blocking=False):
        return None
    try:
        request = json.dumps({"text": text, "seconds": seconds}).encode() + b"\n"
        with _lock:
            line = _worker().ask(request, WAIT_SECONDS)
            if not line:
                _stop()
    finally:
        _waiting.release()
    tree: Tree | None = json.loads(line) if line else None
    return tree


def _worker() -> Worker:
    if _current and not _current[0].usable:
        _stop()
    if not _current:
        _current.append(Worker(Path(__file__).with_name("format_worker.py")))
    return _current[0]


def _stop() -> None:
    while _current:
        _current.pop().close()


atexit.register(_stop)
