"""Sampling through transformers' own cache, for models in which packing is not exact.

Prompts of equal length are computed together, so that no padding exists at all, which models with recurrent state need.
The prompt's cache is repeated for its answers, and an answer that ends leaves the batch.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from burnish.models.model import Policy
from burnish.rollout.draw import StopStrings, draw, likeliest, next_logits, uniforms
from burnish.rollout.settings import Sampling
from burnish.training.order import derived_seed
from burnish.types import Rollout


def sample_padded(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    n: int,
    settings: Sampling,
    ends: Sequence[int],
    seed: int,
    slots: int,
) -> list[Rollout]:
    """`n` answers to each prompt, at most `slots` side by side."""
    by_length: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(index)
    done: dict[tuple[int, int], Rollout] = {}
    together = max(1, slots // n)
    for _, equal in sorted(by_length.items()):
        for start in range(0, len(equal), together):
            part = equal[start : start + together]
            hidden_GD, cache = _compute_prompts(policy, [prompts[i] for i in part])
            wanted = [(g, i, k) for g, i in enumerate(part) for k in range(n)]
            for first in range(0, len(wanted), slots):
                some = wanted[first : first + slots]
                row_S = torch.tensor([g for g, _, _ in some], device=policy.device)
                own = copy.deepcopy(cache) if first + slots < len(wanted) else cache
                own.reorder_cache(row_S)
                answers = _Answers([(i, k) for _, i, k in some], prompts, settings, ends, seed, policy)
                done.update(answers.run(hidden_GD[row_S], own))
    return [done[i, k] for i in range(len(prompts)) for k in range(n)]


def _compute_prompts(policy: Policy, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
    token_GP = torch.tensor([list(prompt) for prompt in prompts], device=policy.device)
    out = policy.model.base_model(input_ids=token_GP, use_cache=True)
    return out.last_hidden_state[:, -1], out.cache


class _Answers:
    """Answers to prompts of equal length, a token a step."""

    def __init__(
        self,
        which: Sequence[tuple[int, int]],
        prompts: Sequence[Sequence[int]],
        settings: Sampling,
        ends: Sequence[int],
        seed: int,
        policy: Policy,
    ) -> None:
        self.which = list(which)
        self.policy = policy
        self.settings = settings
        self.ends = torch.tensor(ends, dtype=torch.int64, device=policy.device)
        self.seeds = [derived_seed(seed, i, k) for i, k in which]
        self.uniform_ST = torch.stack([uniforms(s, settings.max_new_tokens) for s in self.seeds]).to(policy.device)
        self.tokens: list[list[int]] = [[] for _ in which]
        self.logprobs: list[list[float]] = [[] for _ in which]
        self.live = list(range(len(which)))
        self.stop = StopStrings(settings.stop, policy.tokenizer) if settings.stop else None
        self.seen_SV: Tensor | None = None
        if settings.repetition_penalty != 1.0:
            vocabulary = policy.head.weight_VD.shape[0]
            self.seen_SV = torch.zeros(len(self.which), vocabulary, dtype=torch.bool, device=policy.device)
            for row, (i, _) in enumerate(which):
                self.seen_SV[row, torch.tensor(list(prompts[i]), device=policy.device)] = True

    def run(self, hidden_SD: Tensor, cache: Any) -> dict[tuple[int, int], Rollout]:
        done: dict[tuple[int, int], Rollout] = {}
        for step in range(self.settings.max_new_tokens):
            token_S = self.draw(hidden_SD, step)
            over = self.over(token_S, step)
            for row in over:
                answer = self.live[row]
                done[self.which[answer]] = Rollout(
                    prompt=self.which[answer][0],
                    sample=self.which[answer][1],
                    tokens=tuple(self.tokens[answer]),
                    logprobs=tuple(self.logprobs[answer]),
                    finished=bool((self.ends == token_S[row]).any()),
                    seed=self.seeds[answer],
                )
            kept = [row for row in range(len(self.live)) if row not in over]
            if not kept:
                break
            if over:
                kept_S = torch.tensor(kept, device=self.policy.device)
                cache.reorder_cache(kept_S)
                token_S = token_S[kept_S]
                self.live = [self.live[row] for row in kept]
                self.seen_SV = None if self.seen_SV is None else self.seen_SV[kept_S]
            out = self.policy.model.base_model(input_ids=token_S[:, None], cache=cache, use_cache=True)
            hidden_SD, cache = out.last_hidden_state[:, -1], out.cache
        return done

    def draw(self, hidden_SD: Tensor, step: int) -> Tensor:
        step_S = torch.full((len(self.live),), step, device=self.policy.device)
        logits_SV = next_logits(self.policy.head, hidden_SD, step_S, self.settings, self.ends, self.seen_SV)
        if self.settings.greedy:
            token_S, logprob_S = likeliest(logits_SV)
        else:
            token_S, logprob_S = draw(logits_SV, self.uniform_ST[self.live, step])
        if self.seen_SV is not None:
            self.seen_SV[torch.arange(len(token_S)), token_S] = True
        for answer, token, logprob in zip(self.live, token_S.tolist(), logprob_S.tolist(), strict=True):
            self.tokens[answer].append(token)
            self.logprobs[answer].append(logprob)
        return token_S

    def over(self, token_S: Tensor, step: int) -> set[int]:
        if step + 1 == self.settings.max_new_tokens:
            return set(range(len(self.live)))
        over = set(torch.isin(token_S, self.ends).nonzero().squeeze(1).tolist())
        if self.stop is not None:
            over.update(self.stop.written([self.tokens[answer] for answer in self.live]))
        return over
