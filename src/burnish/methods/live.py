"""Answers to prompts as they are typed: by one model, or half by each of two, a token of each at a time.

In step, so that neither what comes first nor what comes faster tells which model writes where. Every answer is stored
with its tokens and log-probabilities, and its item with the hash of each model, the seed and the settings, from which
the same answers can be drawn again.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any

from pydantic import Field

from burnish.errors import ConfigError
from burnish.methods.inputs import PolicyInput
from burnish.methods.scoring import answered
from burnish.methods.streaming import StreamingConfig, in_step, streaming_models, weights_of
from burnish.rollout.settings import Sampling
from burnish.training.order import derived_seed
from burnish.types import Group, Prompt


class LiveConfig(StreamingConfig):
    answers: int = Field(4, ge=2, le=9, description="answers a prompt, half from each model where there are two")


class LiveModels:
    """Who answers on a live page; see `feedback.live.Writer`. Raises ConfigError where models or answers do not fit."""

    def __init__(self, models: Sequence[PolicyInput], config: LiveConfig) -> None:
        if len(models) == 2 and config.answers % 2:
            raise ConfigError(f"answers: {config.answers} cannot be shared evenly by two models; choose an even number")
        self._config = config
        self._models = streaming_models(models, config)
        self.answers = config.answers
        self.turns = all(model.template.source is not None for model in self._models)

    def write(self, prompt: Prompt, id: str) -> Generator[Sequence[str], None, Group]:  # noqa: A002  see Writer
        """The texts so far, a token of each answer further every time; in the end the group with its lineage."""
        own = self.answers // len(self._models)
        seed = derived_seed(self._config.seed, "live", id)
        tokens: list[list[int]] = [[] for _ in range(self.answers)]
        streams = [
            model.stream(model.prompt_tokens(prompt, self._config)[0], own, self._config, seed)
            for model in self._models
        ]
        with closing(in_step(streams)) as steps:
            while True:
                try:
                    step = next(steps)
                except StopIteration as over:
                    rollouts = over.value
                    break
                for at, drawn in enumerate(step):
                    for _, k, token in drawn:
                        tokens[at * own + k].append(token)
                yield [self._models[i // own].so_far(drawn, self._config) for i, drawn in enumerate(tokens)]
        answers = [
            model.finished(answer, self._config)
            for model, sampled in zip(self._models, rollouts, strict=True)
            for answer in answered([Group(prompt)], sampled, model.template)[0].answers
        ]
        return Group(prompt, tuple(answers), extra=self._lineage(seed))

    def _lineage(self, seed: int) -> dict[str, Any]:
        return {
            **weights_of(self._models),
            "seed": seed,
            "template": self._models[0].template.name,
            "sampling": self._config.model_dump(mode="json", include=set(Sampling.model_fields)),
        }
