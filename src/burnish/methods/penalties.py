"""What is taken from an answer's score for how long it is and how it ends.

Beside `by` and not in it: whoever judges reads text, and these know tokens, the length at which answers are cut, and
whether one came to its end. They are taken off after scores are normalised and clipped, in the unit of those.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from burnish.batch.pack import Key
from burnish.methods.on_policy_settings import OwnAnswersConfig
from burnish.objectives.length import overlong
from burnish.training.metrics import Figures
from burnish.types import Rollout


def penalties(rollouts: Sequence[Rollout], config: OwnAnswersConfig) -> dict[str, Tensor]:
    """By name, what each answer loses, (N,) in float64, from 0 up; only those that are set."""
    length_N = torch.tensor([len(rollout.tokens) for rollout in rollouts], dtype=torch.float64)
    taken: dict[str, Tensor] = {}
    if config.unfinished_penalty:
        unfinished = [not rollout.finished for rollout in rollouts]
        taken["unfinished"] = config.unfinished_penalty * torch.tensor(unfinished, dtype=torch.float64)
    if config.length.price:
        taken["length"] = config.length.price * length_N
    if config.length.overlong:
        longest = config.sampling.max_new_tokens
        taken["overlong"] = -config.length.penalty * overlong(length_N, longest=longest, buffer=config.length.overlong)
    return taken


def taken_off(rollouts: Sequence[Rollout], config: OwnAnswersConfig) -> Tensor:
    """All of it, (N,) in float64."""
    return sum(penalties(rollouts, config).values(), start=torch.zeros(len(rollouts), dtype=torch.float64))


def by_answer(rollouts: Sequence[Rollout], value_N: Tensor) -> dict[Key, Tensor]:
    """A value an answer as a table."""
    return {(r.prompt, r.sample): value for r, value in zip(rollouts, value_N.split(1), strict=True)}


def told_of_lengths(rollouts: Sequence[Rollout], config: OwnAnswersConfig) -> Figures:
    """As figures, beside the parts of `by`: what lengths add to the mean reward, which is 0 or less."""
    taken = penalties(rollouts, config)
    return {f"reward/{name}": -taken[name].mean().item() for name in ("length", "overlong") if name in taken}
