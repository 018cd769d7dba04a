"""Who judges: what stands behind `by:` becomes a function of prompts and answers."""

from collections.abc import Callable, Sequence
from typing import Any

from burnish.errors import ConfigError
from burnish.rewards.judges import shipped
from burnish.types import Prompt

TextReward = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]


def text_reward(by: Any) -> TextReward:
    """The function behind `judges:NAME`. Raises ConfigError for anything else."""
    if isinstance(by, str) and by.startswith("judges:"):
        return shipped(by.removeprefix("judges:"))
    raise ConfigError(f"by: {by}: neither a reward model's folder nor a judge; give one of them")
