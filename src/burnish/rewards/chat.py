"""A language model behind an OpenAI-compatible address (vLLM, llama.cpp's server, OpenAI, …) that answers in one word.

    → {"messages": [{"role": "user", "content": "…"}], "temperature": 0, "max_tokens": 8, "logprobs": true,
       "top_logprobs": 20, "model": "…" where given}
    ← {"choices": [{"message": {"content": "A"}, "logprobs": {"content": [{"token": "A", "top_logprobs": […]}]}}]}

Where the server tells no probabilities, the reply that was given has all of it. A reply that is none of those asked for
is asked for again, in so many words, and is then left undecided. How many are is counted: too many end the run, since a
judge that talks instead would else turn into a coin.
"""

import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Literal

from burnish.address import BODY_LIMIT, Address, RefusedError, completed
from burnish.data.problems import described, printable
from burnish.errors import ConfigError, Unreachable
from burnish.rewards.replies import log_likelihoods, read_reply, spoken

ENDING = "/chat/completions"
TRIES = 3  # a question is put so often before it is left undecided
FEWEST = 20  # questions before their share that got no readable reply says anything
TOKENS_TOLD = (20, 5)  # the most that OpenAI and vLLM tell of a place; the most that some others do
BYTES_TOLD = 100  # of the answer, for each of them
FORM_REFUSED = (400, 403, 422)  # OpenAI forbids logprobs of some models with 403

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Said:
    """A reply's text, log P of each reply that was asked for (None where it is none), and whether these were told."""

    text: str
    logprobs: list[float] | None
    told: bool
    cut: bool


@dataclass(slots=True)
class _Met:
    """What was found out about the server: the form in which it takes questions, and how many replies can be read."""

    lock: Lock = field(default_factory=Lock)
    form: dict[str, Any] | None = None
    silent: bool = False
    due: int = 0
    read: int = 0
    unread: int = 0
    last: str = ""

    def too_many_unread(self, limit: float) -> bool:
        """Whether the share without a readable reply passes `limit` once all that are `due` were asked, in whatever
        order they come. Where nothing could be read from the first on, nobody waits for that."""
        seen = self.read + self.unread
        return seen >= FEWEST and self.unread > limit * (self.due if self.read else seen)


