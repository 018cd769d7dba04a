"""Models that answer one prompt while somebody watches, a token of each answer at a time.

What a live page and a chat share: several models in step, the text that can be read so far, and where answers are from.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

from burnish.batch.trees import prompt_trees
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.inputs import PolicyInput, as_policy
from burnish.methods.scoring import as_written
from burnish.models.model import Policy
from burnish.rewards.by import model_name
from burnish.rollout.draw import Drawn
from burnish.rollout.local import LocalEngine, positions
from burnish.rollout.settings import Sampling
from burnish.training.config import StageConfig
from burnish.types import Answer, Group, Prompt, Rollout

Stream = Generator[list[Drawn], None, list[Rollout]]


class StreamingConfig(StageConfig, Sampling):
    """What whoever streams is told."""


@dataclass(frozen=True, slots=True)
class StreamingModel:
    """`version` is the hash of its weights."""

    name: str
    version: str
    engine: LocalEngine
    template: Template

    @property
    def positions(self) -> int | None:
        return positions(self.engine.policy)

    def prompt_tokens(self, prompt: Prompt, config: StreamingConfig) -> tuple[tuple[int, ...], bool]:
        """The prompt's tokens, and whether its oldest turns had to go. Raises DataError where it leaves no room."""
        asked = prompt_trees(
            [Group(prompt, origin="the prompt")],
            self.template,
            max_length=config.max_length,
            room=config.max_new_tokens,
            on_too_long=config.on_too_long,
        )
        if not asked.trees:
            raise DataError("the prompt is too long for max_length; shorten it, or raise max_length")
        return asked.trees[0].prompt, bool(asked.shortened)

    def stream(self, prompt: Sequence[int], n: int, config: StreamingConfig, seed: int) -> Stream:
        return self.engine.stream([prompt], n, config, end_tokens=sorted(self.template.end_tokens), seed=seed)

    def so_far(self, tokens: Sequence[int], config: StreamingConfig) -> str:
        """What can be read of an answer: half a character or stop string is left out until the rest is there."""
        return config.certain(self.template.text(tokens)).rstrip("\ufffd")

    def finished(self, answer: Answer, config: StreamingConfig) -> Answer:
        """The answer as it is kept."""
        return replace(as_written(answer, config), source=self.name)


def streaming_models(models: Sequence[PolicyInput], config: StreamingConfig) -> list[StreamingModel]:
    """One model or two, loaded. Raises ConfigError where they are not one or two, or bear one name."""
    if not 1 <= len(models) <= 2:
        raise ConfigError(f"{len(models)} models; one answers, or two are compared")
    paths = [model.source if isinstance(model, Policy) else str(model) for model in models]
    names = [model_name(path) for path in paths]
    if len(set(names)) < len(names):
        names = paths
    if len(set(names)) < len(names):
        raise ConfigError(f"{names[0]} is named twice; name another model, or leave the second one out")
    return [_loaded(name, model, config) for name, model in zip(names, models, strict=True)]


def _loaded(name: str, model: PolicyInput, config: StreamingConfig) -> StreamingModel:
    policy = as_policy(model, config, trained=False)
    engine = LocalEngine(policy)
    return StreamingModel(name, engine.weights_version, engine, resolve(policy.tokenizer, config.template))


def in_step(streams: Sequence[Stream]) -> Generator[list[list[Drawn]], None, list[list[Rollout]]]:
    """A token of each stream in turn, nothing of one that is over; in the end the rollouts of each.

    Neither what comes first nor what comes faster then tells which model writes where.
    """
    rollouts: dict[int, list[Rollout]] = {}
    with ExitStack() as opened:
        for stream in streams:
            opened.enter_context(closing(stream))
        while len(rollouts) < len(streams):
            drawn: list[list[Drawn]] = [[] for _ in streams]
            for at, stream in enumerate(streams):
                if at in rollouts:
                    continue
                try:
                    drawn[at] = next(stream)
                except StopIteration as over:
                    rollouts[at] = over.value
            yield drawn
    return [rollouts[at] for at in range(len(streams))]


def weights_of(models: Sequence[StreamingModel]) -> dict[str, Any]:
    """Which weights answered, for a record: `models` by name, and `model` where there is one."""
    versions: Mapping[str, str] = {model.name: model.version for model in models}
    alone = {"model": models[0].version} if len(versions) == 1 else {}
    return {**alone, "models": dict(versions)}
