"""What annotators do with their assignments: drafts, submit, skip, undo. Each function is one job of the writer.

Every look at an assignment is filtered by the annotator: another's id is as unknown as one that was never given.
"""

import json
import math
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, get_args

from burnish.data.fields import order as checked_order
from burnish.data.problems import RowError, described
from burnish.errors import DataError, MissingInput
from burnish.feedback.database import practice
from burnish.feedback.database.assignment import policy_of
from burnish.feedback.database.audit import record
from burnish.feedback.database.contents import shown_text, unpacked
from burnish.feedback.database.leases import APART, LEASE_SECONDS, release, reopen
from burnish.feedback.records import FLAGS, LETTERS, SKIP_REASONS, Assignment, Mode, Receipt, Submission

UNDOABLE = 10
MOST_SECONDS = 24 * 3600.0


class DoneAlready(DataError):
    """The assignment is submitted or skipped, perhaps in another tab: ask for the next one."""


def view(connection: sqlite3.Connection, assignment: int) -> Assignment:
    """An assignment as its annotator sees it."""
    id_, shown, lease_end, draft, kind, number, task, body = connection.execute(
        "SELECT a.id, a.shown, a.lease_end, a.draft, a.kind, a.number, i.task, c.body FROM assignment a "
        "JOIN item i USING (item) JOIN content c USING (item) WHERE a.assignment = ?",
        (assignment,),
    ).fetchone()
    group = unpacked(body)
    before = connection.execute(
        "SELECT extra FROM ranking WHERE assignment = ? AND removed IS NOT NULL ORDER BY ranking DESC LIMIT 1",
        (assignment,),
    ).fetchone()
    return Assignment(
        id=id_,
        prompt=group.prompt,
        answers=tuple(shown_text(group.answers[index]) for index in json.loads(shown)),
        task=task,
        lease_end=lease_end,
        draft=None if draft is None else json.loads(draft),
        submission=None if before is None else json.loads(before[0])["sent"],
        practice=practice.stand(connection, number, policy_of(connection).calibration)
        if kind == "calibration"
        else None,
    )


def _own(connection: sqlite3.Connection, annotator: int, id_: str) -> tuple[int, int, str, str, str, str, int]:
    """(assignment, item, state, kind, shown, task, answers). Raises MissingInput for one that is not theirs."""
    row: tuple[int, int, str, str, str, str, int] | None = connection.execute(
        "SELECT a.assignment, a.item, a.state, a.kind, a.shown, i.task, i.answers FROM assignment a "
        "JOIN item i USING (item) WHERE a.id = ? AND a.annotator = ?",
        (id_, annotator),
    ).fetchone()
    if row is None:
        raise MissingInput(f"assignment {id_[:40]!r}: no such assignment of yours; ask for the next one")
    return row


def _opened(
    connection: sqlite3.Connection, annotator: int, id_: str, now: float
) -> tuple[int, int, str, str, str, int]:
    """(assignment, item, kind, shown, task, answers) of one that can still be worked on.

    One that ran out is leased again: whoever was away for an hour and comes back loses nothing. Raises DataError for
    one that is done.
    """
    assignment, item, state, kind, shown, task, answers = _own(connection, annotator, id_)
    if state in ("submitted", "skipped"):
        raise DoneAlready(f"assignment {id_}: is {state} already; undo that first")
    if state == "expired":
        reopen(connection, assignment, now)
    return assignment, item, kind, shown, task, answers


def heartbeat(connection: sqlite3.Connection, annotator: int, id_: str, now: float) -> float:
    """Lengthen the lease; returns when it ends. Raises MissingInput, DataError."""
    assignment, *_ = _opened(connection, annotator, id_, now)
    connection.execute("UPDATE assignment SET lease_end = ? WHERE assignment = ?", (now + LEASE_SECONDS, assignment))
    return now + LEASE_SECONDS


def save_draft(
    connection: sqlite3.Connection, annotator: int, id_: str, draft: Mapping[str, Any] | None, now: float
) -> float:
    """Keep what the page has so far (None forgets it), and lengthen the lease. Raises MissingInput, DataError."""
    assignment, *_ = _opened(connection, annotator, id_, now)
    kept = None if draft is None else json.dumps(draft, ensure_ascii=False, allow_nan=False)
    connection.execute(
        "UPDATE assignment SET draft = ?, lease_end = ? WHERE assignment = ?", (kept, now + LEASE_SECONDS, assignment)
    )
    return now + LEASE_SECONDS


