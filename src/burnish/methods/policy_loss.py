"""What is learned from an iteration's answers: a lesson. Here is that of all who climb a reward: the clipped surrogate,
and what the settings put beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from burnish.batch.pack import Key, TreeBatch
from burnish.methods.carried import Price
from burnish.methods.on_policy_settings import PolicyGradientConfig
from burnish.models.model import Policy
from burnish.objectives import kl
from burnish.objectives import policy as surrogate
from burnish.objectives.likelihood import answer_sums
from burnish.objectives.policy import Denominator
from burnish.objectives.ratio import ratio
from burnish.training.metrics import Figures
from burnish.training.saving import Kept
from burnish.training.update import Loss, StepLoss
from burnish.types import Tree

RatioOf = Literal["token", "sequence"]
"""Whose probability ratio is clipped: each token's, or the whole answer's, length-normalised (GSPO)."""


@dataclass(frozen=True)
class Answers:
    """An iteration's answers and what they got, before anyone says how much better than expected that was."""

    trees: list[Tree]
    batch: TreeBatch
    """All of them; `reward_L` lies in its order."""
    reward_L: Tensor
    old: dict[Key, Tensor]
    reference: dict[Key, Tensor]
    figures: Figures
    value: dict[Key, Tensor] = field(default_factory=dict)
    """What the policy's own value head said; empty where it has none."""

    def returns(self) -> Tensor:
        """All that each answer got, (N,): its score, less what its KL cost where that is paid in the reward."""
        return answer_sums(self.reward_L, self.batch.answer_L, len(self.batch.keys))


Estimate = Callable[[Answers], tuple[Tensor, float]]
"""How much better each token did than was expected there, (L,), and what that was divided by beside.

A penalty in the loss is divided by the same, so that β keeps its meaning.
"""

Note = Callable[[Tensor], None]
"""Is told the ratio π/π_old of every micro-batch's tokens, (L,), before anything is learned from it."""


class Lesson(ABC):
    """What a method learns from answers."""

    whole = False
    """Whether its loss compares the answers to a prompt, so that a micro-batch may not part them."""

    @abstractmethod
    def of(self, answers: Answers, note: Note) -> Loss:
        """The loss of an iteration's answers; called once, before its passes."""

    @property
    def paid(self) -> float:
        """What a nat of KL to the reference costs in the reward."""
        return 0.0

    def follow(self, measured: float) -> None:
        """Hear an iteration's KL, in nats an answer by k1, after its passes."""
        return

    def kept(self) -> dict[str, Kept]:
        """What a checkpoint holds of it."""
        return {}


@dataclass(frozen=True)
class ValueLoss:
    """What a policy with a value head pays for its values, a token: `weight` times `of`."""

    weight: float
    of: Callable[[TreeBatch, Tensor], Tensor]
    """The batch and its values (L,) → (L,)."""


@dataclass(frozen=True)
class PolicyLoss:
    """Σ_t w_t · (clipped_t + β·kl_t - c·H_t + v·value_t), of the tokens of a micro-batch.

    `beta` is what the KL costs in the loss; `values` are there for a critic on the same trunk, and v is their weight.
    """

    policy: Policy
    config: PolicyGradientConfig
    read: Mapping[str, Any]
    """How the sampler drew: the temperature and minimum length that log-probabilities are read under."""
    answers: Answers
    advantage: Mapping[Key, Tensor]
    beta: float
    denominator: Denominator
    ratio_of: RatioOf
    note: Note
    values: ValueLoss | None = None

    def __call__(self, batch: TreeBatch) -> StepLoss:
        config, length_N = self.config, batch.length_N
        said = self.policy.read(batch, **self.read, entropy_gradient=config.entropy_bonus > 0)
        logprob_L, entropy_L = said.logprob_L, said.entropy_L
        old_L, advantage_L = batch.gather(self.answers.old), batch.gather(self.advantage)
        self.note(ratio(logprob_L.detach(), old_L))
        new_L, was_L = logprob_L, old_L
        if self.ratio_of == "sequence":
            new_L, was_L = surrogate.answer_means(logprob_L, length_N), surrogate.answer_means(old_L, length_N)
        clips: dict[str, Any] = {"clip": config.clip_ratio, "clip_high": config.clip.high}
        loss_L = surrogate.clipped(new_L, was_L, advantage_L, **clips, dual_clip=config.clip.dual)
        if config.kl != "reward":
            anchor_L = batch.gather(self.answers.reference)
            loss_L = loss_L + self.beta * kl.penalty(logprob_L, anchor_L, length_N, config.kl)
        if config.entropy_bonus:
            loss_L = loss_L - config.entropy_bonus * entropy_L
        told: dict[str, Tensor] = {}
        if self.values is not None and said.value_L is not None:
            told["value_loss"] = self.values.of(batch, said.value_L)
            loss_L = loss_L + self.values.weight * told["value_loss"]
        weight_L, count = surrogate.token_weights(
            length_N, self.denominator, longest=config.sampling.max_new_tokens, dtype=loss_L.dtype
        )
        figures = {
            "clip_fraction": surrogate.outside(new_L, was_L, **clips),
            "entropy": entropy_L,
            "kl_old": kl.k3(old_L, logprob_L.detach()),
            **told,
        }
        return StepLoss(total=(weight_L * loss_L).sum(), count=count, figures=figures)


class PolicyGradient(Lesson):
    """Climbs the reward: `estimate` says how good each token was, `denominator` what the loss is divided by, see
    `objectives.policy.token_weights`, `ratio_of` whose probability ratio is clipped."""

    def __init__(
        self,
        policy: Policy,
        read: Mapping[str, Any],
        config: PolicyGradientConfig,
        estimate: Estimate,
        *,
        denominator: Denominator = "token",
        ratio_of: RatioOf = "token",
        values: ValueLoss | None = None,
    ) -> None:
        self.policy, self.read, self.config = policy, read, config
        self.estimate = estimate
        self.denominator: Denominator = denominator
        self.ratio_of: RatioOf = ratio_of
        self.values = values
        self.price = Price(config.first_beta, config.target_kl if config.adaptive_beta else None)

    def of(self, answers: Answers, note: Note) -> Loss:
        advantage_L, scale = self.estimate(answers)
        if self.config.adaptive_beta:
            answers.figures["beta"] = self.price.beta
        return PolicyLoss(
            self.policy,
            self.config,
            self.read,
            answers,
            answers.batch.scatter(advantage_L),
            self.price.beta / scale,
            self.denominator,
            self.ratio_of,
            note,
            self.values,
        )

    @property
    def paid(self) -> float:
        return self.price.beta if self.config.kl == "reward" else 0.0

    def follow(self, measured: float) -> None:
        self.price.follow(measured)

    def kept(self) -> dict[str, Kept]:
        return {"beta": self.price} if self.config.adaptive_beta else {}
