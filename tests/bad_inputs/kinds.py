"""A kind of bad input: what lies there, what is typed, and what burnish must say to it.

`told` runs the command line in this process, in a folder of its own. test_bad_inputs.py holds each message to what it
must name; record.py writes all of them into docs/reliability.md.
"""

import contextlib
import io
import json
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewards.served import serving

from burnish.cli.main import main

GOOD = '{"prompt": "a", "response": "b"}\n'
URL = "URL"
"""In a command: where `served` listens."""


@dataclass(frozen=True)
class Kind:
    """`says`: what the message must hold, of where, what was found, and what to do.

    `model`: a whole tiny model lies in `model/` before `make` changes what is there. `served`: answers at `URL`.
    """

    what: str
    command: str
    code: int
    says: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    make: Callable[[Path], object] | None = None
    model: bool = False
    served: Callable[[Any, Any], object] | None = None


@dataclass(frozen=True)
class Told:
    """How the command ended, its message, and all that it printed; the same on every machine."""

    code: int
    message: str
    printed: str


def told(kind: Kind, place: Path, model: Path) -> Told:
    """What burnish says to `kind`, tried in the empty folder `place`. `model` is a tiny model that stays as it is."""
    for name, content in kind.files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    if kind.model:
        shutil.copytree(model, place / "model")
    if kind.make is not None:
        kind.make(place)
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as within:
        url = within.enter_context(serving(kind.served))[0] if kind.served is not None else ""
        words = [word.replace(URL, url) if url else word for word in shlex.split(kind.command)]
        for manager in (contextlib.chdir(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors)):
            within.enter_context(manager)
        code = main(words)
    printed = out.getvalue() + errors.getvalue()
    message = errors.getvalue().rpartition("error: ")[2] if code else printed
    return Told(code, _anywhere(message, place).strip("\n"), printed)


def _anywhere(text: str, place: Path) -> str:
    """`text` without what differs from machine to machine: the folder, a port, how much memory there is."""
    for path in {str(place), str(place.resolve())}:
        text = text.replace(path, "~")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", text)
    return re.sub(r"[\d.]+ GB are (there|free)", r"… GB are \1", text)


def entry(kind: Kind, found: Told) -> str:
    """The kind as docs/reliability.md lists it."""
    return f"{kind.what}  [{found.code}]\n" + "".join(
        f"    {line}".rstrip() + "\n" for line in found.message.split("\n")
    )


# ---- how most kinds are tried


def file(
    what: str, data: str | bytes, *says: str, name: str = "train.jsonl", to: str = "demonstration", options: str = ""
) -> Kind:
    """A file of records that is refused as a whole, or for its rows."""
    command = f"data convert {name} --to {to} --out out.jsonl {options}".strip()
    return Kind(what, command, 65, says, {name: data})


def row(what: str, value: Any, *says: str, to: str = "demonstration", format: str = "") -> Kind:  # noqa: A002
    """One row that cannot be used, in line 2."""
    options = f"--format {format}" if format else ""
    return file(
        what,
        f"\n{json.dumps(value, ensure_ascii=False)}\n",
        "rows.jsonl:2: ",
        *says,
        name="rows.jsonl",
        to=to,
        options=options,
    )


def accepted(what: str, data: str | bytes, *says: str, name: str = "train.jsonl") -> Kind:
    """A file that is read although it is unusual."""
    return Kind(what, f"data validate {name}", 0, says, {name: data})