def submit(
    connection: sqlite3.Connection,
    annotator: int,
    id_: str,
    given: Submission,
    key: str,
    now: float,
    *,
    reveal_since: float | None = None,
) -> Receipt:
    """Save a ranking, and return its receipt: with a key that came before, when it was saved then.

    `reveal_since`: with what wrote each answer, where the assignment was given from that moment on; see `_sources`.

    Raises MissingInput for an assignment that is not theirs, DataError for one that is done or a ranking that is none.
    """
    key = _checked_key(key)
    before = connection.execute("SELECT saved, assignment FROM ranking WHERE key = ?", (key,)).fetchone()
    if before is not None:
        if before[1] != _own(connection, annotator, id_)[0]:  # else what is sent now would be told as saved, and lost
            raise DataError(f"key {key}: belongs to another ranking; make a new UUID")
        return _receipt(connection, before[1], float(before[0]), now, reveal_since)
    assignment, item, kind, shown, task, answers = _opened(connection, annotator, id_, now)
    (layer,) = connection.execute("SELECT layer FROM annotator WHERE annotator = ?", (annotator,)).fetchone()
    practised = kind == "calibration"
    if layer == "adjudicated" and is_decided(connection, item):
        raise DoneAlready(f"assignment {id_}: another lead has decided this item; ask for the next one")
    order = check(given, answers, task)
    own = json.loads(shown)
    index = {letter: own[place] for place, letter in enumerate(LETTERS[:answers])}
    places = [sorted(own[answer] for answer in tied) for tied in order]
    flags: list[list[str]] = [[] for _ in range(answers)]
    for letter, said in given.flags.items():
        flags[index[letter]] = sorted(said, key=FLAGS.index)
    comparisons = [[index[one], index[other], verdict] for one, other, verdict in given.comparisons]
    connection.execute(
        "INSERT INTO ranking (key, layer, item, annotator, assignment, places, acceptable, confidence, seconds, flags, "
        "mode, comparisons, extra, saved) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key, "calibration" if practised else layer, item, annotator, assignment, json.dumps(places),
            given.acceptable, given.confidence, given.seconds, json.dumps(flags), given.mode, json.dumps(comparisons),
            json.dumps({"sent": asdict(given)}), now,
        ),
    )  # fmt: skip
    connection.execute(
        "UPDATE assignment SET state = 'submitted', closed = ?, undone = 0, draft = NULL WHERE assignment = ?",
        (now, assignment),
    )
    record(
        connection, now, annotator, "practise" if practised else "submit", item=item, new=places,
        client_ms=given.client_ms,
    )  # fmt: skip
    return _receipt(connection, assignment, now, now, reveal_since)


def _receipt(
    connection: sqlite3.Connection, assignment: int, saved: float, now: float, reveal_since: float | None
) -> Receipt:
    """What is told of a saved ranking. Once the key or the sources are told, it cannot be taken back."""
    feedback = practice.feedback(connection, assignment)
    sources = None if reveal_since is None else _sources(connection, assignment, reveal_since)
    if feedback is not None or sources is not None:
        connection.execute(
            "UPDATE assignment SET revealed = coalesce(revealed, ?) WHERE assignment = ?", (now, assignment)
        )
    return Receipt(saved, feedback, sources)


def _sources(connection: sqlite3.Connection, assignment: int, since: float) -> tuple[str | None, ...] | None:
    """What wrote A, B, C …; None where that stays hidden.

    It does to a lead who decides; of a ranking that was taken back, whose item is to be ranked anew and blind; and of
    every assignment that was given before `since`: it may check the annotator, and a gold item's sources (a teacher's
    beside a model's) would say so, as would a check that alone has none.
    """
    row = connection.execute(
        "SELECT a.shown, c.body FROM assignment a JOIN content c USING (item) JOIN annotator p USING (annotator) "
        "JOIN ranking r USING (assignment) "
        "WHERE a.assignment = ? AND a.given >= ? AND p.layer = 'people' AND r.removed IS NULL",
        (assignment, since),
    ).fetchone()
    if row is None:
        return None
    shown, body = row
    answers = unpacked(body).answers
    return tuple(answers[index].source for index in json.loads(shown))


def is_decided(connection: sqlite3.Connection, item: int) -> bool:
    """Whether a lead's decision on the item stands."""
    return bool(
        connection.execute(
            "SELECT EXISTS (SELECT 1 FROM ranking WHERE item = ? AND layer = 'adjudicated' AND removed IS NULL)",
            (item,),
        ).fetchone()[0]
    )


def _checked_key(key: str) -> str:
    try:
        return str(uuid.UUID(key))
    except (ValueError, AttributeError, TypeError):
        raise DataError(f"key: {described(key)}: it must be a UUID, made once for each submit") from None


