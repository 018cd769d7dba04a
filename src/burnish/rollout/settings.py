"""How answers are drawn: temperature and lengths, and what else may shape the distribution when nothing is trained."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from burnish.errors import ConfigError


class Sampling(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    temperature: float = Field(1.0, ge=0, description="divides the logits; 0 takes the likeliest token each time")
    max_new_tokens: int = Field(64, ge=1, description="an answer is cut after this many tokens")
    min_new_tokens: int = Field(0, ge=0, description="no end token can be drawn before this many tokens")
    top_k: int = Field(0, ge=0, description="draw among this many likeliest tokens; 0 is off")
    top_p: float = Field(1.0, gt=0, le=1, description="draw among the fewest tokens that hold this much probability")
    min_p: float = Field(0.0, ge=0, le=1, description="draw among tokens with this share of the likeliest one's chance")
    repetition_penalty: float = Field(1.0, gt=0, description="weakens tokens that the prompt or answer has; 1 is off")
    stop: tuple[str, ...] = Field((), description="an answer is cut where it writes one of these")

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(f"min_new_tokens {self.min_new_tokens} is above max_new_tokens {self.max_new_tokens}")
        if "" in self.stop:
            raise ValueError('stop: "" stands in every answer; remove it')
        return self

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def before_stop(self, text: str) -> str:
        """An answer's text without the first stop string in it and what follows."""
        places = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return text[: min(places, default=len(text))]

    def certain(self, text: str) -> str:
        """What no stop string that is still being written can take away from an unfinished answer's text."""
        text = self.before_stop(text)
        begun = (size for stop in self.stop for size in range(1, len(stop)) if text.endswith(stop[:size]))
        return text[: len(text) - max(begun, default=0)]

    def for_training(self) -> None:
        """Raise ConfigError unless the log-probabilities of these answers are ones that a training pass can compute."""
        if troubles := self.beyond_training():
            raise ConfigError("\n".join(troubles))

    def beyond_training(self) -> list[str]:
        """The settings under which a training pass cannot compute the sampler's log-probabilities, and what to do.

        That pass knows the temperature and the minimum length. It cannot follow a cut distribution: the ratio of a
        token that the cut left out would be infinite. An answer that a stop string ended has no end token to learn.
        """
        off = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "stop": ()}
        troubles = [
            f"sampling.{name}: {getattr(self, name)} cannot be used while training; leave it at {value!r}"
            for name, value in off.items()
            if getattr(self, name) != value
        ]
        if self.greedy:
            troubles.append("sampling.temperature: 0 draws nothing, so there is no gradient; set it above 0")
        return troubles
