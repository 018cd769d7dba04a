"""Live collection: an annotator types a prompt, answers are written while they watch, and they rank them.

Answers are written in a thread of its own, one prompt after another, so that the page stays quick; which model wrote
which is as unknown to the page as ever. What is whole goes into the store and belongs to its annotator, whether or not
they are still there.
"""

import logging
import queue
import secrets
import threading
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from random import SystemRandom
from types import TracebackType
from typing import Literal, Protocol, Self

from burnish.errors import BurnishError, DataError, MissingInput, WriteFailed
from burnish.feedback.database.assignment import MOST_OPEN
from burnish.feedback.records import Annotator, Assignment
from burnish.feedback.store import Store
from burnish.types import Group, Message, Prompt

LONGEST_PROMPT = 8000
"""Characters of one turn."""

Trouble = Literal["too long", "all alike", "failed"]
_log = logging.getLogger("burnish.feedback")


class Busy(DataError):
    """An annotator asks while an answer to them is still being written, or has too many that are not ranked."""


class Writer(Protocol):
    """Who answers."""

    answers: int
    """How many a prompt gets."""
    turns: bool
    """Whether a prompt may be a conversation."""

    def write(self, prompt: Prompt, id: str) -> Generator[Sequence[str], None, Group]:  # noqa: A002
        """The answers' texts so far, again and again, and in the end the group, with its lineage.

        `id` names the item that it becomes. Raises ConfigError or DataError for a prompt that cannot be answered.
        """
        ...


@dataclass(slots=True)
class Asked:
    """A prompt that was typed. `texts`: what is written so far, in the order in which the annotator sees it.

    `trouble` says why nothing will come, `assignment` that all is there.
    """

    id: str
    key: str
    annotator: Annotator
    prompt: Prompt
    shown: tuple[int, ...]
    texts: tuple[str, ...]
    before: int = 0
    assignment: Assignment | None = None
    trouble: Trouble | None = None

    @property
    def over(self) -> bool:
        return self.assignment is not None or self.trouble is not None


@dataclass
class Live:
    """Use it in a `with`, or call `close`: the thread ends with the step that it is in, and drops that prompt."""

    store: Store
    writer: Writer
    _latest: dict[int, Asked] = field(default_factory=dict)
    _queue: "queue.SimpleQueue[Asked | None]" = field(default_factory=queue.SimpleQueue)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._work, name="live-answers", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._closed.set()
        self._queue.put(None)
        self._thread.join()

    def ask(self, who: Annotator, text: str, after: str | None, key: str) -> Asked:
        """Have `text` answered; `after` names the ranking whose conversation it goes on with.

        `key`: a UUID made once for each prompt; sent twice, it is asked once. Raises DataError for a text that is
        none, Busy, MissingInput where there is nothing of theirs to go on with.
        """
        if not text.strip() or "\0" in text:
            raise DataError("text: type a prompt" if not text.strip() else "text: holds a NUL character; leave it out")
        if after is not None and not self.writer.turns:
            raise DataError("after: the model has no chat template, so it answers single prompts only; begin anew")
        prompt: Prompt = text if after is None else (*self.store.conversation(who, after), Message("user", text))
        with self._lock:
            latest = self._latest.get(who.number)
            if latest is not None and latest.key == key:
                return latest
            if latest is not None and not latest.over:
                raise Busy("an answer to your last prompt is still being written; wait for it")
            if self.store.progress(who).open >= MOST_OPEN:
                raise Busy(f"{MOST_OPEN} prompts of yours wait to be ranked; rank one first")
            shown = list(range(self.writer.answers))
            SystemRandom().shuffle(shown)
            asked = Asked(secrets.token_urlsafe(12), key, who, prompt, tuple(shown), ("",) * len(shown))
            self._latest[who.number] = asked
            self._queue.put(asked)
            return asked

    def asked(self, who: Annotator, id: str | None = None) -> Asked | None:  # noqa: A002
        """Their latest prompt, None where there is none; by its id, MissingInput where that is not theirs or older.

        `before`: how many prompts of others are answered before it.
        """
        with self._lock:
            latest = self._latest.get(who.number)
            if id is not None and (latest is None or latest.id != id):
                raise MissingInput(f"prompt {id[:40]!r}: none of yours is being answered under this name; ask again")
            if latest is None:
                return None
            waiting = [one for one in self._latest.values() if not one.over and not any(one.texts)]
            return replace(latest, before=waiting.index(latest) if latest in waiting else 0)

    def _work(self) -> None:
        while (asked := self._queue.get()) is not None:
            try:
                self._write(asked)
            except WriteFailed as error:
                self._failed(asked, "failed", error)
            except BurnishError as error:
                self._failed(asked, "too long", error)
            except Exception as error:  # whatever it is, the next prompt is another one
                self._failed(asked, "failed", error)

    @staticmethod
    def _failed(asked: Asked, trouble: Trouble, error: Exception) -> None:
        """The annotator learns that it failed and not why: what an error says may name a model."""
        _log.error("live: a prompt could not be answered: %s", error, exc_info=not isinstance(error, BurnishError))
        asked.trouble = trouble

    def _write(self, asked: Asked) -> None:
        with closing(self.writer.write(asked.prompt, asked.id)) as writing:
            while not self._closed.is_set():
                try:
                    texts = next(writing)
                except StopIteration as over:
                    self._written(asked, over.value)
                    return
                asked.texts = tuple(texts[index] for index in asked.shown)
        asked.trouble = "failed"

    def _written(self, asked: Asked, group: Group) -> None:
        if len({answer.text for answer in group.answers}) == 1:
            asked.trouble = "all alike"
        else:
            asked.assignment = self.store.add_live(asked.annotator, replace(group, id=asked.id), asked.shown)
