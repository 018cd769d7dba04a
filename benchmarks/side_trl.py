"""TRL's side: its own trainer and its own loop, told to do what burnish's side does.

    python benchmarks/side_trl.py ROW MODEL FOLDER STEPS BATCH RATE

Its defaults that are switched: float32 in place of bf16, activations kept in place of computed again, rows in order, a
constant rate, no files. A turn is a whole step, from the collator to the logged line.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    TrainerCallback,
    TrainerState,
)
from transformers.utils import logging
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from turns import Turns

ALIKE: dict[str, Any] = {
    "lr_scheduler_type": "constant",
    "bf16": False,
    "activation_checkpointing": False,
    "use_cpu": True,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}
"""What every trainer of TRL 1.16 is told, so that it does what burnish does and no more."""


class OneTurnAStep(TrainerCallback):
    """A turn ends where the next step begins, so that it holds the loading of rows and the log too."""

    def __init__(self, turns: Turns, tokens: list[int], keep: Path | None) -> None:
        self.turns, self.tokens, self.keep = turns, tokens, keep
        self.done = 0
        self.loss: float | None = None
        self.more: dict[str, float] = {}

    def on_step_begin(self, _: Any, state: TrainerState, *__: Any, model: PreTrainedModel, **___: Any) -> None:
        if self.keep is not None and state.global_step == state.max_steps - 1:
            model.save_pretrained(self.keep)
        if self.done:
            self.turns.next(loss=self.loss, tokens=self.tokens[self.done - 1], **self.more)
        else:
            self.turns.next()
        self.done += 1

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        self.loss = logs.get("loss", self.loss)


class Prepared:
    """Takes rows that are token ids already; the pass of the reference over them is a turn of its own."""

    turns: Turns

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, *given: Any) -> Dataset:
        self.turns.next()
        return super()._precompute_ref_logps(*given)  # type: ignore[misc]


class PreparedDPOTrainer(Prepared, DPOTrainer):
    pass


class PreparedKTOTrainer(Prepared, KTOTrainer):
    pass


def dataset_of(row: str, rows: list[dict[str, list[int]]]) -> Dataset:
    if row == "sft":
        return Dataset.from_list(
            [{"input_ids": r["prompt"] + r["chosen"], "labels": [-100] * len(r["prompt"]) + r["chosen"]} for r in rows]
        )
    if row == "reward":
        return Dataset.from_list(
            [{"chosen_ids": r["prompt"] + r["chosen"], "rejected_ids": r["prompt"] + r["rejected"]} for r in rows]
        )
    if row == "kto":
        return Dataset.from_list(
            [
                {
                    "prompt_ids": r["prompt"],
                    "completion_ids": r["answer"],
                    "KL_completion_ids": r["other"],
                    "label": r["good"],
                }
                for r in rows
            ]
        )
    return Dataset.from_list([{f"{name}_ids": ids for name, ids in r.items()} for r in rows])


def padded_tokens(row: str, rows: list[dict[str, list[int]]], batch: int) -> list[int]:
    """Tokens that each step computes: rows × the longest of them, in each of its passes."""
    passes = {"sft": [["chosen"]], "kto": [["answer"], ["other"]]}.get(row, [["chosen", "rejected"]])
    parts = [rows[i : i + batch] for i in range(0, len(rows), batch)]
    return [
        sum(
            len(part) * len(sides) * max(len(r["prompt"]) + len(r[side]) for r in part for side in sides)
            for sides in passes
        )
        for part in parts
    ]


def main(row: str, model_path: str, folder: Path, steps: int, batch: int, rate: float) -> None:
    turns = Turns()
    logging.set_verbosity_error()
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    kind = row.partition("-")[0]
    trainer_class, config_class = {
        "sft": (SFTTrainer, SFTConfig),
        "reward": (RewardTrainer, RewardConfig),
        "dpo": (PreparedDPOTrainer, DPOConfig),
        "kto": (PreparedKTOTrainer, KTOConfig),
    }[kind]
    load = AutoModelForSequenceClassification if kind == "reward" else AutoModelForCausalLM
    options: dict[str, Any] = {}
    if kind in ("dpo", "kto"):
        options = {"precompute_ref_log_probs": not row.endswith("inside"), "beta": 0.1}
    arguments = config_class(
        output_dir=tempfile.mkdtemp(dir=folder),
        per_device_train_batch_size=batch,
        max_steps=steps + 1,  # the last one begins, and its turn never comes
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        learning_rate=rate,
        max_length=None,
        **ALIKE,
        **options,
    )
    Prepared.turns = turns
    keep = folder / "TRL-trained" if (folder / "keep").exists() else None
    trainer = trainer_class(
        model=load.from_pretrained(model_path, dtype=torch.float32),
        args=arguments,
        train_dataset=dataset_of(kind, rows),
        processing_class=AutoTokenizer.from_pretrained(model_path),
        callbacks=[OneTurnAStep(turns, padded_tokens(kind, rows, batch), keep)],
    )
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
