"""PPO: sample answers, score them, and climb the score without leaving the SFT model.

    maximise E[score(answer)] - β·KL(π ‖ reference)                              Ziegler et al. 2019; Ouyang et al. 2022

Of each iteration (on_policy.py) a critic predicts what is still to come; generalised advantages (Schulman et al. 2015b)
of that, whitened over the iteration, weigh the clipped surrogate (Schulman et al. 2017, eq. 7) in `inner_epochs` passes
of `minibatches` parts. The critic is a model of its own, an adapter beside the policy's, or a head on its trunk:

    separate   policy and critic each have a loss, an optimiser and a pass
    adapter    the same, with policy, critic, reward models and reference as adapters on one copy of the weights
    shared     loss = policy's + value_weight · value's, by one pass of the trunk forward and one back
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from burnish.batch.pack import Key, TreeBatch
from burnish.errors import ConfigError
from burnish.methods.inputs import DataInput, PolicyInput
from burnish.methods.on_policy import OnPolicy
from burnish.methods.on_policy_settings import PolicyGradientConfig
from burnish.methods.policy_loss import Answers, PolicyGradient, ValueLoss
from burnish.methods.rewarding import lie_on_one_base
from burnish.methods.scoring import By
from burnish.models.model import Scorer
from burnish.models.one_base import clear
from burnish.objectives import advantages
from burnish.objectives import policy as surrogate
from burnish.training.metrics import Figures
from burnish.training.update import StepLoss, Update
from burnish.types import Tree

HEAD_RATE = 1e-4
"""Of a shared critic's head. A step of Adam moves a value by up to rate · |h|₁, and SmolLM2-135M has |h|₁ = 730: by
0.07 deviations of the score, where a policy's rate of 1e-6 would take a thousand steps to say 1.
"""


class Critic(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["separate", "adapter", "shared"] = Field(
        "separate", description="a model of its own, an adapter on the policy's weights, or a head on its trunk"
    )
    learning_rate: float | None = Field(
        None, gt=0, description=f"peak for the critic; unset is the policy's, {HEAD_RATE:g} for a shared one's head"
    )
    clip_value: float = Field(0.2, ge=0, description="how far a value may move in an iteration; 0 is off")
    warmup: int = Field(0, ge=0, description="iterations at the start in which only the critic's own weights learn")
    value_weight: float = Field(0.1, gt=0, description="weight of a shared critic's loss beside the policy's")

    @model_validator(mode="after")
    def _weighed_where_shared(self) -> Self:
        if self.kind != "shared" and "value_weight" in self.model_fields_set:
            raise ValueError(
                f"value_weight weighs two losses of one pass, and a critic of kind {self.kind} has a pass of its own; "
                "leave it out or write kind: shared"
            )
        return self


class PPOConfig(PolicyGradientConfig):
    gamma: float = Field(1.0, gt=0, le=1, description="discount a token")
    lam: float = Field(0.95, ge=0, le=1, description="λ of the generalised advantage estimate")
    whiten: bool = Field(True, description="advantages to mean 0 and deviation 1 over the iteration")
    critic: Critic = Field(
        default_factory=lambda: Critic(), description="the model that predicts what is still to come"
    )

    @model_validator(mode="after")
    def _adapters_beside_an_adapter(self) -> Self:
        if self.critic.kind == "adapter" and self.lora is None:
            raise ValueError(
                "critic.kind: adapter puts policy, critic and reward on one copy of the weights, an adapter each, and "
                "without lora the policy has none; write lora: {rank: 16}, or another kind"
            )
        return self


def ppo(
    model: PolicyInput,
    prompts: DataInput,
    config: PPOConfig,
    *,
    by: By,
    out: Path,
    reference: PolicyInput | None = None,
    evaluate_on: DataInput | None = None,
    judge: By | None = None,
    mix: DataInput | None = None,
) -> Figures:
    """Train `model` for what `by` says of its answers, write `out/model`, and return the last iteration's figures.

    `by` is a reward model, an ensemble, a function, an address, a judge with a rubric, or a list of weighted parts, see
    rewarding.py. `reference` is the incoming model unless another is named. Prompts of `evaluate_on` are not learned:
    the answers to them are measured, and scored by `judge` too, see heldout_answers.py. Rows of `mix` are learned
    beside the answers, see mixing.py. Raises ConfigError where nobody is behind `by`, and where a check before step one
    fails; DataError, Unreachable where a judge gives no score.
    """
    one_base = config.critic.kind == "adapter"
    if one_base:
        lie_on_one_base(by)
    if one_base and reference is not None:
        raise ConfigError(
            "reference: with critic.kind: adapter it is the model that comes in, the base without an adapter; leave it "
            "out, or write another kind"
        )
    rate = (config.critic.learning_rate or HEAD_RATE) if config.critic.kind == "shared" else None
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
        value_rate=rate,
        one_base=one_base,
    )
    critic = _Separate(run.rewards.critic(), config) if rate is None else _Shared(run, config)
    lesson = PolicyGradient(run.policy, run.read, config, critic.advantages, values=critic.values)
    figures = run.train(lesson, beside=critic)
    if one_base:
        clear(run.policy)  # it may have been given as a loaded model
    return figures


class _Critic(ABC):
    """Says what is still to come, and learns it from what came. Holds the tables of the iteration that is learned."""

    update: Update
    values: ValueLoss | None
    """None where it has weights of its own; else what they cost in the policy's loss."""

    def __init__(self, config: PPOConfig) -> None:
        self.config = config
        self.warmup = config.critic.warmup
        self.value: dict[Key, Tensor] = {}
        self.target: dict[Key, Tensor] = {}

    @abstractmethod
    def said(self, answers: Answers) -> dict[Key, Tensor]:
        """The value before each token of an iteration's answers."""

    @abstractmethod
    def learn(self, rows: Sequence[Tree], *, step: int, steps: int) -> Figures: ...

    def advantages(self, answers: Answers) -> tuple[Tensor, float]:
        batch, config = answers.batch, self.config
        self.value = self.said(answers)
        value_L = batch.gather(self.value)
        advantage_L, target_L = advantages.gae(
            answers.reward_L, value_L, batch.length_N, gamma=config.gamma, lam=config.lam
        )
        self.target = batch.scatter(target_L)
        known = advantages.explained_variance(value_L, target_L)
        if not math.isnan(known):
            answers.figures["explained_variance"] = known
        return advantages.whitened(advantage_L) if config.whiten else (advantage_L, 1.0)

    def losses(self, batch: TreeBatch, value_L: Tensor) -> Tensor:
        return surrogate.value(
            value_L, batch.gather(self.value), batch.gather(self.target), clip=self.config.critic.clip_value
        )


