"""Sampling through transformers' own cache, for models in which packing is not exact.

Prompts of equal length are computed together, so that no padding exists at all, which models with recurrent state need.
The prompt's cache is repeated for its answers, and an answer that ends leaves the batch. A model that hands no cache
out (RecurrentGemma keeps its state to itself) computes every answer from its beginning at each step.
"""

import copy
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch
from torch import Tensor

from burnish.models.model import Policy
from burnish.rollout.draw import Drawing, Drawn, OwnSeed, StopStrings, uniforms
from burnish.types import Rollout

Which = tuple[int, int]
"""Prompt and sample."""


def padded_steps(
    policy: Policy, prompts: Sequence[Sequence[int]], n: int, drawing: Drawing, own_seed: OwnSeed, slots: int
) -> Generator[Callable[[], list[Drawn]], None, list[Rollout]]:
    """`n` answers to each prompt, at most `slots` side by side. Each step hands out how to learn what was drawn."""
    by_length: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(index)
    done: dict[Which, Rollout] = {}
    together = max(1, slots // n)
    for _, equal in sorted(by_length.items()):
        for start in range(0, len(equal), together):
            part = equal[start : start + together]
            token_GP = torch.tensor([list(prompts[i]) for i in part], device=policy.device)
            out = policy.trunk(input_ids=token_GP, use_cache=True)
            kept = getattr(out, "cache", None)
            wanted = [(g, k) for g in range(len(part)) for k in range(n)]
            for first in range(0, len(wanted), slots):
                some = wanted[first : first + slots]
                row_S = torch.tensor([g for g, _ in some], device=policy.device)
                cache = kept if first + slots >= len(wanted) else copy.deepcopy(kept)
                if cache is not None:
                    cache.reorder_cache(row_S)
                answers = _Answers([(part[g], k) for g, k in some], token_GP[row_S], policy, drawing, own_seed)
                done.update((yield from answers.steps(out.last_hidden_state[row_S, -1], cache)))
    return [done[i, k] for i in range(len(prompts)) for k in range(n)]


class _Answers:
    """Answers to prompts of equal length, written in step. Rows [0, len(live)) of a pass are the live answers'."""

    def __init__(
        self, which: Sequence[Which], prompt_SP: Tensor, policy: Policy, drawing: Drawing, own_seed: OwnSeed
    ) -> None:
        self.which = which
        self.written_SP = prompt_SP
        self.policy = policy
        self.drawing = drawing
        self.length = drawing.settings.max_new_tokens
        self.seeds = [own_seed(i, k) for i, k in which]
        self.uniform_ST = torch.stack([uniforms(s, self.length) for s in self.seeds]).to(drawing.device)
        self.tokens: list[list[int]] = [[] for _ in which]
        self.logprobs: list[list[float]] = [[] for _ in which]
        self.live = list(range(len(which)))
        stop = drawing.settings.stop
        self.stop = StopStrings(stop, policy.tokenizer) if stop else None
        self.seen_SV: Tensor | None = None
        if drawing.settings.repetition_penalty != 1.0:
            seen_SV = torch.zeros(len(which), len(drawing.is_end_V), dtype=torch.bool, device=drawing.device)
            self.seen_SV = seen_SV.scatter_(1, prompt_SP.to(drawing.device), True)

    def steps(self, hidden_SD: Tensor, cache: Any) -> Generator[Callable[[], list[Drawn]], None, dict[Which, Rollout]]:
        done: dict[Which, Rollout] = {}
        for step in range(self.length):
            token_S = self.draw(hidden_SD, step)
            yield self.drawn
            finished_S = self.drawing.ends(token_S)
            over = self.over(finished_S, step)
            for row in over:
                rollout = self.rollout(self.live[row], bool(finished_S[row]))
                done[rollout.prompt, rollout.sample] = rollout
            kept = [row for row in range(len(self.live)) if row not in over]
            if not kept:
                break
            self.written_SP = torch.cat((self.written_SP, token_S[:, None].to(self.policy.device)), 1)
            if over:
                self.keep(kept, cache)
            hidden_SD, cache = self.compute(cache)
        return done

    def keep(self, kept: list[int], cache: Any) -> None:
        kept_S = torch.tensor(kept, device=self.policy.device)
        self.written_SP = self.written_SP[kept_S]
        self.live = [self.live[row] for row in kept]
        self.seen_SV = None if self.seen_SV is None else self.seen_SV[kept]
        if cache is not None:
            cache.reorder_cache(kept_S)

    def compute(self, cache: Any) -> tuple[Tensor, Any]:
        if cache is None:
            out = self.policy.trunk(input_ids=self.written_SP, use_cache=False)
            return out.last_hidden_state[:, -1], None
        out = self.policy.trunk(input_ids=self.written_SP[:, -1:], cache=cache, use_cache=True)
        return out.last_hidden_state[:, -1], out.cache

    def draw(self, hidden_SD: Tensor, step: int) -> Tensor:
        step_S = torch.full((len(self.live),), step, device=self.drawing.device)
        token_S, logprob_S = self.drawing.next(hidden_SD, step_S, self.uniform_ST[self.live, step], self.seen_SV)
        if self.seen_SV is not None:
            self.seen_SV.scatter_(1, token_S[:, None], True)
        for answer, token, logprob in zip(self.live, token_S.tolist(), logprob_S.tolist(), strict=True):
            self.tokens[answer].append(token)
            self.logprobs[answer].append(logprob)
        return token_S

    def drawn(self) -> list[Drawn]:
        return [Drawn(*self.which[answer], self.tokens[answer][-1]) for answer in self.live]

    def over(self, finished_S: Tensor, step: int) -> set[int]:
        """Rows whose answer has its last token."""
        if step + 1 == self.length:
            return set(range(len(self.live)))
        over = set(finished_S.nonzero().squeeze(1).tolist())
        if self.stop is not None:
            over.update(self.stop.written([self.tokens[answer] for answer in self.live]))
        return over

    def rollout(self, answer: int, finished: bool) -> Rollout:
        return Rollout(
            prompt=self.which[answer][0],
            sample=self.which[answer][1],
            tokens=tuple(self.tokens[answer]),
            logprobs=tuple(self.logprobs[answer]),
            finished=finished,
            seed=self.seeds[answer],
        )
