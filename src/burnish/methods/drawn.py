"""Answers that were drawn for an iteration, prompt after prompt, with what they scored."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose

from torch import Tensor

from burnish.batch.pack import Key
from burnish.batch.trees import tree_of
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.penalties import taken_off
from burnish.training.metrics import Figures
from burnish.types import Rollout, Tree

SAME = 1e-6  # between scores of one text, read in two batches in float32


@dataclass(frozen=True)
class Drawn:
    """Rollouts, prompt after prompt, with what they scored."""

    rollouts: list[Rollout]
    scores: dict[Key, Tensor]
    figures: Figures

    def alike(self, config: OnPolicyConfig) -> list[int]:
        """The prompts whose answers all get one reward but for rounding: among them none is better."""
        seen: dict[int, list[float]] = {}
        for r, taken in zip(self.rollouts, taken_off(self.rollouts, config).tolist(), strict=True):
            seen.setdefault(r.prompt, []).append(self.scores[r.prompt, r.sample].item() - taken)
        return [prompt for prompt, scores in seen.items() if isclose(min(scores), max(scores), abs_tol=SAME)]

    def exchanged(self, prompts: Sequence[int], again: "Drawn") -> "Drawn":
        """With the answers to `prompts` in place of those that were here; `again` numbers these from 0."""
        others = self.without(prompts)
        moved = [replace(rollout, prompt=prompts[rollout.prompt]) for rollout in again.rollouts]
        rollouts = sorted(others.rollouts + moved, key=lambda r: (r.prompt, r.sample))
        scores = others.scores | {(prompts[k], n): score for (k, n), score in again.scores.items()}
        return replace(self, rollouts=rollouts, scores=scores)

    def without(self, prompts: Sequence[int]) -> "Drawn":
        kept = {key: score for key, score in self.scores.items() if key[0] not in prompts}
        return replace(self, rollouts=[r for r in self.rollouts if r.prompt not in prompts], scores=kept)


def trees_of(prompts: Sequence[Tree], rollouts: Sequence[Rollout]) -> list[Tree]:
    """The prompts that have answers, with these as branches, numbered as they were asked."""
    by_prompt: list[list[Rollout]] = [[] for _ in prompts]
    for rollout in rollouts:
        by_prompt[rollout.prompt].append(rollout)
    return [
        tree_of(tree.prompt, answers, group=index, origin=tree.origin)
        for index, (tree, answers) in enumerate(zip(prompts, by_prompt, strict=True))
        if answers
    ]
