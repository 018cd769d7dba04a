"""The DPO family's losses and KTO's beside TRL 1.16's: the same log-probabilities give the same loss and gradient."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from oracle.stand_in import ANSWER_T, LENGTH_B, MASK_BS, PRECISIONS, both, drawn, logprobs, trainer
from torch import Tensor
from trl import DPOTrainer, KTOTrainer
from trl.trainer.callbacks import SyncRefModelCallback

from burnish.methods.carried import Anchor
from burnish.models.load import Placement, load_policy
from burnish.objectives import gains, judgement, likelihood, preference

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

TOLD = {
    "ld_alpha": None,
    "precompute_ref_logps": True,
    "f_divergence_type": "reverse_kl",
    "loss_weights": [1.0],
    "use_weighting": False,
    "label_smoothing": 0.0,
}


def trl_dpo(logprob_BS: Tensor, reference_BS: Tensor, *, collision_BS: Tensor | None = None, **settings: Any) -> Tensor:
    """Rows are the chosen answers, then the rejected ones."""
    dpo = trainer(**(TOLD | settings))
    nothing = torch.zeros_like(logprob_BS)
    answer = SimpleNamespace(
        log_probs=logprob_BS * MASK_BS,
        entropy=nothing,
        mean_logits=nothing,
        is_top1=MASK_BS.bool(),
        log_sum_sq_probs=collision_BS,
    )
    chosen_P, rejected_P = reference_BS.sum(1).chunk(2)
    opened = torch.cat((torch.zeros(len(MASK_BS), 1, dtype=torch.int64), MASK_BS), dim=1)  # a prompt of one token
    inputs = {
        "completion_mask": opened,
        "input_ids": opened,
        "ref_chosen_logps": chosen_P,
        "ref_rejected_logps": rejected_P,
    }
    return DPOTrainer._compute_loss(dpo, lambda **_: answer, inputs, return_outputs=False)


def sums(value_BS: Tensor) -> Tensor:
    return likelihood.answer_sums(value_BS[MASK_BS.bool()], ANSWER_T, len(MASK_BS))


def our_gains(logprob_BS: Tensor, reference_BS: Tensor) -> tuple[Tensor, Tensor]:
    chosen_P, rejected_P = sums(logprob_BS - reference_BS).chunk(2)
    return chosen_P, rejected_P


def held_to(
    loss: Callable[..., Tensor], dtype: torch.dtype, *, by_length: bool = False, scale: float = 1.0, **theirs: Any
) -> dict[str, float]:
    """Both sides at drawn log-probabilities, TRL's set as `theirs` says; ours the mean over the pairs."""
    reference_BS = scale * logprobs(dtype, seed=1)

    def ours(logprob_BS: Tensor) -> Tensor:
        gain_N = sums(logprob_BS - reference_BS)
        chosen_P, rejected_P = (gain_N / LENGTH_B if by_length else gain_N).chunk(2)
        return loss(chosen_P, rejected_P).sum() / 2

    return both(ours, lambda logprob_BS: trl_dpo(logprob_BS, reference_BS, **theirs), scale * logprobs(dtype, seed=0))


# Ours, and TRL's name for it with its settings
PAIRS: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
    "sigmoid": (preference.dpo, {"loss_types": ["sigmoid"]}),
    "hinge": (preference.hinge, {"loss_types": ["hinge"]}),
    "robust": (partial(preference.robust, smoothing=0.1), {"loss_types": ["robust"], "label_smoothing": 0.1}),
    "exo": (partial(preference.exo, smoothing=0.01), {"loss_types": ["exo_pair"], "label_smoothing": 0.01}),
    "discopop": (
        partial(preference.discopop, temperature=0.2),
        {"loss_types": ["discopop"], "args": SimpleNamespace(discopop_tau=0.2)},
    ),
    "nca": (preference.nca, {"loss_types": ["nca_pair"]}),
    "bco without its shift": (preference.bco, {"loss_types": ["bco_pair"]}),
    "sppo": (preference.sppo, {"loss_types": ["sppo_hard"]}),
    "apo_zero": (preference.apo_zero, {"loss_types": ["apo_zero"]}),
    "apo_down": (preference.apo_down, {"loss_types": ["apo_down"]}),
}
OF_A_GAP = ("sigmoid", "hinge", "robust", "exo", "discopop")


@PRECISIONS
@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("name", PAIRS)
def test_a_loss_of_pairs_is_that_of_trl(name, beta, dtype, of_loss, of_gradient):
    loss, settings = PAIRS[name]
    gap = held_to(partial(loss, beta=beta), dtype, beta=beta, **settings)
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@PRECISIONS
@pytest.mark.parametrize("ours, theirs", [(preference.ipo, "ipo"), (preference.dpo, "sigmoid_norm")])
def test_with_a_mean_a_token_ipo_and_dpo_are_trl_s_ipo_and_sigmoid_norm(ours, theirs, dtype, of_loss, of_gradient):
    gap = held_to(partial(ours, beta=0.1), dtype, by_length=True, beta=0.1, loss_types=[theirs])
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


