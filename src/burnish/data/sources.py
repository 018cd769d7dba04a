"""From a path to bytes: is the file there, is it what its name says, does it stay within bounds when unpacked."""

import difflib
import gzip
import io
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from burnish.data.problems import listed, printable
from burnish.errors import DataError, MissingInput

FILE_LIMIT = 50 << 30
ROW_LIMIT = 10 << 20
RATIO_LIMIT = 100
RATIO_FREE = 10 << 20  # unpacked bytes below which the ratio is not looked at: a small file of one letter is no bomb
CONTAINERS = ("jsonl", "json", "csv", "parquet", "txt")
ENDINGS = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "json", "csv": "csv", "parquet": "parquet", "txt": "txt"}
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"PAR1", "parquet"),
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"SQLite format 3", "SQLite"),
    (b"%PDF", "PDF"),
    (b"ARROW1", "Arrow"),
    (b"GGUF", "GGUF"),
    (b"version https://git-lfs", "Git LFS pointer"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
)


if TYPE_CHECKING:
    Stream: TypeAlias = io.BufferedReader[Any]
else:
    Stream = io.BufferedReader


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read: where it is, what it is called in messages, how its rows are kept, whether it is packed."""

    path: Path
    name: str
    container: str
    packed: bool


def kind_of_bytes(head: bytes) -> str:
    """What a file is by its first bytes; text where nothing else fits."""
    found = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if found:
        return found
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\v\b\x1b" for byte in head)
    return "binary data" if controls > len(head) // 10 and not _utf16(head) else "text"


def _utf16(head: bytes) -> str:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return f"BOM {head[0]:02X} {head[1]:02X}"
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) >= 8 and min(even, odd) == 0 and max(even, odd) > len(head) // 8:
        return "every second byte is zero"
    return ""


def locate(path: str | Path, container: str | None = None) -> Source:
    """Check that the file can be read as its name says. Raises MissingInput or DataError."""
    text = str(path)
    name = printable(text, 300)
    if "\0" in text:
        raise MissingInput(f"{name}: a path cannot hold a NUL character; name another file")
    where = Path(text)
    try:
        status = where.stat()
    except FileNotFoundError:
        raise MissingInput(_absent(where, name)) from None
    except OSError as error:
        raise MissingInput(f"{name}: cannot be read ({error.strerror}); check the path and its permissions") from None
    if stat.S_ISDIR(status.st_mode):
        raise MissingInput(_directory(where, name))
    if not stat.S_ISREG(status.st_mode):
        raise MissingInput(f"{name}: not a regular file; write what it gives into one first")
    if status.st_size > FILE_LIMIT:
        raise DataError(f"{name}: {status.st_size >> 30} GB, the limit is {FILE_LIMIT >> 30} GB; split it")
    if status.st_size == 0:
        raise DataError(f"{name}: empty: no examples; found 0 bytes")
    try:
        with where.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise MissingInput(f"{name}: cannot be read ({error.strerror}); check its permissions") from None
    source = _named(where, name, container)
    _check_magic(source, head)
    return source


def _absent(where: Path, name: str) -> str:
    folder = where.parent
    siblings = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(where.name, siblings, n=1, cutoff=0.5)
    hint = f" Did you mean {printable(str(folder / near[0]), 300)}?" if near else ""
    return f"{name}: no such file (cwd {printable(str(Path.cwd()), 300)}).{hint}"


def _directory(where: Path, name: str) -> str:
    usable = sorted(entry.name for entry in where.iterdir() if _ending(entry.name)[0] in ENDINGS)
    return f"{name}: is a folder; name a file in it: {listed(usable) or f'it holds none of {listed(ENDINGS)}'}"


def _ending(name: str) -> tuple[str, bool]:
    """The file's ending without .gz, and whether .gz was there."""
    lower = name.lower()
    packed = lower.endswith(".gz")
    stem = lower[:-3] if packed else lower
    return (stem.rsplit(".", 1)[-1] if "." in stem else ""), packed


