"""Rows of the benchmark in which each side draws answers: sampling, GRPO and PPO.

`sample-64x1`, `sample-8x8`: 64 answers of 64 tokens to 64 prompts, and to 8, beside `generate`. The likeliest tokens of
a first turn are held to each other; `apart` is the largest difference of their log-probabilities.

`grpo`: a whole step of 4 prompts × 8 answers × 48 tokens beside TRL, drawing included. `apart`: of the gradient's norm.
`ppo`, `ppo-shared`, `ppo-lora`: iterations of 8 answers × 48 tokens, `--samples` of them to a prompt, beside TRL 1.10,
with a critic of its own, one on the policy's trunk, and that with LoRA. Each is printed twice: the update alone, that
is all but drawing, and the iteration. `apart`: of policy loss + 0.1 · value loss; with another critic there is nothing
to compare. For GRPO and PPO the first turn learns from the same answers on both sides; after it each draws its own. All
48 tokens are there: the end token is one that the model never writes.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from table import HERE, Measured
from turns import ENVIRONMENT, alternate, note, worker

GENERATE = "what `generate` runs with: attention (sdpa, eager), cache (dynamic, static), batches that its rows make"


@dataclass(frozen=True)
class Shape:
    prompts: int
    samples: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.prompts} × {self.samples} × {self.tokens}"


TRL_1_10 = "TRL 1.10.0"
VALUE_WEIGHT = 0.1  # TRL's vf_coef
BETA, EPOCHS = 0.05, 2
SAMPLING = {"sample-64x1": Shape(64, 1, 64), "sample-8x8": Shape(8, 8, 64)}


def prepare(kind: str, options: argparse.Namespace, folder: Path, prompts: int, tokens: int) -> dict[str, str]:
    """The prompts, in `folder`; returns the environment of the sides."""
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": str(options.threads)}
    given = [kind, str(options.model), str(folder), str(prompts), str(options.data), str(tokens)]
    subprocess.run([sys.executable, str(HERE / "rows.py"), *given], check=True, env=os.environ | environment)
    return environment


def sampling(row: str, options: argparse.Namespace, folder: Path) -> list[Measured]:
    shape = SAMPLING[row]
    note(f"{row}: preparing {shape.prompts} prompts")
    environment = prepare("sample", options, folder, shape.prompts, shape.tokens)
    common = [str(options.model), str(folder), str(shape.samples), str(shape.tokens)]
    with (
        worker("generate", ["side_generate.py", *common, options.generate], folder, environment) as generate,
        worker("burnish", ["side_burnish_sample.py", *common], folder, environment) as burnish,
        worker("product", ["side_product.py"], folder, environment) as product,
    ):
        for process in (generate, burnish, product):
            process.ready()
        theirs, own, rates = alternate(row, options.steps, generate, burnish, product)
    apart, same = likeliest_apart(folder)
    note(f"{row}: {same:.1%} of the likeliest tokens were compared; from a first other one on, answers part")
    beside = f"transformers {version('transformers')} generate ({options.generate})"
    return [Measured(row, theirs, own, rates, f"{options.steps} × {shape}", beside=beside, apart=apart)]


def likeliest_apart(folder: Path) -> tuple[float, float]:
    """The largest difference of a likeliest token's log-probability, as far as both sides' answers are the same."""
    sides = [json.loads((folder / f"{name}-likeliest.json").read_text()) for name in ("generate", "burnish")]
    gaps: list[float] = []
    count = 0
    for (theirs, their_logprobs), (own, own_logprobs) in zip(*sides, strict=True):
        same = next((t for t, (a, b) in enumerate(zip(theirs, own, strict=True)) if a != b), len(own))
        gaps += [abs(a - b) for a, b in zip(their_logprobs[:same], own_logprobs[:same], strict=True)]
        count += len(own)
    return max(gaps), len(gaps) / count


GRPO = Shape(4, 8, 48)
PPO_ANSWERS, PPO_TOKENS = 8, 48
COMMON: dict[str, Any] = {
    "beta": BETA,
    "inner_epochs": EPOCHS,
    "max_grad_norm": 0,  # TRL's PPO clips no gradient
}
PPOS: dict[str, dict[str, Any]] = {
    "ppo": COMMON,
    "ppo-shared": COMMON | {"critic": {"kind": "shared", "value_weight": VALUE_WEIGHT}},
    "ppo-lora": COMMON | {"critic": {"kind": "shared", "value_weight": VALUE_WEIGHT}, "lora": {}},
}


def settings(shape: Shape, options: argparse.Namespace, row: dict[str, Any]) -> str:
    """burnish's settings of a run whose last iteration begins, and its turn never comes."""
    return json.dumps(
        {
            "batch_size": shape.prompts,
            "samples": shape.samples,
            "steps": options.steps + 1,
            "learning_rate": options.rate,
            "shuffle": False,
            "micro_batch_tokens": options.micro_batch_tokens,
            "dtype": "float32",
            "unfinished_penalty": 0,
            "sampling": {"max_new_tokens": shape.tokens},
            "on_too_long": "skip",
            **row,
        }
    )


