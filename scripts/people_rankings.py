"""Part OpenAssistant's rankings by tree, and list PandaLM's pairs once each, for recipes/smollm2-people.yaml.

python scripts/people_rankings.py [FOLDER]       # writes models/people

oasst_train.jsonl     rankings of 2 to 9 answers by people: a reward model learns from them
oasst_heldout.jsonl   rankings of other trees, which nothing learns from
pandalm_pairs.jsonl   PandaLM's pairs without their verdicts, to be scored: prompts of an evaluation set, never learned

A tree is known by its first human turn, so no opening stands in both parts of OpenAssistant's.
"""

import sys
from dataclasses import replace
from pathlib import Path

from burnish.data.convert import write
from burnish.data.read import read
from burnish.data.split import split_by_prompt

ROOT = Path(__file__).resolve().parent.parent
PARTED = ROOT / "models/people"
HELD_OUT = 50


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    train, heldout = split_by_prompt(read(ROOT / "data/oasst_rankings.jsonl.gz", kind="ranking"), HELD_OUT)
    print(f"oasst_train: {write(train, 'ranking', folder / 'oasst_train.jsonl')} rankings")
    print(f"oasst_heldout: {write(heldout, 'ranking', folder / 'oasst_heldout.jsonl')} rankings")
    pairs = {}
    for group in read(ROOT / "data/pandalm_pairs.jsonl.gz", kind="ranking"):
        asked = (group.prompt, tuple(answer.text for answer in group.answers))
        pairs.setdefault(asked, replace(group, order=None, extra={}))
    print(f"pandalm_pairs: {write(pairs.values(), 'sample', folder / 'pandalm_pairs.jsonl')} pairs")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PARTED)
