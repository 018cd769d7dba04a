"""What the last bits of a result depend on besides settings and data, as a run writes it down and finds it later."""

import platform
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any

from burnish import processes

PACKAGES = ("burnish", "torch", "transformers", "tokenizers", "safetensors", "peft", "numpy")
_told: ContextVar[frozenset[str]] = ContextVar("_told", default=frozenset())


def versions() -> dict[str, str]:
    """Of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def machine() -> dict[str, Any]:
    import torch  # a plan of a run, which asks for versions alone, does not wait for it

    return {"versions": versions(), "threads": torch.get_num_threads(), "processes": processes.started()}


def machine_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each thing that both know and that is no longer what it was."""
    before, after = ({**one, **one.get("versions", {})} for one in (then, now))
    return [
        f"{name}: {before[name]} then, {value} now"
        for name, value in after.items()
        if name != "versions" and before.get(name, value) != value
    ]


def warning(change: str) -> str:
    """What is said of a change to whoever goes on all the same."""
    return f"warning: {change}; what is still to come may differ in its last bits from an unbroken run"


@contextmanager
def changes_told(changes: Collection[str]) -> Iterator[None]:
    """Within, these are known already: a stage does not say again what its recipe's run has said."""
    token = _told.set(_told.get() | frozenset(changes))
    try:
        yield
    finally:
        _told.reset(token)


def still_to_tell(changes: Collection[str]) -> list[str]:
    """Those that nobody has said yet."""
    return [change for change in changes if change not in _told.get()]
