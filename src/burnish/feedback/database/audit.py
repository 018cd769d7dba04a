"""The audit: a line for each thing that was done, in the transaction that does it. It only grows."""

import json
import sqlite3
from typing import Any


def record(
    connection: sqlite3.Connection,
    now: float,
    annotator: int | None,
    what: str,
    *,
    item: int | None = None,
    old: Any = None,
    new: Any = None,
    client_ms: int | None = None,
) -> None:
    """Who did what, and old → new where something changed. Texts stay as they are, other values become JSON."""
    connection.execute(
        "INSERT INTO audit (moment, annotator, what, item, old, new, client_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (now, annotator, what, item, _said(old), _said(new), client_ms),
    )


def _said(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
