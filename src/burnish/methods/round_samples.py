"""A round's answers on the disk, with their scores: neither is drawn, or asked for, twice.

`samples.jsonl` has a row a prompt, with tokens and log-probabilities as `generate` writes them, in chunks by the same
code (answer_file.py), and once they are there the scores as `by` gave them. `samples.json`, written last, says what
drew and scored them; a run that comes back takes what is there, and is refused where it would have drawn or scored
something else. Stages of one recipe that differ only in what they keep and how they learn it take each other's.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from burnish.data.convert import record, write_rows
from burnish.data.templates import Template
from burnish.errors import DataError
from burnish.methods.answer_file import AnswerFile, Sampled
from burnish.methods.scoring import Scores, answered, as_written
from burnish.methods.shared import place
from burnish.rollout.settings import Sampling
from burnish.training.checkpoint import write_durably
from burnish.training.identity import refuse_another
from burnish.training.metrics import Figures
from burnish.types import Group, Rollout

SAMPLES, STATE = "samples.jsonl", "samples.json"
PART, BEGUN = "samples.part.jsonl", "samples.part.json"
Known = Mapping[str, str]
"""Names what shapes answers or scores: other settings, weights or rows, another value."""
Draw = Callable[[int, int], list[Rollout]]
"""The answers to the prompts from one number on, before another; `prompt` of each counts from the first of these."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What each answer scored, prompt after prompt, and what is told of whoever scored."""

    scores: list[float]
    figures: Figures


