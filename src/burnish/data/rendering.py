"""Run a chat template in a process of its own and get the text that it prints.

The process is started on first use, one for each process of ours, and used for all templates. See render_worker.py
for what it may not do.
"""

import atexit
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.data.worker import Worker
from burnish.errors import BurnishError, ConfigError, DataError

OUTPUT_LIMIT = 1 << 20  # characters, beyond four times what the messages hold
KEPT = 4096  # texts; a conversation's are asked for again while it is cut to fit
WAIT_SECONDS = 60.0  # by the clock; the worker's own limit counts processor time and is far below


class RefusedError(DataError):
    """The template does not take these messages: other rows may be fine."""


class _Renderer(Worker):
    """A process that prints, and the templates that it has been sent."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("render_worker.py"))
        self.known: set[str] = set()


_lock = threading.Lock()
_current: list[_Renderer] = []


def _worker() -> _Renderer:
    if _current and not _current[0].usable:
        _current.pop().close()
    if not _current:
        _current.append(_Renderer())
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


Printed = str | BurnishError
"""A text, or the error that the template met: RefusedError where it does not take the messages, else ConfigError."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One conversation as a template sees it, and the jobs: (how many messages, whether to ask for an answer)."""

    messages: tuple[Mapping[str, Any], ...]
    tools: Any
    jobs: tuple[tuple[int, bool], ...]

    def names(self) -> list[str]:
        """What tells one job's text from another's."""
        spelled = [json.dumps(one, sort_keys=True, default=str) for one in (self.tools, *self.messages)]
        return ["\n".join([*spelled[: length + 1], str(ask)]) for length, ask in self.jobs]


class Printer:
    """A template, and the texts that it printed lately.

    A trip to the worker and back costs more than a text, most of all on a busy machine, so `ahead` asks for those of
    many conversations at once.
    """

    def __init__(self, source: str, name: str, named: Mapping[str, str]) -> None:
        self.source = source
        self.name = name
        self.named = named
        self.key = hashlib.blake2b(source.encode(), digest_size=16).hexdigest()
        self._known: dict[str, Printed] = {}

    def texts(self, sheet: Sheet) -> list[str]:
        """The text for each job. Raises the first error among them."""
        self.ahead([sheet])
        return [raised(self._known[key]) for key in sheet.names()]

    def ahead(self, sheets: Sequence[Sheet]) -> None:
        """Print what is not known yet, so that `texts` finds it."""
        while len(self._known) > KEPT:
            self._known.pop(next(iter(self._known)))
        asked: list[str] = []
        wanted: list[Sheet] = []
        for sheet in sheets:
            new = {key: job for key, job in zip(sheet.names(), sheet.jobs, strict=True) if key not in self._known}
            if new:
                asked += new
                wanted.append(replace(sheet, jobs=tuple(new.values())))
        if wanted:
            self._known |= zip(asked, self._print(wanted), strict=True)

    def _print(self, sheets: Sequence[Sheet]) -> list[Printed]:
        request: dict[str, Any] = {
            "key": self.key,
            "named": self.named,
            "sheets": [_request(sheet) for sheet in sheets],
        }
        jobs = sum(len(sheet.jobs) for sheet in sheets)
        with _lock:
            worker = _worker()
            if self.key not in worker.known:
                request["template"] = self.source
            line = worker.ask(json.dumps(request, default=str).encode() + b"\n", WAIT_SECONDS + jobs)
            if line:
                worker.known.add(self.key)
            else:
                _stop()
        if not line:
            raise ConfigError(
                f"template {self.name} used more than 2 s of processor time, or too much memory, on one conversation; "
                "it was stopped. Choose another with `template: NAME`"
            )
        return [
            str(answer["text"]) if "text" in answer else _problem(answer["problem"], answer["message"], self.name)
            for answer in json.loads(line)
        ]


def _request(sheet: Sheet) -> dict[str, Any]:
    size = sum(len(json.dumps(one, default=str)) for one in (sheet.tools, *sheet.messages))
    return {
        "messages": sheet.messages,
        "tools": sheet.tools,
        "jobs": sheet.jobs,
        "limit": OUTPUT_LIMIT + 4 * size,
    }


def raised(text: Printed) -> str:
    """A text as it is; an error is raised."""
    if isinstance(text, BurnishError):
        raise text
    return text
