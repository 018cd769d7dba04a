"""How alike texts are: words, shingles, n-grams, and pairs of near duplicates found without comparing all with all.

A word is a run of letters and digits, or one Chinese, Japanese or Korean character, so that the same measure works in
languages without spaces. Two texts are near duplicates where the Jaccard index of their sets of shingles (five words
in a row) reaches a threshold. Candidates come from MinHash signatures (Broder 1997) cut into bands; each candidate is
then compared exactly, so chance can hide a pair, never invent one.
"""

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
BANDS = 25
BAND_ROWS = 5  # a pair of Jaccard 0.8 is missed with (1 - 0.8^5)^25 = 5e-5, one of 0.6 with 0.13
_PRIME = np.uint64((1 << 31) - 1)
_WORD = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|[^\\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)
Shingles = frozenset[int]


def words(text: str) -> list[str]:
    """The text's words, lower case, without punctuation."""
    return _WORD.findall(text.casefold())


def ngrams(text: str, length: int) -> Iterator[str]:
    """Every run of `length` words."""
    said = words(text)
    for start in range(len(said) - length + 1):
        yield " ".join(said[start : start + length])


def shingles(text: str) -> Shingles:
    """The set of the text's shingles, hashed. A text shorter than a shingle is one."""
    said = words(text)
    if len(said) < SHINGLE:
        return frozenset([zlib.crc32(" ".join(said).encode())]) if said else frozenset()
    return frozenset(
        zlib.crc32(" ".join(said[start : start + SHINGLE]).encode()) for start in range(len(said) - SHINGLE + 1)
    )


def likeness(one: Shingles, other: Shingles) -> float:
    """Jaccard: what two sets share, of what they hold together."""
    together = len(one | other)
    return len(one & other) / together if together else 0.0


def _coefficients() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    generator = np.random.default_rng(0)  # fixed: the same file must get the same report
    count = BANDS * BAND_ROWS
    return (
        generator.integers(1, int(_PRIME), count, dtype=np.uint64),
        generator.integers(0, int(_PRIME), count, dtype=np.uint64),
    )


_SCALE, _SHIFT = _coefficients()


def bands(held: Shingles) -> list[bytes]:
    """The signature's bands: texts that share one are candidates."""
    value_S = np.fromiter(held, dtype=np.uint64, count=len(held)) % _PRIME
    least = np.full(len(_SCALE), _PRIME, dtype=np.uint64)
    for start in range(0, len(value_S), 4096):  # a book has a hundred thousand shingles
        part = value_S[start : start + 4096]
        hashed = (_SCALE[:, None] * part[None, :] + _SHIFT[:, None]) % _PRIME
        least = np.minimum(least, hashed.min(axis=1))
    return [least[at : at + BAND_ROWS].tobytes() for at in range(0, len(least), BAND_ROWS)]


class Index:
    """Texts to find near duplicates among."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.held: list[Shingles] = []
        self._buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)

    def nearest(self, said: Shingles) -> tuple[int, float] | None:
        """The most alike text so far, by its number, where one reaches the threshold."""
        found = {member for key in enumerate(bands(said)) for member in self._buckets.get(key, ())} if said else set()
        scored = [(likeness(said, self.held[member]), -member) for member in found]
        score, member = max(scored, default=(0.0, 0))
        return (-member, score) if score >= self.threshold else None

    def add(self, said: Shingles) -> None:
        number = len(self.held)
        self.held.append(said)
        if said:
            for key in enumerate(bands(said)):
                self._buckets[key].append(number)


def near_duplicates(texts: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    """(text, an earlier text that it is like, how much), for each text that has one."""
    index = Index(threshold)
    originals: list[int] = []
    found = []
    for number, text in enumerate(texts):
        said = shingles(text)
        near = index.nearest(said)
        if near is not None:
            found.append((number, originals[near[0]], near[1]))
        else:  # copies are found by their original; indexed too, a thousand copies would meet a thousand each
            index.add(said)
            originals.append(number)
    return found
