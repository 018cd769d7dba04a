"""How many rows a stage works on, and of what shape, without running it: its files are read, and of what other stages
will make the number follows from their settings."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.batch.texts import text_trees
from burnish.batch.trees import prompt_trees, trees
from burnish.data.read import examine
from burnish.data.templates import Template, resolve
from burnish.data.tokenizer import load_tokenizer
from burnish.methods.rankings import decided
from burnish.recipes.speed import Shape
from burnish.recipes.stages import METHODS
from burnish.training.config import MethodConfig, StageConfig
from burnish.types import Group, Tree

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LOOKED_AT = 256  # rows whose tokens are counted, evenly spaced; the others are taken to be like them


@dataclass(frozen=True, slots=True)
class Rows:
    """`count` rows of which `shape` is the mean; `seconds` to read a row and make tokens of it.

    `prompts`: tokens of some, as a sampler is given them; `lengths`: of some answers.
    """

    count: float
    shape: Shape
    seconds: float = 0.0
    prompts: Sequence[Sequence[int]] = ()
    lengths: Sequence[int] = ()

    def of(self, answers: int, length: float) -> "Rows":
        """The same prompts, with so many answers of this length each."""
        return replace(self, shape=Shape(self.shape.prompt, answers, max(1, round(length))))


@dataclass(frozen=True, slots=True)
class Tokens:
    """A model's tokenizer with the template of a stage."""

    template: Template
    texts: Template

    @classmethod
    def of(cls, model: Path, config: StageConfig) -> "Tokens":
        tokenizer: PreTrainedTokenizerBase = load_tokenizer(model)
        return cls(resolve(tokenizer, config.template), resolve(tokenizer, "none"))


def rows_in(files: Sequence[Path], method: str, key: str, tokens: Tokens | None, config: StageConfig) -> Rows:
    """What the files of a stage's input hold; how many rows alone where no model reads them. Raises DataError where
    they cannot be read."""
    began = time.perf_counter()
    kind = METHODS[method].inputs[key].kind
    groups = examine(list(files), kind=kind).groups
    reading = time.perf_counter() - began
    if tokens is None:
        return Rows(len(groups), Shape(1, 1, 1), reading / max(len(groups), 1))
    looked = groups[:: max(1, len(groups) // LOOKED_AT)]
    began = time.perf_counter()
    rows = _trees(looked, kind, method, tokens, config)
    each = (time.perf_counter() - began) / max(len(looked), 1) + reading / max(len(groups), 1)
    if not rows:
        return Rows(0, Shape(1, 1, 1))
    return Rows(
        count=len(groups) * len(rows) / len(looked),
        shape=shape_of(rows),
        seconds=each,
        prompts=[row.prompt for row in rows],
        lengths=[len(branch.tokens) for row in rows for branch in row.branches],
    )


def _trees(groups: Sequence[Group], kind: str | None, method: str, tokens: Tokens, config: StageConfig) -> list[Tree]:
    given: Mapping[str, Any] = {"max_length": config.max_length, "on_too_long": "skip"}
    if kind == "prompt":
        sampling: Any = getattr(config, "sampling", config)  # of every method that asks prompts
        room = sampling.max_new_tokens
        return prompt_trees(groups, tokens.template, room=room, **given).trees
    if kind == "text" or (kind is None and all(group.prompt == "" for group in groups)):
        return text_trees(groups, tokens.texts, max_length=config.max_length).trees
    learn_from = config.learn_from if isinstance(config, MethodConfig) else None
    made = trees(groups, tokens.template, learn_from=learn_from, **given).trees
    return decided(made) if method in ("reward", "dpo") else made


def shape_of(rows: Sequence[Tree]) -> Shape:
    """The mean row: its tokens are the rows' own, whatever their answers are in number."""
    answers = max(1, round(statistics.fmean(len(row.branches) for row in rows)))
    prompt = statistics.fmean(len(row.prompt) for row in rows)
    whole = statistics.fmean(row.size for row in rows)
    return Shape(max(0, round(prompt)), answers, max(1, round((whole - prompt) / answers)))
