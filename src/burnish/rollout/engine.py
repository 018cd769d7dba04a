"""What samples answers, seen from outside: prompts as tokens go in, rollouts come out."""

from collections.abc import Sequence
from typing import Protocol

from burnish.rollout.settings import Sampling
from burnish.types import Rollout


class Engine(Protocol):
    @property
    def weights_version(self) -> str:
        """Names the weights that the next answers come from: other weights, another name."""
        ...

    def sample(
        self, prompts: Sequence[Sequence[int]], n: int, settings: Sampling, *, end_tokens: Sequence[int], seed: int
    ) -> list[Rollout]:
        """`n` answers to each prompt: those of the first prompt, then those of the second, and so on.

        An answer ends with the first of `end_tokens` that is drawn, which is its last token, or unfinished at
        `max_new_tokens` or a stop string. Sample k of prompt i draws from `derived_seed(seed, i, k)` alone.
        """
        ...
