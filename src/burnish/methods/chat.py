"""A dialogue with a model, or with two that answer the same: what is said, what is answered, what is worth keeping.

A turn's answers are lettered A, B, C …, those of a second try after those of the first. The dialogue goes on with one
of them, so with two models both read the same dialogue, and their answers to a turn can be compared. What is kept goes
to a file that trainers read, with the hash of each model, the seed and the settings that the answers were drawn with.
"""

import random
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from pydantic import Field

from burnish.data.durable import append
from burnish.errors import ConfigError, DataError, UsageError
from burnish.methods.inputs import PolicyInput
from burnish.methods.scoring import answered
from burnish.methods.streaming import Stream, StreamingConfig, StreamingModel, in_step, streaming_models, weights_of
from burnish.methods.turns import Reply, Turn, places_of, record_of
from burnish.rollout.settings import Sampling
from burnish.training.config import resolve
from burnish.training.order import derived_seed
from burnish.types import Answer, Group, Message, Prompt, Rollout

SETTABLE = (*Sampling.model_fields, "max_length", "seed")
"""What may change while a dialogue goes on; the rest was fixed when the models were loaded."""


class ChatConfig(StreamingConfig):
    max_new_tokens: int = Field(256, ge=1, description="an answer is cut after this many tokens")
    max_length: int = Field(8192, ge=2, description="most tokens of the dialogue with an answer; older turns go first")


