"""GRPO: PPO without a critic. An answer is as good as it is better than the others to the same prompt.

    A = (R - mean) / deviation among the answers to one prompt,  β·k3 a token in the loss         Shao et al. 2024

Its relatives change one thing or two. `variant` names them; each is made of keys that can be set one by one.

    dr_grpo  no deviation, no answer's length in the denominator, no KL                               Liu et al. 2025
    dapo     a higher clip above, every token alike, prompts with equal scores asked again, no KL       Yu et al. 2025
    gspo     one ratio an answer, length-normalised, in a narrow clip                                Zheng et al. 2025
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator
from torch import Tensor

from burnish.methods.inputs import DataInput, PolicyInput
from burnish.methods.on_policy import OnPolicy
from burnish.methods.on_policy_settings import PolicyGradientConfig
from burnish.methods.policy_loss import Answers, PolicyGradient, RatioOf
from burnish.methods.scoring import By
from burnish.objectives.advantages import group_relative
from burnish.objectives.policy import Denominator
from burnish.training.metrics import Figures

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "grpo": {},
    "dr_grpo": {"normalise": "none", "denominator": "fixed", "beta": 0.0},
    "dapo": {"clip": {"high": 0.28}, "denominator": "token", "resample": 3, "beta": 0.0},
    "gspo": {"ratio": "sequence", "clip_ratio": 3e-4, "clip": {"high": 4e-4}},
}
"""What each sets where nothing else is said: its paper's settings."""


class GRPOConfig(PolicyGradientConfig):
    variant: Literal["grpo", "dr_grpo", "dapo", "gspo"] = Field("grpo", description="whose settings are the defaults")
    samples: int = Field(8, ge=2, description="answers a prompt")
    beta: float = Field(0.04, ge=0, description="price of a nat of KL to the reference, beside advantages")
    kl: Literal["reward", "sequence_k2", "token_k2", "token_k3"] = Field(
        "token_k3", description="where the KL is paid: in the reward, or in the loss by this estimate"
    )
    inner_epochs: int = Field(1, ge=1, description="passes over an iteration's answers")
    normalise: Literal["deviation", "none"] = Field(
        "deviation", description="advantages of a prompt are divided by their deviation, or left"
    )
    denominator: Denominator = Field(
        "answer", description="what the loss is divided by: every answer weighs alike, or every token, or neither"
    )
    ratio: RatioOf = Field("token", description="whose probability ratio is clipped: each token's or the answer's")
    resample: int = Field(0, ge=0, description="times that a prompt whose answers all score alike is asked again")

    @model_validator(mode="before")
    @classmethod
    def _variant(cls, given: Any) -> Any:
        """The variant's settings lie below those that are given."""
        if not isinstance(given, Mapping):
            return given
        settings = dict(VARIANTS.get(str(given.get("variant", "grpo")), {}))
        if given.get("target_kl") is not None:
            settings.pop("beta", None)  # it chooses beta
        if isinstance(given.get("clip"), Mapping):  # clip.dual alone must not take away the variant's clip.high
            settings["clip"] = settings.get("clip", {}) | dict(given["clip"])
            given = {key: value for key, value in given.items() if key != "clip"}
        return settings | dict(given)


def grpo(
    model: PolicyInput,
    prompts: DataInput,
    config: GRPOConfig,
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
        resample=config.resample,
    )

    def advantages(answers: Answers) -> tuple[Tensor, float]:
        return token_advantages(answers, config), 1.0  # β stands beside advantages

    lesson = PolicyGradient(
        run.policy, run.read, config, advantages, denominator=config.denominator, ratio_of=config.ratio
    )
    return run.train(lesson)


def token_advantages(answers: Answers, config: GRPOConfig) -> Tensor:
    """Every token of an answer has its answer's advantage, (L,)."""
    batch = answers.batch
    advantage_N = group_relative(answers.returns(), batch.group_N, deviation=config.normalise == "deviation")
    return advantage_N[batch.answer_L]
