"""A reward behind http: prompts and answers are posted as JSON, scores come back as JSON.

    → {"prompts": ["…" or [{"role": "user", "content": "…"}], …], "answers": ["…", …]}
    ← {"scores": [0.3, …]}            ("rewards" is read too)

What the other side may and may not do is `address`'s; anything but JSON of this shape is refused here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from burnish.address import Address, RefusedError, messages
from burnish.data.problems import named_prompt
from burnish.errors import ConfigError
from burnish.rewards.scores import score_trouble
from burnish.types import Prompt


@dataclass(frozen=True, slots=True)
class Endpoint(Address):
    """Call it as any reward. Raises Unreachable, naming address and prompt, where no valid scores come."""

    batch_size: int = 32

    def __post_init__(self) -> None:
        Address.__post_init__(self)  # slots make a class anew, and super() would look for the old one
        if self.batch_size < 1:
            raise ConfigError(f"{self.name}: batch_size must be above 0")

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        scores: list[float] = []
        for first in range(0, len(prompts), self.batch_size):
            last = first + self.batch_size
            scores += self._batch(prompts[first:last], answers[first:last], first)
        return scores

    def _batch(self, prompts: Sequence[Prompt], answers: Sequence[str], first: int) -> list[float]:
        def read(value: Any) -> list[float]:
            scores: Any = None
            if isinstance(value, dict):
                scores = value.get("scores", value.get("rewards"))
            if scores is None:
                raise RefusedError('answered JSON without "scores"; wanted is {"scores": [0.3, …]}, one an answer')
            if trouble := score_trouble(scores, prompts, first):
                raise RefusedError(trouble)
            return [float(score) for score in scores]

        question = {"prompts": [messages(prompt) for prompt in prompts], "answers": list(answers)}
        return self.ask(question, named_prompt(prompts[0], first), read)
