"""TRL 1.16's KTO trainer as oracle: from its own ids, masks and pairs of unlike prompt and answer, the same course."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, disable_progress_bars
from oracle.fused_head import head_in_full
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import KTOConfig as TRLKTOConfig
from trl import KTOTrainer

from burnish.methods.kto import BAD, GOOD, KTOConfig, apart, kto_loss
from burnish.models.model import Policy
from burnish.training.update import Update, loss_on
from burnish.types import Branch, Tree

disable_progress_bars()

# TRL's trainers read attributes that transformers 5.24 has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

STEPS, BATCH, BETA = 20, 4, 0.3
WEIGHTS = {"desirable": 1.2, "undesirable": 0.9}


class Noted(KTOTrainer):
    """Keeps what each step was given, its loss, and the first step's gradients before they are clipped."""

    def training_step(self, model: Any, inputs: dict[str, Tensor], *rest: Any, **options: Any) -> Tensor:
        batch = {name: value.clone() for name, value in inputs.items()}
        loss: Tensor = super().training_step(model, inputs, *rest, **options)
        if not hasattr(self, "steps"):
            self.steps: list[tuple[dict[str, Tensor], float]] = []
            self.gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        self.steps.append((batch, loss.item()))
        return loss


def rows() -> Dataset:
    """No two answers of one length; two of three are good."""
    return Dataset.from_list(
        [
            {
                "prompt": f"Question {row}{'?' * (row % 4 + 1)} Answer:",
                "completion": f" it sat by the river{' and slept' * (row % 5)}.",
                "label": row % 3 != 0,
            }
            for row in range(STEPS * BATCH)
        ]
    )


@pytest.fixture(scope="module")
def trl(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Noted, Policy, Policy]:
    """TRL's run in float64, and the policy and the reference that it started from; they are not the same."""
    start = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64)
    reference = copy.deepcopy(start)
    draw = torch.Generator().manual_seed(1)
    for parameter in reference.parameters():
        parameter.data += 0.03 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trl.trainer.kto_trainer.add_fused_lm_head", head_in_full)
        trainer = Noted(
            model=copy.deepcopy(start),
            ref_model=copy.deepcopy(reference),
            args=TRLKTOConfig(
                output_dir=str(tmp_path_factory.mktemp("kto")),
                per_device_train_batch_size=BATCH,
                max_steps=STEPS,
                beta=BETA,
                desirable_weight=WEIGHTS["desirable"],
                undesirable_weight=WEIGHTS["undesirable"],
                learning_rate=2e-3,
                lr_scheduler_type="linear",
                weight_decay=0.1,
                max_grad_norm=0.5,
                bf16=False,
                activation_checkpointing=False,
                use_cpu=True,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows(),
            processing_class=AutoTokenizer.from_pretrained(tiny_model),
        )
        trainer.train()
    return trainer, Policy(start, None), Policy(reference, None)


def judged(batch: dict[str, Tensor], first: int) -> list[Tree]:
    """A tree a row: its own answer, and the one that TRL put under the same prompt to measure from."""
    trees = []
    for row, label in enumerate(batch["label"].tolist()):
        prompt, branches = (), []
        for answer, name in ((0, ""), (-1, "KL_")):
            seen = batch[f"{name}attention_mask"][row].bool()
            ids, mine = batch[f"{name}input_ids"][row][seen], batch[f"{name}completion_mask"][row][seen].bool()
            prompt, tokens = tuple(ids[~mine].tolist()), tuple(ids[mine].tolist())
            place = -1 if answer else GOOD if label else BAD
            branches.append(Branch(tokens, (True,) * len(tokens), place=place, answer=answer))
        trees.append(Tree(prompt, tuple(branches), group=first + row))
    return trees


def test_twenty_steps_give_trl_s_losses_and_the_first_its_gradients(trl: tuple[Noted, Policy, Policy]):
    trainer, policy, anchor = trl
    batches = [judged(batch, number * BATCH) for number, (batch, _) in enumerate(trainer.steps)]
    every = [tree for batch in batches for tree in batch]
    reference = {key: value.sum().reshape(1) for key, value in anchor.frozen_logprobs(every, 4096).items()}
    own, others = apart(every)
    config = KTOConfig(beta=BETA, **WEIGHTS, learning_rate=2e-3, schedule="linear", weight_decay=0.1, max_grad_norm=0.5)
    loss, update = kto_loss(policy, reference, others, config), Update(policy, config)
    losses, baselines = [], []
    for number in range(STEPS):
        batch = own[number * BATCH : (number + 1) * BATCH]
        told = update(batch, loss_on(batch, loss), step=number, steps=STEPS)
        losses.append(told["loss"])
        baselines.append(told["baseline"])
        if not number:
            scale = max(1.0, told["grad_norm"] / 0.5)  # ours are kept clipped
            ours = torch.cat([p.grad.flatten() * scale for p in update.parameters.values()])
            theirs = torch.cat([trainer.gradients[name].flatten() for name in update.parameters])
            assert ((ours - theirs).norm() / theirs.norm()).item() <= 1e-6
    theirs = [loss for _, loss in trainer.steps]
    assert losses == pytest.approx(theirs, rel=1e-6)
    assert abs(theirs[-1] - theirs[0]) > 0.02 * theirs[0]  # a model that did not move would prove nothing
    assert sum(baseline > 0 for baseline in baselines) > 0  # nor would a baseline that is always 0
