"""The records that everything passes on: plain, frozen, without behaviour that needs torch.

Group   one prompt and its K answers, as text, with what is known about them
Tree    the same as tokens: the prompt once, then each answer as a branch
Rollout one answer that a model sampled, as tokens
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Order = tuple[tuple[int, ...], ...]
"""A weak order of answers by their index, best first; answers that tie share a place: A > B = C is ((0,), (1, 2))."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `extra` keeps what a template may read besides (tool calls, a name)."""

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)


Prompt = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a prompt. `later` is what the conversation says after it: further user and assistant turns.

    `tokens`, `logprobs` and `finished` are there where a model sampled the answer: they go unchanged into the loss of a
    model that has its vocabulary.
    `extra` is what a template may read of this turn besides its text (reasoning, tool calls), as in `Message`.
    """

    text: str
    later: tuple[Message, ...] = ()
    tokens: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    finished: bool | None = None
    score: float | None = None
    label: bool | None = None
    source: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt, its answers and what is known about them. `origin` is "file:line", for messages to people.

    A text for pretraining is a group with the empty prompt and one answer. A prompt alone has no answers.
    """

    prompt: Prompt
    answers: tuple[Answer, ...] = ()
    order: Order | None = None
    margin: float | None = None
    id: str = ""
    origin: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Branch:
    """An answer as tokens. `learned[i]` says whether token i carries loss.

    `ended`: its last learned token is an end token (it was neither cut nor left unfinished). `place`: its place in the
    group's order, 0 is best, equal places tie, -1 is unknown. `answer`: its index in the group. `score`: what a judge
    gave it, NaN where none did.
    """

    tokens: tuple[int, ...]
    learned: tuple[bool, ...]
    ended: bool = True
    place: int = -1
    answer: int = 0
    score: float = float("nan")


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt's tokens once, then its answers as branches. `group` is the index of its group in the data set."""

    prompt: tuple[int, ...]
    branches: tuple[Branch, ...]
    group: int = 0
    id: str = ""
    origin: str = ""

    @property
    def size(self) -> int:
        """Tokens of the prompt and of every branch: what it costs to compute."""
        return len(self.prompt) + sum(len(branch.tokens) for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled answer. `logprobs` are under the distribution that it was sampled from, one a token.

    `finished`: it ended with an end token, which is its last. `prompt` is the index of its prompt, `sample` its number
    among that prompt's answers, `seed` what its own random numbers came from.
    """

    prompt: int
    sample: int
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finished: bool
    seed: int
