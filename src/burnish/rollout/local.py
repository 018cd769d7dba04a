"""The local engine: samples from a policy in this process.

A prompt is computed once for all its answers. Answers are written side by side, a token a step, in `slots`; where one
ends, the next one begins in the same step. Which answer is computed when, and beside which, depends on prompts,
settings, seed and slots alone, so a run repeats itself bit by bit.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.batch.pack import pack
from burnish.errors import ConfigError
from burnish.models.attention import TREE_ATTENTION, TreeLayout
from burnish.models.model import Policy
from burnish.rollout.cache import ROLLOUT_ATTENTION, Cache, DecodePass, Neighbours, PromptPass, moves
from burnish.rollout.draw import Drawing, Drawn, OwnSeed, StopStrings, uniforms
from burnish.rollout.padded import padded_steps
from burnish.rollout.prepacked import prepacked
from burnish.rollout.settings import Sampling
from burnish.training.identity import weights_hash
from burnish.training.order import derived_seed
from burnish.types import Rollout, Tree

CACHE_BYTES = 1 << 30
MOST_SLOTS = 512  # a tiny model's step costs as much in calls as in arithmetic up to here: 512 take 0.72 of 128's time


class LocalEngine:
    """Samples from `policy`, whose weights may change between calls.

    `slots`: answers that are written side by side, by default as many as `CACHE_BYTES` of keys and values hold;
    `prompt_tokens`: prompts that are computed in one pass.
    """

    def __init__(self, policy: Policy, *, slots: int | None = None, prompt_tokens: int = 2048) -> None:
        self.policy = policy
        self.slots = slots
        self.prompt_tokens = prompt_tokens

    @property
    def weights_version(self) -> str:
        """sha256 of all weights."""
        return weights_hash(self.policy)

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        n: int,
        settings: Sampling,
        *,
        end_tokens: Sequence[int],
        seed: int,
        first: int = 0,
    ) -> list[Rollout]:
        """`n` answers to each prompt, those of one prompt together; see `Engine`.

        `first`: the first prompt's number among more that are sampled part by part: its answers draw the random numbers
        that they would draw if all were sampled at once. Raises ConfigError where an answer could grow beyond the
        positions that the model has.
        """
        with closing(self._steps(prompts, n, settings, end_tokens, seed, first)) as steps:
            while True:
                try:
                    next(steps)
                except StopIteration as over:
                    rollouts: list[Rollout] = over.value
                    return rollouts

    @torch.inference_mode()
    def stream(
        self, prompts: Sequence[Sequence[int]], n: int, settings: Sampling, *, end_tokens: Sequence[int], seed: int
    ) -> Generator[list[Drawn], None, list[Rollout]]:
        """The same answers as `sample`, with the same random numbers, while they are written.

        Each step gives the tokens that were drawn in it; the generator returns the rollouts. Until it ends or is closed
        nothing else may compute with the policy, which is set up for sampling.
        """
        with closing(self._steps(prompts, n, settings, end_tokens, seed)) as steps:
            while True:
                try:
                    drawn = next(steps)
                except StopIteration as over:
                    rollouts: list[Rollout] = over.value
                    return rollouts
                yield drawn()

    def _steps(
        self,
        prompts: Sequence[Sequence[int]],
        n: int,
        settings: Sampling,
        end_tokens: Sequence[int],
        seed: int,
        first: int = 0,
    ) -> Generator[Callable[[], list[Drawn]], None, list[Rollout]]:
        """A step a token. What was drawn is told when it is asked for: to read it waits for the device."""
        check_room(self.policy, prompts, settings)
        if not prompts or n < 1:
            return []

        def own_seed(prompt: int, k: int) -> int:
            return derived_seed(seed, first + prompt, k)

        with _sampling(self.policy), prepacked(self.policy, n * len(prompts)) as head:
            drawing = Drawing.of(self.policy, head, settings, end_tokens)
            if not self.policy.packed:
                slots = self.slots_for(prompts, n, settings)
                return (yield from padded_steps(self.policy, prompts, n, drawing, own_seed, slots))
            return (yield from _Sampler(self, prompts, n, drawing, own_seed).steps())

    def slots_for(self, prompts: Sequence[Sequence[int]], n: int, settings: Sampling) -> int:
        """`slots`, or what `CACHE_BYTES` hold of the longest prompt, which `n` answers share, and a full answer."""
        if self.slots is not None:
            return self.slots
        tokens = settings.max_new_tokens + max(map(len, prompts)) / n
        return max(1, min(MOST_SLOTS, int(CACHE_BYTES / (token_bytes(self.policy) * tokens))))


def token_bytes(policy: Policy) -> int:
    """What a token's keys and values take in all layers."""
    text = policy.model.config.get_text_config()
    queries = getattr(text, "num_attention_heads", None) or 1  # a model without attention keeps some state too
    heads = getattr(text, "num_key_value_heads", None) or queries
    size = getattr(text, "head_dim", None) or text.hidden_size // queries
    return int(2 * text.num_hidden_layers * heads * size * policy.model.dtype.itemsize)