def _named(where: Path, name: str, container: str | None) -> Source:
    ending, packed = _ending(where.name)
    found = container or ENDINGS.get(ending)
    if found is None:
        raise DataError(
            f"{name}: the name does not say how its rows are kept; found ending {ending or 'none'!r}; "
            f"use one of {', '.join('.' + known for known in ENDINGS)} (and .gz of them), or format: one of "
            f"{', '.join(CONTAINERS)}"
        )
    return Source(where, name, found, packed)


def _check_magic(source: Source, head: bytes) -> None:
    real = kind_of_bytes(head)
    if source.packed:
        if real != "gzip":
            raise DataError(f"{source.name}: not gzip, although it ends in .gz; found {real}; rename it")
        return
    if real == "gzip":
        raise DataError(f"{source.name}: is gzip; add .gz to its name")
    if source.container == "parquet" and real != "parquet":
        raise DataError(f"{source.name}: not parquet; found {real}; rename it")
    if source.container != "parquet" and real != "text":
        raise DataError(f"{source.name}: not {source.container}; found {real}{_what_now(real)}")
    if source.container != "parquet":
        check_utf16(source, head)


def _what_now(real: str) -> str:
    if real == "Git LFS pointer":
        return "; fetch the file itself with `git lfs pull`"
    return "; unpack it first" if real in ("zip", "bzip2", "xz", "zstandard") else "; give the data itself"


def check_utf16(source: Source, head: bytes) -> None:
    """Raises DataError where the bytes are UTF-16."""
    sign = _utf16(head)
    if sign:
        raise DataError(f"{source.name}: looks like UTF-16 ({sign}); convert: iconv -f UTF-16 -t UTF-8 FILE > OUT")


def _check_inside(source: Source, head: bytes) -> None:
    real = kind_of_bytes(head)
    wanted = "parquet" if source.container == "parquet" else "text"
    if head and real != wanted:
        raise DataError(f"{source.name}: the gzip file holds no {source.container}; found {real}{_what_now(real)}")
    if wanted == "text":
        check_utf16(source, head)


def check_ratio(source: Source, unpacked: int, read: int) -> None:
    """Raise DataError where what was packed into `read` bytes is far more than a file of text could be."""
    if unpacked > RATIO_FREE and unpacked > RATIO_LIMIT * read:
        kind = "parquet" if source.container == "parquet" else "gzip"
        raise DataError(
            f"{source.name}: unpacks to more than {RATIO_LIMIT} times its size (a {kind} bomb?); found "
            f"{unpacked:,} bytes from {read:,}; unpack it yourself if you trust it"
        )


class _Unpacked(io.RawIOBase):
    """The inside of a .gz, which complains before a bomb fills memory or disk."""

    def __init__(self, source: Source, packed: IO[bytes]) -> None:
        self.source = source
        self.packed = packed
        self.inner = gzip.GzipFile(fileobj=packed, mode="rb")
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            data = self.inner.read(min(len(view), 1 << 18))
        except EOFError:
            raise DataError(f"{self.source.name}: the gzip file ends too early: it seems cut; fetch it again") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{self.source.name}: damaged gzip ({error}); fetch it again") from None
        self.size += len(data)
        read = max(self.packed.tell(), 1)
        check_ratio(self.source, self.size, read)
        if self.size > FILE_LIMIT:
            raise DataError(f"{self.source.name}: unpacks to more than {FILE_LIMIT >> 30} GB; split it")
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.inner.close()
        super().close()


@contextmanager
def opened(source: Source) -> Iterator[Stream]:
    """The file's bytes, unpacked."""
    with source.path.open("rb") as stream:
        if source.packed:
            with io.BufferedReader(_Unpacked(source, stream), 1 << 18) as inside:
                _check_inside(source, inside.peek(512)[:512])
                yield inside
        else:
            yield stream
