"""Scores of one scale: mean 0 and deviation 1 within a prompt, so that β means the same from run to run."""

from collections.abc import Mapping

import torch
from torch import Tensor

from burnish.batch.pack import Key
from burnish.errors import ConfigError
from burnish.methods.mismatched import is_mismatched
from burnish.models.model import Scorer


@torch.no_grad()
def normalise(scorer: Scorer, table: Mapping[Key, Tensor]) -> None:
    """Bring scores to mean 0 and pooled within-prompt deviation 1 on the answers of `table`.

    The head is divided by the deviation; what transformers' own forward then gives, less `score_mean` of the config, is
    our score. Probabilities of a pair use the gap times `score_deviation`, which is the scale that the loss learned.
    """
    groups: dict[int, list[Tensor]] = {}
    for (group, answer), score in table.items():
        if not is_mismatched(answer):
            groups.setdefault(group, []).append(score)
    scores = [torch.cat(values).double() for values in groups.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in scores)
    deviation = (sum(((v - v.mean()) ** 2).sum().item() for v in scores) / freedom) ** 0.5 if freedom else 0.0
    if deviation < 1e-8:
        raise ConfigError(
            "the reward model gives every answer to a prompt the same score: it learned nothing. Usual causes: too few "
            "steps, a learning rate that is too small, answers that are all alike."
        )
    for parameter in scorer.score_head.parameters():
        parameter.div_(deviation)
    scorer.model.config.score_mean = torch.cat(scores).mean().item() / deviation
    scorer.model.config.score_deviation = deviation
