"""Who may rank, and who leads: annotators, invitations, sessions. Of a secret only its SHA-256 is kept.

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


def invite(connection: sqlite3.Connection, name: str, expires: float, now: float, *, lead: bool = False) -> str:
    """A token that opens one session for `name`. It is shown here and never again.

    `lead` makes them one, in the sessions that they have too, until they are revoked. Raises UsageError for a name that
    cannot be shown.
    """
    if not _NAME.fullmatch(name) or not name.strip():
        raise UsageError(f"name {name[:80]!r}: choose 1 to 80 printable characters")
    who = annotator_of(connection, name, "people", now)
    connection.execute("UPDATE annotator SET revoked = NULL WHERE annotator = ?", (who.number,))
    if lead:
        connection.execute("UPDATE annotator SET lead = 1 WHERE annotator = ?", (who.number,))
        annotator_of(connection, name, "adjudicated", now)
    token = secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO invitation (hash, annotator, created, expires) VALUES (?, ?, ?, ?)",
        (_hash(token), who.number, now, expires),
    )
    record(connection, now, who.number, "invite lead" if lead else "invite", new=f"until {expires:.0f}")
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
    name, alias, lead = connection.execute(
        "SELECT name, alias, lead FROM annotator WHERE annotator = ?", row
    ).fetchone()
    return Session(secret, Annotator(row[0], name, alias, bool(lead)), csrf_of(secret))


def session(connection: sqlite3.Connection, secret: str, now: float) -> Annotator | None:
    """Whose session this is; None for one that is unknown, ended, expired or revoked."""
    row = connection.execute(
        "SELECT a.annotator, a.name, a.alias, a.lead FROM session s JOIN annotator a USING (annotator) "
        "WHERE s.hash = ? AND s.ended IS NULL AND s.expires > ? AND a.revoked IS NULL",
        (_hash(secret), now),
    ).fetchone()
    return None if row is None else Annotator(row[0], row[1], row[2], bool(row[3]))


def adjudicator(connection: sqlite3.Connection, lead: Annotator) -> Annotator:
    """As whom a lead decides: an annotator of the same name in the layer of decisions, so that what they rank as one of
    the annotators is kept apart. Raises MissingInput for one who does not lead (any more)."""
    row = connection.execute(
        "SELECT d.annotator, d.alias FROM annotator a JOIN annotator d ON d.name = a.name AND d.layer = 'adjudicated' "
        "WHERE a.annotator = ? AND a.lead = 1 AND a.revoked IS NULL",
        (lead.number,),
    ).fetchone()
    if row is None:
        raise MissingInput(f"{lead.name!r} is no lead of this store; make them one: burnish rank invite NAME --lead")
    return Annotator(row[0], lead.name, row[1], lead=True)


def csrf_of(secret: str) -> str:
    """What a page of this session must send with each change. A cookie alone travels by itself; this does not."""
    return hmac.new(secret.encode(), b"burnish csrf", hashlib.sha256).hexdigest()


def end_session(connection: sqlite3.Connection, secret: str, now: float) -> None:
    """Log out: the cookie opens nothing from now on."""
    connection.execute("UPDATE session SET ended = ? WHERE hash = ? AND ended IS NULL", (now, _hash(secret)))


def revoke(connection: sqlite3.Connection, name: str, now: float) -> int:
    """End all sessions and invitations of `name`, and return how many; a lead is one no more. What they ranked stays.

    Raises MissingInput for a name that was never invited.
    """
    row = connection.execute("SELECT annotator FROM annotator WHERE layer = 'people' AND name = ?", (name,)).fetchone()
    if row is None:
        known = [name for (name,) in connection.execute("SELECT name FROM annotator WHERE layer = 'people' LIMIT 12")]
        raise MissingInput(f"no annotator {name!r} in this store; there are {', '.join(known) or 'none'}")
    connection.execute("UPDATE annotator SET revoked = ?, lead = 0 WHERE annotator = ?", (now, row[0]))
    ended = connection.execute("UPDATE session SET ended = ? WHERE annotator = ? AND ended IS NULL", (now, row[0]))
    unused = connection.execute(
        "UPDATE invitation SET redeemed = ? WHERE annotator = ? AND redeemed IS NULL", (now, row[0])
    )
    record(connection, now, row[0], "revoke")
    return ended.rowcount + unused.rowcount


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
