"""burnish's side of sampling: the local engine.

    python benchmarks/side_burnish_sample.py MODEL FOLDER SAMPLES TOKENS

A turn is TOKENS tokens of SAMPLES answers to every prompt of FOLDER/rows.jsonl, drawn at temperature 1, the end token
left out. The first turn takes the likeliest token instead, so that both sides can be held to each other:
FOLDER/burnish-likeliest.json gets each prompt's tokens and their log-probabilities.
"""

import json
import sys
from pathlib import Path

from side_burnish import matrices
from turns import Turns

from burnish.models.load import Placement, load_policy
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling

FIRST = 16
"""Tokens of the first turn."""


def main(model: str, folder: Path, samples: int, tokens: int) -> None:
    turns = Turns()
    policy = load_policy(model, Placement(device="cpu", dtype="float32"))
    prompts = [json.loads(line)["prompt"] for line in (folder / "rows.jsonl").read_text().splitlines()]
    engine = LocalEngine(policy)
    ends = [policy.tokenizer.eos_token_id]
    body, head = matrices(policy)
    answers = len(prompts) * samples
    computed = sum(map(len, prompts)) + answers * (tokens - 1)  # nothing follows the last token
    turns.next()
    first = Sampling(temperature=0, max_new_tokens=FIRST, min_new_tokens=FIRST)
    likeliest = [[r.tokens, r.logprobs] for r in engine.sample(prompts, 1, first, end_tokens=ends, seed=0)]
    (folder / "burnish-likeliest.json").write_text(json.dumps(likeliest))
    settings = Sampling(max_new_tokens=tokens, min_new_tokens=tokens)
    seed = 1
    while True:
        turns.next(tokens=computed, work=2.0 * (body * computed + head * answers * tokens))
        engine.sample(prompts, samples, settings, end_tokens=ends, seed=seed)
        seed += 1


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
