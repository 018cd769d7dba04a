"""REINFORCE++: PPO without a critic; what a token did is all that came after it, beside the whole batch's average.

    A_t = Σ of the rewards from t on, whitened over the iteration,  r_t = -β·log(π_old/π_reference), score at the end

Hu 2025, arXiv 2501.03262. One answer a prompt is enough, for no answer is measured by others to its own prompt; a
prompt to which every answer is good then pushes all of them up.
"""

from pathlib import Path

from pydantic import Field
from torch import Tensor

from burnish.methods.inputs import DataInput, PolicyInput
from burnish.methods.on_policy import OnPolicy
from burnish.methods.on_policy_settings import PolicyGradientConfig
from burnish.methods.policy_loss import Answers, PolicyGradient
from burnish.methods.scoring import By
from burnish.objectives import advantages
from burnish.training.metrics import Figures


class ReinforceConfig(PolicyGradientConfig):
    batch_size: int = Field(32, ge=1, description="prompts an iteration")
    samples: int = Field(1, ge=1, description="answers a prompt")
    inner_epochs: int = Field(1, ge=1, description="passes over an iteration's answers")


def reinforce(
    model: PolicyInput,
    prompts: DataInput,
    config: ReinforceConfig,
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

    def to_come(answers: Answers) -> tuple[Tensor, float]:
        nothing_L = answers.reward_L.new_zeros(len(answers.reward_L))
        return_L, _ = advantages.gae(answers.reward_L, nothing_L, answers.batch.length_N, gamma=1.0, lam=1.0)
        return advantages.whitened(return_L)

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
    return run.train(PolicyGradient(run.policy, run.read, config, to_come))