class RoundSamples:
    """The answers to `asked` in `folder`, drawn by `sampling`, `chunk` prompts at a time. `lineage` are columns that
    every row has: which model wrote it, in which round, and so on."""

    def __init__(
        self,
        folder: Path,
        asked: Sequence[Group],
        template: Template,
        lineage: Mapping[str, Any],
        sampling: Sampling,
        chunk: int,
    ) -> None:
        self.folder = folder
        self.asked, self.template, self.lineage = asked, template, lineage
        self.sampling, self.chunk = sampling, chunk

    def drawn(self, known: Known, draw: Draw) -> list[Rollout]:
        """The answers that are there, or those that `draw` gives, chunk by chunk. Log-probabilities have six digits.

        Those to other prompts, or another number of them, are drawn again where that change was allowed. Raises
        ConfigError where those that are there were drawn with something else, DataError where they are damaged,
        Interrupted on SIGTERM or SIGINT.
        """
        state = self._state() if (self.folder / STATE).exists() else None
        if state is not None:
            self._same(state["samples"], known, "drawn")
            if _asked(state["samples"]) != _asked(known):  # a change that was allowed
                state = None
        state = state or self._taken(known)
        if state is None:
            self._draw(known, draw)
            kept, _ = self._read()
            self._say({"samples": dict(known), "sha256": _digest(kept)})
            self._give(known)
        else:
            kept, _ = self._read()
            if _digest(kept) != state["sha256"]:
                raise DataError(f"{self.folder / SAMPLES}: has other answers than were drawn; remove {self.folder}")
        self._forget_parts()  # now that samples.json says what is there
        return kept

    def _draw(self, known: Known, draw: Draw) -> None:
        """Write `samples.jsonl`, going on with what a run that was killed has committed of the same answers."""

        def sample(first: int, last: int) -> Sampled:
            rollouts = draw(first, last)
            groups = answered(self.asked[first:last], rollouts, self.template)
            written = [replace(g, answers=tuple(as_written(a, self.sampling) for a in g.answers)) for g in groups]
            return list(map(self._row, written)), sum(len(rollout.tokens) for rollout in rollouts)

        begun = self.folder / BEGUN
        if begun.exists() and _asked(json.loads(begun.read_text(encoding="utf-8"))["identity"]) != _asked(known):
            self._forget_parts()
        if not begun.exists():  # answers that no file tells the origin of are left of a round that is drawn anew
            for name in (STATE, SAMPLES):
                (self.folder / name).unlink(missing_ok=True)
        file = AnswerFile(self.folder, dict(known), SAMPLES)
        file.fill(len(self.asked), self.chunk, sample, told=f"reject: round {self.lineage['round']}")
        file.finish()

    def _forget_parts(self) -> None:
        for name in (BEGUN, PART):
            (self.folder / name).unlink(missing_ok=True)

    def scored(
        self,
        known: Known,
        rollouts: Sequence[Rollout],
        ask: Callable[[list[Group]], Scores],
        *,
        common: Known | None = None,
    ) -> Scored:
        """Their scores, which are there or come from `ask`. Raises as `drawn` does, and what `ask` does.

        `common` names them among all stages; None where others may score otherwise and be `known` by the same names.
        """
        state = self._state()
        both = {**state["samples"], **{f"scores.{key}": value for key, value in (common or {}).items()}}
        if "scores" not in state and common is not None:
            state = self._taken(both) or state
        if "scores" not in state:
            groups = answered(self.asked, rollouts, self.template)
            given = ask(groups)
            self._write([_with_scores(group, given, place) for place, group in enumerate(groups)])
            state |= {"scores": dict(known), "told": given.means() | given.reliability()}
            self._say(state)
            if common is not None:
                self._give(both)
        self._same(state["scores"], known, "scored")
        _, scores = self._read()
        if len(scores) != len(rollouts):
            raise DataError(
                f"{self.folder / SAMPLES}: {len(scores)} of {len(rollouts)} answers have a score; remove {self.folder}"
            )
        return Scored(scores, dict(state["told"]))

    def groups(self, rollouts: Sequence[Rollout]) -> list[Group]:
        """The prompts with these answers."""
        return answered(self.asked, rollouts, self.template)

    def _write(self, groups: Sequence[Group]) -> None:
        write_rows(map(self._row, groups), self.folder / SAMPLES)

    def _row(self, group: Group) -> dict[str, Any]:
        return record(replace(group, extra={**group.extra, **self.lineage}), "sample")

    def _read(self) -> tuple[list[Rollout], list[float]]:
        rollouts: list[Rollout] = []
        scores: list[float] = []
        with (self.folder / SAMPLES).open(encoding="utf-8") as lines:
            for prompt, line in enumerate(lines):
                row = json.loads(line)
                columns = zip(row["tokens"], row["logprobs"], row["finished"], strict=True)
                rollouts += [
                    Rollout(prompt, sample, tuple(tokens), tuple(logprobs), finished, 0)
                    for sample, (tokens, logprobs, finished) in enumerate(columns)
                ]
                scores += row.get("scores", [])
        return rollouts, scores

    def _taken(self, known: Known) -> dict[str, Any] | None:
        """What another stage drew, or scored too, with the same; it is this one's then."""
        there = place("samples", known)
        if there is None or not (there / STATE).exists():
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (SAMPLES, STATE):
            write_durably(self.folder / name, (there / name).read_text(encoding="utf-8"))
        return self._state()

    def _give(self, known: Known) -> None:
        there = place("samples", known)
        if there is not None:
            there.mkdir(parents=True, exist_ok=True)
            for name in (SAMPLES, STATE):
                write_durably(there / name, (self.folder / name).read_text(encoding="utf-8"))

    def _state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / STATE).read_text(encoding="utf-8")))

    def _say(self, state: Mapping[str, Any]) -> None:
        write_durably(self.folder / STATE, json.dumps(state, indent=1))

    def _same(self, before: Known, now: Known, what: str) -> None:
        refuse_another(before, now, f"{self.folder / SAMPLES}: was {what} with something else")


def _asked(known: Known) -> tuple[Any, ...]:
    """What answers belong to: the prompts, how these were written, and how many answers each has."""
    return known["rows"], known["template.hash"], json.loads(known["settings"])["samples"]


def _with_scores(group: Group, given: Scores, place: int) -> Group:
    scored = tuple(replace(a, score=score) for a, score in zip(group.answers, given.total[place], strict=True))
    return replace(group, answers=scored, extra={**group.extra, **given.of(place)})


def _digest(rollouts: Sequence[Rollout]) -> str:
    said = [(r.prompt, r.sample, r.tokens, r.logprobs, r.finished) for r in rollouts]
    return sha256(json.dumps(said).encode()).hexdigest()
