"""TRL 1.10's side of PPO: its own trainer and its own loop, in the environment of trl_1_10.sh.

    python benchmarks/side_trl_ppo.py MODEL FOLDER BATCH SAMPLES TOKENS RATE EPOCHS BETA

Its defaults that are switched: float32 in place of bf16, activations kept in place of computed again, temperature 1,
two passes in place of four, a constant rate, prompts in order, no samples shown and no files. Policy, reference, critic
and reward model are four models. A turn is an iteration; `sampling` is what of it `generate` took. In the first one the
answers are those that burnish has drawn, so that losses can be compared.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    TrainerCallback,
)
from transformers.utils import logging
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer
from turns import Turns

PAD = "<gh_stars>"
"""A token that no prompt and no answer has: TRL tells padding by it."""


class Sampler:
    """In place of TRL's `batch_generation`: takes its time, and in the first turn gives burnish's answers."""

    def __init__(self, rollouts: Path) -> None:
        self.rollouts, self.generate = rollouts, ppo_trainer.batch_generation
        self.calls = 0
        self.seconds = 0.0

    def __call__(self, model: Any, queries: Tensor, size: int, pad: int, config: Any) -> tuple[Tensor, Tensor]:
        began = time.perf_counter()
        self.calls += 1
        out = (
            self.recorded(model, queries, pad) if self.calls == 1 else self.generate(model, queries, size, pad, config)
        )
        self.seconds = time.perf_counter() - began
        return out

    def recorded(self, model: Any, queries: Tensor, pad: int) -> tuple[Tensor, Tensor]:
        rows = [(prompt, answer) for prompt, answers in json.loads(self.rollouts.read_text()) for answer in answers]
        for query, (prompt, _) in zip(queries.tolist(), rows, strict=True):
            if query[len(query) - len(prompt) :] != prompt or any(token != pad for token in query[: -len(prompt)]):
                raise SystemExit("the first prompts are not those that burnish has answered")
        both = torch.cat((queries, torch.tensor([answer for _, answer in rows])), dim=1)
        logits = ppo_trainer.forward(model, both, pad).logits[:, queries.shape[1] - 1 : -1]
        return both, logits.clone()


class OneTurnAnIteration(TrainerCallback):
    def __init__(self, turns: Turns, sampler: Sampler, tokens: list[int]) -> None:
        self.turns, self.sampler, self.tokens = turns, sampler, tokens
        self.said: dict[str, float] = {}

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.turns.next()

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        if "loss/policy_avg" in logs:
            self.said = {"loss": logs["loss/policy_avg"], "value_loss": logs["loss/value_avg"]}

    def on_step_end(self, *_: Any, **__: Any) -> None:
        at = self.sampler.calls - 1
        self.turns.next(**self.said, sampling=self.sampler.seconds, tokens=self.tokens[at])


def in_order(*given: Any, shuffle: bool = False, **settings: Any) -> DataLoader:
    return DataLoader(*given, shuffle=False, **settings)


def main(
    model: str, folder: Path, batch: int, samples: int, tokens: int, rate: float, epochs: int, beta: float
) -> None:
    turns = Turns()
    logging.set_verbosity_error()
    asked = [json.loads(line)["prompt"] for line in (folder / "rows.jsonl").read_text().splitlines()]
    prompts = [prompt for prompt in asked for _ in range(samples)]
    parts = [prompts[at : at + batch] for at in range(0, len(prompts), batch)]
    padded = [len(part) * (max(map(len, part)) + tokens) for part in parts]
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left", pad_token=PAD)
    sampler = Sampler(folder / "rollouts.json")
    ppo_trainer.batch_generation = sampler
    ppo_trainer.DataLoader = in_order
    config = PPOConfig(
        output_dir=tempfile.mkdtemp(dir=folder),
        total_episodes=len(prompts),
        per_device_train_batch_size=batch,
        num_ppo_epochs=epochs,
        learning_rate=rate,
        lr_scheduler_type="constant",
        kl_coef=beta,
        response_length=tokens,
        temperature=1.0,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        num_sample_generations=0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    rows = Dataset.from_list([{"input_ids": prompt} for prompt in prompts])
    start = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    reward, value = (
        AutoModelForSequenceClassification.from_pretrained(folder / "start", num_labels=1, dtype=torch.float32)
        for _ in range(2)
    )
    trainer = PPOTrainer(
        config,
        processing_class=tokenizer,
        model=start,
        ref_model=None,
        reward_model=reward,
        value_model=value,
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=[OneTurnAnIteration(turns, sampler, padded)],
    )
    trainer.train()


if __name__ == "__main__":
    model, folder, batch, samples, tokens, rate, epochs, beta = sys.argv[1:]
    main(model, Path(folder), int(batch), int(samples), int(tokens), float(rate), int(epochs), float(beta))
