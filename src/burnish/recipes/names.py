"""Names that become folders, and paths that a recipe may read."""

import re
from collections.abc import Iterable
from pathlib import Path

from burnish.data.problems import printable

FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
TAKEN = {"base": "the recipe's own model", "people": "those who rank"}
"""Words that mean something else where a stage is named."""
LONGEST = 255


def folder_trouble(name: str) -> str:
    """Why `name` cannot be a folder's, on any system; empty where it can."""
    if FOLDER.fullmatch(name) and not name.endswith("."):
        return (
            "" if name.split(".")[0].lower() not in DEVICES else f"{name} is a device's name on Windows; choose another"
        )
    return f"'{printable(name, 60)}' cannot name a folder; use up to 64 letters, digits, `.`, `_` or `-`"


def path_trouble(text: str, place: Path, roots: Iterable[Path]) -> str:
    """Why `text`, seen from `place`, may not be read; empty where it may. Symbolic links are followed first."""
    if not text or any(ord(character) < 32 or ord(character) == 127 for character in text):
        return f"'{printable(text, 60)}' is no path: it is empty or has control characters"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return f"'{printable(text, 60)}' is no path: it has bytes that are not UTF-8; rename the file"
    if any(len(part.encode()) > LONGEST for part in Path(text).parts):
        return f"'{printable(text, 60)}' is no path: a name in it is longer than {LONGEST} bytes"
    real = (place / text).resolve()
    known = [root.resolve() for root in roots]
    if any(real.is_relative_to(root) for root in known):
        return ""
    shown = ", ".join(str(root) for root in dict.fromkeys(known))
    return (
        f"{printable(text, 100)} leads to {printable(str(real), 100)}, outside of {shown}; "
        f"if the recipe may read there, add `roots: [{printable(str(real.parent), 100)}]` to it"
    )
