"""Small runs as a user types them, by name: what is killed and typed again, and what must be equal in the end."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fault.runs import answered, demonstrations
from forks import Command

from burnish.cli.main import main
from burnish.data.convert import write
from burnish.recipes.run import CLOCK
from burnish.training.checkpoint import file_hash
from burnish.types import Group

ROWS = 16
LOOP = {"steps": 10, "batch_size": 4, "save_every": 2, "max_length": 64, "learning_rate": 1e-3}
SAMPLED = {"samples": 2, "sampling.max_new_tokens": 6}
SETTINGS: dict[str, dict[str, Any]] = {
    "sft": LOOP,
    "reward": LOOP,
    "dpo": LOOP,
    "kto": LOOP,
    "ppo": LOOP | SAMPLED | {"steps": 6, "minibatches": 2},
    "reject": {key: LOOP[key] for key in ("batch_size", "max_length", "learning_rate")}
    | SAMPLED
    | {"rounds": 2, "epochs": 2, "save_every": 1, "chunk": 4},
}
DATA = {
    "sft": ["--data", "demonstrations.jsonl"],
    "reward": ["--data", "rankings.jsonl"],
    "dpo": ["--data", "rankings.jsonl"],
    "kto": ["--data", "judgements.jsonl", "--evaluate-on", "judgements.jsonl"],
    "ppo": ["--prompts", "prompts.jsonl", "--by", "scorer/model"],
    "reject": ["--prompts", "prompts.jsonl", "--by", "scorer/model"],
}
RECIPE = """\
name: small
model: model
max_length: 64
batch_size: 4
steps: 4
save_every: 1
learning_rate: 1e-3
stages:
  sft:     {method: sft, model: base, data: demonstrations.jsonl}
  answers: {method: generate, model: sft, prompts: prompts.jsonl, samples: 2, max_new_tokens: 6, chunk: 4}
  ranking: {method: rank, answers: answers, by: judges:favourable-a}
  reward:  {method: reward, model: sft, data: rankings.jsonl}
  ppo:     {method: ppo, model: sft, by: reward, prompts: prompts.jsonl, samples: 2, sampling: {max_new_tokens: 6}}
  dpo:     {method: dpo, model: sft, data: rankings.jsonl, each: {beta: [0.1, 0.5]}}
  best:    {method: reject, model: sft, by: reward, prompts: prompts.jsonl, samples: 2, sampling: {max_new_tokens: 6}}
  compare: {method: evaluate, models: [sft, dpo, ppo, best], by: judges:favourable-b, prompts: prompts.jsonl,
            sampling: {max_new_tokens: 6}}
"""


def lay_out(folder: Path) -> None:
    """Everything that the commands read, but `model` and `scorer`: records and a recipe."""
    write(demonstrations()[:ROWS], "demonstration", folder / "demonstrations.jsonl")
    write(answered(ROWS), "ranking", folder / "rankings.jsonl")
    write([one for group in answered(ROWS) for one in judged(group)], "judgement", folder / "judgements.jsonl")
    prompts = [Group(group.prompt, origin=group.origin) for group in answered(ROWS)]
    write(prompts, "prompt", folder / "prompts.jsonl")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")


def judged(group: Group) -> list[Group]:
    """A ranking's answers one by one, the first of them good."""
    labelled = (replace(answer, label=place == 0) for place, answer in enumerate(group.answers))
    return [Group(group.prompt, (answer,), origin=group.origin) for answer in labelled]


def make_scorer() -> None:
    assert main(words("reward", "scorer", save_every=0)) == 0


def words(name: str, out: str, **changes: Any) -> list[str]:
    """What is typed for a method, or for the recipe `small`."""
    if name == "recipe":
        return ["run", "recipe.yaml", "--out", out, "--threads", "1"]
    settings = [word for key, value in (SETTINGS[name] | changes).items() for word in ("--set", f"{key}={value}")]
    return [name, "--model", "model", *DATA[name], "--out", out, "--threads", "1", *settings]


def with_fault(typed: Sequence[str], fault: str) -> tuple[int, str]:
    """Exit code and stderr of a process of its own that has this fault."""
    return Command(*typed, environment={**os.environ, "BURNISH_FAULT": fault}).end()


def lines(out: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what the clock says."""
    text = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in text]


def results(out: Path) -> dict[str, Any]:
    """What an unbroken run and one that was killed must share: each step's figures, and the hash of all that is left.

    Not the clock's figures, what a resume put aside, and the report, which has both.
    """
    found: dict[str, Any] = {}
    for done in sorted(out.rglob("DONE.json")):
        told = json.loads(done.read_text(encoding="utf-8"))
        stage = done.parent.relative_to(out).as_posix()
        found[f"{stage}: figures"] = told["figures"]
        for name in told["outputs"]:
            if name.endswith("metrics.jsonl"):
                found[f"{stage}/{name}"] = lines((done.parent / name).parent)
            elif "metrics.discarded-" not in name and not name.endswith("reference.safetensors"):
                # safetensors writes the several keys of its header's metadata in an order of each process's own
                found[f"{stage}/{name}"] = file_hash(done.parent / name)
    return found
