"""The file behind the store of rankings: one SQLite database, its tables, and how its failures are told.

A store is known by SQLite's `application_id`; its version is `user_version`. A file of an older version is brought to
this one when it is opened, all in one transaction; one of a newer version is refused.

Tables
  item, content   what is asked; `content` apart, so that a change of state does not rewrite the texts
  annotator, invitation, session   who may rank; of secrets only the SHA-256 is kept
  assignment      an item given to an annotator: lease, draft, the order in which answers are shown
  ranking         what was decided; triggers refuse any change of it but the moment of its removal, set once
  audit           who did what when, old → new; triggers refuse any change of it
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from burnish.errors import BurnishError, ConfigError, DataError, DiskFull, MissingInput, NotOurs, WriteFailed

APPLICATION_ID = 0x6275726E  # "burn"
BUSY_SECONDS = 5.0
OLDEST = (3, 35)  # the first that has RETURNING

_FIRST = (
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE item (
        item INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        hash BLOB NOT NULL,        -- of prompt and answers, their sources included
        prompt TEXT NOT NULL,      -- equal for items that ask the same: splits and bootstraps go by it
        task TEXT NOT NULL CHECK (task IN ('rank', 'pick')),
        answers INTEGER NOT NULL,  -- how many
        gold TEXT,                 -- the order known to be right
        state TEXT NOT NULL CHECK (state IN ('fresh', 'waiting', 'taken', 'gold')),
        place INTEGER NOT NULL,    -- random: the pool in this order is the pool shuffled
        waiting INTEGER,           -- a number that grows: when it last began to wait for one more annotator
        wanted INTEGER,            -- annotators it is to have, drawn when it is first given out
        people INTEGER NOT NULL DEFAULT 0,  -- annotators it has: open leases and rankings
        kind TEXT, propensity REAL,         -- of the draw that gave it out first
        uncertainty REAL,
        added REAL NOT NULL
    )""",
    "CREATE INDEX item_fresh ON item (place) WHERE state = 'fresh'",
    "CREATE INDEX item_unsure ON item (uncertainty DESC, place) WHERE state = 'fresh' AND uncertainty IS NOT NULL",
    "CREATE INDEX item_waiting ON item (waiting) WHERE state = 'waiting'",
    "CREATE INDEX item_gold ON item (place) WHERE state = 'gold'",
    "CREATE TABLE content (item INTEGER PRIMARY KEY REFERENCES item, body TEXT NOT NULL)",
    # how many items each state has: counting 100,000 for every draw would take longer than all else
    """CREATE TRIGGER item_enters AFTER INSERT ON item BEGIN
        INSERT INTO counter VALUES (NEW.state, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1;
    END""",
    """CREATE TRIGGER item_moves AFTER UPDATE OF state ON item WHEN OLD.state <> NEW.state BEGIN
        UPDATE counter SET value = value - 1 WHERE name = OLD.state;
        INSERT INTO counter VALUES (NEW.state, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1;
    END""",
    """CREATE TABLE annotator (
        annotator INTEGER PRIMARY KEY,
        layer TEXT NOT NULL CHECK (layer IN ('people', 'judge', 'imported', 'adjudicated')),
        name TEXT NOT NULL,
        alias TEXT NOT NULL UNIQUE,
        created REAL NOT NULL,
        revoked REAL,
        given INTEGER NOT NULL DEFAULT 0,         -- assignments so far
        waiting_seen INTEGER NOT NULL DEFAULT 0,  -- up to where it has been through the waiting items
        UNIQUE (layer, name)
    )""",
    """CREATE TABLE invitation (
        hash BLOB PRIMARY KEY, annotator INTEGER NOT NULL REFERENCES annotator,
        created REAL NOT NULL, expires REAL NOT NULL, redeemed REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE session (
        hash BLOB PRIMARY KEY, annotator INTEGER NOT NULL REFERENCES annotator,
        created REAL NOT NULL, expires REAL NOT NULL, ended REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE assignment (
        assignment INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        annotator INTEGER NOT NULL REFERENCES annotator,
        item INTEGER NOT NULL REFERENCES item,
        repeat INTEGER NOT NULL DEFAULT 0,
        number INTEGER NOT NULL,   -- counts the annotator's assignments from 1
        kind TEXT NOT NULL,
        propensity REAL NOT NULL,
        shown TEXT NOT NULL,       -- item's own index of the answer at A, B, C …
        state TEXT NOT NULL CHECK (state IN ('open', 'submitted', 'skipped', 'expired')),
        given REAL NOT NULL,
        lease_end REAL NOT NULL,
        closed REAL,
        undone REAL NOT NULL DEFAULT 0,
        reason TEXT,
        draft TEXT,
        UNIQUE (annotator, item, repeat)
    )""",
    "CREATE INDEX assignment_number ON assignment (annotator, number)",
    "CREATE INDEX assignment_closed ON assignment (annotator, closed) WHERE state IN ('submitted', 'skipped')",
    "CREATE INDEX assignment_open ON assignment (annotator) WHERE state = 'open'",
    "CREATE INDEX assignment_skipped ON assignment (annotator) WHERE state = 'skipped'",
    "CREATE INDEX assignment_left ON assignment (annotator) WHERE state = 'expired'",
    "CREATE INDEX assignment_lease ON assignment (lease_end) WHERE state = 'open'",
    """CREATE TABLE ranking (
        ranking INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,  -- one from each submit, chosen by the sender: sent twice, it is saved once
        layer TEXT NOT NULL,
        item INTEGER NOT NULL REFERENCES item,
        annotator INTEGER NOT NULL REFERENCES annotator,
        assignment INTEGER REFERENCES assignment,
        places TEXT NOT NULL,      -- the weak order, by the item's own index of each answer
        acceptable INTEGER, confidence INTEGER, seconds REAL,
        flags TEXT NOT NULL, mode TEXT NOT NULL, comparisons TEXT NOT NULL,
        extra TEXT NOT NULL,
        saved REAL NOT NULL,
        removed REAL
    )""",
    "CREATE UNIQUE INDEX ranking_stands ON ranking (assignment) WHERE removed IS NULL AND assignment IS NOT NULL",
    "CREATE INDEX ranking_annotator ON ranking (annotator, saved) WHERE removed IS NULL",
    "CREATE INDEX ranking_item ON ranking (item)",
    """CREATE TRIGGER ranking_stays BEFORE DELETE ON ranking BEGIN
        SELECT RAISE(ABORT, 'a ranking is never deleted: set its moment of removal');
    END""",
    """CREATE TRIGGER ranking_same BEFORE UPDATE ON ranking
        WHEN OLD.removed IS NOT NULL OR NEW.places <> OLD.places OR NEW.item <> OLD.item
            OR NEW.annotator <> OLD.annotator OR NEW.key <> OLD.key OR NEW.saved <> OLD.saved BEGIN
        SELECT RAISE(ABORT, 'a ranking is never changed: remove it and save another');
    END""",
    """CREATE TABLE audit (
        entry INTEGER PRIMARY KEY AUTOINCREMENT, moment REAL NOT NULL,
        annotator INTEGER, what TEXT NOT NULL, item INTEGER, old TEXT, new TEXT, client_ms INTEGER
    )""",
    "CREATE TRIGGER audit_same BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
    "CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit only grows'); END",
)

