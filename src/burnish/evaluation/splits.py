"""Which part of a demo's data a text belongs to, decided by the text alone, before anything is trained; and which few
of many are looked at, decided by their places."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Literal

Part = Literal["train", "prompts", "judge_a", "judge_b", "heldout"]

SHARES: dict[Part, float] = {"train": 0.34, "judge_a": 0.20, "judge_b": 0.36, "heldout": 0.10}
"""Pretraining and SFT; judge A, who ranks; judge B, who gives the verdict; prompts and labels to measure on."""

VERSE_SHARES: dict[Part, float] = {"train": 0.54, "prompts": 0.09, "judge_a": 0.10, "judge_b": 0.18, "heldout": 0.09}
"""The same of the Chinese demo's poems; prompts to sample from have poems of their own."""


def demo_split(text: str, shares: Mapping[Part, float] = SHARES) -> Part:
    """The part of a text. Case, spacing and punctuation do not count: spellings of one sentence stay together."""
    at = share(text, "split")
    for part, size in shares.items():
        at -= size
        if at < 0:
            return part
    return "heldout"


def evenly(count: int, wanted: int) -> list[int]:
    """`wanted` places in 0..count-1, evenly spaced; all of them where there are fewer."""
    return [index * count // wanted for index in range(wanted)] if count > wanted else list(range(count))


def share(text: str, purpose: str) -> float:
    """A number in [0, 1), uniform over texts and independent over purposes, from BLAKE2b of the text's letters."""
    letters = "".join(character for character in text.casefold() if character.isalnum())
    digest = blake2b(f"{purpose}\n{letters}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
