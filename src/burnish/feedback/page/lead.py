"""What a lead's session reaches besides: statistics, and the items that annotators dispute.

    GET   /api/lead/statistics         {at, seconds, now, statistics, unscored, names, counts, progress}
    POST  /api/lead/next               {item, progress}    item: an annotator's with `opinions`; null where none waits
    POST  /api/lead/draft, heartbeat, submit, skip          as without lead/
    POST  /api/lead/undo               {item, progress}

The lead sees who said what, and not which model wrote an answer: their letters are shuffled like everybody's.
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from burnish.errors import WriteFailed
from burnish.feedback.page.reckoning import ModelFiles, command
from burnish.feedback.page.shown import visible
from burnish.feedback.records import Annotator, Assignment
from burnish.feedback.store import Store

Done = Callable[[Annotator, Any], dict[str, Any]]
SHARE = 0.2
"""Of the time may be spent on reckoning while annotators work: after one that took 2 s, the next begins 8 s later."""


class Reckoning:
    """The last reckoning of a store, and a new one when the store has another state and the last has rested.

    Whoever asks meanwhile waits for the one that runs. Its process ends when it is waited for no more: at the end of
    the server, say.
    """

    def __init__(
        self, path: Path, state: Callable[[], int], share: float = SHARE, *, beside: ModelFiles | None = None
    ) -> None:
        self._path, self._state, self._share = path, state, share
        self._command = command(path, beside or ModelFiles())
        self._last: dict[str, Any] | None = None
        self._rested = 0.0  # on the monotonic clock, when the next may begin
        self._one = asyncio.Lock()

    async def latest(self) -> dict[str, Any]:
        """`reckon`'s, with `at`, when it was made, `seconds`, how long that took, and `now`: nothing has changed since.

        Raises WriteFailed where the process failed.
        """
        async with self._one:
            state = await run_in_threadpool(self._state)
            last = self._last
            if last is None or (last["state"] != state and time.monotonic() >= self._rested):
                began, at = time.monotonic(), time.time()
                found = await self._reckoned()
                seconds = time.monotonic() - began
                self._rested = began + seconds / self._share
                last = self._last = found | {"at": at, "seconds": seconds}
                state = await run_in_threadpool(self._state)
            return last | {"now": last["state"] == state}

    async def _reckoned(self) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is for the server, which then ends this
        )
        try:
            out, complaint = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        if process.returncode:
            raise WriteFailed(f"the statistics of {self._path} failed: {complaint.decode(errors='replace')[-2000:]}")
        made: dict[str, Any] = json.loads(out)
        return made


class Desk:
    """The lead's requests on a store. `seen`: an assignment as the page learns of it."""

    def __init__(
        self,
        store: Store,
        seen: Callable[[Assignment | None], dict[str, Any] | None],
        beside: ModelFiles | None = None,
    ) -> None:
        self._store, self._seen = store, seen
        self._reckoning = Reckoning(store.path, store.state, beside=beside)

    async def statistics(self, who: Annotator, _: Any) -> dict[str, Any]:
        found = await self._reckoning.latest()
        return {name: value for name, value in found.items() if name not in ("queue", "state")}

    async def next(self, who: Annotator, _: Any) -> dict[str, Any]:
        queue = (await self._reckoning.latest())["queue"]
        return await run_in_threadpool(self._next, who, queue)

    async def undo(self, who: Annotator, _: Any) -> dict[str, Any]:
        queue = (await self._reckoning.latest())["queue"]
        return await run_in_threadpool(self._undo, who, queue)

    def deciding(self, answer: Done) -> Done:
        """An annotator's request, made by the lead as who decides."""
        return lambda who, body: answer(self._store.adjudicator(who), body)

    def _next(self, who: Annotator, queue: list[str]) -> dict[str, Any]:
        decides = self._store.adjudicator(who)
        waiting = self._store.undecided(queue)
        return self._told(decides, self._store.next_dispute(decides, waiting), len(waiting))

    def _undo(self, who: Annotator, queue: list[str]) -> dict[str, Any]:
        decides = self._store.adjudicator(who)
        back = self._store.undo(decides)
        return self._told(decides, back, len(self._store.undecided(queue)))

    def _told(self, decides: Annotator, found: Assignment | None, left: int) -> dict[str, Any]:
        progress = self._store.progress(decides)
        item = self._seen(found)
        if found is not None and item is not None:
            said = [asdict(one) for one in self._store.opinions(decides, found.id)]
            item["opinions"] = [one | {"annotator": visible(one["annotator"])} for one in said]
        return {"item": item, "progress": {"rankings": progress.rankings, "skipped": progress.skipped, "left": left}}
