"""PPO: sample answers, score them, and climb the score without leaving the SFT model.

    maximise E[score(answer)] - β·KL(π ‖ reference)                              Ziegler et al. 2019; Ouyang et al. 2022

Of each iteration (on_policy.py) a critic predicts what is still to come; generalised advantages (Schulman et al. 2015b)
of that, whitened over the iteration, weigh the clipped surrogate (Schulman et al. 2017, eq. 7) in `inner_epochs` passes
of `minibatches` parts.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch
from burnish.methods.inputs import DataInput, PolicyInput
from burnish.methods.on_policy import OnPolicy
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.policy_loss import Answers
from burnish.methods.scoring import By
from burnish.models.model import Scorer
from burnish.objectives import advantages
from burnish.objectives import policy as surrogate
from burnish.training.loop import StepLoss, Update
from burnish.training.metrics import Figures
from burnish.types import Tree


class Critic(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float | None = Field(None, gt=0, description="peak for the critic; unset is the policy's")
    clip_value: float = Field(0.2, ge=0, description="how far a value may move in an iteration; 0 is off")
    warmup: int = Field(0, ge=0, description="iterations at the start in which only the critic learns")


class PPOConfig(OnPolicyConfig):
    gamma: float = Field(1.0, gt=0, le=1, description="discount a token")
    lam: float = Field(0.95, ge=0, le=1, description="λ of the generalised advantage estimate")
    whiten: bool = Field(True, description="advantages to mean 0 and deviation 1 over the iteration")
    critic: Critic = Field(
        default_factory=lambda: Critic(), description="the model that predicts what is still to come"
    )


def ppo(
    model: PolicyInput,
    prompts: DataInput,
    config: PPOConfig,
    *,
    by: By,
    out: Path,
    reference: PolicyInput | None = None,
) -> Figures:
    """Train `model` for what `by` says of its answers, write `out/model`, and return the last iteration's figures.

    `by` is a reward model, an ensemble, a function, an address, a judge with a rubric, or a list of weighted parts, see
    rewarding.py. `reference` is the incoming model unless another is named. Raises ConfigError where nobody is behind
    `by`, and where a check before step one fails; DataError, Unreachable where a judge gives no score.
    """
    run = OnPolicy(model, prompts, config, by=by, out=out, reference=reference)
    critic = _Critic(run.rewards.critic(), config)
    return run.train(critic.advantages, beside=critic)


class _Critic:
    """Says what is still to come, and learns it from what came. Holds the tables of the iteration that is learned."""

    def __init__(self, model: Scorer, config: PPOConfig) -> None:
        self.model = model
        self.config = config
        self.warmup = config.critic.warmup
        self.update = Update(model, config, learning_rate=config.critic.learning_rate)
        self.value: dict[Key, Tensor] = {}
        self.target: dict[Key, Tensor] = {}

    def advantages(self, answers: Answers) -> tuple[Tensor, float]:
        batch, config = answers.batch, self.config
        self.value = self.model.frozen_values(answers.trees, config.micro_batch_tokens)
        advantage_L, target_L = advantages.gae(
            answers.reward_L, batch.gather(self.value), batch.length_N, gamma=config.gamma, lam=config.lam
        )
        self.target = batch.scatter(target_L)
        return advantages.whitened(advantage_L) if config.whiten else (advantage_L, 1.0)

    def learn(self, rows: Sequence[Tree], *, step: int, steps: int) -> Figures:
        figures = self.update(rows, self._loss, step=step, steps=steps)
        return {"value_loss": figures["loss"], "critic_grad_norm": figures["grad_norm"]}

    def _loss(self, batch: TreeBatch) -> StepLoss:
        loss_L = surrogate.value(
            self.model.values(batch),
            batch.gather(self.value),
            batch.gather(self.target),
            clip=self.config.critic.clip_value,
        )
        return StepLoss(total=loss_L.sum(), count=len(loss_L))