@dataclass(frozen=True, slots=True)
class Chat(Address):
    """Answers questions with one of few replies. `model`: the name under which it is served. `at_once`: questions that
    are under way together. `max_tokens`: of a reply, its thought included. `logprobs`: whether probabilities are asked
    for. `max_unreadable`: the share of questions that may stay without a readable reply."""

    model: str | None = None
    at_once: int = 8
    max_tokens: int = 8  # room for marks around the letter
    logprobs: Literal["auto", "off"] = "auto"
    max_unreadable: float = 0.05
    _met: _Met = field(default_factory=_Met, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        Address.__post_init__(self)  # slots make a class anew, and super() would look for the old one
        for key in ("at_once", "max_tokens"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{self.name}: {key} must be above 0")
        if self.logprobs not in ("auto", "off"):
            raise ConfigError(f"{self.name}: logprobs must be auto or off; found {described(self.logprobs)}")
        if not 0 <= self.max_unreadable <= 1:
            raise ConfigError(f"{self.name}: max_unreadable is a share, from 0 to 1; found {self.max_unreadable:g}")

    def __call__(
        self, questions: Sequence[str], replies: Sequence[str], about: Sequence[str]
    ) -> list[list[float] | None]:
        """log P of each reply, among them 0 and -inf where the server tells no probabilities; None where none of them
        came however often it was asked for.

        Raises Unreachable, naming the address and the prompt, where no answer comes or too many cannot be read.
        """

        def row(question: str, name: str) -> list[float] | None:
            return self._row(question, replies, name)

        met = self._met
        met.due += len(questions)
        before = met.unread
        alone = 1 if met.form is None else 0  # the first one finds out in which form this server is asked
        found = list(map(row, questions[:alone], about))
        workers = ThreadPoolExecutor(min(self.at_once, max(1, len(questions))), "judge")
        try:
            found += workers.map(row, questions[alone:], about[alone:])
        finally:
            workers.shutdown(cancel_futures=True)  # after an error nobody waits for the rest to be asked
        if met.unread > before:
            print(
                f"warning: {self.name}: {met.unread - before} of {len(questions)} questions got no reply that can be "
                f"read and are undecided; the last, {met.last}",
                file=sys.stderr,
            )
        return found

    def _row(self, question: str, replies: Sequence[str], about: str) -> list[float] | None:
        talk = [_turn("user", question)]
        for _ in range(TRIES):
            said = self._said(talk, replies, about)
            if said.logprobs is not None:
                break
            talk = _asked_again(question, said.text, replies)
        self._count(said, replies, about)
        return said.logprobs

    def _said(self, talk: Sequence[Message], replies: Sequence[str], about: str) -> _Said:
        """The reply to `talk`, asked in the form that the server takes; the first question tries one after another."""
        met = self._met
        troubles: dict[str, None] = {}
        for form in self._forms() if met.form is None else (met.form,):
            body = ({"model": self.model} if self.model else {}) | {"messages": list(talk)} | form
            try:
                # any text: llama.cpp's server shows a token of one byte as that byte, NUL among the likeliest too
                said = self.put(body, about, lambda value: _said_in(value, replies), any_text=True)
            except RefusedError as refused:
                troubles[str(refused)] = None
                if refused.status not in FORM_REFUSED:
                    break
            else:
                met.form = form
                return said
        raise self.unreachable(about, "; asked otherwise, it ".join(troubles))

    def _forms(self) -> list[dict[str, Any]]:
        """How a question may be put, what tells most first."""
        plain = {"temperature": 0, "max_tokens": self.max_tokens}
        tells = [
            {"logprobs": True, "top_logprobs": most}
            for most in TOKENS_TOLD
            if self.logprobs == "auto" and most * BYTES_TOLD * self.max_tokens <= BODY_LIMIT
        ]
        # OpenAI's thinking models take none of the other settings
        return [*(plain | more for more in tells), plain, {"max_completion_tokens": self.max_tokens}]

    def _count(self, said: _Said, replies: Sequence[str], about: str) -> None:
        met = self._met
        with met.lock:
            if said.logprobs is None:
                met.unread += 1
                room = f" in {self.max_tokens} tokens (max_tokens)" if said.cut else ""
                text = printable(spoken(said.text) or said.text, 60)
                met.last = f'about {about}: "{text}"{room}, and none of {", ".join(replies)}'
            else:
                met.read += 1
                if self.logprobs == "auto" and not said.told and not met.silent:
                    met.silent = True
                    print(f"{self.name}: tells no probabilities; a reply counts as certain", file=sys.stderr)
            if met.too_many_unread(self.max_unreadable):
                raise Unreachable(
                    f"{self.name}: {met.unread} of {met.read + met.unread} questions got no reply that can be read, "
                    f"and max_unreadable is {self.max_unreadable:g}; the last, asked {TRIES} times {met.last}. Take a "
                    "model that follows instructions, state the rubric more plainly, or give one that thinks first "
                    "more max_tokens"
                )


def chat(url: str, **settings: Any) -> Chat:
    """The judge at `url`: the whole address, or what stands before /v1/chat/completions or /chat/completions."""
    made = Chat(url, **settings)  # it says what is wrong with the address
    return replace(made, url=completed(url, ENDING))


def _turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _asked_again(question: str, text: str, replies: Sequence[str]) -> list[Message]:
    """The question once more, with what was said to it: at temperature 0 the same words would get the same reply."""
    wanted = f"Only one of {', '.join(replies)} is wanted: reply with one of them and nothing else."
    if said := spoken(text):
        return [_turn("user", question), _turn("assistant", said), _turn("user", wanted)]
    return [_turn("user", f"{question}\n\n{wanted}")]  # servers refuse a turn that says nothing


def _said_in(value: Any, replies: Sequence[str]) -> _Said:
    try:
        choice = value["choices"][0]
        text = choice["message"].get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise RefusedError('answered JSON without choices[0].message; is it a "chat/completions"?') from None
    if text is None:
        text = ""  # all that it wrote was thought, which the server took out
    if not isinstance(text, str):
        raise RefusedError(f"answered {described(text)} where the judge's reply is wanted")
    cut = choice.get("finish_reason") == "length"
    said = read_reply(text, replies)
    if said is None:
        return _Said(text, None, told=False, cut=cut)
    found = log_likelihoods(said, replies, choice.get("logprobs"))
    certain = [0.0 if one == said else -math.inf for one in replies]
    return _Said(text, found or certain, told=found is not None, cut=cut)
