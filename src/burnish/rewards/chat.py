"""A language model behind an OpenAI-compatible address (vLLM, llama.cpp's server, …) that answers in one word.

    → {"messages": [{"role": "user", "content": "…"}], "temperature": 0, "max_tokens": 8, "model": "…" where given}
    ← {"choices": [{"message": {"content": "A"}}]}

The reply must be one of those that were asked for, with nothing but marks around it ("**A**", "B."). Another is an
error and no verdict: a judge that talks instead would else turn into a coin without a word about it.
"""

import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from burnish.data.problems import described, printable
from burnish.errors import ConfigError
from burnish.rewards.address import Address, RefusedError

PATH = "/v1/chat/completions"
MOST_TOKENS = 8  # room for marks around the letter; a judge that begins to talk is found out as well


@dataclass(frozen=True, slots=True)
class Chat(Address):
    """Answers questions with one of few replies. `model`: the name under which it is served. `at_once`: questions that
    are under way together."""

    model: str | None = None
    at_once: int = 8

    def __post_init__(self) -> None:
        Address.__post_init__(self)  # slots make a class anew, and super() would look for the old one
        if self.at_once < 1:
            raise ConfigError(f"{self.name}: at_once must be above 0")

    def __call__(self, questions: Sequence[str], replies: Sequence[str], about: Sequence[str]) -> list[list[float]]:
        """0 for the reply that was given, -inf for the others. Raises Unreachable, naming the address and the prompt,
        where none of them comes."""

        def reply(question: str, name: str) -> list[float]:
            body: dict[str, Any] = {"model": self.model} if self.model else {}
            body |= {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": MOST_TOKENS}
            said = self.ask(body, name, lambda value: _one_of(replies, value))
            return [0.0 if one == said else -math.inf for one in replies]

        workers = ThreadPoolExecutor(min(self.at_once, max(1, len(questions))), "judge")
        try:
            return list(workers.map(reply, questions, about))
        finally:
            workers.shutdown(cancel_futures=True)  # after an error nobody waits for the rest to be asked


def chat(url: str, **settings: Any) -> Chat:
    """The judge at `url`: the whole address, or what stands before /v1/chat/completions or /chat/completions."""
    made = Chat(url, **settings)
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path.endswith("/chat/completions"):
        return made
    path = f"{path}/chat/completions" if path.endswith("/v1") else path + PATH
    return replace(made, url=parts._replace(path=path).geturl())


def _one_of(replies: Sequence[str], value: Any) -> str:
    try:
        text = value["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise RefusedError('answered JSON without choices[0].message.content; is it a "chat/completions"?') from None
    if not isinstance(text, str):
        raise RefusedError(f"answered {described(text)} where the judge's reply is wanted")
    wanted = "|".join(map(re.escape, replies))
    found = re.fullmatch(rf"[\W_]*({wanted})[\W_]*", text)
    if found is None:
        raise RefusedError(
            f'the judge replied "{printable(text, 60)}" and not with one of {", ".join(replies)}; take a model that '
            "follows instructions, or state the rubric more plainly"
        )
    return found.group(1)
