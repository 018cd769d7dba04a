"""Answers to prompts as they are typed: by one model, or half by each of two, a token of each at a time.

In step, so that neither what comes first nor what comes faster tells which model writes where. Every answer is stored
with its tokens and log-probabilities, and its item with the hash of each model, the seed and the settings, from which
the same answers can be drawn again.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from burnish.batch.trees import prompt_trees
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.inputs import PolicyInput, as_policy
from burnish.methods.scoring import answered
from burnish.models.model import Policy
from burnish.rewards.by import model_name
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.config import StageConfig
from burnish.training.order import derived_seed
from burnish.types import Answer, Group, Prompt, Rollout


class LiveConfig(StageConfig, Sampling):
    answers: int = Field(4, ge=2, le=9, description="answers a prompt, half from each model where there are two")


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    version: str
    engine: LocalEngine
    template: Template


class LiveModels:
    """Who answers on a live page; see `feedback.live.Writer`. Raises ConfigError where models or answers do not fit."""

    def __init__(self, models: Sequence[PolicyInput], config: LiveConfig) -> None:
        if not 1 <= len(models) <= 2:
            raise ConfigError(f"live: {len(models)} models; one answers, or two are compared")
        if config.answers % len(models):
            raise ConfigError(f"answers: {config.answers} cannot be shared evenly by two models; choose an even number")
        names = [model_name(model.source if isinstance(model, Policy) else str(model)) for model in models]
        if len(set(names)) < len(names):
            names = [model.source if isinstance(model, Policy) else str(model) for model in models]
        if len(set(names)) < len(names):
            raise ConfigError(f"live: {names[0]} is named twice; name another model, or leave the second one out")
        self._config = config
        self._models = [self._loaded(name, model) for name, model in zip(names, models, strict=True)]
        self.answers = config.answers
        self.turns = all(model.template.source is not None for model in self._models)

    def _loaded(self, name: str, model: PolicyInput) -> _Model:
        policy = as_policy(model, self._config, trained=False)
        engine = LocalEngine(policy)
        return _Model(name, engine.weights_version, engine, resolve(policy.tokenizer, self._config.template))

    def write(self, prompt: Prompt, id: str) -> Generator[Sequence[str], None, Group]:  # noqa: A002  see Writer
        """The texts so far, a token of each answer further every time; in the end the group with its lineage."""
        own = self.answers // len(self._models)
        seed = derived_seed(self._config.seed, "live", id)
        tokens: list[list[int]] = [[] for _ in range(self.answers)]
        rollouts: dict[int, list[Rollout]] = {}
        with ExitStack() as opened:
            streams = {
                at: opened.enter_context(closing(self._stream(model, prompt, own, seed)))
                for at, model in enumerate(self._models)
            }
            while len(rollouts) < len(streams):
                for at, stream in streams.items():
                    if at in rollouts:
                        continue
                    try:
                        for _, k, token in next(stream):
                            tokens[at * own + k].append(token)
                    except StopIteration as over:
                        rollouts[at] = over.value
                yield [self._so_far(self._models[i // own], drawn) for i, drawn in enumerate(tokens)]
        answers = [
            self._finished(model, answer)
            for at, model in enumerate(self._models)
            for answer in answered([Group(prompt)], rollouts[at], model.template)[0].answers
        ]
        return Group(prompt, tuple(answers), extra=self._lineage(seed))

    def _stream(self, model: _Model, prompt: Prompt, n: int, seed: int) -> Generator[Any, None, list[Rollout]]:
        config = self._config
        asked = prompt_trees(
            [Group(prompt, origin="the prompt")],
            model.template,
            max_length=config.max_length,
            room=config.max_new_tokens,
            on_too_long=config.on_too_long,
        )
        if not asked.trees:
            raise DataError("the prompt is too long for max_length; shorten it, or raise max_length")
        ends = sorted(model.template.end_tokens)
        return model.engine.stream([asked.trees[0].prompt], n, config, end_tokens=ends, seed=seed)

    def _so_far(self, model: _Model, tokens: Sequence[int]) -> str:
        """What can be read of an answer: half of a character is left out until the other half is there."""
        return self._config.before_stop(model.template.text(tokens)).rstrip("\ufffd")

    def _finished(self, model: _Model, answer: Answer) -> Answer:
        logprobs = tuple(round(value, 6) for value in answer.logprobs or ())
        return replace(answer, text=self._config.before_stop(answer.text), logprobs=logprobs, source=model.name)

    def _lineage(self, seed: int) -> dict[str, Any]:
        versions = {model.name: model.version for model in self._models}
        alone = {"model": self._models[0].version} if len(versions) == 1 else {}
        return {
            **alone,
            "models": versions,
            "seed": seed,
            "template": self._models[0].template.name,
            "sampling": self._config.model_dump(mode="json", include=set(Sampling.model_fields)),
        }
