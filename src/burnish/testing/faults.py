"""Faults on purpose, at named points of a run: how it is learned what survives them.

    BURNISH_FAULT=ACTION@POINT[:NUMBER], several with commas between them

    kill@step.end:7                  SIGKILL once step 7 is recorded
    raise:OSError:28@ckpt.write:2    the disk is full at the second file of a checkpoint
    sleep:0.5@ckpt.before_rename     time in which somebody else can send a signal
    nan@loss:5                       step 5's losses are not a number
    truncate:100@ckpt.after_rename   the checkpoint's largest file loses its last 100 bytes
    exit:1@stage.before_done         the process ends with 1, without cleaning up

Without the variable a point is a call that looks at one name: 0.1 µs, by
`python -m timeit -p -s "from burnish.testing.faults import reach" "reach('loss', 1)"`, and a step has a handful.
"""

import builtins
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import UsageError

VARIABLE = "BURNISH_FAULT"
POINTS = {
    "loss": "step N has computed the loss of a micro-batch",
    "gradients.sum": "step N has the gradient of this process's share, of several, and they are about to be summed",
    "step.after_backward": "step N has its whole gradient, and the weights have not changed",
    "step.end": "step N is in metrics.jsonl, and not yet in a checkpoint",
    "ckpt.write": "the checkpoint's Nth file is written and not yet synced",
    "ckpt.before_rename": "all files of a checkpoint are on the disk under the folder's temporary name",
    "ckpt.after_rename": "the checkpoint has its name, and nothing older is pruned",
    "ckpt.prune": "an old checkpoint has lost its name and is not yet deleted",
    "ckpt.read": "a checkpoint is about to be verified",
    "chunk.write": "the sampler's Nth chunk of answers is on the disk, and nothing says yet that it counts",
    "stage.before_done": "a stage has computed everything, and DONE.json is not written",
}
"""Each point, and what is true when it is reached. N counts from 1."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at a point; without a `number`, each time that it is reached."""

    point: str
    number: int | None
    action: str
    value: str


def arm(text: str) -> None:
    """From now on have these faults, and no others; an empty text has none.

    Raises UsageError for a fault that cannot be had.
    """
    global _faults
    _faults = tuple(_fault(one.strip()) for one in text.split(",") if one.strip())


def reach(point: str, number: int | None = None, *, file: Path | None = None) -> bool:
    """Have what is armed at this point. Returns whether what was computed there is to be not a number.

    `file` is what `truncate` shortens; of a folder, its largest file.
    """
    if not _faults:
        return False
    met = [fault for fault in _faults if fault.point == point and fault.number in (None, number)]
    for fault in met:
        _ACTIONS[fault.action](fault.value, file)
    return any(fault.action == "nan" for fault in met)


def _fault(text: str) -> Fault:
    what, at, where = text.partition("@")
    action, _, value = what.partition(":")
    point, _, number = where.partition(":")
    if not at or action not in _ACTIONS or point not in POINTS or not (number.isdecimal() or not number):
        raise UsageError(
            f"{VARIABLE}: {text!r} is no fault; wanted is ACTION@POINT or ACTION@POINT:NUMBER, such as "
            f"kill@step.end:7. Actions: {', '.join(_ACTIONS)}. Points: {', '.join(POINTS)}."
        )
    if not _VALUES[action](value):
        raise UsageError(f"{VARIABLE}: {text!r}: {action} cannot take {value!r}; see burnish.testing.faults")
    return Fault(point, int(number) if number else None, action, value)


def _kill(_: str, __: Path | None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # a signal to oneself may come a moment later


def _raise(value: str, _: Path | None) -> None:
    name, code = value.partition(":")[::2]
    kind = getattr(builtins, name)
    raise kind(int(code), os.strerror(int(code))) if code else kind("on purpose")


def _truncate(value: str, file: Path | None) -> None:
    if file is not None and file.is_dir():
        file = max((one for one in file.iterdir() if one.is_file()), key=lambda one: one.stat().st_size)
    if file is None:
        raise UsageError(f"{VARIABLE}: truncate: there is no file at this point")
    os.truncate(file, max(0, file.stat().st_size - int(value)))


_ACTIONS: dict[str, Callable[[str, Path | None], None]] = {
    "kill": _kill,
    "raise": _raise,
    "sleep": lambda value, _: time.sleep(float(value)),
    "nan": lambda _, __: None,
    "truncate": _truncate,
    "exit": lambda value, _: os._exit(int(value)),
}


def _is_exception(value: str) -> bool:
    name, colon, code = value.partition(":")
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException) and (code.isdecimal() or not colon)


def _is_seconds(value: str) -> bool:
    try:
        return 0 <= float(value) < math.inf
    except ValueError:
        return False


_VALUES: dict[str, Callable[[str], bool]] = {
    "kill": lambda value: not value,
    "raise": _is_exception,
    "sleep": _is_seconds,
    "nan": lambda value: not value,
    "truncate": str.isdecimal,
    "exit": str.isdecimal,
}

_faults: tuple[Fault, ...] = ()
arm(os.environ.get(VARIABLE, ""))