def check(given: Submission, answers: int, task: str) -> list[list[int]]:
    """The order as positions shown. Raises DataError that names the field."""
    letters = {letter: place for place, letter in enumerate(LETTERS[:answers])}

    def known(letter: object, name: str) -> int:
        if not isinstance(letter, str) or letter not in letters:
            raise DataError(f"{name}: no answer {described(letter)}; there are {', '.join(letters)}")
        return letters[letter]

    if not isinstance(given.order, list | tuple) or not all(isinstance(tied, list | tuple) for tied in given.order):
        raise DataError("order: must be places, best first, each a list of letters")
    named = [[known(letter, "order") for letter in tied] for tied in given.order]
    try:
        checked_order(named, answers, "order")
    except RowError as error:
        raise DataError(str(error)) from None
    if task == "pick" and not (len(named) == 1 or (len(named) == 2 and len(named[0]) == 1)):
        raise DataError("order: one answer is picked, or none: write one letter before all others, or all in one place")
    _whole(given.acceptable, "acceptable", 0, len(named))
    _whole(given.confidence, "confidence", 1, 3)
    _whole(given.client_ms, "client_ms", 0, 1 << 53)
    seconds = given.seconds
    if seconds is not None and not (
        isinstance(seconds, int | float) and math.isfinite(seconds) and 0 <= seconds <= MOST_SECONDS
    ):
        raise DataError(f"seconds: {described(seconds)}: must be from 0 to {MOST_SECONDS:g}")
    if given.mode not in get_args(Mode):
        raise DataError(f"mode: {described(given.mode)}: choose one of {', '.join(get_args(Mode))}")
    for letter, said in given.flags.items():
        known(letter, "flags")
        for flag in said:
            if flag not in FLAGS:
                raise DataError(f"flags: {described(flag)}: choose of {', '.join(FLAGS)}")
    if len(given.comparisons) > answers * answers:
        raise DataError(f"comparisons: {len(given.comparisons)} on {answers} answers; at most {answers * answers}")
    for one, other, verdict in given.comparisons:
        if known(one, "comparisons") == known(other, "comparisons") or verdict not in (">", "=", "<"):
            raise DataError("comparisons: each is two different letters and one of >, = and <")
    return named


def _whole(value: object, name: str, least: int, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise DataError(f"{name}: {described(value)}: must be a whole number from {least} to {most}, or left out")


def skip(
    connection: sqlite3.Connection, annotator: int, id_: str, reason: str, now: float, client_ms: int | None = None
) -> None:
    """Pass an assignment by. Its item goes to others, after all fresh ones. Skipped already, it stays so.

    Raises MissingInput, and DataError for one that is ranked or a reason that is none.
    """
    if reason not in SKIP_REASONS:
        raise DataError(f"reason: {described(reason)}: choose one of {', '.join(SKIP_REASONS)}")
    assignment, item, state, kind, *_ = _own(connection, annotator, id_)
    if state == "skipped":
        return
    if state == "submitted":
        raise DoneAlready(f"assignment {id_}: is submitted already; undo that first")
    connection.execute(
        "UPDATE assignment SET state = 'skipped', closed = ?, undone = 0, reason = ? WHERE assignment = ?",
        (now, reason, assignment),
    )
    if state == "open" and kind not in APART:
        release(connection, item, last=True)
    record(connection, now, annotator, "skip", item=item, new=reason, client_ms=client_ms)


def undo(connection: sqlite3.Connection, annotator: int, now: float) -> int | None:
    """Take back the annotator's last submit or skip and open its assignment again; None where none is left, or where
    the last was submitted and its key or its sources were shown.

    At most `UNDOABLE` may be open at once that were taken back. The ranking is marked as removed and stays in the
    table, and the audit tells it.
    """
    (back,) = connection.execute(
        "SELECT count(*) FROM assignment WHERE annotator = ? AND state = 'open' AND undone > 0", (annotator,)
    ).fetchone()
    row = connection.execute(
        "SELECT assignment, item, state, reason, revealed FROM assignment WHERE annotator = ? "
        "AND state IN ('submitted', 'skipped') ORDER BY closed DESC, assignment DESC LIMIT 1",
        (annotator,),
    ).fetchone()
    if row is None or row[4] is not None or back >= UNDOABLE:
        return None
    assignment, item, state, old, _ = row
    if state == "submitted":
        (old,) = connection.execute(
            "UPDATE ranking SET removed = ? WHERE assignment = ? AND removed IS NULL RETURNING places",
            (now, assignment),
        ).fetchone()
    reopen(connection, assignment, now)
    connection.execute("UPDATE assignment SET undone = ?, reason = NULL WHERE assignment = ?", (now, assignment))
    record(connection, now, annotator, f"undo {'submit' if state == 'submitted' else 'skip'}", item=item, old=old)
    return int(assignment)
