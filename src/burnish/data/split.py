"""Hold rows out by their prompt, so that nothing that was asked in training is asked again in the test.

Two rows belong together where they ask the same: by default the same first user turn (HH's dialogues on one opening
share it), or the same value of a field (`tree` in OASST, `book` in the storybooks). Which side a prompt falls on comes
from its hash and the seed alone: it does not depend on the order of rows, and in other files the same prompt falls on
the same side.
"""

import hashlib
from collections.abc import Sequence

from burnish.errors import ConfigError, DataError
from burnish.types import Group

_SCALE = 1 << 64


def prompt_key(group: Group, by: str = "prompt") -> str:
    """What a row is split by: its first user turn, or the value of a field of the row."""
    if by != "prompt":
        if by not in group.extra:
            raise DataError(f"{group.origin}: no field {by} to split by; found {', '.join(group.extra) or 'no others'}")
        return str(group.extra[by])
    if isinstance(group.prompt, str):
        said = group.prompt or (group.answers[0].text if group.answers else "")
    else:
        said = next((turn.content for turn in group.prompt if turn.role == "user"), "")
    return " ".join(said.split())


def position(key: str, seed: int = 0) -> float:
    """Where a prompt falls between 0 and 1: uniform over prompts, fixed for each."""
    digest = hashlib.blake2b(f"{seed}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _SCALE


def split_by_prompt(
    groups: Sequence[Group], held_out: float | int, *, by: str = "prompt", seed: int = 0
) -> tuple[list[Group], list[Group]]:
    """(training, held out). `held_out` below 1 is a share of the prompts, from 1 on the number of rows at least.

    A number takes whole prompts until it is reached, so it can be passed by the rows of the last one. 0 holds nothing
    out. Raises DataError where nothing would be left to train on.
    """
    if not 0 <= held_out < float("inf"):
        raise ConfigError(f"held_out: {held_out}: choose a share below 1, or a number of rows")
    if held_out == 0 or not groups:
        return list(groups), []
    keys = [prompt_key(group, by) for group in groups]
    places = {key: position(key, seed) for key in set(keys)}
    if held_out < 1:
        taken = {key for key, place in places.items() if place < held_out}
        taken = taken or {min(places, key=lambda key: places[key])}
    else:
        taken = _first(keys, places, int(held_out))
    if len(taken) == len(places):
        raise DataError(
            f"all {len(groups)} rows would be held out: they ask {len(places)} different things; hold out fewer"
        )
    train = [group for group, key in zip(groups, keys, strict=True) if key not in taken]
    held = [group for group, key in zip(groups, keys, strict=True) if key in taken]
    return train, held


def _first(keys: Sequence[str], places: dict[str, float], rows: int) -> set[str]:
    """The prompts of the lowest places that hold so many rows together."""
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    taken: set[str] = set()
    held = 0
    for key in sorted(places, key=lambda key: (places[key], key)):
        if held >= rows:
            break
        taken.add(key)
        held += counts[key]
    return taken
