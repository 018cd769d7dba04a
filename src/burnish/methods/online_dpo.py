"""Online DPO: DPO on the policy's own answers, which a judge puts in order as they are drawn.

    loss = -(1 - ε) log σ(β · (Δ - Δ_reference)) - ε log σ(-β · (Δ - Δ_reference)),  Δ = log π(better) - log π(worse)

Guo et al. 2024, arXiv 2402.04792. Their label is hard, ε = 0: the answer with the higher score is the better one, by
whatever it is ahead. A soft one, ε = σ(r_worse - r_better), is what Bradley and Terry would say of the two scores;
every pair's loss is then least at π = π_reference · exp(r/β)/Z, the optimum that PPO climbs to, whoever draws the pair.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch
from burnish.methods.drawn import SAME
from burnish.methods.inputs import DataInput, PolicyInput
from burnish.methods.on_policy import OnPolicy
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.policy_loss import Answers, Lesson, Note
from burnish.methods.scoring import By
from burnish.models.model import Policy
from burnish.objectives import kl, preference, ranking
from burnish.objectives.likelihood import answer_sums
from burnish.objectives.ratio import ratio
from burnish.training.metrics import Figures
from burnish.training.update import Loss, StepLoss


class OnlineDPOConfig(OnPolicyConfig):
    samples: int = Field(4, ge=2, description="answers a prompt, each compared with each")
    beta: float = Field(0.1, gt=0, description="price of leaving the reference; larger stays closer")
    labels: Literal["hard", "soft"] = Field(
        "hard", description="the higher score is better for sure, or as likely as Bradley and Terry say"
    )
    inner_epochs: int = Field(1, ge=1, description="passes over an iteration's answers")


def online_dpo(
    model: PolicyInput,
    prompts: DataInput,
    config: OnlineDPOConfig,
    *,
    by: By,
    out: Path,
    reference: PolicyInput | None = None,
    evaluate_on: DataInput | None = None,
    judge: By | None = None,
    mix: DataInput | None = None,
) -> Figures:
    """Train `model` on how `by` orders its answers, write `out/model`, and return the last iteration's figures.

    Arguments and errors are those of `ppo`.
    """
    run = OnPolicy(
        model,
        prompts,
        config,
        by=by,
        out=out,
        reference=reference,
        evaluate_on=evaluate_on,
        judge=judge,
        mix=mix,
    )
    return run.train(Comparisons(run.policy, run.read, config))


class Comparisons(Lesson):
    """DPO over all pairs of a prompt's answers, a mean over prompts of the mean over their pairs.

    A pair whose scores are equal but for rounding teaches nothing under a hard label, and that both are alike under a
    soft one. A prompt whose answers all score alike is counted all the same, so that the size of a step does not
    depend on how many of them there are.
    """

    whole = True

    def __init__(self, policy: Policy, read: Mapping[str, Any], config: OnlineDPOConfig) -> None:
        self.policy, self.read, self.config = policy, read, config

    def of(self, answers: Answers, note: Note) -> Loss:
        config = self.config
        reward: dict[Key, Tensor] = dict(zip(answers.batch.keys, answers.returns().split(1), strict=True))

        def loss(batch: TreeBatch) -> StepLoss:
            said = self.policy.read(batch, **self.read, entropy_gradient=False)
            old_L, reference_L = batch.gather(answers.old), batch.gather(answers.reference)
            note(ratio(said.logprob_L.detach(), old_L))
            gain_N = answer_sums(said.logprob_L - reference_L, batch.answer_L, len(batch.keys))
            first_P, second_P, gap_P = self.pairs(batch.gather(reward).to(gain_N.dtype), batch.group_N)
            ahead_P = gain_N[first_P] - gain_N[second_P]
            doubt: Tensor | float = torch.sigmoid(-gap_P) if config.labels == "soft" else 0.0
            loss_P = preference.dpo(gain_N[first_P], gain_N[second_P], beta=config.beta, smoothing=doubt)
            weight_P, _ = ranking.pair_weights(batch.group_N[first_P], "prompt", dtype=loss_P.dtype)
            figures = {
                "accuracy": (ahead_P > 0)[gap_P > SAME].double(),
                "margin": config.beta * ahead_P,
                "entropy": said.entropy_L,
                "kl_old": kl.k3(old_L, said.logprob_L.detach()),
            }
            return StepLoss(total=(weight_P * loss_P).sum(), count=len(batch.trees), figures=figures)

        return loss

    def pairs(self, reward_N: Tensor, group_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which answers are compared, the better one first, and by how much it is ahead."""
        place_N = ranking.places(reward_N, group_N, same=SAME)
        first_P, second_P = ranking.decided_pairs(place_N, group_N)
        if self.config.labels == "soft":
            one_P, other_P = ranking.tied_pairs(place_N, group_N)
            first_P, second_P = torch.cat((first_P, one_P)), torch.cat((second_P, other_P))
        return first_P, second_P, reward_N[first_P] - reward_N[second_P]
