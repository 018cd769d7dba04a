"""Which rows each step sees: a pure function of seed and step, so that a resume needs one integer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Self, TypeVar

import numpy as np

from burnish.training.config import MethodConfig

Row = TypeVar("Row")


def derived_seed(*parts: object) -> int:
    """A 63-bit seed that depends on all parts and on nothing else; never Python's hash(), which differs by process."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1


@dataclass(frozen=True)
class Order:
    """The rows 0..rows-1, `batch_size` a step, an epoch after an epoch, each in an order of its own.

    The last batch of an epoch is filled from the next epoch, so every step has `batch_size` rows; only the very last
    step of a run that counts epochs may have fewer.
    """

    rows: int
    batch_size: int
    steps: int
    total: int
    seed: int
    shuffle: bool

    @classmethod
    def of(cls, rows: int, config: MethodConfig) -> Self:
        """`steps` where they are set, else as many as `epochs` passes need."""
        total = config.steps * config.batch_size if config.steps else round(rows * (config.epochs or 1))
        return cls(rows, config.batch_size, math.ceil(total / config.batch_size), total, config.seed, config.shuffle)

    def at(self, step: int) -> list[int]:
        """Indices of the rows of step 0 ≤ step < steps."""
        first = step * self.batch_size
        last = min(first + self.batch_size, self.total)
        return [self._epoch(position // self.rows)[position % self.rows] for position in range(first, last)]

    def _epoch(self, epoch: int) -> Sequence[int]:
        return _permutation(self.seed, epoch, self.rows) if self.shuffle else range(self.rows)

    def take(self, rows: Sequence[Row], step: int) -> list[Row]:
        return [rows[i] for i in self.at(step)]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, rows: int) -> list[int]:
    generator = np.random.Generator(np.random.Philox(derived_seed("order", seed, epoch)))
    return [int(i) for i in generator.permutation(rows)]