def positions(policy: Policy) -> int | None:
    """The longest prompt with its answer that the model can compute, in tokens; None where nothing bounds it."""
    limits = (getattr(policy.model.config.get_text_config(), "max_position_embeddings", None), policy.longest)
    return min((limit for limit in limits if limit), default=None)


def check_room(policy: Policy, prompts: Sequence[Sequence[int]], settings: Sampling) -> None:
    """Raise where a prompt is empty, or with its answer exceeds the model's positions."""
    limit = positions(policy)
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
    """A computed prompt whose answers have not all begun: tokens [start, stop) of a pass, and its last hidden state."""

    kept: dict[torch.nn.Module, tuple[Tensor, Tensor]]
    start: int
    stop: int
    hidden_D: Tensor


class _Slots:
    """What is known of the answers that are being written: S slots, T tokens at most, D hidden size, V vocabulary."""

    def __init__(self, policy: Policy, drawing: Drawing, slots: int) -> None:
        vocabulary, size = policy.head.weight_VD.shape
        length = drawing.settings.max_new_tokens
        device = drawing.device
        self.hidden_SD = torch.zeros(slots, size, dtype=policy.model.dtype, device=policy.device)
        self.step_S = torch.zeros(slots, dtype=torch.int64, device=device)
        self.prompt_size_S = torch.zeros(slots, dtype=torch.int64, device=device)
        self.token_ST = torch.zeros(slots, length, dtype=torch.int64, device=device)
        self.logprob_ST = torch.zeros(slots, length, dtype=torch.float64, device=device)
        self.uniform_ST = torch.zeros(slots, length, dtype=torch.float64, device=device)
        self.seen_SV: Tensor | None = None
        if drawing.settings.repetition_penalty != 1.0:
            self.seen_SV = torch.zeros(slots, vocabulary, dtype=torch.bool, device=device)

    def move(self, source: Sequence[int], target: Sequence[int]) -> None:
        s, t = torch.tensor(source), torch.tensor(target)
        tables = [self.step_S, self.prompt_size_S, self.token_ST, self.logprob_ST, self.uniform_ST]
        for table in tables if self.seen_SV is None else [*tables, self.seen_SV]:
            table[t] = table[s]