def test_the_papers_ipo_is_not_trl_s():
    assert held_to(partial(preference.ipo, beta=0.1), torch.float64, beta=0.1, loss_types=["ipo"])["loss"] > 0.05


DIVERGENCES = {
    "forward_kl": {"f_divergence_type": "forward_kl"},
    "js": {"f_divergence_type": "js_divergence"},
    "alpha": {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7},
}


@PRECISIONS
@pytest.mark.parametrize("name", OF_A_GAP)
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_another_divergence_is_that_of_trl(divergence, name, dtype, of_loss, of_gradient):
    if divergence == "alpha" and dtype == torch.float64:
        pytest.skip("TRL's α-divergence takes no float64")
    loss, settings = PAIRS[name]

    def ours(chosen_P: Tensor, rejected_P: Tensor) -> Tensor:
        worth = partial(gains.implied_reward, divergence=divergence, alpha=1 - 0.7)
        return loss(worth(chosen_P), worth(rejected_P), beta=0.1)

    # gains of a nat or two: u^-1 of fifteen would be the whole loss
    gap = held_to(ours, dtype, scale=0.1, beta=0.1, **settings, **DIVERGENCES[divergence])
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@PRECISIONS
def test_smoothed_dpo_is_trl_s_aot_unpaired_where_its_sorting_changes_nothing(dtype, of_loss, of_gradient):
    """TRL's `sigmoid` reads no label smoothing; the same mixture stands in its `aot_unpaired`, over sorted gains."""
    reference_BS = torch.zeros(MASK_BS.shape, dtype=dtype)
    ascending_BS = torch.tensor([-9.0, -1.0, -6.0, -5.0]).to(dtype)[:, None] / MASK_BS.sum(1, keepdim=True) * MASK_BS

    def ours(logprob_BS: Tensor) -> Tensor:
        return preference.dpo(*our_gains(logprob_BS, reference_BS), beta=0.1, smoothing=0.2).sum() / 2

    def theirs(logprob_BS: Tensor) -> Tensor:
        return trl_dpo(logprob_BS, reference_BS, loss_types=["aot_unpaired"], beta=0.1, label_smoothing=0.2)

    gap = both(ours, theirs, ascending_BS)
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@PRECISIONS
def test_wpo_s_weights_are_those_of_trl(dtype, of_loss, of_gradient):
    reference_BS, collision_BS = logprobs(dtype, seed=1), logprobs(dtype, seed=2)
    seen_BS = MASK_BS.bool()

    def ours(logprob_BS: Tensor) -> Tensor:
        weight_N = gains.likelihood_weights(logprob_BS[seen_BS], collision_BS[seen_BS], ANSWER_T, len(MASK_BS))
        chosen_P, rejected_P = weight_N.chunk(2)
        return (preference.dpo(*our_gains(logprob_BS, reference_BS), beta=0.1) * chosen_P * rejected_P).sum() / 2

    def theirs(logprob_BS: Tensor) -> Tensor:
        settings = {"loss_types": ["sigmoid"], "beta": 0.1, "use_weighting": True}
        return trl_dpo(logprob_BS, reference_BS, collision_BS=collision_BS, **settings)

    gap = both(ours, theirs, logprobs(dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@PRECISIONS
@pytest.mark.parametrize("name", OF_A_GAP)
def test_the_weight_of_a_longer_answer_s_tail_is_that_of_trl(name, dtype, of_loss, of_gradient):
    """TRL takes the reference's weighed sums beforehand, so they are given: 4 tokens beside 2, and 1 beside 5."""
    loss, settings = PAIRS[name]
    reference_BS = logprobs(dtype, seed=1)
    count_BS = torch.ones(MASK_BS.shape, dtype=dtype)
    count_BS[0, 2:] = count_BS[3, 1:] = 0.3
    pairs = torch.arange(2), torch.arange(2, 4)

    def ours(logprob_BS: Tensor) -> Tensor:
        gain_L = (logprob_BS - reference_BS)[MASK_BS.bool()]
        return loss(*gains.tail_weighed(gain_L, LENGTH_B, *pairs, tail=0.3), beta=0.1).sum() / 2

    def theirs(logprob_BS: Tensor) -> Tensor:
        return trl_dpo(logprob_BS, reference_BS * count_BS, ld_alpha=0.3, beta=0.1, **settings)

    gap = both(ours, theirs, logprobs(dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


@PRECISIONS
def test_the_sft_term_is_trl_s_times_the_tokens_that_trl_divides_by(dtype, of_loss, of_gradient):
    reference_BS = logprobs(dtype, seed=1)

    def ours(logprob_BS: Tensor) -> Tensor:
        chosen_B, _ = sums(logprob_BS).chunk(2)
        return preference.sft(chosen_B).sum() / LENGTH_B[:2].sum()

    gap = both(ours, lambda x: trl_dpo(x, reference_BS, loss_types=["sft"], beta=0.1), logprobs(dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


def test_a_reference_follows_the_policy_as_trl_s_does(tiny_model: Path):
    ours, theirs, policy = (load_policy(tiny_model, Placement(dtype="float64")) for _ in range(3))
    with torch.no_grad():
        for number, weight in enumerate(policy.trainable().values()):
            weight += 0.1 * drawn(*weight.shape, dtype=torch.float64, seed=number)
    Anchor(ours, policy, every=1, share=0.6).after(1)
    SyncRefModelCallback._sync_target_model(policy.model, theirs.model, 0.6)
    for name, weight in ours.trainable().items():
        torch.testing.assert_close(weight, theirs.trainable()[name], rtol=1e-12, atol=1e-12)


# ---- without a reference


def chosen_and_rejected(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda logprob_N: loss(*logprob_N.chunk(2)).sum() / (len(logprob_N) // 2)


@PRECISIONS
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "kind, ours",
    [("sigmoid", preference.cpo), ("simpo", partial(preference.simpo, margin=0.7))],
)
def test_cpo_and_simpo_are_those_of_trl(kind, ours, smoothing, dtype, of_loss, of_gradient):
    cpo = trainer(alpha=0.0, loss_type=kind, beta=2.0, simpo_gamma=0.7, label_smoothing=smoothing)
    gap = both(
        chosen_and_rejected(partial(ours, beta=2.0, smoothing=smoothing)),
        chosen_and_rejected(lambda *logprobs: CPOTrainer.cpo_loss(cpo, *logprobs)[0]),
        -drawn(12, dtype=dtype, seed=0).abs(),
    )
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient


def test_orpo_is_that_of_trl():
    """TRL's computes in float32 whatever it is given."""
    orpo = trainer(beta=0.3)
    gap = both(
        chosen_and_rejected(partial(preference.orpo, beta=0.3)),
        chosen_and_rejected(lambda *logprobs: -ORPOTrainer.odds_ratio_loss(orpo, *logprobs)[0]),
        -drawn(12, dtype=torch.float32, seed=0).abs() - 0.01,
    )
    assert gap["loss"] <= 1e-5
    assert gap["gradient"] <= 1e-4


# ---- single judgements


def trl_kto(logprob_BS: Tensor, reference_BS: Tensor, label_B: Tensor, gain_M: Tensor, **settings: Any) -> Tensor:
    """`gain_M` is what the policy has gained for answers to other prompts."""
    kto = trainer(
        **{"precompute_ref_logps": True, "calculate_KL": True, "desirable_weight": 1.0, "undesirable_weight": 1.0}
        | settings,
        _compute_kl_logps=lambda *_: gain_M,
    )
    nothing = torch.zeros_like(logprob_BS)
    answer = SimpleNamespace(
        log_probs=logprob_BS * MASK_BS, entropy=nothing, mean_logits=nothing, is_top1=MASK_BS.bool()
    )
    opened = torch.cat((torch.zeros(len(MASK_BS), 1, dtype=torch.int64), MASK_BS), dim=1)
    inputs = {
        "label": label_B,
        "completion_mask": opened,
        "input_ids": opened,
        "attention_mask": torch.ones_like(opened),
        "ref_logps": reference_BS.sum(1),
        "ref_KL_logps": torch.zeros_like(gain_M),
    }
    return KTOTrainer._compute_loss(kto, lambda **_: answer, inputs, return_outputs=False)


@PRECISIONS
@pytest.mark.parametrize("away", [2.0, -2.0])
@pytest.mark.parametrize("loss", ["kto", "apo_zero_unpaired"])
def test_losses_of_single_judgements_are_those_of_trl(loss, away, dtype, of_loss, of_gradient):
    """Where the mean gain of other prompts' answers is above 0 it is the baseline; below, the baseline is 0."""
    reference_BS, label_B = logprobs(dtype, seed=1), torch.tensor([True, False, False, True])
    gain_M = drawn(4, dtype=dtype, seed=3) + away
    weights = {"desirable": 1.3, "undesirable": 0.8}

    def ours(logprob_BS: Tensor) -> Tensor:
        gain_N = sums(logprob_BS - reference_BS)
        baseline = judgement.mismatch_baseline(gain_M) if loss == "kto" else 0.0
        return judgement.kto(gain_N, label_B, beta=0.1, baseline=baseline, **weights).sum() / 4

    def theirs(logprob_BS: Tensor) -> Tensor:
        settings = {f"{name}_weight": value for name, value in weights.items()} | {"beta": 0.1, "loss_type": loss}
        return trl_kto(logprob_BS, reference_BS, label_B, gain_M, calculate_KL=loss == "kto", **settings)

    gap = both(ours, theirs, logprobs(dtype, seed=0))
    assert gap["loss"] <= of_loss
    assert gap["gradient"] <= of_gradient