def trl_1_10() -> str:
    """The Python of an environment with TRL 1.10, which is made where there is none."""
    command = ["sh", str(HERE / "trl_1_10.sh"), sys.executable]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def ppo(row: str, options: argparse.Namespace, folder: Path) -> list[Measured]:
    python = trl_1_10()
    shape = Shape(PPO_ANSWERS // options.samples, options.samples, PPO_TOKENS)
    note(f"{row}: preparing {options.steps + 1} × {shape.prompts} prompts and a reward model")
    environment = prepare("ppo", options, folder, (options.steps + 1) * shape.prompts, shape.tokens)
    common = [str(options.model), str(folder)]
    given = [str(PPO_ANSWERS), str(shape.samples), str(shape.tokens), str(options.rate), str(EPOCHS), str(BETA)]
    theirs_command = ["side_trl_ppo.py", *common, *given]
    own_command = ["side_burnish_iterations.py", row, *common, settings(shape, options, PPOS[row])]
    with (
        worker(TRL_1_10, theirs_command, folder, environment, python) as trl,
        worker("burnish", own_command, folder, environment) as burnish,
        worker("product", ["side_product.py"], folder, environment) as product,
    ):
        for process in (trl, burnish, product):
            process.ready()
        theirs, own, rates = alternate(row, options.steps, trl, burnish, product)
    said: dict[str, Any] = {"beside": TRL_1_10, "apart": losses_apart(own[0], theirs[0]) if row == "ppo" else math.nan}
    turns = f"{options.steps} × {shape}"
    updates = [[turn | {"seconds": turn["seconds"] - turn["sampling"]} for turn in side] for side in (theirs, own)]
    for turn, whole in zip(updates[1], own, strict=True):
        turn["work"] = whole["learning_work"]
        whole["work"] = whole["learning_work"] + whole["sampling_work"]
    return [
        Measured(f"{row}, update", *updates, rates, turns, **said),
        Measured(f"{row}, iteration", theirs, own, rates, turns, **said),
    ]


def losses_apart(own: dict[str, Any], theirs: dict[str, Any]) -> float:
    """The relative difference of policy loss + 0.1 · value loss of a first turn."""
    totals = [turn["loss"] + VALUE_WEIGHT * turn["value_loss"] for turn in (own, theirs)]
    return float(abs(totals[0] - totals[1]) / abs(totals[1]))


def grpo(row: str, options: argparse.Namespace, folder: Path) -> list[Measured]:
    note(f"{row}: preparing {options.steps + 1} × {GRPO.prompts} prompts")
    environment = prepare("grpo", options, folder, (options.steps + 1) * GRPO.prompts, GRPO.tokens)
    common = [str(options.model), str(folder)]
    given = [str(options.steps), str(GRPO.prompts), str(GRPO.samples), str(GRPO.tokens), str(options.rate), str(BETA)]
    own_settings = settings(GRPO, options, {"beta": BETA})
    with (
        worker("TRL", ["side_trl_grpo.py", *common, *given], folder, environment) as trl,
        worker("burnish", ["side_burnish_iterations.py", row, *common, own_settings], folder, environment) as burnish,
        worker("product", ["side_product.py"], folder, environment) as product,
    ):
        for process in (trl, burnish, product):
            process.ready()
        theirs, own, rates = alternate(row, options.steps, trl, burnish, product)
    for turn in own:
        turn["work"] = turn["learning_work"] + turn["sampling_work"]
    apart = abs(own[0]["grad_norm"] - theirs[0]["grad_norm"]) / theirs[0]["grad_norm"]
    return [Measured(row, theirs, own, rates, f"{options.steps} × {GRPO}", apart=apart)]


ROWS: dict[str, Callable[[str, argparse.Namespace, Path], list[Measured]]] = {
    **dict.fromkeys(SAMPLING, sampling),
    "grpo": grpo,
    **dict.fromkeys(PPOS, ppo),
}
