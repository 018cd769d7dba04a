"""How much is fuzzed: a sample in every run of the tests, BURNISH_FUZZ times as much in `make test-fuzz`.

Examples come from fixed seeds, so what fails fails again. Each is bounded, in time by an alarm and in memory by how
much the process has grown when it is over.
"""

import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("BURNISH_FUZZ", "1"))
SECONDS = 10
MEGABYTES = 256
NOT_OURS = (  # what is slow or large is told by `bounded`, with its example
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
)


@dataclass
class Tried:
    """What was tried so far: examples by what they are, and the worst of them."""

    examples: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    megabytes: float = 0.0

    def lines(self) -> list[str]:
        told = [f"{count:>7,} {what}" for what, count in sorted(self.examples.items())]
        worst = (
            f"the slowest took {self.seconds:.2f} s, and none let the process grow by more than {self.megabytes:.0f} MB"
        )
        return [*told, f"{self.examples.total():>7,} in all; {worst}"]


TRIED = Tried()


def fuzzed(examples: int) -> settings:
    """Settings for a test of so many examples, or BURNISH_FUZZ times as many."""
    return settings(
        max_examples=examples * TIMES, deadline=None, derandomize=True, database=None, suppress_health_check=NOT_OURS
    )


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Within, one example of `what`: it may not hang, nor take memory without bound."""

    def hung(*_: object) -> None:
        raise AssertionError(f"it took more than {SECONDS} s")

    before, began = _most_memory(), time.perf_counter()
    handler = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        grown = _most_memory() - before
        TRIED.examples[what] += 1
        TRIED.seconds = max(TRIED.seconds, time.perf_counter() - began)
        TRIED.megabytes = max(TRIED.megabytes, grown)
    assert grown < MEGABYTES, f"the process grew by {grown:.0f} MB"


def _most_memory() -> float:
    """The most memory that this process ever held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


Edit = tuple[float, str, bytes]
edits = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["put", "cut", "over"]), st.binary(min_size=1, max_size=8)),
    min_size=1,
    max_size=4,
)
"""Damage to a file: where, as a share of it, and what is put in, cut out or written over."""


def damaged(data: bytes, harm: list[Edit]) -> bytes:
    for share, kind, piece in harm:
        at = int(share * len(data))
        rest = data[at:] if kind == "put" else data[at + len(piece) :]
        data = data[:at] + (b"" if kind == "cut" else piece) + rest
    return data
