"""The store of rankings: one SQLite file that many annotators and several processes write at once.

Whatever a call returned is committed: a process killed at any instant loses nothing of it. Submits, imports,
invitations and skips also outlive a power cut (`synchronous=FULL`); drafts, heartbeats and leases may lose their last
moments in one, see writer.py.

    store = Store.open("rankings.db")
    token = store.invite("ann", expires)             # the link, once
    session = store.redeem(token)
    assignment = store.next_item(session.annotator)
    store.submit(session.annotator, assignment.id, Submission(order=(("B",), ("A", "C"))), key=str(uuid.uuid4()))
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Any, Self

from burnish.errors import NotOurs
from burnish.feedback.database import access, adjudication, assignment, decisions, intake, reading, typed
from burnish.feedback.database.assignment import Policy
from burnish.feedback.database.schema import connect, make_file, prepare, refuse_damaged, told
from burnish.feedback.database.writer import Writer
from burnish.feedback.records import (
    Annotator,
    Assignment,
    Given,
    Item,
    Layer,
    Opinion,
    Progress,
    Ranking,
    Receipt,
    Session,
    Submission,
)
from burnish.types import Group, Message


class Store:
    """Open with `Store.open`, `Store.create` or `Store.at`; close it, or use it in a `with`.

    Its methods may be called from any thread and wait for the disk. `clock` gives seconds since 1970; `chance` draws
    items. Everything that reaches an assignment takes the annotator and finds only theirs.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, chance: Random | None = None) -> None:
        self.path = path
        self._clock = clock
        self._chance = chance or SystemRandom()
        first = connect(path)
        try:
            prepare(first, path)
            refuse_damaged(first, path)
        finally:
            first.close()
        self._writer = Writer(path)
        self._readers: list[sqlite3.Connection] = []

    @classmethod
    def create(cls, path: str | Path, **options: Any) -> Self:
        """A new store. Raises NotOurs where something is there."""
        make_file(Path(path))
        return cls(Path(path), **options)

    @classmethod
    def open(cls, path: str | Path, **options: Any) -> Self:
        """A store that exists, brought to this version's tables.

        Raises MissingInput where nothing is there, NotOurs for another kind of file, DataError for a later version or a
        damaged file, WriteFailed where it may not be written.
        """
        return cls(Path(path), **options)

    @classmethod
    def at(cls, path: str | Path, **options: Any) -> Self:
        """The store at `path`, made where none is there. Two processes that come at once make one."""
        if not Path(path).exists():
            try:
                make_file(Path(path))
            except NotOurs:
                if not Path(path).exists():
                    raise
        return cls.open(path, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Commit what waits and close the file."""
        self._writer.close()
        for reader in self._readers:
            reader.close()
        self._readers.clear()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that cannot write, from those that are idle. Not one a thread: a server's threads come and go,
        and after some days no file could have been opened any more."""
        with told(self.path):
            try:
                reader = self._readers.pop()
            except IndexError:
                reader = connect(self.path)
                reader.execute("PRAGMA query_only = ON")
            try:
                yield reader
            finally:
                self._readers.append(reader)

    # ---- items

    def add_items(self, items: Iterable[Item]) -> dict[str, int]:
        """Take items in, and return how many were `added` and how many `known` already.

        An item with the id and the content of one that is there is passed over, so that an import that was cut can be
        run again. Raises DataError, before anything is added, for an id that stands for other content, and for a
        number of answers that the task cannot have.
        """
        counts = {"added": 0, "known": 0}
        checked = intake.checked(list(items))
        with self._reading() as connection:
            intake.refuse_other_content(connection, checked)
        written: Future[int] | None = None
        for part in intake.parts(checked):
            rows = intake.rows(part)  # while the writer has the part before: a second core does half of the work
            counts["added"] += written.result() if written else 0
            written = self._writer.submit(partial(intake.add, part=rows, chance=self._chance, now=self._clock()))
        counts["added"] += written.result() if written else 0
        counts["known"] = len(checked) - counts["added"]
        return counts

    def add_rankings(self, rankings: Iterable[Given]) -> dict[str, int]:
        """Take in rankings that were made elsewhere or by a judge: how many were `added`, how many `known`.

        Raises DataError for one on an item that is not in the store.
        """
        counts = {"added": 0, "known": 0}
        for part in intake.parts(intake.keyed(rankings)):
            added = self._writer.do(partial(intake.add_rankings, part=part, now=self._clock()))
            counts["added"] += added
            counts["known"] += len(part) - added
        return counts

    def set_uncertainty(self, uncertainty: Mapping[str, float]) -> int:
        """How unsure a reward model is of items, by their id: the higher, the sooner asked. Returns how many it set.

        Items that are not named keep theirs. Raises DataError for a number that is not finite, or an unknown id.
        """
        given = intake.checked_uncertainty(uncertainty)
        now = self._clock()
        return sum(self._writer.do(partial(intake.set_uncertainty, part=part, now=now)) for part in intake.parts(given))

    def set_policy(self, policy: Policy) -> None:
        """How items are given out from now on."""
        self._writer.do(lambda c: assignment.set_policy(c, policy, self._clock()))

    def policy(self) -> Policy:
        with self._reading() as connection:
            return assignment.policy_of(connection)

    # ---- annotators

    def invite(self, name: str, expires: float | None = None, *, lead: bool = False) -> str:
        """A token that opens one session for `name`, until `expires` (seconds since 1970; in a week by default).

        `lead`: they also see the statistics and decide what is disputed, until they are revoked.
        """
        now = self._clock()
        until = now + access.INVITATION_SECONDS if expires is None else expires
        return self._writer.do(lambda c: access.invite(c, name, until, now, lead=lead))

    def redeem(self, token: str) -> Session | None:
        """The session that a token opens; None where it opens none."""
        return self._writer.do(lambda c: access.redeem(c, token, self._clock()))

    def session(self, secret: str) -> Annotator | None:
        """Whose session it is, or None. What its page must send with a change is `access.csrf_of(secret)`."""
        with self._reading() as connection:
            return access.session(connection, secret, self._clock())

    def end_session(self, secret: str) -> None:
        """Log out."""
        self._writer.do(lambda c: access.end_session(c, secret, self._clock()))

    def revoke(self, name: str) -> int:
        """End everything that lets `name` in, and return how many sessions and invitations that were."""
        return self._writer.do(lambda c: access.revoke(c, name, self._clock()))

    # ---- leading

    def adjudicator(self, lead: Annotator) -> Annotator:
        """As whom a lead decides: give that to `submit`, `save_draft`, `undo` and so on. Raises MissingInput for one
        who does not lead."""
        with self._reading() as connection:
            return access.adjudicator(connection, lead)

    def next_dispute(self, adjudicator: Annotator, queue: Sequence[str]) -> Assignment | None:
        """The first item of `queue` (ids, the most disputed first) that waits for this lead, leased for 15 minutes; one
        that they have open comes first. None where none waits."""

        def job(connection: sqlite3.Connection) -> Assignment | None:
            found = adjudication.give(connection, adjudicator.number, queue, self._clock())
            return None if found is None else decisions.view(connection, found)

        return self._writer.do(job, durable=False)

    def opinions(self, adjudicator: Annotator, id: str) -> tuple[Opinion, ...]:  # noqa: A002
        """What each annotator said of the item of a lead's assignment, with their names; nothing for one of another."""
        with self._reading() as connection:
            return adjudication.opinions(connection, adjudicator.number, id)

    def undecided(self, queue: Sequence[str]) -> list[str]:
        """Those of `queue` on which no decision stands, in its order."""
        with self._reading() as connection:
            decided = adjudication.decided(connection)
        return [item for item in queue if item not in decided]

    def state(self) -> int:
        """A number that grows with everything that the audit tells: while it is the same, so are all rankings."""
        with self._reading() as connection:
            return reading.state(connection)

    # ---- ranking

    def next_item(
        self, annotator: Annotator, beside: Collection[str] = (), *, draw: bool = True, checks: bool = True
    ) -> Assignment | None:
        """What the annotator works on next, leased for 15 minutes; None where nothing is left or three are open.

        An assignment of theirs that is open comes first, so that a reload shows the same again; `beside` names those
        that the page holds already, and asks for one more. Without `draw` nothing is begun that was not,
        without `checks` no gold item or repeat.
        """

        def job(connection: sqlite3.Connection) -> Assignment | None:
            found = assignment.give(
                connection, annotator.number, self._clock(), self._chance, beside, draw=draw, checks=checks
            )
            return None if found is None else decisions.view(connection, found)

        return self._writer.do(job, durable=False)

    def add_live(self, annotator: Annotator, group: Group, shown: Sequence[int]) -> Assignment:
        """Take in what was answered to a prompt that the annotator typed, and give it to them alone, to be ranked.

        `shown`: the group's own indices in the order in which they saw the answers come. Raises DataError for a number
        of answers that cannot be ranked, or an id that is there.
        """
        (one,) = intake.rows(intake.checked([Item(group)]))
        order = tuple(shown)

        def job(connection: sqlite3.Connection) -> Assignment:
            return decisions.view(connection, typed.add(connection, annotator.number, one, order, self._clock()))

        return self._writer.do(job)

    def conversation(self, annotator: Annotator, id: str) -> tuple[Message, ...]:  # noqa: A002
        """A prompt that they typed, with the answer that they ranked best. Raises MissingInput where there is none."""
        with self._reading() as connection:
            return typed.conversation(connection, annotator.number, id)

    def heartbeat(self, annotator: Annotator, id: str) -> float:  # noqa: A002  the record's own name
        """Lengthen a lease; returns when it ends. Raises MissingInput, DataError where it is done already."""
        return self._writer.do(lambda c: decisions.heartbeat(c, annotator.number, id, self._clock()), durable=False)

    def save_draft(self, annotator: Annotator, id: str, draft: Mapping[str, Any] | None) -> float:  # noqa: A002
        """Keep a draft and lengthen the lease; returns when it ends. Raises MissingInput, DataError."""
        return self._writer.do(
            lambda c: decisions.save_draft(c, annotator.number, id, draft, self._clock()), durable=False
        )

    def submit(
        self,
        annotator: Annotator,
        id: str,  # noqa: A002  the record's own name
        submission: Submission,
        key: str,
        *,
        reveal_since: float | None = None,
    ) -> Receipt:
        """Save a ranking and return its receipt. `key`: a UUID made once for each submit; sent twice, saved once.

        `reveal_since`: of an assignment that was given from that moment on (seconds since 1970) the receipt tells what
        wrote each answer, and the ranking cannot be taken back.

        Raises MissingInput for an assignment that is not theirs, DataError for one that is done, or no order.
        """
        return self._writer.do(
            lambda c: decisions.submit(
                c, annotator.number, id, submission, key, self._clock(), reveal_since=reveal_since
            )
        )

    def skip(self, annotator: Annotator, id: str, reason: str, client_ms: int | None = None) -> None:  # noqa: A002
        """Pass it by, for a reason of `records.SKIP_REASONS`. Raises MissingInput, DataError."""
        self._writer.do(lambda c: decisions.skip(c, annotator.number, id, reason, self._clock(), client_ms))

    def undo(self, annotator: Annotator) -> Assignment | None:
        """Take back the last submit or skip, at most ten in a row; the assignment comes with what was sent. None where
        there is none, or where the order known to be right, or what wrote the answers, was shown after it."""

        def job(connection: sqlite3.Connection) -> Assignment | None:
            found = decisions.undo(connection, annotator.number, self._clock())
            return None if found is None else decisions.view(connection, found)

        return self._writer.do(job)

    # ---- what there is

    def progress(self, annotator: Annotator) -> Progress:
        with self._reading() as connection:
            return reading.progress(connection, annotator)

    def progress_shown(self, annotator: Annotator) -> dict[str, int]:
        """What the annotator may know of it: `rankings`, `skipped` and `left`, gold items and repeats in all three, so
        that no number tells them from the others. `left` is put right every ten assignments."""
        with self._reading() as connection:
            return reading.progress_shown(connection, annotator)

    def progress_all(self) -> list[Progress]:
        """Of everyone who was ever invited, by name."""
        with self._reading() as connection:
            return reading.progress_all(connection)

    def counts(self) -> dict[str, int]:
        """Items in all and by state (fresh, waiting, taken, gold), and standing rankings by layer (practice is one)."""
        with self._reading() as connection:
            return reading.counts(connection)

    def items(self) -> Iterator[Item]:
        """Every item with its lineage, in the order in which they came."""
        with told(self.path):
            yield from reading.items(self.path)

    def rankings(self, *, layers: Collection[Layer] | None = None) -> Iterator[Ranking]:
        """Every ranking that stands, in the order in which they were saved; of `layers` only, where given."""
        with told(self.path):
            yield from reading.rankings(self.path, layers)

    def audit(self) -> Iterator[dict[str, Any]]:
        """The audit, oldest first: moment, annotator (alias), what, item (id), old, new, client_ms."""
        with told(self.path):
            yield from reading.audit(self.path)
