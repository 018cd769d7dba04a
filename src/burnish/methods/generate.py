"""Generate: sample answers to prompts, and keep them with the tokens and log-probabilities that they were drawn with.

A model behind an http address writes text alone.

Writes `answers.jsonl`, one row a prompt in the order of the prompts, which rank, score, reject and people read. It
grows in chunks as `answers.part.jsonl`, and takes its name when it is whole. A chunk counts when it lies on the disk
and `answers.part.json` says so: a run that was killed cuts off what came after and samples that chunk again, so the
file has the same bytes as if nothing had happened.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import Field

from burnish.address import Address
from burnish.batch.trees import prompt_trees
from burnish.data.convert import record
from burnish.data.templates import resolve
from burnish.errors import ConfigError, Interrupted, NotOurs, WriteFailed
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.scoring import answered
from burnish.rewards.by import URL
from burnish.rollout.engine import Engine
from burnish.rollout.local import LocalEngine
from burnish.rollout.served import Served, Server
from burnish.rollout.settings import Sampling
from burnish.training.checkpoint import write_durably
from burnish.training.config import StageConfig
from burnish.training.identity import differences, identity, settings_identity
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.training.signals import StopAskedError, signals
from burnish.types import Group

ANSWERS = "answers.jsonl"


class GenerateConfig(StageConfig, Sampling):
    samples: int = Field(4, ge=1, description="answers a prompt")
    slots: int | None = Field(
        None, ge=1, description="answers that are written side by side; by default what 1 GiB of keys and values holds"
    )
    chunk: int = Field(128, ge=1, description="prompts that are sampled and committed together")
    server: Server = Field(default_factory=lambda: Server(), description="how a model behind an http address is asked")


def generate(
    model: PolicyInput | Address,
    prompts: DataInput,
    config: GenerateConfig,
    *,
    out: Path,
    engine: Engine | None = None,
) -> Figures:
    """Sample `config.samples` answers to each prompt into `out/answers.jsonl`.

    Called again on the same folder it goes on where it was, or does nothing where all is there. A `model` that is an
    http address is asked for text, which has no tokens. `engine` samples in the model's place; the model's tokenizer
    and template are used all the same. Raises ConfigError where the folder was begun with other settings, prompts or
    weights, NotOurs where its answers are of unknown origin, Unreachable where an address does not answer, Interrupted
    on SIGTERM or SIGINT: the chunks that are whole stay.
    """
    groups = as_groups(prompts, "prompt", config, out)
    if isinstance(model, str) and URL.match(model):
        model = Address(model)
    source = _Elsewhere(model, groups, config) if isinstance(model, Address) else _Here(model, groups, config, engine)
    answers = _AnswerFile(out, source.identity)
    chunks = range(0, source.prompts, config.chunk)
    with signals() as wish:
        for number in range(answers.chunks, len(chunks)):
            told = f"{answers.counts['prompts']} of {source.prompts} prompts"
            try:
                with wish.at_once():  # a chunk that is cut is sampled again, so there is nothing to wait for
                    first = chunks[number]
                    rows = source.chunk(first, first + config.chunk, derived_seed(config.seed, "generate", number))
            except StopAskedError:
                raise Interrupted(f"stopped after {told}, saved. Run the same command again to go on.") from None
            answers.append([_row(group, source, config) for group in rows], source.tokens)
            print(f"generate: {answers.counts['prompts']} of {source.prompts} prompts", file=sys.stderr)
    return answers.finish() | source.told


class _Here:
    """A model in this process."""

    def __init__(
        self, model: PolicyInput, groups: Sequence[Group], config: GenerateConfig, engine: Engine | None
    ) -> None:
        policy = as_policy(model, config, trained=False)
        self._groups, self._config = groups, config
        self._template = resolve(policy.tokenizer, config.template)
        self._engine = engine or LocalEngine(policy, slots=config.slots)
        asked = prompt_trees(
            groups,
            self._template,
            max_length=config.max_length,
            room=config.max_new_tokens,
            on_too_long=config.on_too_long,
        )
        say(asked)
        self._trees = asked.trees
        self.prompts = len(asked.trees)
        self.told: Figures = {"shortened": float(asked.shortened)}
        self.template = self._template.name
        self.version = self._engine.weights_version
        self.identity = identity(config, asked.trees)
        self.identity |= {"template.hash": self._template.hash, "model": self.version}
        self.tokens = 0

    def chunk(self, first: int, last: int, seed: int) -> list[Group]:
        """The prompts from `first` on, before `last`, with their answers; `tokens` are those of this chunk."""
        trees = self._trees[first:last]
        rollouts = self._engine.sample(
            [tree.prompt for tree in trees],
            self._config.samples,
            self._config,
            end_tokens=sorted(self._template.end_tokens),
            seed=seed,
        )
        self.tokens = sum(len(rollout.tokens) for rollout in rollouts)
        return answered([self._groups[tree.group] for tree in trees], rollouts, self._template)


class _Elsewhere:
    """A model behind an address. Its server has the template and the limit of length, and `max_length` none."""

    def __init__(self, address: Address, groups: Sequence[Group], config: GenerateConfig) -> None:
        self._served = Served.at(address, config.server, config.template)
        self._groups, self._config = groups, config
        self.prompts = len(groups)
        self.told: Figures = {}
        self.template = config.template
        self.version = self._served.name
        said = repr([(group.id, group.prompt) for group in groups])
        # how it is asked changes no answer, but for the name that says who answers
        settings = settings_identity(config.model_copy(update={"server": Server(model=config.server.model)}))
        self.identity = {"settings": settings, "rows": sha256(said.encode()).hexdigest(), "model": self.version}
        self.tokens = 0

    def chunk(self, first: int, last: int, seed: int) -> list[Group]:
        groups = self._groups[first:last]
        asked = [group.prompt for group in groups]
        written = self._served.answers(asked, self._config.samples, self._config, seed=seed, first=first)
        self.tokens = sum(one.tokens or 0 for row in written for one in row)
        return [
            replace(group, answers=tuple(one.answer for one in row)) for group, row in zip(groups, written, strict=True)
        ]


def _row(group: Group, source: _Here | _Elsewhere, config: GenerateConfig) -> dict[str, Any]:
    """A sample record. The text ends before a stop string; the tokens are all that were drawn."""
    answers = []
    for answer in group.answers:
        logprobs = None if answer.logprobs is None else tuple(round(value, 6) for value in answer.logprobs)
        answers.append(replace(answer, text=config.before_stop(answer.text), logprobs=logprobs))
    known = {**group.extra, "model": source.version, "seed": config.seed, "template": source.template}
    return record(replace(group, answers=tuple(answers), extra=known), "sample")


class _AnswerFile:
    """`answers.jsonl` while it grows. `chunks` are committed; `figures` are of what they hold."""

    def __init__(self, out: Path, identity: dict[str, str]) -> None:
        self.whole = out / ANSWERS
        self.part = out / "answers.part.jsonl"
        self.state = out / "answers.part.json"
        self.identity = identity
        self.chunks, self.bytes = 0, 0
        self.counts = {"prompts": 0, "answers": 0, "tokens": 0, "ended": 0}
        out.mkdir(parents=True, exist_ok=True)
        if self.state.exists():
            self._go_on(json.loads(self.state.read_text(encoding="utf-8")))
        elif self.whole.exists():
            raise NotOurs(f"{self.whole} is there, and nothing says what wrote it; choose another --out")

    def _go_on(self, state: dict[str, Any]) -> None:
        changed = differences(state["identity"], self.identity)
        if changed:
            raise ConfigError(
                f"{self.state} was written by another run:\n" + "\n".join(changed) + "\n"
                "To go on, put back what was changed; to start afresh, choose another --out."
            )
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
