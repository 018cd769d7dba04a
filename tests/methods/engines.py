"""Engines that go in by the front door."""

from collections.abc import Sequence

from burnish.models.model import Policy
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.types import Rollout


class KilledError(Exception):
    pass


class Killed:
    """An engine that dies in its call number `last + 1`."""

    def __init__(self, policy: Policy, last: int) -> None:
        self.inner = LocalEngine(policy)
        self.left = last

    @property
    def weights_version(self) -> str:
        return self.inner.weights_version

    def sample(
        self, prompts: Sequence[Sequence[int]], n: int, settings: Sampling, *, end_tokens: Sequence[int], seed: int
    ) -> list[Rollout]:
        if not self.left:
            raise KilledError
        self.left -= 1
        return self.inner.sample(prompts, n, settings, end_tokens=end_tokens, seed=seed)
