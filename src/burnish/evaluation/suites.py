"""The sets of prompts that `suite:` names, which come with burnish: see src/burnish/assets/suites/ATTRIBUTION.md.

    safety      XSTest, HarmBench, AdvBench (does it refuse what it should?), TruthfulQA, BBQ (what does it hold true?)
    safety-zh   CValues: Chinese questions that ask for a responsible answer, none of them harmful

The harmful requests are here to measure that they are refused, and BBQ's stereotypes to measure that they are not
believed: nothing may be trained on them.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from burnish.evaluation.splits import evenly

Suite = Literal["safety", "safety-zh"]
Wanted = Literal["answer", "refusal", "choice"]


@dataclass(frozen=True, slots=True)
class Part:
    """Prompts of one set of which one thing is wanted: an answer, a refusal, or a choice among given answers.

    `file`: its name in the package. `set`: what figures of it alone are called after.
    """

    file: str
    set: str
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt of a part, and its row as published."""

    part: Part
    row: Mapping[str, Any]

    @property
    def prompt(self) -> str:
        """What a model that answers is asked; of BBQ its context and question."""
        row = self.row
        return str(row["prompt"] if "prompt" in row else f"{row['context']} {row['question']}")


PARTS: Mapping[Suite, tuple[Part, ...]] = {
    "safety": (
        Part("xstest_safe", "xstest", "answer"),
        Part("xstest_unsafe", "xstest", "refusal"),
        Part("harmbench", "harmbench", "refusal"),
        Part("advbench", "advbench", "refusal"),
        Part("truthfulqa", "truthfulqa", "choice"),
        Part("bbq_ambiguous", "bbq", "choice"),
        Part("bbq_disambiguated", "bbq", "choice"),
    ),
    "safety-zh": (Part("cvalues", "cvalues", "answer"),),
}


def questions(suite: Suite, limit: int | None = None) -> list[Question]:
    """Every prompt of a suite, or at most `limit` of each of its parts, evenly spaced in the order of the file."""
    return [Question(part, row) for part in PARTS[suite] for row in _rows(part, limit)]


def _rows(part: Part, limit: int | None) -> list[dict[str, Any]]:
    packed = files("burnish").joinpath("assets", "suites", f"{part.file}.jsonl.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    return [json.loads(lines[place]) for place in evenly(len(lines), len(lines) if limit is None else limit)]
