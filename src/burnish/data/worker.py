"""A child process that answers one line of JSON with one line of JSON, for work that is not to be trusted with ours.

Whoever asks bounds the time by the clock; the script bounds its own processor time, and its death is an empty reply.
"""

import contextlib
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path


class Worker:
    """One child process that runs `script`, and a thread that reads its replies."""

    def __init__(self, script: Path) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT", "LANG") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
        )
        self.owner = os.getpid()
        self.replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        output = self.process.stdout
        if output is not None:
            with contextlib.suppress(ValueError):  # closed under our hands while we wait for a line
                for line in output:
                    self.replies.put(line)
        self.replies.put(b"")

    @property
    def usable(self) -> bool:
        """It runs, and is ours: a child that was forked from us has another."""
        return self.owner == os.getpid() and self.process.poll() is None

    def ask(self, request: bytes, seconds: float) -> bytes:
        """The reply's line, or b"" where the process has died or does not answer in time."""
        if self.process.stdin is None:
            return b""
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
            return self.replies.get(timeout=seconds)
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
