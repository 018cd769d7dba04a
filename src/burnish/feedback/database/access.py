"""Who may rank: annotators, invitations, sessions. Of a secret only its SHA-256 is kept.

An invitation is a link that works once; redeeming it opens a session, whose secret is the browser's cookie. Both are
256 random bits, so that finding one by its hash tells an attacker's clock nothing.
"""

import hashlib
import hmac
import re
import secrets
import sqlite3

from burnish.errors import MissingInput, UsageError
from burnish.feedback.database.audit import record
from burnish.feedback.records import UNKNOWN, Annotator, Layer, Session

INVITATION_SECONDS = 7 * 24 * 3600.0
SESSION_SECONDS = 30 * 24 * 3600.0
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,80}")
_ALIAS = re.compile(r"[0-9a-f]{16}")


def annotator_of(connection: sqlite3.Connection, name: str, layer: Layer, now: float) -> Annotator:
    """The annotator of that name, made where there is none.

    The alias is the SHA-256 of a salt of this store with layer and name, so that a file of rankings does not tell who
    made them. A name that came in as an alias stays as it is: exported and imported again, it is the same person. A
    judge is no person, and its name is its alias; so is "unknown", which may be many.
    """
    row = connection.execute(
        "SELECT annotator, alias FROM annotator WHERE layer = ? AND name = ?", (layer, name)
    ).fetchone()
    if row is not None:
        return Annotator(row[0], name, row[1])
    known = layer == "judge" or (layer == "imported" and (name == UNKNOWN or _ALIAS.fullmatch(name)))
    alias = name if known else _alias(connection, name, layer)
    row = connection.execute(
        "INSERT INTO annotator (layer, name, alias, created) VALUES (?, ?, ?, ?) RETURNING annotator",
        (layer, name, alias, now),
    ).fetchone()
    return Annotator(row[0], name, alias)


def _alias(connection: sqlite3.Connection, name: str, layer: Layer) -> str:
    fresh = secrets.token_hex(16)
    connection.execute("INSERT OR IGNORE INTO setting VALUES ('salt', ?)", (fresh,))
    (salt,) = connection.execute("SELECT value FROM setting WHERE name = 'salt'").fetchone()
    return hashlib.sha256(f"{salt}\0{layer}\0{name}".encode()).hexdigest()[:16]


def invite(connection: sqlite3.Connection, name: str, expires: float, now: float) -> str:
    """A token that opens one session for `name`. It is shown here and never again.

    Raises UsageError for a name that cannot be shown.
    """
    if not _NAME.fullmatch(name) or not name.strip():
        raise UsageError(f"name {name[:80]!r}: choose 1 to 80 printable characters")
    who = annotator_of(connection, name, "people", now)
    connection.execute("UPDATE annotator SET revoked = NULL WHERE annotator = ?", (who.number,))
    token = secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO invitation (hash, annotator, created, expires) VALUES (?, ?, ?, ?)",
        (_hash(token), who.number, now, expires),
    )
    record(connection, now, who.number, "invite", new=f"until {expires:.0f}")
    return token


def redeem(connection: sqlite3.Connection, token: str, now: float) -> Session | None:
    """The session that an invitation opens; None for a token that is unknown, used, expired or revoked."""
    row = connection.execute(
        "UPDATE invitation SET redeemed = ? WHERE hash = ? AND redeemed IS NULL AND expires > ? "
        "AND annotator IN (SELECT annotator FROM annotator WHERE revoked IS NULL) RETURNING annotator",
        (now, _hash(token), now),
    ).fetchone()
    if row is None:
        return None
    secret = secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO session (hash, annotator, created, expires) VALUES (?, ?, ?, ?)",
        (_hash(secret), row[0], now, now + SESSION_SECONDS),
    )
    record(connection, now, row[0], "redeem")
    name, alias = connection.execute("SELECT name, alias FROM annotator WHERE annotator = ?", row).fetchone()
    return Session(secret, Annotator(row[0], name, alias), csrf_of(secret))


def session(connection: sqlite3.Connection, secret: str, now: float) -> Annotator | None:
    """Whose session this is; None for one that is unknown, ended, expired or revoked."""
    row = connection.execute(
        "SELECT a.annotator, a.name, a.alias FROM session s JOIN annotator a USING (annotator) "
        "WHERE s.hash = ? AND s.ended IS NULL AND s.expires > ? AND a.revoked IS NULL",
        (_hash(secret), now),
    ).fetchone()
    return None if row is None else Annotator(*row)


def csrf_of(secret: str) -> str:
    """What a page of this session must send with each change. A cookie alone travels by itself; this does not."""
    return hmac.new(secret.encode(), b"burnish csrf", hashlib.sha256).hexdigest()


def end_session(connection: sqlite3.Connection, secret: str, now: float) -> None:
    """Log out: the cookie opens nothing from now on."""
    connection.execute("UPDATE session SET ended = ? WHERE hash = ? AND ended IS NULL", (now, _hash(secret)))


def revoke(connection: sqlite3.Connection, name: str, now: float) -> int:
    """End all sessions and invitations of `name`, and return how many. What they ranked stays.

    Raises MissingInput for a name that was never invited.
    """
    row = connection.execute("SELECT annotator FROM annotator WHERE layer = 'people' AND name = ?", (name,)).fetchone()
    if row is None:
        known = [name for (name,) in connection.execute("SELECT name FROM annotator WHERE layer = 'people' LIMIT 12")]
        raise MissingInput(f"no annotator {name!r} in this store; there are {', '.join(known) or 'none'}")
    connection.execute("UPDATE annotator SET revoked = ? WHERE annotator = ?", (now, row[0]))
    ended = connection.execute("UPDATE session SET ended = ? WHERE annotator = ? AND ended IS NULL", (now, row[0]))
    unused = connection.execute(
        "UPDATE invitation SET redeemed = ? WHERE annotator = ? AND redeemed IS NULL", (now, row[0])
    )
    record(connection, now, row[0], "revoke")
    return ended.rowcount + unused.rowcount


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
