"""Token ids for both sides, and the reward model that both start from.

    python benchmarks/rows.py ROW MODEL FOLDER ROWS DATA

FOLDER/rows.jsonl gets {"prompt", "chosen", "rejected"} as token ids; for ROW reward, FOLDER/start gets the model with a
fresh reward head and a pad token that no answer ends with.
"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

from burnish.batch.trees import trees
from burnish.data.read import read
from burnish.data.templates import resolve
from burnish.models.load import load_scorer

LONGEST = 1024  # the default of both trainers


def main(row: str, model: str, folder: Path, count: int, data: Path) -> None:
    if row == "reward":
        load_scorer(model, fresh_head=True, packed=True).save(folder / "start")
    template = resolve(AutoTokenizer.from_pretrained(model))
    pairs = read(data, kind="comparison", on_bad_row="skip", rejected=folder / "rejected.jsonl")  # four have no answer
    made = trees(pairs, template, max_length=LONGEST, on_too_long="skip").trees
    if len(made) < count:
        raise SystemExit(f"{data} gives {len(made)} rows of at most {LONGEST} tokens; {count} are wanted: fewer steps")
    with (folder / "rows.jsonl").open("w") as file:
        for tree in made[:count]:
            chosen, rejected = sorted(tree.branches, key=lambda branch: branch.place)
            ids = {"prompt": tree.prompt, "chosen": chosen.tokens, "rejected": rejected.tokens}
            file.write(json.dumps(ids) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
