"""TRL 1.16's online DPO trainer as oracle: it samples and scores by itself; from its ids come the same gradients.

Its label is hard, and it draws two answers a prompt. Of two that score alike it calls the first the better one; here
such a pair teaches nothing, so the scores differ in every pair.
"""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, disable_progress_bars
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
from trl.experimental.online_dpo import OnlineDPOConfig as TRLOnlineDPOConfig
from trl.experimental.online_dpo import OnlineDPOTrainer

from burnish.batch.pack import pack
from burnish.methods.online_dpo import Comparisons, OnlineDPOConfig
from burnish.methods.policy_loss import Answers
from burnish.models.model import Policy
from burnish.objectives.kl import rewards
from burnish.types import Branch, Tree

disable_progress_bars()

# TRL reads attributes that transformers 5.24 has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

PROMPTS, LONGEST, BETA, CUT = ("two and two", "why", "a crow sat"), 6, 0.3, 2.5


class Noted(OnlineDPOTrainer):
    """Keeps what it drew, and what came of it."""

    def _generate(self, *given: Any, **options: Any) -> Any:
        drawn = super()._generate(*given, **options)
        self.drawn = drawn[:4]
        return drawn

    def training_step(self, model: Any, *rest: Any, **options: Any) -> Tensor:
        loss: Tensor = super().training_step(model, *rest, **options)
        self.loss = loss.item()
        self.gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        return loss


def of_trl(start: PreTrainedModel, reference: PreTrainedModel, directory: Path, out: Path) -> Noted:
    trainer = Noted(
        model=copy.deepcopy(start),
        ref_model=copy.deepcopy(reference),
        reward_funcs=lambda completion_ids, **_: [float(sum(ids)) for ids in completion_ids],
        args=TRLOnlineDPOConfig(
            output_dir=str(out),
            per_device_train_batch_size=len(PROMPTS),
            max_new_tokens=LONGEST,
            temperature=1.0,
            max_steps=1,
            beta=BETA,
            missing_eos_penalty=CUT,
            bf16=False,
            activation_checkpointing=False,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
        processing_class=AutoTokenizer.from_pretrained(directory),
    )
    trainer.train()
    return trainer


def test_from_trl_s_own_answers_loss_and_gradients_are_those_of_trl(tiny_model: Path, tmp_path: Path):
    start = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64)
    reference = copy.deepcopy(start)
    for parameter in reference.parameters():
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        parameter.data += 0.03 * noise
    trl = of_trl(start, reference, tiny_model, tmp_path)
    prompt_ids, prompt_mask, answer_ids, answer_mask = trl.drawn
    end, rows, score = start.generation_config.eos_token_id, [], []
    for g in range(len(PROMPTS)):
        prompt = tuple(prompt_ids[g][prompt_mask[g].bool()].tolist())
        branches = []
        for n, row in enumerate((g, g + len(PROMPTS))):
            tokens = tuple(answer_ids[row][answer_mask[row].bool()].tolist())
            branches.append(Branch(tokens, (True,) * len(tokens), answer=n))
            score.append(float(answer_ids[row].sum()) - (0.0 if end in tokens else CUT))
        rows.append(Tree(prompt, tuple(branches), group=g))
    assert all(abs(score[i] - score[i + 1]) > 0.1 for i in range(0, len(score), 2))

    policy, batch = Policy(copy.deepcopy(start), None), pack(rows)
    old, anchor = (model.frozen_logprobs(rows, 4096) for model in (policy, Policy(reference, None)))
    score_N = torch.tensor(score, dtype=torch.float64)
    reward_L = rewards(score_N, batch.gather(old), batch.gather(anchor), batch.length_N, beta=0)
    answers = Answers(rows, batch, reward_L, old, anchor, {})
    loss = Comparisons(policy, {}, OnlineDPOConfig(beta=BETA)).of(answers, lambda _: None)(batch)
    (loss.total / loss.count).backward()

    assert loss.total.item() / loss.count == pytest.approx(trl.loss, rel=1e-6)
    away, whole = 0.0, 0.0
    for name, p in policy.model.named_parameters():
        if p.grad is not None:
            away += (p.grad - trl.gradients[name]).square().sum().item()
            whole += p.grad.square().sum().item()
    assert whole > 1e-4
    assert away / whole <= 1e-10