class _Separate(_Critic):
    """A model of its own, or an adapter of its own, which learns by an update of its own."""

    values: ValueLoss | None = None

    def __init__(self, model: Scorer, config: PPOConfig) -> None:
        super().__init__(config)
        self.model = model
        self.update = Update(model, config, learning_rate=config.critic.learning_rate)

    def said(self, answers: Answers) -> dict[Key, Tensor]:
        return self.model.frozen_values(answers.trees, self.config.micro_batch_tokens)

    def learn(self, rows: Sequence[Tree], *, step: int, steps: int) -> Figures:
        def loss(batch: TreeBatch) -> StepLoss:
            loss_L = self.losses(batch, self.model.values(batch))
            return StepLoss(total=loss_L.sum(), count=len(loss_L))

        figures = self.update(rows, loss, step=step, steps=steps)
        return {"value_loss": figures["loss"], "critic_grad_norm": figures["grad_norm"]}


class _Shared(_Critic):
    """A head on the policy's trunk. It learns with the policy, and while it warms up without: the trunk then stays."""

    def __init__(self, run: OnPolicy, config: PPOConfig) -> None:
        super().__init__(config)
        self.policy = run.policy
        self.update = run.update
        self.values = ValueLoss(config.critic.value_weight, self.losses)

    def said(self, answers: Answers) -> dict[Key, Tensor]:
        return answers.value

    def learn(self, rows: Sequence[Tree], *, step: int, steps: int) -> Figures:
        if step >= self.warmup:
            return {}

        def loss(batch: TreeBatch) -> StepLoss:
            loss_L = self.losses(batch, self.policy.head_values(batch))
            return StepLoss(total=loss_L.sum(), count=len(loss_L))

        figures = self.update(rows, loss, step=step, steps=steps)
        return {"value_loss": figures["loss"], "critic_grad_norm": figures["critic_grad_norm"]}