class Chat:
    """A dialogue with `model`, and with `against` where that is named.

    `system`: the system turn. `blind`: which of two models writes A and which B is drawn for each turn, and
    `models[reply.model].name` tells. The same seed, settings and words give the same answers. Raises ConfigError where
    the models bear one name, the settings do not fit a model, or a model without a chat template gets a system turn.
    """

    def __init__(
        self,
        model: PolicyInput,
        config: ChatConfig | None = None,
        *,
        against: PolicyInput | None = None,
        system: str = "",
        blind: bool = False,
    ) -> None:
        if blind and against is None:
            raise ConfigError("blind: one model answers, so there is nothing to hide; name another one with against")
        config = config or ChatConfig()
        self.models: list[StreamingModel] = streaming_models([model, *([] if against is None else [against])], config)
        self.blind = blind
        self.turns: list[Turn] = []
        self.config = self._fitted(config)
        self.dialogue = all(one.template.source is not None for one in self.models)
        """Whether the models read what was said before. Without a chat template each turn is continued by itself."""
        self.system = ""
        self.say_first(system)

    def _fitted(self, config: ChatConfig) -> ChatConfig:
        """The defaults lowered to what the models can compute; what was set stays, and is refused where it is too long.

        Half of a small model's positions are left to the dialogue.
        """
        bounds = [one.positions for one in self.models if one.positions is not None]
        if not bounds:
            return config
        longest, given = min(bounds), config.model_fields_set
        if config.max_new_tokens >= longest and "max_new_tokens" in given:
            raise ConfigError(
                f"max_new_tokens: {config.max_new_tokens} leave no room for a dialogue: the model has {longest} "
                "positions; lower it"
            )
        answer = config.max_new_tokens if "max_new_tokens" in given else min(config.max_new_tokens, longest // 2)
        fitted = {"max_new_tokens": answer, "max_length": min(config.max_length, longest)}
        return resolve(ChatConfig, config.model_dump(include=given) | fitted)

    # ---- the dialogue

    def ask(self, said: str) -> Generator[Sequence[str], None, None]:
        """Say something and have it answered: the texts so far, in the order of their letters, again and again.

        Closed before it ends, it keeps what was written; where nothing was, there is no such turn. Raises DataError
        for a text that is none, or too long.
        """
        if not said.strip() or "\0" in said:
            raise DataError("say something" if not said.strip() else "a NUL character cannot be said; leave it out")
        if any("\ud800" <= character <= "\udfff" for character in said):
            raise DataError("half a character cannot be said: what was typed is not UTF-8; set the terminal to UTF-8")
        turn = Turn(said, self._prompt(said))
        try:
            yield from self._answered(turn, len(self.turns))
        finally:
            if turn.replies:
                self.turns.append(turn)

    def retry(self) -> Generator[Sequence[str], None, None]:
        """Have the last turn answered once more, as `ask` does. The dialogue goes on with the first new answer."""
        turn = self.last()
        if len(turn.replies) + len(self.models) > len(ascii_uppercase):
            raise UsageError(f"this turn has {len(turn.replies)} answers, and letters for no more; go on with one")
        yield from self._answered(turn, len(self.turns) - 1)

    def last(self) -> Turn:
        if not self.turns:
            raise UsageError("nothing was answered yet; say something first")
        return self.turns[-1]

    def undo(self) -> Turn:
        """Take the last turn back."""
        self.last()
        return self.turns.pop()

    def clear(self) -> None:
        """Begin anew, with the same system turn."""
        self.turns.clear()

    def say_first(self, system: str) -> None:
        """Set the system turn, from the next turn on; empty takes it away."""
        if system and not self.dialogue:
            raise ConfigError(
                "system: the model has no chat template to write a system turn with; name a built-in one: "
                "--set template=dialogue"
            )
        self.system = system

    def keep(self, letter: str) -> Reply:
        """Let the dialogue go on with this answer to the last turn."""
        turn = self.last()
        turn.kept = turn.lettered(letter)
        return turn.reply

    def set(self, settings: Mapping[str, Any]) -> None:
        """Change how answers are drawn, from the next one on. Raises ConfigError."""
        fixed = [name for name in settings if name in ChatConfig.model_fields and name not in SETTABLE]
        if fixed:
            raise ConfigError(f"{fixed[0]}: fixed since the models were loaded; set it when you start")
        known = self.config.model_dump(include=self.config.model_fields_set)
        self.config = self._fitted(resolve(ChatConfig, {**known, **settings}))

    def _prompt(self, said: str) -> Prompt:
        if not self.dialogue or not (self.turns or self.system):
            return said
        messages = [Message("system", self.system)] if self.system else []
        for turn in self.turns:
            messages += [Message("user", turn.said), Message("assistant", turn.reply.answer.text)]
        return (*messages, Message("user", said))

    # ---- answers

    def _answered(self, turn: Turn, number: int) -> Generator[Sequence[str], None, None]:
        """Draw one more answer of each model, and add what was written to the turn, however it ends."""
        config = self.config
        seed = derived_seed(config.seed, "chat", number, turn.tries)
        order = list(range(len(self.models)))
        if self.blind:
            random.Random(derived_seed(seed, "blind")).shuffle(order)  # noqa: S311  hides, and guards nothing
        streams: list[Stream] = []
        for at in order:
            tokens, shortened = self.models[at].prompt_tokens(turn.prompt, config)
            turn.shortened = turn.shortened or shortened
            streams.append(self.models[at].stream(tokens, 1, config, seed))
        drawn: list[list[int]] = [[] for _ in order]
        rollouts: list[list[Rollout]] | None = None
        try:
            with closing(in_step(streams)) as steps:
                while rollouts is None:
                    try:
                        step = next(steps)
                    except StopIteration as over:
                        rollouts = over.value
                        break
                    for at, new in enumerate(step):
                        drawn[at] += [token for _, _, token in new]
                    yield [self.models[at].so_far(own, config) for at, own in zip(order, drawn, strict=True)]
        finally:
            if all(drawn):
                self._add(turn, order, drawn, rollouts, seed, config)

    def _add(
        self,
        turn: Turn,
        order: Sequence[int],
        drawn: Sequence[Sequence[int]],
        rollouts: list[list[Rollout]] | None,
        seed: int,
        config: ChatConfig,
    ) -> None:
        sampling = config.model_dump(mode="json", include=set(Sampling.model_fields))
        first = len(turn.replies)
        for place, at in enumerate(order):
            model = self.models[at]
            ended = drawn[place][-1] in model.template.end_tokens
            if rollouts is not None:
                answer = answered([Group("")], rollouts[place], model.template)[0].answers[0]
            else:  # one may have ended before the other was stopped
                answer = Answer(model.template.text(drawn[place]), tokens=tuple(drawn[place]), finished=ended)
            turn.replies.append(
                Reply(
                    ascii_uppercase[first + place],
                    at,
                    model.finished(answer, config),
                    seed,
                    sampling,
                    stopped=rollouts is None and not ended,
                )
            )
        turn.kept = first
        turn.tries += 1

    def save(self, path: str | Path, order: str = "") -> str:
        """Append the last turn to a file, as `turns.record_of` makes it of `order`, and return the record's kind.

        The dialogue goes on with the best answer of an order, where one is best. Raises what `record_of` and
        `data.durable.append` raise.
        """
        turn = self.last()
        kind, group = record_of(turn, self.models, order)
        append(group, kind, path)
        best = places_of(order, turn)[0]
        turn.kept = best[0] if len(best) == 1 else turn.kept
        return kind

    def told(self) -> dict[str, Any]:
        """The dialogue as one object, for a program."""
        return {
            "models": weights_of(self.models)["models"],
            "turns": [
                {
                    "prompt": turn.said,
                    "answers": {
                        reply.letter: {
                            "model": self.models[reply.model].name,
                            "text": reply.answer.text,
                            "finished": reply.answer.finished,
                        }
                        for reply in turn.replies
                    },
                    "kept": turn.reply.letter,
                }
                for turn in self.turns
            ],
        }
