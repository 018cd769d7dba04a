"""What a ranking of four answers costs beside the same six pairs written out, each with its prompt.

    python benchmarks/rankings.py [--steps 6] [--prompts 4] [--answers 4]

A reward model on prompts of HH, each with the answers of its own row and of the rows after it, in a made-up order:
lengths are real, and an order costs nothing. Both sides are burnish; a pair shares its prompt on the second too. They
take turns step by step, and their losses are compared: each prompt counts once either way, so they must be the same.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

from table import HERE, commit, machine
from turns import ENVIRONMENT, Turns, note, worker

LONGEST = 1024


def prepare(model: str, folder: Path, prompts: int, answers: int) -> None:
    """FOLDER/start, and FOLDER/ranked.jsonl and FOLDER/pairs.jsonl: [prompt, answers] as token ids, best first."""
    from transformers import AutoTokenizer

    from burnish.batch.trees import trees
    from burnish.data.read import read
    from burnish.data.templates import resolve
    from burnish.models.load import load_scorer

    load_scorer(model, fresh_head=True, packed=True).save(folder / "start")
    template = resolve(AutoTokenizer.from_pretrained(model))
    data = HERE.parent / "data" / "hh_harmless.jsonl.gz"
    pairs = read(data, kind="comparison", on_bad_row="skip", rejected=folder / "rejected.jsonl")
    made = trees(pairs, template, max_length=LONGEST, on_too_long="skip").trees
    texts = [branch.tokens for tree in made for branch in tree.branches]
    with (folder / "ranked.jsonl").open("w") as ranked, (folder / "pairs.jsonl").open("w") as written:
        for i, tree in enumerate(made[:prompts]):
            own = texts[2 * i : 2 * i + answers]
            ranked.write(json.dumps([tree.prompt, own]) + "\n")
            for pair in combinations(own, 2):
                written.write(json.dumps([tree.prompt, pair]) + "\n")


def train(name: str, folder: Path, steps: int, batch: int) -> None:
    """One side's steps: `name` is ranked or pairs, `batch` rows of that file each."""
    from side_burnish import prepared

    from burnish.training.loop import Update
    from burnish.types import Branch, Tree

    turns = Turns()
    trees = []
    for group, line in enumerate((folder / f"{name}.jsonl").read_text().splitlines()):
        prompt, answers = json.loads(line)
        branches = [Branch(tuple(ids), (True,) * len(ids), place=at, answer=at) for at, ids in enumerate(answers)]
        trees.append(Tree(tuple(prompt), tuple(branches), group=group))
    learner, config, _, loss = prepared("reward", str(folder / "start"), batch, 1e-6, 2048, weight="prompt")
    update = Update(learner, config)
    turns.next()
    for i in range(steps):
        figures = update(trees[i * batch : (i + 1) * batch], loss, step=i, steps=steps, whole=True)
        turns.next(loss=figures["loss"], tokens=figures["tokens"])


def compare(options: argparse.Namespace) -> None:
    pairs_each = options.answers * (options.answers - 1) // 2
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "2"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [str(options.model), str(folder), str(options.steps * options.prompts), str(options.answers)]
        subprocess.run([sys.executable, __file__, "prepare", *rows], check=True, env=os.environ | environment)

        def command(side: str, batch: int) -> list[str]:
            return ["rankings.py", side, str(folder), str(options.steps), str(batch)]

        with (
            worker("ranked", command("ranked", options.prompts), folder, environment) as ranked,
            worker("pairs", command("pairs", options.prompts * pairs_each), folder, environment) as pairs,
        ):
            for process in (ranked, pairs):
                process.ready()
            told: dict[str, list[dict[str, Any]]] = {"ranked": [], "pairs": []}
            for i in range(options.steps):
                for process in (ranked, pairs) if i % 2 else (pairs, ranked):
                    told[process.name].append(process.turn())
                last = {side: steps[-1] for side, steps in told.items()}
                note(
                    ", ".join(f"{side} {step['seconds']:.2f} s, loss {step['loss']:.6f}" for side, step in last.items())
                )
    report(told["ranked"], told["pairs"], options)


def report(ranked: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    """Medians without the first step."""
    apart = max(abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(ranked, pairs, strict=True))
    own, written = (median(step["seconds"] for step in side[1:]) for side in (ranked, pairs))
    tokens = [median(step["tokens"] for step in side[1:]) for side in (ranked, pairs)]
    print(f"{options.prompts} prompts × {options.answers} answers a step, {options.steps} steps")
    print(
        f"ranked {own:.2f} s and {tokens[0]:.0f} tokens a step; pairs written out {written:.2f} s and {tokens[1]:.0f}"
    )
    print(f"a ranking is {written / own:.2f} times as fast; losses differ by {apart:.0e} at most")
    print(f"commit {commit()}; {machine()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=HERE.parent / "models" / "smollm2")
    parser.add_argument("--steps", type=int, default=6, help="steps on each side; the first is left out")
    parser.add_argument("--prompts", type=int, default=4, help="prompts a step")
    parser.add_argument("--answers", type=int, default=4, help="answers of a ranking")
    compare(parser.parse_args())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare", model, folder, prompts, answers]:
            prepare(model, Path(folder), int(prompts), int(answers))
        case [("ranked" | "pairs") as side, folder, steps, batch]:
            train(side, Path(folder), int(steps), int(batch))
        case _:
            main()
