"""RLOO: the gradient of the expected reward itself, each answer measured by the others to its prompt.

    ∇J = mean over answers of (R - mean of the others' R) · ∇ log π(answer),  R = score - β·log(π_old/π_reference)

Kool et al. 2019; Ahmadian et al. 2024. With one pass and one minibatch, as by default, every ratio is 1 and
nothing is clipped; with more of them PPO's clip holds each token.
"""

from pathlib import Path

from pydantic import Field
from torch import Tensor

from burnish.methods.inputs import DataInput, PolicyInput
from burnish.methods.on_policy import OnPolicy
from burnish.methods.on_policy_settings import PolicyGradientConfig
from burnish.methods.policy_loss import Answers, PolicyGradient
from burnish.methods.scoring import By
from burnish.objectives.advantages import leave_one_out
from burnish.training.metrics import Figures


class RLOOConfig(PolicyGradientConfig):
    samples: int = Field(4, ge=2, description="answers a prompt")
    inner_epochs: int = Field(1, ge=1, description="passes over an iteration's answers")


def rloo(
    model: PolicyInput,
    prompts: DataInput,
    config: RLOOConfig,
    *,
    by: By,
    out: Path,
    reference: PolicyInput | None = None,
    evaluate_on: DataInput | None = None,
    judge: By | None = None,
    mix: DataInput | None = None,
) -> Figures:
    """Train `model` for what `by` says of its answers, write `out/model`, and return the last iteration's figures.

    Arguments and errors are those of `ppo`.
    """

    def advantages(answers: Answers) -> tuple[Tensor, float]:
        advantage_N = leave_one_out(answers.returns(), answers.batch.group_N)
        return advantage_N[answers.batch.answer_L], 1.0

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
    return run.train(PolicyGradient(run.policy, run.read, config, advantages, denominator="sum"))
