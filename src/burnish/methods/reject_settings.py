"""The keys of rejection sampling, what they say of each round, and what does not go together."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from burnish.errors import ConfigError
from burnish.methods.dpo_settings import DPOConfig, DPOKeys, reference_of_its_own
from burnish.methods.inputs import DataInput
from burnish.methods.keeping import Rule
from burnish.methods.on_policy_settings import OwnAnswersConfig
from burnish.methods.people import PeopleConfig
from burnish.methods.picking import MOST_PICKED
from burnish.methods.scoring import By
from burnish.methods.sft import SFTConfig
from burnish.rollout.settings import Sampling
from burnish.training.config import MethodConfig

Count = Annotated[int, Field(ge=2)]
Temperature = Annotated[float, Field(gt=0)]


class RejectConfig(OwnAnswersConfig, PeopleConfig):
    learning_rate: float = Field(2e-5, gt=0, description="peak of the learning rate, in every round")
    rounds: int = Field(1, ge=1, description="how often to sample, keep and learn")
    samples: Count | tuple[Count, ...] = Field(8, description="answers a prompt and round: one number, or each round's")
    temperatures: tuple[Temperature, ...] = Field(
        (), description="each round's, in the place of sampling.temperature; empty is that in all"
    )
    chunk: int = Field(128, ge=1, description="prompts whose answers are drawn and committed together")
    keep: int = Field(1, ge=1, description="best answers of a prompt that are learned")
    threshold: float | None = Field(None, description="score that an answer must be above to be kept; unset is any")
    learn: Literal["sft", "dpo"] = Field("sft", description="imitate the best answers, or prefer the best to the worst")
    dpo: DPOKeys = Field(default_factory=lambda: DPOKeys(), description="of learn: dpo: the keys of dpo")
    start: Literal["previous", "incoming"] = Field(
        "previous", description="a round's learning starts from the round before, or from the model that came in"
    )
    accumulate: bool = Field(False, description="a round also learns what earlier rounds kept")

    @model_validator(mode="before")
    @classmethod
    def _rate_of_dpo(cls, given: Any) -> Any:
        """DPO's own rate where it is DPO that learns and none is given: that of SFT is twenty times as large."""
        if isinstance(given, Mapping) and given.get("learn") == "dpo" and "learning_rate" not in given:
            return {**given, "learning_rate": DPOConfig.model_fields["learning_rate"].default}
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for key in ("samples", "temperatures"):
            value = getattr(self, key)
            if isinstance(value, tuple) and value and len(value) != self.rounds:
                raise ValueError(f"{key}: {len(value)} values for rounds: {self.rounds}; give one for each round")
        if self.temperatures and "temperature" in self.sampling.model_fields_set:
            raise ValueError("temperatures and sampling.temperature are both set; keep one")
        if self.sampling.stop:
            raise ValueError(
                "sampling.stop: an answer that a string ended has no end to learn; leave it out, or draw with a stage "
                "of generate, which cuts answers there, and learn their ranking"
            )
        fewest = min(self.samples) if isinstance(self.samples, tuple) else self.samples
        if self.keep > fewest or (self.keep == fewest and self.threshold is None):
            raise ValueError(f"keep: {self.keep} of {fewest} samples would keep every answer; lower it")
        if self.learn == "sft" and "dpo" in self.model_fields_set:
            raise ValueError("dpo: says how pairs are learned, and learn is sft; set learn: dpo, or leave it out")
        if self.learn == "dpo" and self.keep > 1:
            raise ValueError(f"keep: {self.keep}: learn: dpo takes the best answer and the worst; set it to 1")
        if self.dpo.margin in ("record", "confidence"):
            raise ValueError(f"dpo.margin: {self.dpo.margin}: sampled answers have none; take scores, or leave it out")
        reference_of_its_own(self.dpo.reference_every, self.lora)
        return self

    @property
    def rule(self) -> Rule:
        return Rule(self.keep, self.threshold, pairs=self.learn == "dpo")

    def drawn_in(self, number: int) -> tuple[int, Sampling]:
        """How many answers a prompt round `number`, counted from 1, draws, and how."""
        samples = self.samples[number - 1] if isinstance(self.samples, tuple) else self.samples
        changed = {"temperature": self.temperatures[number - 1]} if self.temperatures else {}
        return samples, self.sampling.model_copy(update=changed)

    def learning(self) -> SFTConfig | DPOConfig:
        """The settings of what a round learns by."""
        shared = {key: getattr(self, key) for key in MethodConfig.model_fields}
        if self.learn == "sft":
            return SFTConfig(**shared)
        return DPOConfig(**shared, **self.dpo.model_dump(exclude_unset=True))


def check_inputs(config: RejectConfig, by: By, evaluate_on: DataInput | None, judge: By | None) -> None:
    """Raise ConfigError for what does not go with `by`, or has nothing to work on."""
    if judge is not None and evaluate_on is None:
        raise ConfigError("judge: it scores held-out answers, and there are none; name a file, evaluate_on: FILE")
    if by != "people":
        return
    if evaluate_on is not None:
        raise ConfigError(
            "evaluate_on: people pick the best of several answers and score none; leave it out, and let them compare "
            "the models in a stage of evaluate"
        )
    if config.keep > 1:
        raise ConfigError(f"keep: {config.keep}: people pick one answer of a prompt; set it to 1")
    if config.threshold is not None:
        raise ConfigError(f"threshold: {config.threshold:g}: people give no score; they say that none is good enough")
    if config.learn == "dpo":
        raise ConfigError(
            "learn: dpo: people pick the best answer and say nothing of the worst; take learn: sft, or let them rank "
            "in a stage of rank and learn that by dpo"
        )
    for number in range(1, config.rounds + 1):
        if (samples := config.drawn_in(number)[0]) > MOST_PICKED:
            raise ConfigError(f"samples: {samples}: people pick among {MOST_PICKED} answers at most; lower it")
