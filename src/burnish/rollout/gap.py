"""Do the sampler and the training pass agree on what was sampled?"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from burnish.batch.pack import Key
from burnish.batch.trees import tree_of
from burnish.models.model import Policy
from burnish.rollout.settings import Sampling
from burnish.types import Rollout


def sampler_gap(rollouts: Sequence[Rollout], training: Mapping[Key, Tensor]) -> tuple[float, float]:
    """Largest and mean |log p of the sampler − log p of the training pass| over all tokens, in nats.

    `training` is a table from (prompt, sample) to the log-probabilities of its tokens.
    """
    gaps = [
        abs(sampled - trained)
        for rollout in rollouts
        for sampled, trained in zip(rollout.logprobs, training[rollout.prompt, rollout.sample].tolist(), strict=True)
    ]
    return max(gaps), sum(gaps) / len(gaps)


def training_logprobs(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    rollouts: Sequence[Rollout],
    settings: Sampling,
    *,
    end_tokens: Sequence[int],
    budget: int = 2048,
) -> dict[Key, Tensor]:
    """The training pass over finished rollouts, with the temperature and minimum length that they were sampled with."""
    answers: list[list[Rollout]] = [[] for _ in prompts]
    for rollout in sorted(rollouts, key=lambda r: (r.prompt, r.sample)):
        answers[rollout.prompt].append(rollout)
    trees = [tree_of(prompts[i], own, group=i) for i, own in enumerate(answers) if own]
    return policy.frozen_logprobs(
        trees,
        budget,
        temperature=settings.temperature or 1.0,
        min_new_tokens=settings.min_new_tokens,
        end_tokens=sorted(end_tokens),
    )
