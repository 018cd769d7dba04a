"""metrics.jsonl: one line a step, appended as it happens; a resumed run cuts what lies past its checkpoint."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from burnish.errors import WriteFailed

Figures = dict[str, float]


class MetricsFile:
    """Append-only. `offset` is what a checkpoint remembers, so that no step stands there twice."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > offset:
            number = len(list(path.parent.glob("metrics.discarded-*.jsonl")))
            with path.open("rb") as file:
                file.seek(offset)
                (path.parent / f"metrics.discarded-{number}.jsonl").write_bytes(file.read())
            os.truncate(path, offset)
        self._path = path
        self._file = path.open("a", encoding="utf-8")

    @property
    def offset(self) -> int:
        """Bytes written so far, on the disk when this returns. Raises WriteFailed."""
        with self._told():
            self._file.flush()
            os.fsync(self._file.fileno())
            return self._file.tell()

    def write(self, line: Mapping[str, float | int | str]) -> None:
        """Append a line. Raises WriteFailed where the disk is full or fails; a resume cuts what was half written."""
        with self._told():
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WriteFailed(
                f"{self._path}: cannot be written ({error.strerror or error}). What was saved is whole: free some "
                "space and run the same command again."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it tries once more to write what could not be written, which was told
            self._file.close()


def last_figures(path: Path) -> Figures:
    """The figures of the last line, empty where nothing was written."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return dict(json.loads(lines[-1])) if lines else {}
