"""One thread that writes: it commits whatever waits in one transaction and acknowledges after the commit.

Two hundred annotators cannot each have a disk's sync of their own: at 5 ms a sync that would be a second. Here all who
wait while one sync runs share the next. What need not survive a power cut (drafts, heartbeats, leases) waits for no
sync: it is committed with the rest, or alone without one. Such a commit outlives the process all the same, and the next
synced commit makes it durable too, since the log is one.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from burnish.errors import WriteFailed
from burnish.feedback.database.schema import as_ours, connect

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
MOST_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job[Any]
    durable: bool
    future: "Future[Any]"


class Writer:
    """Runs jobs, functions of a connection, one after another inside of transactions.

    A job that raises is undone alone; those beside it are not. Its exception goes to whoever waits for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="rankings-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job[T], *, durable: bool = True) -> "Future[T]":
        """Queue a job. Its result is there once its transaction is committed, and synced where `durable`."""
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise WriteFailed(f"{self._path}: the store is closed; open it again")
            self._queue.put(_Waiting(job, durable, future))
        return future

    def do(self, job: Job[T], *, durable: bool = True) -> T:
        """Run a job and wait until it is committed. Raises what the job raises, and WriteFailed."""
        return self.submit(job, durable=durable).result()

    def close(self) -> None:
        """Commit what waits and end the thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            together, last = [first], False
            while len(together) < MOST_TOGETHER:
                try:
                    waiting = self._queue.get_nowait()
                except queue.Empty:
                    break
                if waiting is None:
                    last = True
                    break
                together.append(waiting)
            self._commit(together)
            if last:
                return

    def _commit(self, together: list[_Waiting]) -> None:
        """All jobs in one transaction. If it fails as a whole, all of them are told so."""
        done: list[tuple[_Waiting, Any, BaseException | None]] = []
        connection = self._connection
        try:
            full = any(waiting.durable for waiting in together)
            connection.execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            for waiting in together:
                done.append((waiting, *self._run(waiting.job)))
            connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # a connection that cannot even do this says so at its next BEGIN
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            raised = as_ours(error, self._path) if isinstance(error, sqlite3.Error) else error
            for waiting in together:
                waiting.future.set_exception(raised)
            return
        for waiting, result, failure in done:
            if failure is None:
                waiting.future.set_result(result)
            else:
                waiting.future.set_exception(failure)

    def _run(self, job: Job[Any]) -> tuple[Any, BaseException | None]:
        """The job's result or what it raised. Raises where the whole transaction is gone, as on a full disk."""
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            result = job(connection)
            connection.execute("RELEASE job")
        except Exception as error:
            if not connection.in_transaction:  # SQLite has rolled all of it back, the jobs before this one too
                raise
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return None, as_ours(error, self._path) if isinstance(error, sqlite3.Error) else error
        return result, None
