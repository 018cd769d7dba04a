"""A model behind an OpenAI-compatible address (vLLM, llama.cpp's server, …) that writes answers as text.

    → {"messages": [{"role": "user", "content": "…"}], "temperature": 1.0, "max_tokens": 64, "seed": 7, "model": "…"}
    ← {"choices": [{"message": {"content": "…"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 12}}

With `template: none` the prompt goes as it stands to /completions instead, whose answer is `choices[0].text`. Each
answer is a request of its own with a seed of its own, so that a run that was cut asks for the same again; whether the
same comes back is the server's affair. There are no tokens and no log-probabilities that training could trust.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from burnish.address import Address, RefusedError, completed, messages
from burnish.data.problems import described, named_prompt
from burnish.errors import ConfigError
from burnish.rollout.settings import Sampling
from burnish.training.order import derived_seed
from burnish.types import Answer, Prompt

FURTHER = {
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "min_new_tokens": "min_tokens",
}
"""Settings that are no part of OpenAI's interface, under the names that vLLM has for them: sent where set."""


class Server(BaseModel):
    """How a model behind an address is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str | None = Field(None, description="the name under which it is served")
    token_env: str | None = Field(None, description="environment variable whose value is sent as bearer token")
    timeout: float = Field(120.0, gt=0, description="seconds for one answer")
    retries: int = Field(3, ge=0, description="how often a failed request is tried again")
    at_once: int = Field(8, ge=1, description="requests that are under way together")


@dataclass(frozen=True, slots=True)
class Written:
    """An answer, and how many tokens the server counted; None where it does not say."""

    answer: Answer
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Served:
    """Asks for answers. `chat`: a prompt is a conversation; else it is text that goes on."""

    address: Address
    server: Server
    chat: bool = True

    @classmethod
    def at(cls, where: Address, server: Server, template: str) -> "Served":
        """The model at `where`: a whole address, or what stands before /v1. Raises ConfigError."""
        if template not in ("auto", "chat", "none"):
            raise ConfigError(
                f"template: {template}: a model behind an address writes prompts with its own; choose auto, or none "
                "for a model that goes on with plain text"
            )
        url = completed(where.url, "/completions" if template == "none" else "/chat/completions")
        address = replace(where, url=url, timeout=server.timeout, retries=server.retries, token_env=server.token_env)
        return cls(address, server, chat=template != "none")

    @property
    def name(self) -> str:
        """What its answers are kept under: nobody can hash weights that are elsewhere."""
        return f"{self.server.model}@{self.address.name}" if self.server.model else self.address.name

    def answers(
        self, prompts: Sequence[Prompt], n: int, settings: Sampling, *, seed: int, first: int = 0
    ) -> list[list[Written]]:
        """`n` answers to each prompt, of which the first has the place `first` among all.

        Raises Unreachable, naming address and prompt, where one does not come.
        """
        asked = [(i, k) for i in range(len(prompts)) for k in range(n)]

        def one(at: tuple[int, int]) -> Written:
            i, k = at
            question = self._question(prompts[i], settings, derived_seed(seed, i, k) % 2**31)
            return self.address.ask(question, named_prompt(prompts[i], first + i), self._read)

        workers = ThreadPoolExecutor(min(self.server.at_once, max(1, len(asked))), "sampler")
        try:
            found = list(workers.map(one, asked))
        finally:
            workers.shutdown(cancel_futures=True)  # after an error nobody waits for the rest to be asked
        return [found[i * n : (i + 1) * n] for i in range(len(prompts))]

    def _question(self, prompt: Prompt, settings: Sampling, seed: int) -> dict[str, Any]:
        asked: dict[str, Any] = {"model": self.server.model} if self.server.model else {}
        if self.chat:
            said = messages(prompt)
            asked["messages"] = [{"role": "user", "content": said}] if isinstance(said, str) else said
        elif isinstance(prompt, str):
            asked["prompt"] = prompt
        else:
            raise ConfigError("template: none: a prompt is a conversation; only text can go on as it stands")
        asked |= {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens, "seed": seed}
        if settings.top_p != 1:
            asked["top_p"] = settings.top_p
        if settings.stop:
            asked["stop"] = list(settings.stop)
        off = Sampling()
        further = {theirs: getattr(settings, ours) for ours, theirs in FURTHER.items()
                   if getattr(settings, ours) != getattr(off, ours)}  # fmt: skip
        return asked | further

    def _read(self, value: Any) -> Written:
        try:
            choice = value["choices"][0]
            text = choice["message"]["content"] if self.chat else choice["text"]
        except (KeyError, IndexError, TypeError):
            where = "message.content" if self.chat else "text"
            raise RefusedError(f"answered JSON without choices[0].{where}; is it OpenAI-compatible?") from None
        if not isinstance(text, str):
            raise RefusedError(f"answered {described(text)} where an answer's text is wanted")
        usage = value.get("usage")
        tokens = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
        known = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0
        finished = choice.get("finish_reason") == "stop"
        return Written(Answer(text, finished=finished), tokens if known else None)
