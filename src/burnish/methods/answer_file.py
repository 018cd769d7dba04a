"""The file of a sampler's answers.

It grows in chunks as `NAME.part.jsonl`, and takes its name, `NAME.jsonl`, when it is whole. A chunk counts when it lies
on the disk and `NAME.part.json` says so: a run that was killed cuts off what came after and samples that chunk again,
so the file has the same bytes as if nothing had happened.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from burnish.errors import Interrupted, NotOurs, WriteFailed
from burnish.testing.faults import reach
from burnish.training.checkpoint import write_durably
from burnish.training.identity import refuse_another
from burnish.training.metrics import Figures
from burnish.training.signals import StopAskedError, signals

ANSWERS = "answers.jsonl"
Sampled = tuple[Sequence[dict[str, Any]], int]
"""Sample records, and how many tokens their answers have."""


class AnswerFile:
    """`out/name` while it grows. `chunks` are committed; `figures` are of what they hold."""

    def __init__(self, out: Path, identity: dict[str, str], name: str = ANSWERS) -> None:
        self.whole = out / name
        self.part = self.whole.with_suffix(".part.jsonl")
        self.state = self.whole.with_suffix(".part.json")
        self.identity = identity
        self.chunks, self.bytes = 0, 0
        self.counts = {"prompts": 0, "answers": 0, "tokens": 0, "ended": 0}
        out.mkdir(parents=True, exist_ok=True)
        if self.state.exists():
            self._go_on(json.loads(self.state.read_text(encoding="utf-8")))
        elif self.whole.exists():
            raise NotOurs(f"{self.whole} is there, and nothing says what wrote it; choose another --out")

    def _go_on(self, state: dict[str, Any]) -> None:
        refuse_another(state["identity"], self.identity, f"{self.state} was written by another run")
        self.chunks, self.bytes, self.counts = state["chunks"], state["bytes"], state["counts"]

    @property
    def figures(self) -> Figures:
        counts = self.counts
        answers = max(1, counts["answers"])
        length = {"answer_length": counts["tokens"] / answers} if counts["tokens"] else {}  # a server may not say
        return {
            "prompts": float(counts["prompts"]),
            "answers": float(counts["answers"]),
            **length,
            "ended": counts["ended"] / answers,
        }

    def fill(self, prompts: int, chunk: int, sample: Callable[[int, int], Sampled], *, told: str) -> None:
        """Sample and commit what is missing of so many prompts, `chunk` of them at a time.

        `sample` is given the number of the first prompt that is wanted and that of the first that is not. Raises
        Interrupted on SIGTERM or SIGINT, WriteFailed as `append`: the chunks that are whole stay.
        """
        with signals() as wish:
            for first in range(self.counts["prompts"], prompts, chunk):  # chunks that lie there may have another size
                try:
                    with wish.at_once():  # a chunk that is cut is sampled again, so there is nothing to wait for
                        rows, tokens = sample(first, first + chunk)
                except StopAskedError:
                    raise Interrupted(
                        f"stopped after {self.counts['prompts']} of {prompts} prompts, saved. Run the same command "
                        "again to go on."
                    ) from None
                self.append(rows, tokens)
                print(f"{told}: {self.counts['prompts']} of {prompts} prompts", file=sys.stderr)

    def append(self, rows: Sequence[dict[str, Any]], tokens: int) -> None:
        """Commit a chunk of samples. Raises WriteFailed where the disk is full; what was committed stays."""
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) + "\n" for row in rows)
        try:
            with self.part.open("r+b" if self.bytes else "wb") as file:
                file.truncate(self.bytes)  # what a killed run wrote of a chunk that it did not commit
                file.seek(self.bytes)
                self.bytes += file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            reach("chunk.write", self.chunks + 1, file=self.part)
            self.chunks += 1
            self.counts = {
                "prompts": self.counts["prompts"] + len(rows),
                "answers": self.counts["answers"] + sum(len(row["answers"]) for row in rows),
                "tokens": self.counts["tokens"] + tokens,
                "ended": self.counts["ended"] + sum(sum(row["finished"]) for row in rows),
            }
            known = {"identity": self.identity, "chunks": self.chunks, "bytes": self.bytes, "counts": self.counts}
            write_durably(self.state, json.dumps(known, indent=1))
        except OSError as error:
            raise WriteFailed(
                f"{self.part}: cannot be written: {error}. {self.chunks} chunks are safe; free some space and run the "
                "same command again."
            ) from error

    def finish(self) -> Figures:
        """Give the file its name, once all chunks are in it."""
        if self.part.exists():
            os.truncate(self.part, self.bytes)
            self.part.replace(self.whole)
        return self.figures
