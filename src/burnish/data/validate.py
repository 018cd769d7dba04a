"""Is a file fit to learn from: bad rows, rows that say the same twice, and what it shares with files held out.

Leaks are looked for three ways, since each misses what another finds: the same prompt, a prompt that is almost the
same, and any run of words (13 by default, as in Brown et al. 2020, appendix C) that stands in both files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from burnish.data.read import Reading, examine
from burnish.data.shingles import Index, near_duplicates, ngrams, shingles
from burnish.data.split import prompt_key
from burnish.errors import DataError
from burnish.types import Group

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows that are alike, by file and line. `likeness`: 1 is equal."""

    row: str
    like: str
    likeness: float
    text: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a file shares with one that was held out. Counts are rows of the file."""

    file: str
    same_prompt: int
    near_prompt: int
    shared_ngram: int
    examples: tuple[Pair, ...]

    @property
    def rows(self) -> int:
        return self.same_prompt + self.near_prompt + self.shared_ngram


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found. `duplicates` and `near_duplicates` count rows that repeat an earlier one."""

    rows: int
    kind: str
    formats: tuple[str, ...]
    bad: tuple[str, ...]
    duplicates: int
    near_duplicates: int
    prompts: int
    examples: tuple[Pair, ...]
    overlaps: tuple[Overlap, ...]
    warnings: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        """A line for each thing that `--strict` refuses."""
        told = [f"{len(self.bad)} bad rows"] if self.bad else []
        told += [f"{self.duplicates} rows repeat an earlier one"] if self.duplicates else []
        told += [f"{self.near_duplicates} rows nearly repeat an earlier one"] if self.near_duplicates else []
        return told + [
            f"{overlap.rows} rows share a prompt or a run of words with {overlap.file}"
            for overlap in self.overlaps
            if overlap.rows
        ]

    def figures(self) -> Mapping[str, Any]:
        return {**asdict(self), "problems": self.problems}


def whole_text(group: Group) -> str:
    """Everything that a row says: prompt, answers, later turns."""
    prompt = group.prompt if isinstance(group.prompt, str) else "\n".join(turn.content for turn in group.prompt)
    said = [text for answer in group.answers for text in (answer.text, *(turn.content for turn in answer.later))]
    return "\n".join([prompt, *said])


def prompt_text(group: Group) -> str:
    """What is asked; of a text for pretraining the text itself."""
    if isinstance(group.prompt, str):
        return group.prompt or whole_text(group)
    return "\n".join(turn.content for turn in group.prompt if turn.role == "user")


def validate(
    path: str | Path,
    *,
    against: Sequence[str | Path] = (),
    kind: str | None = None,
    format: str | None = None,  # noqa: A002  the option's own name
    threshold: float = 0.8,
    ngram: int = 13,
    strict: bool = False,
) -> Validation:
    """Look through a file. With `strict`, raise DataError for anything that is found."""
    reading = examine(path, kind=kind, format=format)
    repeated, pairs, copies = _repeats(reading.groups, threshold)
    overlaps = tuple(_overlap(reading.groups, examine(other), str(other), threshold, ngram) for other in against)
    found = Validation(
        rows=reading.rows,
        kind=reading.kind,
        formats=reading.formats,
        bad=tuple(f"{row.origin}: {row.reason}" for row in reading.bad),
        duplicates=repeated,
        near_duplicates=copies,
        prompts=len({prompt_key(group) for group in reading.groups}),
        examples=tuple(pairs),
        overlaps=overlaps,
        warnings=reading.warnings,
    )
    if strict and found.problems:
        raise DataError(f"{path}: " + "; ".join(found.problems) + _examples(found))
    return found


def _examples(found: Validation) -> str:
    lines = [*found.bad[:SHOWN]]
    lines += [f"{pair.row} is like {pair.like} ({pair.likeness:.0%})" for pair in found.examples]
    lines += [f"{pair.row} shares with {pair.like}: {pair.text}" for over in found.overlaps for pair in over.examples]
    return "".join(f"\n{line}" for line in lines[: 2 * SHOWN])


def _repeats(groups: Sequence[Group], threshold: float) -> tuple[int, list[Pair], int]:
    """Rows that repeat an earlier one exactly (but for spaces), examples, and rows that nearly do.

    Votes of several people on one item say one thing several times on purpose: rows of one id count once.
    """
    first: dict[str, Group] = {}
    seen: dict[tuple[str, str], Group] = {}
    repeated = 0
    pairs: list[Pair] = []
    for group in groups:
        text = " ".join(whole_text(group).split())
        if (group.id, text) in seen and group.id != group.origin:
            continue
        seen[group.id, text] = group
        if text in first:
            repeated += 1
            if len(pairs) < SHOWN:
                pairs.append(Pair(group.origin, first[text].origin, 1.0, text[:80]))
        else:
            first[text] = group
    texts, rows = list(first), list(first.values())
    near = near_duplicates(texts, threshold)
    room = SHOWN - len(pairs)
    pairs += [Pair(rows[one].origin, rows[other].origin, like, texts[one][:80]) for one, other, like in near[:room]]
    return repeated, pairs, len(near)


def _overlap(groups: Sequence[Group], held: Reading, name: str, threshold: float, ngram: int) -> Overlap:
    prompts = {prompt_key(group): group.origin for group in held.groups}
    index = Index(threshold)
    for group in held.groups:
        index.add(shingles(prompt_text(group)))
    runs: dict[str, str] = {}
    for group in held.groups:
        for run in ngrams(whole_text(group), ngram):
            runs.setdefault(run, group.origin)
    counts = {"same": 0, "near": 0, "ngram": 0}
    examples: list[Pair] = []
    for group in groups:
        key = prompt_key(group)
        near = None if key in prompts else index.nearest(shingles(prompt_text(group)))
        if key in prompts:
            counts["same"] += 1
            pair = Pair(group.origin, prompts[key], 1.0, key[:80])
        elif near is not None:
            counts["near"] += 1
            pair = Pair(group.origin, held.groups[near[0]].origin, near[1], key[:80])
        else:
            shared = next((run for run in ngrams(whole_text(group), ngram) if run in runs), None)
            if shared is None:
                continue
            counts["ngram"] += 1
            pair = Pair(group.origin, runs[shared], 0.0, shared)
        if len(examples) < SHOWN:
            examples.append(pair)
    return Overlap(name, counts["same"], counts["near"], counts["ngram"], tuple(examples))