_ITEM = """
        item INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        hash BLOB NOT NULL,
        prompt TEXT NOT NULL,
        task TEXT NOT NULL CHECK (task IN ('rank', 'pick', 'pair')),
        answers INTEGER NOT NULL,
        gold TEXT,
        state TEXT NOT NULL CHECK (state IN ('fresh', 'waiting', 'taken', 'gold')),
        place INTEGER NOT NULL,
        waiting INTEGER,
        wanted INTEGER,
        people INTEGER NOT NULL DEFAULT 0,
        kind TEXT, propensity REAL,
        uncertainty REAL,
        added REAL NOT NULL
"""
_PAIRS = (
    # SQLite cannot change a CHECK: the table is made anew, and its indices and triggers, which go with it
    f"CREATE TABLE item_with_pairs ({_ITEM})",
    "INSERT INTO item_with_pairs SELECT * FROM item",
    "DROP TABLE item",
    "ALTER TABLE item_with_pairs RENAME TO item",
    *(statement for statement in _FIRST if re.match(r"CREATE (INDEX|TRIGGER) item_", statement)),
)
_GUARDED = (
    # version 1 compared a few columns; here every one but `removed` is out of reach, and that is set once
    "DROP TRIGGER ranking_same",
    """CREATE TRIGGER ranking_same BEFORE UPDATE OF ranking, key, layer, item, annotator, assignment, places,
        acceptable, confidence, seconds, flags, mode, comparisons, extra, saved ON ranking BEGIN
        SELECT RAISE(ABORT, 'a ranking is never changed: remove it and save another');
    END""",
    """CREATE TRIGGER ranking_removed BEFORE UPDATE OF removed ON ranking
        WHEN OLD.removed IS NOT NULL OR NEW.removed IS NULL BEGIN
        SELECT RAISE(ABORT, 'a ranking is never changed: what was removed stays removed');
    END""",
    # INSERT OR REPLACE deletes what is in its way without asking the triggers that guard deletion
    """CREATE TRIGGER ranking_replaced BEFORE INSERT ON ranking WHEN EXISTS (SELECT 1 FROM ranking r WHERE
        r.ranking = NEW.ranking OR (r.assignment = NEW.assignment AND r.removed IS NULL)) BEGIN
        SELECT RAISE(ABORT, 'a ranking is never replaced: remove it and save another');
    END""",
    """CREATE TRIGGER ranking_known BEFORE INSERT ON ranking WHEN EXISTS (SELECT 1 FROM ranking r WHERE r.key = NEW.key)
        BEGIN SELECT RAISE(IGNORE);  -- an import that is run again passes over what is there
    END""",
    """CREATE TRIGGER audit_replaced BEFORE INSERT ON audit
        WHEN EXISTS (SELECT 1 FROM audit a WHERE a.entry = NEW.entry) BEGIN
        SELECT RAISE(ABORT, 'the audit only grows');
    END""",
)
_LEADS = (
    "ALTER TABLE annotator ADD COLUMN lead INTEGER NOT NULL DEFAULT 0",  # may see statistics and decide disputes
    "CREATE INDEX ranking_decided ON ranking (item) WHERE layer = 'adjudicated' AND removed IS NULL",
)
_COUNTS = ("ALTER TABLE annotator ADD COLUMN work INTEGER",)  # what it is told to have in all, see assignment.py
_PRACTICE = (
    "ALTER TABLE item ADD COLUMN practice INTEGER NOT NULL DEFAULT 0",  # annotators are shown its key
    "CREATE INDEX item_practice ON item (place) WHERE practice = 1",
    "ALTER TABLE assignment ADD COLUMN revealed REAL",  # when key or sources were shown: no way back
    "CREATE INDEX ranking_practice ON ranking (annotator) WHERE layer = 'calibration' AND removed IS NULL",
)
_ITEM_OF_ANY_TASK = _ITEM.replace("'pair'", "'pair', 'person'") + ", practice INTEGER NOT NULL DEFAULT 0"
_PERSONS = (
    # as for pairs, with the column and the index that came since
    f"CREATE TABLE item_with_persons ({_ITEM_OF_ANY_TASK})",
    "INSERT INTO item_with_persons SELECT * FROM item",
    "DROP TABLE item",
    "ALTER TABLE item_with_persons RENAME TO item",
    *(statement for statement in (*_FIRST, *_PRACTICE) if re.match(r"CREATE (INDEX|TRIGGER) item_", statement)),
)
MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _PAIRS, _GUARDED, _LEADS, _COUNTS, _PRACTICE, _PERSONS)
VERSION = len(MIGRATIONS)


