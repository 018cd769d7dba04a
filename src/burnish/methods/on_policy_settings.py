"""The keys that all methods share that learn from answers of their own; `on_policy` is where they act."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from burnish.methods.dpo_settings import reference_of_its_own
from burnish.rollout.settings import Sampling
from burnish.training.config import MethodConfig


class Clip(BaseModel):
    """Further bounds of the ratio, beside `clip_ratio`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    high: float | None = Field(None, gt=0, description="how far above 1 the ratio is followed; unset is clip_ratio")
    dual: float | None = Field(None, gt=1, description="ratio from which a bad token is let go; unset is never")


class Scores(BaseModel):
    """What is done to scores before they become rewards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    normalise: bool = Field(False, description="to mean 0 and deviation 1 of all scores of the run so far")
    clip: float = Field(0, ge=0, description="scores beyond this on either side are cut to it; 0 is off")


class Length(BaseModel):
    """What an answer's tokens cost, beside its score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    price: float = Field(0, ge=0, description="taken from the score for each token of an answer; 0 is off")
    overlong: int = Field(
        0, ge=0, description="last tokens below max_new_tokens in which the score falls with each; 0 is off"
    )
    penalty: float = Field(1.0, gt=0, description="what overlong has taken at max_new_tokens")


class OwnAnswersConfig(MethodConfig):
    """What those share, step by step or in rounds."""

    unfinished_penalty: float = Field(1.0, ge=0, description="taken from the score of an answer without an end")
    length: Length = Field(default_factory=lambda: Length(), description="what an answer's length costs")
    evaluate_prompts: int = Field(64, ge=1, description="prompts of evaluate_on that are asked, the first ones")
    sampling: Sampling = Field(default_factory=Sampling, description="temperature and lengths of the answers")

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.length.overlong > self.sampling.max_new_tokens:
            raise ValueError(
                f"length.overlong: the last {self.length.overlong} tokens of answers of at most "
                f"{self.sampling.max_new_tokens}; lower it, or raise sampling.max_new_tokens"
            )
        if "penalty" in self.length.model_fields_set and not self.length.overlong:
            raise ValueError("length.penalty is what length.overlong takes, and that is 0; set it, or leave both out")
        return self


class OnPolicyConfig(OwnAnswersConfig):
    learning_rate: float = Field(1e-6, gt=0, description="peak of the learning rate of the policy")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "constant", description="course of the rate after warm-up"
    )
    batch_size: int = Field(8, ge=1, description="prompts an iteration")
    samples: int = Field(4, ge=1, description="answers a prompt")
    reference_every: int = Field(
        0, ge=0, description="iterations after which the reference becomes the policy as it is then; 0 is never"
    )
    inner_epochs: int = Field(2, ge=1, description="passes over an iteration's answers")
    minibatches: int = Field(1, ge=1, description="parts of a pass, each an optimiser step")
    stop_kl: float = Field(0, ge=0, description="nats a token from π_old that end an iteration's passes; 0 is off")
    scores: Scores = Field(default_factory=lambda: Scores(), description="what is done to scores")
    mix_weight: float = Field(0.5, gt=0, description="weight of the mean loss of `mix` beside the method's own")
    mix_rows: int = Field(16, ge=1, description="rows of `mix` that join each optimiser step")
    average: float = Field(0, ge=0, lt=1, description="decay an iteration of the average that is saved; 0 is off")
    best: Literal["none", "heldout_reward", "heldout_judge"] = Field(
        "none", description="the figure whose largest value says which evaluation's model is written; none is the last"
    )

    @model_validator(mode="after")
    def _a_reference_of_its_own(self) -> Self:
        reference_of_its_own(self.reference_every, self.lora)
        return self


class PolicyGradientConfig(OnPolicyConfig):
    """What those have beside who climb a reward that has a price of KL, token by token."""

    beta: float = Field(0.3, ge=0, description="price of a nat of KL to the reference, in score deviations")
    kl: Literal["reward", "sequence_k2", "token_k2", "token_k3"] = Field(
        "reward", description="where the KL is paid: in the reward, or in the loss by this estimate"
    )
    target_kl: float | None = Field(None, gt=0, description="nats an answer that beta is chosen for, in place of beta")
    adaptive_beta: bool = Field(False, description="beta goes on to follow the KL, so that it stays at target_kl")
    clip_ratio: float = Field(0.2, gt=0, description="how far the probability ratio is followed")
    clip: Clip = Field(default_factory=lambda: Clip(), description="further bounds of the ratio")
    entropy_bonus: float = Field(0, ge=0, description="worth of a nat of a token's entropy; 0 is off")

    @field_validator("kl", mode="before")
    @classmethod
    def _k1_is_no_loss(cls, value: object) -> object:
        if value in ("k1", "token_k1", "sequence_k1"):
            raise ValueError(
                f"{value} in the loss is no penalty: its expected gradient is 0. Write kl: reward, which is k1 in the "
                "reward, or sequence_k2, which has the same optimum"
            )
        return value

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.target_kl is None and self.adaptive_beta:
            raise ValueError("adaptive_beta needs a target_kl to follow")
        if self.adaptive_beta and not self.first_beta:
            raise ValueError("adaptive_beta multiplies beta, so it cannot start from beta 0; leave beta out")
        if self.target_kl is not None and "beta" in self.model_fields_set and not self.adaptive_beta:
            raise ValueError(
                "beta and target_kl are both set, and target_kl chooses beta; keep one, or set adaptive_beta to start "
                "from beta"
            )
        return self

    @property
    def first_beta(self) -> float:
        """β of the first iteration: for scores of deviation 1 the optimum lies at about 1/(2β²) nats an answer."""
        if self.target_kl is None or "beta" in self.model_fields_set:
            return self.beta
        return float((2 * self.target_kl) ** -0.5)