class _Sampler:
    """One call of `sample`. Slots [0, live) hold answers, rows [0, len(row_of_prompt)) their prompts."""

    def __init__(
        self, engine: LocalEngine, prompts: Sequence[Sequence[int]], n: int, drawing: Drawing, own_seed: OwnSeed
    ) -> None:
        self.policy = engine.policy
        self.prompts = prompts
        self.n = n
        self.drawing = drawing
        self.length = drawing.settings.max_new_tokens
        self.own_seed = own_seed
        self.prompt_tokens = engine.prompt_tokens
        # prompts of like length lie side by side, so little is computed for the places that the shorter ones lack
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
        self.to_compute = deque(order)
        self.to_sample = deque((i, k) for i in order for k in range(n))
        self.slots = min(engine.slots_for(prompts, n, drawing.settings), len(self.to_sample))
        self.cache = Cache(self.slots, min(self.slots, self.slots // n + 2), max(map(len, prompts)), self.length)
        self.state = _Slots(engine.policy, drawing, self.slots)
        self.waiting: dict[int, _Waiting] = {}
        self.row_of_prompt: dict[int, int] = {}
        self.sample_of_slot: list[tuple[int, int]] = []
        self.neighbours: Neighbours | None = None
        self.stop: StopStrings | None = None
        if drawing.settings.stop:
            self.stop = StopStrings(drawing.settings.stop, engine.policy.tokenizer)
        self.done: dict[tuple[int, int], Rollout] = {}

    @property
    def live(self) -> int:
        return len(self.sample_of_slot)

    def steps(self) -> Generator[Callable[[], list[Drawn]], None, list[Rollout]]:
        while self.to_sample or self.live:
            if self.to_sample and self.live < self.slots:
                self.admit()
            self.draw()
            yield self.drawn
            self.retire()
            if self.live:
                self.decode()
        return [self.done[i, k] for i in range(len(self.prompts)) for k in range(self.n)]

    def admit(self) -> None:
        """Fill free slots: an answer's first token is drawn from what its prompt's last token says."""
        first, state = self.live, self.state
        hidden = []
        while self.to_sample and self.live < self.slots:
            prompt, k = self.to_sample.popleft()
            if k == 0:
                if prompt not in self.waiting:
                    self.compute_prompts()
                waiting = self.waiting[prompt]
                row = self.row_of_prompt[prompt] = len(self.row_of_prompt)
                self.cache.put_prompt(row, waiting.kept, waiting.start, waiting.stop)
            hidden.append(self.waiting[prompt].hidden_D)
            self.sample_of_slot.append((prompt, k))
            if k == self.n - 1:
                del self.waiting[prompt]
        added = self.sample_of_slot[first:]
        slots = slice(first, self.live)
        state.hidden_SD[slots] = torch.stack(hidden)
        state.step_S[slots] = 0
        state.prompt_size_S[slots] = torch.tensor([len(self.prompts[i]) for i, _ in added])
        state.uniform_ST[slots] = torch.stack([uniforms(self.own_seed(i, k), self.length) for i, k in added])
        if state.seen_SV is not None:
            state.seen_SV[slots] = False
            for slot, (i, _) in enumerate(added, first):
                state.seen_SV[slot, torch.tensor(self.prompts[i], device=state.seen_SV.device)] = True
        self.neighbours = None

    def compute_prompts(self) -> None:
        """One pass over the next prompts, packed."""
        batch: list[int] = []
        room = self.prompt_tokens
        while self.to_compute and (not batch or len(self.prompts[self.to_compute[0]]) <= room):
            batch.append(self.to_compute.popleft())
            room -= len(self.prompts[batch[-1]])
        packed = pack([Tree(tuple(self.prompts[i]), ()) for i in batch]).to(self.policy.device)
        computed = PromptPass(TreeLayout(packed.spans, self.policy.device), {})
        out = self.policy.trunk(
            input_ids=packed.token_T[None], position_ids=packed.position_T[None], use_cache=False, rollout=computed
        )
        for i, span in zip(batch, packed.spans, strict=True):
            start, stop = span.prompt
            self.waiting[i] = _Waiting(computed.kept, start, stop, out.last_hidden_state[0, stop - 1])

    def draw(self) -> None:
        """Draw the next token of every answer."""
        live, state = self.live, self.state
        step_S = state.step_S[:live]
        slot_S = torch.arange(live, device=step_S.device)
        seen_SV = None if state.seen_SV is None else state.seen_SV[:live]
        token_S, logprob_S = self.drawing.next(
            state.hidden_SD[:live], step_S, state.uniform_ST[slot_S, step_S], seen_SV
        )
        state.token_ST[slot_S, step_S] = token_S
        state.logprob_ST[slot_S, step_S] = logprob_S
        if seen_SV is not None:
            seen_SV[slot_S, token_S] = True
        step_S += 1

    def drawn(self) -> list[Drawn]:
        """The newest token of every answer."""
        token_S = self.state.token_ST[
            torch.arange(self.live, device=self.drawing.device), self.state.step_S[: self.live] - 1
        ]
        return [Drawn(i, k, token) for (i, k), token in zip(self.sample_of_slot, token_S.tolist(), strict=True)]

    def retire(self) -> None:
        """Take out the answers that have ended."""
        live, state = self.live, self.state
        step_S = state.step_S[:live]
        finished_S = self.drawing.ends(state.token_ST[torch.arange(live, device=step_S.device), step_S - 1])
        over_S = finished_S | (step_S >= self.length)
        if self.stop is not None:
            written = zip(state.token_ST[:live].tolist(), step_S.tolist(), strict=True)
            over_S[self.stop.written([tokens[:size] for tokens, size in written])] = True
        gone_S = over_S.nonzero().squeeze(1)
        if not len(gone_S):
            return
        gone: list[int] = gone_S.tolist()
        tables = (step_S, state.token_ST, state.logprob_ST, finished_S)
        for slot, size, tokens, logprobs, finished in zip(
            gone, *(table[gone_S].tolist() for table in tables), strict=True
        ):
            i, k = self.sample_of_slot[slot]
            self.done[i, k] = Rollout(
                prompt=i,
                sample=k,
                tokens=tuple(tokens[:size]),
                logprobs=tuple(logprobs[:size]),
                finished=finished,
                seed=self.own_seed(i, k),
            )
        self.close_slots(gone)
        self.close_rows()
        self.neighbours = None

    def close_slots(self, gone: Sequence[int]) -> None:
        """The last answers move to the slots that are free."""
        source, target = moves(self.live, gone)
        if source:
            written = int(self.state.step_S[torch.tensor(source)].max()) - 1  # the newest token has no key yet
            self.cache.move_slots(source, target, written)
            self.state.move(source, target)
            for s, t in zip(source, target, strict=True):
                self.sample_of_slot[t] = self.sample_of_slot[s]
        del self.sample_of_slot[self.live - len(gone) :]

    def close_rows(self) -> None:
        """The last prompts move to the rows whose prompt no live or later answer reads."""
        read = {i for i, _ in self.sample_of_slot}
        gone = [row for i, row in self.row_of_prompt.items() if i not in read and i not in self.waiting]
        if not gone:
            return
        source, target = moves(len(self.row_of_prompt), gone)
        if source:
            self.cache.move_rows(source, target)
        moved = dict(zip(source, target, strict=True))
        kept = {i: row for i, row in self.row_of_prompt.items() if row not in set(gone)}
        self.row_of_prompt = {i: moved.get(row, row) for i, row in kept.items()}

    def decode(self) -> None:
        """Compute the newest token of every answer."""
        live, state = self.live, self.state
        if self.neighbours is None:
            self.neighbours = Neighbours([self.row_of_prompt[i] for i, _ in self.sample_of_slot], self.policy.device)
        step_S = state.step_S[:live] - 1
        token_S = state.token_ST[torch.arange(live, device=step_S.device), step_S].to(self.policy.device)
        length = int(step_S.max()) + 1
        self.cache.make_room(length)
        size_of_row = {row: len(self.prompts[i]) for i, row in self.row_of_prompt.items()}
        step_S, size_S = step_S.to(self.policy.device), state.prompt_size_S[:live].to(self.policy.device)
        decoding = DecodePass(
            self.cache, self.neighbours, size_S, step_S, [size_of_row[row] for row in sorted(size_of_row)], length
        )
        out = self.policy.trunk(
            input_ids=token_S[None], position_ids=decoding.position_S[None], use_cache=False, rollout=decoding
        )
        state.hidden_SD[:live] = out.last_hidden_state[0]
