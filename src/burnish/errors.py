"""Every error that burnish raises on purpose.

    BurnishError                 exit code
      UsageError                 64  the command line asks for something that does not exist
      DataError                  65  a file's content is wrong
        CheckpointError          65  every checkpoint of a run is damaged
      MissingInput               66  a file, folder or model is not there
      Unreachable                69  a reward, judge or served model does not answer, or not so that it can be read
      NonFiniteLoss              70  a loss or gradient is NaN or infinite
      OutOfMemory                71  the machine's memory is used up
      RankFailed                     another process of the same run failed, with the code of that one; 70 for none
      NotOurs                    73  the output cannot be made there, or belongs to another run
      WriteFailed                74  the disk is full or fails
        DiskFull                 74  it is full, and what was to be saved is not
      Interrupted                75  stopped after a clean save: run the same command again
      ConfigError                78  settings are wrong or do not fit together, or a check before step one refuses

The codes are those of sysexits.h. A message says what is wrong, where, what was found and what to do; it is shown
once, around the program, without a traceback.
"""

import re
from collections.abc import Mapping
from errno import ENOMEM
from typing import Any


class BurnishError(Exception):
    """Something that the user can mend. `exit_code` is what the command ends with."""

    exit_code = 70


class UsageError(BurnishError):
    exit_code = 64


class DataError(BurnishError):
    exit_code = 65


class CheckpointError(DataError):
    pass


class MissingInput(BurnishError):
    exit_code = 66


class Unreachable(BurnishError):
    exit_code = 69


class NonFiniteLoss(BurnishError):
    """`facts`: of the batch, what bad_batch.json is to say."""

    exit_code = 70

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts: dict[str, Any] = dict(facts or {})


class OutOfMemory(BurnishError):
    exit_code = 71


class RankFailed(BurnishError):
    """`silent`: it was waited for until the time was over, and may hang."""

    def __init__(self, message: str, exit_code: int = 70, *, silent: bool = False) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.silent = silent


class NotOurs(BurnishError):
    exit_code = 73


class WriteFailed(BurnishError):
    exit_code = 74


class DiskFull(WriteFailed):
    pass


class Interrupted(BurnishError):
    exit_code = 75


class ConfigError(BurnishError):
    exit_code = 78


INTERRUPTED = 130


def kind_of(error: BaseException) -> type[BurnishError]:
    """Which of these an error is, also one of Python's or a library's: the disk's, the memory's, a fault of ours."""
    if isinstance(error, BurnishError):
        return type(error)
    if is_out_of_memory(error):
        return OutOfMemory
    if isinstance(error, FileNotFoundError):
        return MissingInput
    if isinstance(error, OSError) or errno_in(error) is not None:
        return WriteFailed
    return BurnishError


def exit_code_of(error: BaseException) -> int:
    """What a command ends with that this error ends."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, BurnishError) else kind_of(error).exit_code


def errno_in(error: BaseException) -> int | None:
    """The number in which libraries that are written in Rust tell of a file; None where there is none."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is the machine's memory, or a GPU's, that was not enough.

    On a CPU, on MPS, and from CUDA's own libraries torch raises a RuntimeError that only its words tell apart.
    """
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, OSError) and error.errno == ENOMEM)
        or (isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY))
    )
