"""Part the HH harmless pairs by the dialogue's first human turn, for recipes/smollm2-harmless.yaml.

python scripts/hh_harmless.py [FOLDER]       # writes models/hh-harmless

policy.jsonl          comparisons: the policies learn from them, and so does the reward model that they climb
policy_600.jsonl      600 of these, for DPO
prompts.jsonl         the prompts of 160 of these, to sample answers to
judge.jsonl           comparisons: the judge that gives the verdict learns from them, and nothing else does
heldout.jsonl         comparisons that nothing learns from: their prompts are answered for the verdict
heldout_text.jsonl    their better answers as text, for perplexity

No first human turn stands in two of policy, judge and heldout. A part takes whole openings, so it may have a row or two
more than asked for. The four rows with an empty answer are left out (rejected.jsonl).
"""

import sys
from pathlib import Path

from burnish.data.convert import write
from burnish.data.read import read
from burnish.data.split import prompt_key, split_by_prompt
from burnish.types import Answer, Group

ROOT = Path(__file__).resolve().parent.parent
PAIRS = ROOT / "data/hh_harmless.jsonl.gz"
PARTED = ROOT / "models/hh-harmless"

HELD_OUT, FOR_THE_JUDGE, FOR_DPO, TO_SAMPLE = 200, 700, 600, 160


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pairs = read(PAIRS, kind="comparison", on_bad_row="skip", rejected=folder / "rejected.jsonl")
    rest, heldout = split_by_prompt(pairs, HELD_OUT)
    policy, judge = split_by_prompt(rest, FOR_THE_JUDGE)
    parts = {"policy": policy, "judge": judge, "heldout": heldout}
    asked = {name: {prompt_key(group) for group in part} for name, part in parts.items()}
    if sum(map(len, asked.values())) != len(set().union(*asked.values())):
        raise SystemExit("an opening stands in two parts")
    parts["policy_600"] = split_by_prompt(policy, FOR_DPO, seed=1)[1]
    for name, part in parts.items():
        print(f"{name}: {write(part, 'comparison', folder / f'{name}.jsonl')} pairs")
    write(split_by_prompt(policy, TO_SAMPLE, seed=2)[1], "prompt", folder / "prompts.jsonl")
    write(map(better_answer, heldout), "text", folder / "heldout_text.jsonl")


def better_answer(pair: Group) -> Group:
    """The answer that people preferred, as a text of its own."""
    best = pair.answers[pair.order[0][0]] if pair.order else pair.answers[0]
    return Group("", (Answer(best.text),), origin=pair.origin)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PARTED)
