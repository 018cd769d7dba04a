"""Generate: sample answers to prompts, and keep them with the tokens and log-probabilities that they were drawn with.

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
from pathlib import Path
from typing import Any

from pydantic import Field

from burnish.batch.trees import prompt_trees
from burnish.data.convert import record
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError, Interrupted, NotOurs, WriteFailed
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.scoring import answered
from burnish.rollout.engine import Engine
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.checkpoint import write_durably
from burnish.training.config import StageConfig
from burnish.training.identity import differences, identity
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.training.signals import StopAskedError, signals
from burnish.types import Group, Rollout, Tree

ANSWERS = "answers.jsonl"


class GenerateConfig(StageConfig, Sampling):
    samples: int = Field(4, ge=1, description="answers a prompt")
    slots: int | None = Field(
        None, ge=1, description="answers that are written side by side; by default what 1 GiB of keys and values holds"
    )
    chunk: int = Field(128, ge=1, description="prompts that are sampled and committed together")


def generate(
    model: PolicyInput, prompts: DataInput, config: GenerateConfig, *, out: Path, engine: Engine | None = None
) -> Figures:
    """Sample `config.samples` answers to each prompt into `out/answers.jsonl`.

    Called again on the same folder it goes on where it was, or does nothing where all is there. `engine` samples in
    the model's place; the model's tokenizer and template are used all the same. Raises ConfigError where the folder
    was begun with other settings, prompts or weights, NotOurs where its answers are of unknown origin, Interrupted on
    SIGTERM or SIGINT: the chunks that are whole stay.
    """
    policy = as_policy(model, config, trained=False)
    template = resolve(policy.tokenizer, config.template)
    groups = as_groups(prompts, "prompt", config, out)
    room = config.max_new_tokens
    asked = prompt_trees(groups, template, max_length=config.max_length, room=room, on_too_long=config.on_too_long)
    say(asked)
    engine = engine or LocalEngine(policy, slots=config.slots)
    version = engine.weights_version
    answers = _AnswerFile(out, identity(config, asked.trees) | {"template.hash": template.hash, "model": version})
    chunks = [asked.trees[i : i + config.chunk] for i in range(0, len(asked.trees), config.chunk)]
    with signals() as wish:
        for number in range(answers.chunks, len(chunks)):
            told = f"{answers.counts['prompts']} of {len(asked.trees)} prompts"
            try:
                with wish.at_once():  # a chunk that is cut is sampled again, so there is nothing to wait for
                    rollouts = _sampled(engine, chunks[number], number, template, config)
                    rows = answered([groups[tree.group] for tree in chunks[number]], rollouts, template)
            except StopAskedError:
                raise Interrupted(f"stopped after {told}, saved. Run the same command again to go on.") from None
            answers.append([_row(group, template, config, version) for group in rows], rollouts)
            print(f"generate: {answers.counts['prompts']} of {len(asked.trees)} prompts", file=sys.stderr)
    return answers.finish() | {"shortened": float(asked.shortened)}


def _sampled(
    engine: Engine, chunk: Sequence[Tree], number: int, template: Template, config: GenerateConfig
) -> list[Rollout]:
    return engine.sample(
        [tree.prompt for tree in chunk],
        config.samples,
        config,
        end_tokens=sorted(template.end_tokens),
        seed=derived_seed(config.seed, "generate", number),
    )


def _row(group: Group, template: Template, config: GenerateConfig, version: str) -> dict[str, Any]:
    """A sample record. The text ends before a stop string; the tokens are all that were drawn."""
    answers = []
    for answer in group.answers:
        logprobs = tuple(round(value, 6) for value in answer.logprobs or ())
        answers.append(replace(answer, text=config.before_stop(answer.text), logprobs=logprobs))
    known = {**group.extra, "model": version, "seed": config.seed, "template": template.name}
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
        return {
            "prompts": float(counts["prompts"]),
            "answers": float(counts["answers"]),
            "answer_length": counts["tokens"] / answers,
            "ended": counts["ended"] / answers,
        }

    def append(self, rows: Sequence[dict[str, Any]], rollouts: Sequence[Rollout]) -> None:
        """Commit a chunk. Raises WriteFailed where the disk is full; what was committed stays."""
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
                "answers": self.counts["answers"] + len(rollouts),
                "tokens": self.counts["tokens"] + sum(len(rollout.tokens) for rollout in rollouts),
                "ended": self.counts["ended"] + sum(rollout.finished for rollout in rollouts),
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
