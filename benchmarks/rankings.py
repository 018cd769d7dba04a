"""What a ranking of four answers costs: a reward model's beside its six pairs written out, DPO's beside a single pair.

    python benchmarks/rankings.py reward|dpo [--steps 6] [--prompts 4] [--answers 4]

Prompts of HH, each with the answers of its own row and of the rows after it, in a made-up order: lengths are real, and
an order costs nothing. Both sides are burnish, and take turns step by step.

reward: each pair has its prompt beside it, shared by the two. Losses are compared: each prompt counts once either way,
so they must be the same. dpo: Plackett-Luce DPO on the whole ranking, and DPO on its first two answers, on prompts at
least three times as long as their answers are on average; the reference is kept from before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from table import HERE, commit, machine
from turns import ENVIRONMENT, Turns, note, worker

LONGEST = 1024
LONGER = 3  # times as long as its answers is a prompt that a ranking is worth most for
SIDES = ("ranked", "pairs", "pair")
BESIDE = {"reward": "pairs", "dpo": "pair"}


def prepare(method: str, model: str, folder: Path, prompts: int, answers: int) -> None:
    """FOLDER/start, and FOLDER/{ranked,pairs,pair}.jsonl: [prompt, answers] as token ids, best first."""
    from transformers import AutoTokenizer

    from burnish.batch.trees import trees
    from burnish.data.read import read
    from burnish.data.templates import resolve
    from burnish.models.load import load_policy, load_scorer

    start = load_scorer(model, fresh_head=True, packed=True) if method == "reward" else load_policy(model)
    start.save(folder / "start")
    template = resolve(AutoTokenizer.from_pretrained(model))
    data = HERE.parent / "data" / "hh_harmless.jsonl.gz"
    pairs = read(data, kind="comparison", on_bad_row="skip", rejected=folder / "rejected.jsonl")
    made = trees(pairs, template, max_length=LONGEST, on_too_long="skip").trees
    texts = [branch.tokens for tree in made for branch in tree.branches]
    rows = [(tree.prompt, texts[2 * i : 2 * i + answers]) for i, tree in enumerate(made)]
    if method == "dpo":
        rows = [(prompt, own) for prompt, own in rows if len(prompt) * len(own) >= LONGER * sum(map(len, own))]
    rows = [row for row in rows if len(row[1]) == answers][:prompts]
    if len(rows) < prompts:
        raise SystemExit(f"{data} gives {len(rows)} such prompts; {prompts} are wanted: fewer steps")
    with ExitStack() as files:
        ranked, pairs, pair = (files.enter_context((folder / f"{name}.jsonl").open("w")) for name in SIDES)
        for prompt, own in rows:
            ranked.write(json.dumps([prompt, own]) + "\n")
            pair.write(json.dumps([prompt, own[:2]]) + "\n")
            for two in combinations(own, 2):
                pairs.write(json.dumps([prompt, two]) + "\n")


def train(method: str, name: str, folder: Path, steps: int, batch: int) -> None:
    """One side's steps: `batch` rows of the file of that name each."""
    from side_burnish import prepared, sums

    from burnish.models.model import Policy
    from burnish.training.update import Update, loss_on
    from burnish.types import Branch, Tree

    turns = Turns()
    trees = []
    for group, line in enumerate((folder / f"{name}.jsonl").read_text().splitlines()):
        prompt, answers = json.loads(line)
        branches = [Branch(tuple(ids), (True,) * len(ids), place=at, answer=at) for at, ids in enumerate(answers)]
        trees.append(Tree(tuple(prompt), tuple(branches), group=group))
    settings = {"weight": "prompt"} if method == "reward" or name == "pair" else {"loss": "plackett_luce"}
    learner, config, reference_N, loss = prepared(method, str(folder / "start"), batch, 1e-6, 2048, **settings)
    if isinstance(learner, Policy):
        reference_N.update(sums(learner, trees, 2048))
    update = Update(learner, config)
    turns.next()
    for i in range(steps):
        part = trees[i * batch : (i + 1) * batch]
        figures = update(part, loss_on(part, loss), step=i, steps=steps, whole=True)
        turns.next(loss=figures["loss"], tokens=figures["tokens"])


def compare(options: argparse.Namespace) -> None:
    method, other = options.method, BESIDE[options.method]
    each = options.answers * (options.answers - 1) // 2 if other == "pairs" else 1
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "2"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [method, str(options.model), str(folder), str(options.steps * options.prompts), str(options.answers)]
        subprocess.run([sys.executable, __file__, "prepare", *rows], check=True, env=os.environ | environment)

        def command(side: str, batch: int) -> list[str]:
            return ["rankings.py", "train", method, side, str(folder), str(options.steps), str(batch)]

        with (
            worker("ranked", command("ranked", options.prompts), folder, environment) as ranked,
            worker(other, command(other, options.prompts * each), folder, environment) as beside,
        ):
            for process in (ranked, beside):
                process.ready()
            told: dict[str, list[dict[str, Any]]] = {"ranked": [], other: []}
            for i in range(options.steps):
                for process in (ranked, beside) if i % 2 else (beside, ranked):
                    told[process.name].append(process.turn())
                last = {side: steps[-1] for side, steps in told.items()}
                note(
                    ", ".join(f"{side} {step['seconds']:.2f} s, loss {step['loss']:.6f}" for side, step in last.items())
                )
    report(told["ranked"], told[other], options)


def report(ranked: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    """Medians without the first step."""
    own, beside = (median(step["seconds"] for step in side[1:]) for side in (ranked, other))
    tokens = [median(step["tokens"] for step in side[1:]) for side in (ranked, other)]
    print(f"{options.method}: {options.prompts} prompts × {options.answers} answers a step, {options.steps} steps")
    if options.method == "dpo":
        print(
            f"rankings {own:.2f} s and {tokens[0]:.0f} tokens a step; single pairs {beside:.2f} s and {tokens[1]:.0f}"
        )
        print(f"a ranking costs {own / beside:.2f} times as much as a pair")
    else:
        apart = max(abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(ranked, other, strict=True))
        print(
            f"rankings {own:.2f} s and {tokens[0]:.0f} tokens a step; "
            f"pairs written out {beside:.2f} s and {tokens[1]:.0f}"
        )
        print(f"a ranking is {beside / own:.2f} times as fast; losses differ by {apart:.0e} at most")
    print(f"commit {commit()}; {machine()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("method", choices=BESIDE)
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "smollm2")
    parser.add_argument("--steps", type=int, default=6, help="steps on each side; the first is left out")
    parser.add_argument("--prompts", type=int, default=4, help="prompts a step")
    parser.add_argument("--answers", type=int, default=4, help="answers of a ranking")
    compare(parser.parse_args())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", method, model, folder, prompts, answers]:
            prepare(method, model, Path(folder), int(prompts), int(answers))
        case ["train", method, side, folder, steps, batch]:
            train(method, side, Path(folder), int(steps), int(batch))
        case _:
            main()
