"""Token ids for both sides, and the reward model that both start from.

    python benchmarks/rows.py ROW MODEL FOLDER ROWS DATA [ROOM [BATCH]]

FOLDER/rows.jsonl gets {"prompt", "chosen", "rejected"} as token ids; with ROOM, prompts alone, with so many tokens left
for an answer, and FOLDER/prompts.jsonl gets them as text. For ROW kto they are {"prompt", "answer", "other", "good"}:
a pair's two answers, one good and one bad, and beside each that of the pair before it in its batch of BATCH such rows.
For ROW reward and ppo, FOLDER/start gets the model with a fresh reward head and a pad token that no answer ends with.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from burnish.batch.trees import prompt_trees, trees
from burnish.data.read import read
from burnish.data.templates import resolve
from burnish.models.load import load_scorer
from burnish.types import Tree

LONGEST = 1024  # the default of both trainers


def main(row: str, model: str, folder: Path, count: int, data: Path, room: int = 0, batch: int = 8) -> None:
    if row in ("reward", "ppo"):
        load_scorer(model, fresh_head=True, packed=True).save(folder / "start")
    template = resolve(AutoTokenizer.from_pretrained(model))
    pairs = read(data, kind="comparison", on_bad_row="skip", rejected=folder / "rejected.jsonl")  # four have no answer
    if room:
        made = prompt_trees(pairs, template, max_length=LONGEST, room=room, on_too_long="skip").trees
    else:
        made = trees(pairs, template, max_length=LONGEST, on_too_long="skip").trees
    if len(made) < count:
        raise SystemExit(f"{data} gives {len(made)} rows of at most {LONGEST} tokens; {count} are wanted: fewer steps")
    made = made[:count]
    if room:
        said = [pairs[tree.group].prompt for tree in made]
        turns = [[{"role": message.role, "content": message.content} for message in prompt] for prompt in said]
        write(folder / "prompts.jsonl", ({"prompt": prompt} for prompt in turns))
    rows = list(map(token_ids, made))
    write(folder / "rows.jsonl", judged(rows, batch) if row == "kto" else rows)


def token_ids(tree: Tree) -> dict[str, Any]:
    ordered = sorted(tree.branches, key=lambda branch: branch.place)
    answers = zip(("chosen", "rejected"), (branch.tokens for branch in ordered), strict=False)
    return {"prompt": tree.prompt, **dict(answers)}


def judged(pairs: list[dict[str, Any]], batch: int) -> list[dict[str, Any]]:
    """KTO's judgements of the first half of `pairs`, so that there are as many rows."""
    each = batch // 2
    rows = []
    for i, pair in enumerate(pairs[: len(pairs) // 2]):
        before = pairs[i - 1 if i % each else i + each - 1]
        for good, name in ((True, "chosen"), (False, "rejected")):
            rows.append({"prompt": pair["prompt"], "answer": pair[name], "other": before[name], "good": good})
    return rows


def write(file: Path, rows: Iterable[Any]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]), *map(int, sys.argv[6:]))
