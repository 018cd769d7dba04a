"""Run a chat template in a process of its own and get the text that it prints.

The process is started on first use, one for each process of ours, and used for all templates. See render_worker.py
for what it may not do.
"""

import atexit
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from burnish.errors import BurnishError, ConfigError, DataError

OUTPUT_LIMIT = 1 << 20  # characters, beyond four times what the messages hold
WAIT_SECONDS = 60.0  # by the clock; the worker's own limit counts processor time and is far below


class RefusedError(DataError):
    """The template does not take these messages: other rows may be fine."""


class _Worker:
    """One child process, the templates that it has been sent, and a thread that reads its replies."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("render_worker.py")
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT", "LANG") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
        )
        self.owner = os.getpid()
        self.known: set[str] = set()
        self.replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        output = self.process.stdout
        if output is not None:
            with contextlib.suppress(ValueError):  # closed under our hands while we wait for a line
                for line in output:
                    self.replies.put(line)
        self.replies.put(b"")

    def ask(self, request: bytes) -> bytes:
        """The reply's line, or b"" where the process has died or does not answer in time."""
        if self.process.stdin is None:
            return b""
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
            return self.replies.get(timeout=WAIT_SECONDS)
        except (OSError, ValueError, queue.Empty):
            return b""

    def close(self) -> None:
        if self.owner != os.getpid():  # a forked child must not end its parent's worker
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


_lock = threading.Lock()
_current: list[_Worker] = []


def _worker() -> _Worker:
    if _current and (_current[0].owner != os.getpid() or _current[0].process.poll() is not None):
        _current.pop().close()
    if not _current:
        _current.append(_Worker())
    return _current[0]


def _stop() -> None:
    while _current:
        _current.pop().close()


atexit.register(_stop)


def _problem(kind: str, message: str, name: str) -> BurnishError:
    if kind == "refused":
        return RefusedError(f"template {name} refuses this conversation: {message}")
    if kind == "failed":
        return RefusedError(f"template {name} fails on this conversation: {message}")
    if kind == "size":
        return RefusedError(f"template {name} prints too much: {message}")
    if kind == "security":
        return ConfigError(
            f"template {name} reaches for what templates may not have: {message}; it was not run further"
        )
    return ConfigError(f"template {name} cannot be read as Jinja: {message}")


def render(template: str, values: Mapping[str, Any], *, key: str, name: str, size: int) -> str:
    """The text that `template` prints for `values`. `size` is how many characters the messages hold.

    Raises RefusedError where the template does not take these values, ConfigError where it is itself at fault.
    """
    request: dict[str, Any] = {"key": key, "values": values, "limit": OUTPUT_LIMIT + 4 * size}
    with _lock:
        worker = _worker()
        if key not in worker.known:
            request["template"] = template
        line = worker.ask(json.dumps(request).encode() + b"\n")
        if line:
            worker.known.add(key)
        else:
            _stop()
    if not line:
        raise ConfigError(
            f"template {name} used more than 2 s of processor time, or too much memory, on one conversation; "
            "it was stopped. Choose another with `template: NAME`"
        )
    answer = json.loads(line)
    if "text" in answer:
        return str(answer["text"])
    raise _problem(answer["problem"], answer["message"], name)
