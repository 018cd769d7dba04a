"""Token ids for both sides, and the reward model that both start from.

    python benchmarks/rows.py ROW MODEL FOLDER ROWS DATA [ROOM]

FOLDER/rows.jsonl gets {"prompt", "chosen", "rejected"} as token ids; with ROOM, prompts alone, with so many tokens left
for an answer, and FOLDER/prompts.jsonl gets them as text. For ROW reward and ppo, FOLDER/start gets the model with a
fresh reward head and a pad token that no answer ends with.
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


def main(row: str, model: str, folder: Path, count: int, data: Path, room: int = 0) -> None:
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
    write(folder / "rows.jsonl", map(token_ids, made))


def token_ids(tree: Tree) -> dict[str, Any]:
    ordered = sorted(tree.branches, key=lambda branch: branch.place)
    answers = zip(("chosen", "rejected"), (branch.tokens for branch in ordered), strict=False)
    return {"prompt": tree.prompt, **dict(answers)}


def write(file: Path, rows: Iterable[Any]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]), *map(int, sys.argv[6:]))
