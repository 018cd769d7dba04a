"""TRL's side of GRPO: its own trainer and its own loop.

    python benchmarks/side_trl_grpo.py MODEL FOLDER STEPS PROMPTS SAMPLES TOKENS RATE BETA

Its defaults that are switched: GRPO's loss in place of DAPO's, k3 without the ratio before it, a KL to a reference
(`beta`), float32 in place of bf16, activations kept in place of computed again, a constant rate, rows in order, no
files. A turn is a whole step, drawing and the logged line included. In the first one the answers are those that burnish
has drawn, so that gradients can be compared.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from share_of_e import share_of_e
from side_trl import ALIKE, OneTurnAStep
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer
from turns import Turns

NEVER, PAD = "<file_sep>", "<gh_stars>"
"""An end token that the model never writes, so that all answers have all their tokens; and one that pads."""
AT_ONCE = 8  # answers a pass of learning; all of a step are drawn together. 32 in one pass took more than 18 GB


def shares(completions: list[str], **_: Any) -> list[float]:
    return [share_of_e(answer) for answer in completions]


class OneTurnAStepWithNorm(OneTurnAStep):
    """Tells the gradient's norm too."""

    def on_log(self, *given: Any, logs: dict[str, float], **named: Any) -> None:
        super().on_log(*given, logs=logs, **named)
        self.more = {"grad_norm": logs["grad_norm"]} if "grad_norm" in logs else {}


class TokenTrainer(GRPOTrainer):
    """Takes prompts that are token ids already, and in the first turn answers that are there."""

    rows: list[list[int]]
    rollouts: Path

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [self.rows[int(prompt)] for prompt in prompts], None, {}

    def _generate_single_turn(self, prompt_ids: list[list[int]], *given: Any) -> tuple[list[list[int]], None]:
        if self.state.global_step:
            return super()._generate_single_turn(prompt_ids, *given)
        rows = [(prompt, answer) for prompt, answers in json.loads(self.rollouts.read_text()) for answer in answers]
        if prompt_ids != [prompt for prompt, _ in rows]:
            raise SystemExit("the first prompts are not those that burnish has answered")
        return [answer for _, answer in rows], None


def main(
    model: str, folder: Path, steps: int, prompts: int, samples: int, tokens: int, rate: float, beta: float
) -> None:
    turns = Turns()
    logging.set_verbosity_error()
    rows = [json.loads(line)["prompt"] for line in (folder / "rows.jsonl").read_text().splitlines()]
    parts = [rows[at : at + prompts] for at in range(0, len(rows), prompts)]
    padded = [len(part) * samples * (max(map(len, part)) + tokens) for part in parts]
    TokenTrainer.rows, TokenTrainer.rollouts = rows, folder / "rollouts.json"
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    policy.generation_config.eos_token_id = None  # TRL adds it to the tokenizer's
    trainer = TokenTrainer(
        model=policy,
        reward_funcs=shares,
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(dir=folder),
            per_device_train_batch_size=AT_ONCE,
            gradient_accumulation_steps=prompts * samples // AT_ONCE,
            num_generations=samples,
            max_completion_length=tokens,
            max_steps=steps + 1,  # the last one begins, and its turn never comes
            loss_type="grpo",
            beta=beta,
            use_bias_correction_kl=False,
            learning_rate=rate,
            shuffle_dataset=False,
            **ALIKE,
        ),
        train_dataset=Dataset.from_list([{"prompt": str(number)} for number in range(len(rows))]),
        processing_class=AutoTokenizer.from_pretrained(model, eos_token=NEVER, pad_token=PAD, padding_side="left"),
        callbacks=[OneTurnAStepWithNorm(turns, padded, None)],
    )
    trainer.train()


if __name__ == "__main__":
    model, folder, *counts, rate, beta = sys.argv[1:]
    main(model, Path(folder), *map(int, counts), float(rate), float(beta))
