"""The local engine: samples from a policy in this process.

A prompt is computed once for all its answers. Answers are written side by side, a token a step, in `slots`; where one
ends, the next one begins in the same step. Which answer is computed when, and beside which, depends on prompts,
settings, seed and slots alone, so a run repeats itself bit by bit.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.batch.pack import pack
from burnish.errors import ConfigError
from burnish.models.attention import TREE_ATTENTION, TreeLayout
from burnish.models.model import Policy
from burnish.rollout.cache import ROLLOUT_ATTENTION, Cache, DecodePass, Neighbours, PromptPass
from burnish.rollout.draw import StopStrings, draw, likeliest, next_logits, uniforms
from burnish.rollout.padded import sample_padded
from burnish.rollout.settings import Sampling
from burnish.training.identity import weights_hash
from burnish.training.order import derived_seed
from burnish.types import Rollout, Tree


class LocalEngine:
    """Samples from `policy`, whose weights may change between calls.

    `slots`: answers that are written side by side; `prompt_tokens`: prompts that are computed in one pass.
    """

    def __init__(self, policy: Policy, *, slots: int = 64, prompt_tokens: int = 2048) -> None:
        self.policy = policy
        self.slots = slots
        self.prompt_tokens = prompt_tokens

    @property
    def weights_version(self) -> str:
        """sha256 of all weights."""
        return weights_hash(self.policy)

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[Sequence[int]], n: int, settings: Sampling, *, end_tokens: Sequence[int], seed: int
    ) -> list[Rollout]:
        """`n` answers to each prompt, those of one prompt together; see `Engine`.

        Raises ConfigError where an answer could grow beyond the positions that the model has.
        """
        check_room(self.policy, prompts, settings)
        if not prompts or n < 1:
            return []
        ends = sorted(set(end_tokens))
        with _sampling(self.policy):
            if not self.policy.packed:
                return sample_padded(self.policy, prompts, n, settings, ends, seed, self.slots)
            return _Sampler(self, prompts, n, settings, ends, seed).run()


def check_room(policy: Policy, prompts: Sequence[Sequence[int]], settings: Sampling) -> None:
    """Raise where a prompt is empty, or with its answer exceeds the model's positions."""
    limit = getattr(policy.model.config.get_text_config(), "max_position_embeddings", None)
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {index} has no tokens: nothing predicts its answer's first one")
        if limit and len(prompt) + settings.max_new_tokens > limit:
            raise ConfigError(
                f"prompt {index + 1} has {len(prompt)} tokens and its answer may have {settings.max_new_tokens}: more "
                f"than the model's {limit} positions. Lower max_new_tokens, or max_length so that prompts are cut."
            )


