"""What stages of one recipe would compute alike, kept where each of them finds it: RUN/.cache/KIND/HASH.

The hash is of all that the result follows from, so whoever asks for the same finds what another stage left there.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path

_folder: ContextVar[Path | None] = ContextVar("_folder", default=None)


@contextmanager
def sharing_in(folder: Path) -> Iterator[None]:
    """Within, what others could take lies in `folder`."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def place(kind: str, known: Mapping[str, str]) -> Path | None:
    """Where a result of this kind lies that follows from `known`; None where nothing is shared."""
    folder = _folder.get()
    return None if folder is None else folder / kind / sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
