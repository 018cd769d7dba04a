"""TRL 1.16's GRPO trainer as oracle: it samples and scores by itself; from its ids and scores come the same gradients.

Advantages, old log-probabilities, k3 to another model and denominators are each made on both sides.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, disable_progress_bars
from oracle.fused_head import head_in_full
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from trl import GRPOConfig as TRLGRPOConfig
from trl import GRPOTrainer

from burnish.batch.pack import pack
from burnish.methods.grpo import GRPOConfig, token_advantages
from burnish.methods.policy_loss import Answers, PolicyLoss
from burnish.models.model import Policy
from burnish.objectives.kl import rewards
from burnish.rollout.settings import Sampling
from burnish.types import Branch, Tree

disable_progress_bars()

# TRL reads attributes that transformers 5.24 has renamed
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

PROMPTS, SAMPLES, LONGEST, BETA = ("two and two", "why", "a crow sat"), 4, 6, 0.3

# what TRL calls it, and what we do
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "grpo": ({"loss_type": "grpo"}, {}),
    "dr_grpo": ({"loss_type": "dr_grpo", "scale_rewards": "none"}, {"variant": "dr_grpo"}),
    "dapo": ({"loss_type": "dapo", "epsilon_high": 0.28}, {"variant": "dapo"}),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4},
        {"variant": "gspo"},
    ),
}


@dataclass
class Step:
    """What TRL's one step was given, and what it made of it."""

    reference: PreTrainedModel
    batch: dict[str, Tensor] = field(default_factory=dict)
    loss: float = 0.0
    gradients: dict[str, Tensor] = field(default_factory=dict)


def of_trl(start: PreTrainedModel, directory: Path, out: Path, settings: dict[str, Any]) -> Step:
    reference = copy.deepcopy(start)
    for parameter in reference.parameters():
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        parameter.data += 0.03 * noise
    step = Step(reference)

    class Noted(GRPOTrainer):
        def compute_loss(self, model: Any, inputs: dict[str, Tensor], *rest: Any, **options: Any) -> Tensor:
            step.batch = dict(inputs)
            return super().compute_loss(model, inputs, *rest, **options)

        def training_step(self, model: Any, *rest: Any, **options: Any) -> Tensor:
            loss: Tensor = super().training_step(model, *rest, **options)
            step.loss = loss.item()
            step.gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            return loss

    def by_score(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [score(ids) for ids in completion_ids]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trl.trainer.grpo_trainer.add_fused_lm_head", head_in_full)
        trainer = Noted(
            model=copy.deepcopy(start),
            reward_funcs=lambda completion_ids, **_: [score(ids) for ids in completion_ids],
            args=TRLGRPOConfig(
                output_dir=str(out),
                per_device_train_batch_size=len(PROMPTS) * SAMPLES,
                num_generations=SAMPLES,
                max_completion_length=LONGEST,
                max_steps=1,
                beta=BETA,
                use_bias_correction_kl=False,  # its default multiplies k3 by the ratio: on a first pass, k2's gradient
                bf16=False,
                activation_checkpointing=False,
                use_cpu=True,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **settings,
            ),
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in PROMPTS]),
            processing_class=AutoTokenizer.from_pretrained(directory),
        )
    trainer.ref_model = copy.deepcopy(reference)
    head_in_full(trainer.ref_model)
    trainer.train()
    return step


def score(tokens: Sequence[int]) -> float:
    """Differs among answers, and is a whole number: TRL keeps scores in float32."""
    return float(sum(tokens) % 7)


def trees(batch: dict[str, Tensor]) -> list[Tree]:
    """TRL's rows, which it has shuffled, by their prompts; these are padded on the left."""
    by_prompt: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for row in range(len(batch["prompt_ids"])):
        prompt, answer = (
            tuple(batch[f"{part}_ids"][row][batch[f"{part}_mask"][row].bool()].tolist())
            for part in ("prompt", "completion")
        )
        by_prompt.setdefault(prompt, []).append(answer)
    made = []
    for group, (prompt, answers) in enumerate(by_prompt.items()):
        branches = (Branch(tokens, (True,) * len(tokens), answer=number) for number, tokens in enumerate(answers))
        made.append(Tree(prompt, tuple(branches), group=group))
    return made


def ours(start: PreTrainedModel, step: Step, config: GRPOConfig) -> tuple[float, dict[str, Tensor]]:
    policy = Policy(copy.deepcopy(start), None)
    rows = trees(step.batch)
    batch = pack(rows)
    old, reference = (model.frozen_logprobs(rows, 4096) for model in (policy, Policy(step.reference, None)))
    score_N = torch.tensor([score(b.tokens) for tree in rows for b in tree.branches], dtype=torch.float64)
    assert len(set(score_N.tolist())) > 2  # else there is nothing to compare
    reward_L = rewards(score_N, batch.gather(old), batch.gather(reference), batch.length_N, beta=0)
    answers = Answers(rows, batch, reward_L, old, reference, {})
    advantage = batch.scatter(token_advantages(answers, config))
    loss = PolicyLoss(
        policy, config, {}, answers, advantage, config.beta, config.denominator, config.ratio, lambda _: None
    )(batch)
    (loss.total / loss.count).backward()
    gradients = {name: p.grad for name, p in policy.model.named_parameters() if p.grad is not None}
    return loss.total.item() / loss.count, gradients


@pytest.mark.parametrize("form", FORMS)
def test_from_trl_s_own_rollouts_loss_and_gradients_are_those_of_trl(form: str, tiny_model: Path, tmp_path: Path):
    theirs, own = FORMS[form]
    start = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float64)
    step = of_trl(start, tiny_model, tmp_path, theirs)
    loss, gradients = ours(start, step, GRPOConfig(**own, beta=BETA, sampling=Sampling(max_new_tokens=LONGEST)))
    assert loss == pytest.approx(step.loss, rel=1e-5)
    away = sum((gradients[name] - theirs_).square().sum().item() for name, theirs_ in step.gradients.items()) ** 0.5
    whole = sum(theirs_.square().sum().item() for theirs_ in step.gradients.values()) ** 0.5
    assert whole > 1e-2
    assert away / whole <= 1e-5
