"""Hugging Face's side of sampling: `generate`.

    python benchmarks/side_generate.py MODEL FOLDER SAMPLES TOKENS ATTENTION,CACHE,PARTS

The same turns as side_burnish_sample.py's, with the same rows: each prompt SAMPLES times, padded on the left. ATTENTION
is sdpa or eager, CACHE is dynamic or static; the rows, sorted by length, are computed in PARTS batches, so that short
prompts are padded to short ones. FOLDER/generate-likeliest.json gets what burnish's side writes too.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.utils import logging
from turns import Turns

FIRST = 16
PAD = 0  # masked, so any token does


def padded(rows: list[list[int]]) -> dict[str, Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def likeliest(model: Any, prompts: list[list[int]]) -> list[tuple[list[int], list[float]]]:
    """Each prompt's likeliest tokens one after the other, and their log-probabilities."""
    config = GenerationConfig(
        do_sample=False,
        min_new_tokens=FIRST,
        max_new_tokens=FIRST,
        pad_token_id=PAD,
        eos_token_id=model.config.eos_token_id,
        output_scores=True,
        return_dict_in_generate=True,
    )
    out = model.generate(**padded(prompts), generation_config=config)
    token_PT = out.sequences[:, -FIRST:]
    logprob_PT = torch.stack(
        [score.log_softmax(-1).gather(1, token_PT[:, [t]]).squeeze(1) for t, score in enumerate(out.scores)], dim=1
    )
    return list(zip(token_PT.tolist(), logprob_PT.tolist(), strict=True))


def main(model_path: str, folder: Path, samples: int, tokens: int, settings: str) -> None:
    turns = Turns()
    logging.set_verbosity_error()
    attention, cache, parts = settings.split(",")
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32, attn_implementation=attention).eval()
    prompts = [json.loads(line)["prompt"] for line in (folder / "rows.jsonl").read_text().splitlines()]
    rows = sorted((prompt for prompt in prompts for _ in range(samples)), key=len)
    size = -(-len(rows) // int(parts))
    config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        pad_token_id=PAD,
        eos_token_id=model.config.eos_token_id,
        cache_implementation=cache,
    )
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    computed = sum(len(batch) * (max(map(len, batch)) + tokens - 1) for batch in batches)
    turns.next()
    with torch.inference_mode():
        (folder / "generate-likeliest.json").write_text(json.dumps(likeliest(model, prompts)))
        while True:
            turns.next(tokens=computed)
            for batch in batches:
                model.generate(**padded(batch), generation_config=config)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