@contextmanager
def _sampling(policy: Policy) -> Iterator[None]:
    training = policy.model.training
    policy.model.eval()
    if policy.packed:
        policy.model.set_attn_implementation(ROLLOUT_ATTENTION)
    try:
        yield
    finally:
        if policy.packed:
            policy.model.set_attn_implementation(TREE_ATTENTION)
        policy.model.train(training)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A prompt that is computed and has no row yet: tokens [start, stop) of a prompt pass, and its last hidden state."""

    kept: dict[torch.nn.Module, tuple[Tensor, Tensor]]
    start: int
    stop: int
    hidden_D: Tensor


class _Sampler:
    """One call of `sample`. Slots [0, live) hold answers, rows [0, len(prompt_of_row)) their prompts."""

    def __init__(
        self,
        engine: LocalEngine,
        prompts: Sequence[Sequence[int]],
        n: int,
        settings: Sampling,
        ends: Sequence[int],
        seed: int,
    ) -> None:
        self.policy = engine.policy
        self.prompts = prompts
        self.n = n
        self.settings = settings
        self.seed = seed
        self.prompt_tokens = engine.prompt_tokens
        device = engine.policy.device
        self.head = engine.policy.head
        vocabulary = self.head.weight_VD.shape[0]
        self.ends = torch.tensor(ends, dtype=torch.int64, device=device)
        self.is_end_V = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self.is_end_V[self.ends] = True
        # prompts of like length lie side by side, so little is computed for the places that the shorter ones lack
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
        self.to_compute = deque(order)
        self.to_sample = deque((i, k) for i in order for k in range(n))
        slots = min(engine.slots, len(self.to_sample))
        self.slots = slots
        rows = min(slots, slots // n + 2)
        self.cache = Cache(slots, rows, max(map(len, prompts)), settings.max_new_tokens)
        self.waiting: dict[int, _Waiting] = {}
        self.prompt_of_row: list[int] = []
        self.sample_of_slot: list[tuple[int, int]] = []
        self.row_of_slot: list[int] = []
        self.neighbours: Neighbours | None = None
        length = settings.max_new_tokens
        self.hidden_SD = torch.empty(
            slots, self.head.weight_VD.shape[1], dtype=engine.policy.model.dtype, device=device
        )
        self.step_S = torch.zeros(slots, dtype=torch.int64, device=device)
        self.prompt_size_S = torch.zeros(slots, dtype=torch.int64, device=device)
        self.token_ST = torch.zeros(slots, length, dtype=torch.int64, device=device)
        self.logprob_ST = torch.zeros(slots, length, dtype=torch.float64, device=device)
        self.uniform_ST = torch.zeros(slots, length, dtype=torch.float64, device=device)
        penalty = settings.repetition_penalty != 1.0
        self.seen_SV = torch.zeros(slots, vocabulary, dtype=torch.bool, device=device) if penalty else None
        self.stop = StopStrings(settings.stop, engine.policy.tokenizer) if settings.stop else None
        self.done: dict[tuple[int, int], Rollout] = {}

    @property
    def live(self) -> int:
        return len(self.sample_of_slot)

    def run(self) -> list[Rollout]:
        while self.to_sample or self.live:
            self.admit()
            self.draw()
            self.retire()
            if self.live:
                self.decode()
        return [self.done[i, k] for i in range(len(self.prompts)) for k in range(self.n)]

    def admit(self) -> None:
        """Fill free slots: an answer's first token is drawn from what its prompt's last token says."""
        first = self.live
        while self.to_sample and self.live < self.slots:
            prompt, k = self.to_sample.popleft()
            slot = self.live
            if prompt not in self.waiting:
                self.compute_prompts()
            waiting = self.waiting[prompt]
            if k == 0:
                self.cache.put_prompt(len(self.prompt_of_row), waiting.kept, waiting.start, waiting.stop)
                self.prompt_of_row.append(prompt)
            self.sample_of_slot.append((prompt, k))
            self.row_of_slot.append(self.prompt_of_row.index(prompt))
            self.hidden_SD[slot] = waiting.hidden_D
            self.uniform_ST[slot] = uniforms(self.own_seed(prompt, k), self.settings.max_new_tokens)
            self.prompt_size_S[slot] = len(self.prompts[prompt])
            if self.seen_SV is not None:
                self.seen_SV[slot] = False
                self.seen_SV[slot, torch.tensor(self.prompts[prompt], device=self.seen_SV.device)] = True
            if k == self.n - 1:
                del self.waiting[prompt]
        if self.live > first:
            self.step_S[first : self.live] = 0
            self.neighbours = None

    def own_seed(self, prompt: int, k: int) -> int:
        return derived_seed(self.seed, prompt, k)

    def compute_prompts(self) -> None:
        """One pass over the next prompts, packed."""
        batch: list[int] = []
        room = self.prompt_tokens
        while self.to_compute and (not batch or len(self.prompts[self.to_compute[0]]) <= room):
            batch.append(self.to_compute.popleft())
            room -= len(self.prompts[batch[-1]])
        packed = pack([Tree(tuple(self.prompts[i]), ()) for i in batch]).to(self.policy.device)
        pass_ = PromptPass(TreeLayout(packed.spans, self.policy.device), {})
        out = self.policy.model.base_model(
            input_ids=packed.token_T[None], position_ids=packed.position_T[None], use_cache=False, rollout=pass_
        )
        for i, span in zip(batch, packed.spans, strict=True):
            start, stop = span.prompt
            self.waiting[i] = _Waiting(pass_.kept, start, stop, out.last_hidden_state[0, stop - 1])

    def draw(self) -> None:
        """Draw the next token of every answer."""
        live = self.live
        step_S = self.step_S[:live]
        seen_SV = None if self.seen_SV is None else self.seen_SV[:live]
        logits_SV = next_logits(self.head, self.hidden_SD[:live], step_S, self.settings, self.ends, seen_SV)
        slot_S = torch.arange(live, device=step_S.device)
        if self.settings.greedy:
            token_S, logprob_S = likeliest(logits_SV)
        else:
            token_S, logprob_S = draw(logits_SV, self.uniform_ST[slot_S, step_S])
        self.token_ST[slot_S, step_S] = token_S
        self.logprob_ST[slot_S, step_S] = logprob_S
        if seen_SV is not None:
            seen_SV[slot_S, token_S] = True
        step_S += 1

    def retire(self) -> None:
        """Take out the answers that have ended; the last slots move to where they were."""
        live = self.live
        step_S = self.step_S[:live]
        last_S = self.token_ST[torch.arange(live, device=step_S.device), step_S - 1]
        finished_S = self.is_end_V[last_S]
        over_S = finished_S | (step_S >= self.settings.max_new_tokens)
        if self.stop is not None:
            written = self.stop.written([self.token_ST[s, : self.step_S[s]].tolist() for s in range(live)])
            over_S[written] = True
        gone = over_S.nonzero().squeeze(1).tolist()
        if not gone:
            return
        for slot in gone:
            prompt, k = self.sample_of_slot[slot]
            size = int(step_S[slot])
            self.done[prompt, k] = Rollout(
                prompt=prompt,
                sample=k,
                tokens=tuple(self.token_ST[slot, :size].tolist()),
                logprobs=tuple(self.logprob_ST[slot, :size].tolist()),
                finished=bool(finished_S[slot]),
                seed=self.own_seed(prompt, k),
            )
        self.close_slots(gone)
        self.close_rows()
        self.neighbours = None

    def close_slots(self, gone: Sequence[int]) -> None:
        left = self.live - len(gone)
        target = [slot for slot in gone if slot < left]
        source = [slot for slot in range(left, self.live) if slot not in set(gone)]
        if source:
            s, t = torch.tensor(source), torch.tensor(target)
            length = int(self.step_S[s].max()) - 1  # the newest token has no key yet
            if length:
                self.cache.move_slots(source, target, length)
            for table in (self.step_S, self.prompt_size_S, self.token_ST, self.logprob_ST, self.uniform_ST):
                table[t] = table[s]
            if self.seen_SV is not None:
                self.seen_SV[t] = self.seen_SV[s]
            for s_, t_ in zip(source, target, strict=True):
                self.sample_of_slot[t_] = self.sample_of_slot[s_]
                self.row_of_slot[t_] = self.row_of_slot[s_]
        del self.sample_of_slot[left:], self.row_of_slot[left:]

    def close_rows(self) -> None:
        """Free the rows of prompts that no live or waiting answer reads."""
        used = set(self.row_of_slot)
        used.update(row for row, prompt in enumerate(self.prompt_of_row) if prompt in self.waiting)
        gone = [row for row in range(len(self.prompt_of_row)) if row not in used]
        if not gone:
            return
        left = len(used)
        target = [row for row in gone if row < left]
        source = [row for row in range(left, len(self.prompt_of_row)) if row in used]
        if source:
            self.cache.move_rows(source, target)
            moved = dict(zip(source, target, strict=True))
            for s, t in moved.items():
                self.prompt_of_row[t] = self.prompt_of_row[s]
            self.row_of_slot = [moved.get(row, row) for row in self.row_of_slot]
        del self.prompt_of_row[left:]

    def decode(self) -> None:
        """Compute the newest token of every answer."""
        live = self.live
        if self.neighbours is None:
            self.neighbours = Neighbours(self.row_of_slot, self.policy.device)
        step_S = self.step_S[:live] - 1
        length = int(step_S.max()) + 1
        self.cache.make_room(length)
        longest = max(len(self.prompts[i]) for i in self.prompt_of_row)
        pass_ = DecodePass(self.cache, self.neighbours, self.prompt_size_S[:live], step_S, longest, length)
        token_S = self.token_ST[torch.arange(live, device=step_S.device), step_S]
        out = self.policy.model.base_model(
            input_ids=token_S[None], position_ids=pass_.position_S[None], use_cache=False, rollout=pass_
        )
        self.hidden_SD[:live] = out.last_hidden_state[0]