def make_file(path: Path) -> None:
    """An empty file that only its owner reads; SQLite gives its companions (-wal, -shm) the same mode.

    Raises NotOurs where something is there or nothing can be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        raise NotOurs(f"{path}: is there already; open it, or name another store") from None
    except OSError as error:
        raise NotOurs(f"{path}: cannot be made ({error.strerror}); name another store") from None


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a store that exists, in which transactions begin only where one is begun.

    Raises MissingInput where no file is there, ConfigError where Python came with an SQLite that is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise ConfigError(
            f"this Python has SQLite {sqlite3.sqlite_version}; a store needs {OLDEST[0]}.{OLDEST[1]} or later: use "
            "another Python"
        )
    if not path.exists():
        raise MissingInput(f"{path}: no such store; make one: burnish rank import FILE --store {path}")
    with told(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this version's tables. An empty file becomes a store; whoever was first, the other finds it.

    Raises NotOurs for a database of something else, DataError for a store of a later version.
    """
    with told(path):
        if _version(connection, path) == VERSION:
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = OFF")  # else a table that is made anew would take its rows with it
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in range(_version(connection, path), VERSION):
                for statement in MIGRATIONS[step]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.execute("PRAGMA foreign_keys = ON")


def refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DataError for a file that was cut or written into by others, before anything is read or added."""
    with told(path):
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _damaged(path, found.replace("\n", " "))


def _damaged(path: Path, why: object) -> DataError:
    return DataError(f"{path}: damaged ({why}); put a copy back, or save what is left: sqlite3 {path} .recover")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if mark != APPLICATION_ID and (mark or version or tables):
        raise NotOurs(f"{path}: a database, but no store of rankings; name another file")
    if version > VERSION:
        raise DataError(
            f"{path}: a store of version {version}, made by a later burnish; this one knows up to {VERSION}: "
            "upgrade burnish"
        )
    return int(version)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Whatever SQLite raises inside, as an error of ours that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise as_ours(error, path) from error


def as_ours(error: sqlite3.Error, path: Path) -> BurnishError:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_NOTADB":
        return NotOurs(f"{path}: no database; name a store that `burnish rank import` made")
    if name.startswith("SQLITE_CORRUPT"):
        return _damaged(path, error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return WriteFailed(f"{path}: another process has held it for {BUSY_SECONDS:g} s; try again, nothing was lost")
    if name.startswith("SQLITE_FULL"):
        return DiskFull(f"{path}: the disk is full, so this was not saved; free some space and try again")
    if name.startswith("SQLITE_READONLY"):
        return WriteFailed(f"{path}: may not be written ({error}); give write permission on it and its folder")
    if name.startswith("SQLITE_CANTOPEN"):
        return WriteFailed(
            f"{path}: cannot be opened ({error}); it must be a file in a folder that may be written, for SQLite keeps "
            "its log beside it, even to read: copy it to such a folder"
        )
    return WriteFailed(f"{path}: the database failed ({name or type(error).__name__}: {error})")
