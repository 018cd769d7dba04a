"""TRL 1.16's loss functions as oracles: the same log-probabilities and scores give the same loss and gradient.

Preference losses are in test_preference_losses.py. What the trainers do around their losses is compared in
test_trainers.py.
"""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from oracle.stand_in import ANSWER_T, MASK_BS, PRECISIONS, both, drawn, logprobs, trainer
from torch import Tensor
from trl import GRPOTrainer, RewardTrainer, SFTTrainer
from trl.rewards import get_soft_overlong_punishment

from burnish.objectives import likelihood, policy, ranking
from burnish.objectives.kl import penalty
from burnish.objectives.length import overlong


@PRECISIONS
def test_cross_entropy_is_that_of_trl(dtype, of_loss, of_gradient):
    settings = trainer(
        compute_loss_func=None,
        label_smoother=None,
        args=SimpleNamespace(loss_type="nll", average_tokens_across_devices=False),
    )

    def theirs(logprob_BS: Tensor) -> Tensor:
        answer = SimpleNamespace(
            log_probs=logprob_BS * MASK_BS,
            label_mask=MASK_BS.bool(),
            entropy=torch.zeros_like(logprob_BS),
            is_top1=MASK_BS.bool(),
        )
        return SFTTrainer.compute_loss(settings, lambda **_: answer, {"labels": None})

    def ours(logprob_BS: Tensor) -> Tensor:
        loss_L = likelihood.cross_entropy(logprob_BS[MASK_BS.bool()])
        return loss_L.sum() / len(loss_L)

    gap = both(ours, theirs, logprobs(dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@PRECISIONS
@pytest.mark.parametrize("centre", [None, 0.1])
@pytest.mark.parametrize("with_margin", [False, True])
def test_the_pairwise_loss_is_that_of_trl(with_margin, centre, dtype, of_loss, of_gradient):
    margin_P = drawn(6, dtype=dtype, seed=1).abs() if with_margin else torch.zeros(6, dtype=dtype)
    settings = trainer(args=SimpleNamespace(center_rewards_coefficient=centre))
    inputs = {"margin": margin_P} if with_margin else {}

    def theirs(score_N: Tensor) -> Tensor:
        model = lambda **_: SimpleNamespace(logits=score_N[:, None])  # noqa: E731, a model of one line
        return RewardTrainer.compute_loss(settings, model, dict(inputs))

    def ours(score_N: Tensor) -> Tensor:
        chosen_P, rejected_P = score_N.chunk(2)
        loss_P = ranking.pairwise(chosen_P - rejected_P - margin_P)
        return (loss_P + (centre or 0) * ranking.centring(chosen_P, rejected_P)).sum() / 6

    gap = both(ours, theirs, drawn(12, dtype=dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@PRECISIONS
@pytest.mark.parametrize("loss", [ranking.bradley_terry, ranking.plackett_luce])
def test_orders_of_two_are_the_pairs_of_trl(loss, dtype, of_loss, of_gradient):
    settings = trainer(args=SimpleNamespace(center_rewards_coefficient=None))

    def theirs(score_N: Tensor) -> Tensor:
        return RewardTrainer.compute_loss(settings, lambda **_: SimpleNamespace(logits=score_N[:, None]), {})

    def ours(score_N: Tensor) -> Tensor:
        return loss(score_N, torch.arange(12) // 6, torch.arange(12) % 6).sum() / 6

    gap = both(ours, theirs, drawn(12, dtype=dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


def trl_grpo(logprob_BS: Tensor, old_BS: Tensor, reference_BS: Tensor, advantage_N: Tensor, **settings: Any) -> Tensor:
    grpo = trainer(
        **{
            "top_entropy_quantile": 1.0,
            "off_policy_mask_threshold": None,
            "importance_sampling_level": "token",
            "beta": 0.0,
            "args": SimpleNamespace(
                use_bias_correction_kl=False, delta=settings.pop("delta", None), steps_per_generation=1
            ),
            "epsilon_low": 0.2,
            "epsilon_high": 0.2,
            "max_completion_length": LONGEST,
            "current_gradient_accumulation_steps": 1,
            "use_vllm": False,
            "_entropy_bonus_enabled": False,
            "_get_per_token_logps_and_entropies": lambda *_, **__: (logprob_BS, torch.zeros_like(logprob_BS), None),
        }
        | settings
    )
    inputs = {
        "prompt_ids": MASK_BS,
        "prompt_mask": MASK_BS,
        "completion_ids": MASK_BS,
        "completion_mask": MASK_BS,
        "num_items_in_batch": MASK_BS.sum(),
        "advantages": advantage_N,
        "old_per_token_logps": old_BS,
        "ref_per_token_logps": reference_BS,
    }
    return GRPOTrainer._compute_loss(grpo, None, inputs)


LONGEST = 6
"""Most tokens of an answer; none of MASK_BS is so long."""

# TRL's settings, and ours: its `bnpo` divides by the tokens of the batch, as PPO does, and so does its `dapo`
GRPO_FORMS = {
    "PPO's clip": ({"loss_type": "bnpo"}, {}, "token", None),
    "PPO's clip with k3": ({"loss_type": "bnpo", "beta": 0.3}, {}, "token", "token_k3"),
    "DAPO": ({"loss_type": "dapo", "epsilon_high": 0.28}, {"clip_high": 0.28}, "token", None),
    "GRPO": ({"loss_type": "grpo"}, {}, "answer", None),
    "GRPO with k3": ({"loss_type": "grpo", "beta": 0.3}, {}, "answer", "token_k3"),
    "Dr. GRPO": ({"loss_type": "dr_grpo"}, {}, "fixed", None),
    "GSPO": ({"loss_type": "grpo", "importance_sampling_level": "sequence"}, {}, "answer", None),
    "dual clip": ({"loss_type": "bnpo", "delta": 3.0}, {"dual_clip": 3.0}, "token", None),
}


@PRECISIONS
@pytest.mark.parametrize("form", GRPO_FORMS)
def test_grpo_and_its_relatives_are_those_of_trl(form, dtype, of_loss, of_gradient):
    trl_settings, clips, denominator, kind = GRPO_FORMS[form]
    old_BS, reference_BS = logprobs(dtype, seed=1), logprobs(dtype, seed=2)
    advantage_N = torch.tensor([1.0, -2.0, -0.5, 0.7], dtype=dtype)
    length_N, seen_BS = MASK_BS.sum(1), MASK_BS.bool()

    def theirs(logprob_BS: Tensor) -> Tensor:
        return trl_grpo(logprob_BS, old_BS, reference_BS, advantage_N, **trl_settings)

    def ours(logprob_BS: Tensor) -> Tensor:
        logprob_T, old_T, reference_T = logprob_BS[seen_BS], old_BS[seen_BS], reference_BS[seen_BS]
        new_T = logprob_T
        if "importance_sampling_level" in trl_settings:
            new_T, old_T = policy.answer_means(new_T, length_N), policy.answer_means(old_T, length_N)
        loss_T = policy.clipped(new_T, old_T, advantage_N[ANSWER_T], clip=0.2, **clips)
        if kind:
            loss_T = loss_T + 0.3 * penalty(logprob_T, reference_T, length_N, kind)
        weight_T, count = policy.token_weights(length_N, denominator, longest=LONGEST, dtype=dtype)
        return (weight_T * loss_T).sum() / count

    gap = both(ours, theirs, logprobs(dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@pytest.mark.parametrize("buffer", [1, 7, 20])
def test_the_overlong_punishment_is_trl_s(buffer: int):
    lengths = range(1, 24)
    theirs = get_soft_overlong_punishment(20, buffer)([[1] * length for length in lengths])
    assert overlong(torch.tensor(lengths), longest=20, buffer=buffer).tolist() == pytest.approx(theirs, abs=1e-15)
