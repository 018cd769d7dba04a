"""How fast this machine is at what stages are made of, measured on their own models: a few timed passes of each kind.

    learn   seconds of an optimiser step = step + once · passes + each · trees     AdamW; forward and backward
    read    seconds of a pass without gradient = once + each · trees
    write   seconds of drawing answers = call + prompt · prompts + step · steps + token · tokens
    keep    seconds of writing a byte durably and taking its hash

A line through two timed sizes, and of a step also the time of two micro-batches, of trees of random tokens that have
the shape of the stage's own rows: arithmetic does not ask what a token means. The larger size is as large as the
stage's micro-batch where `SECONDS` allow it.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import torch
from torch.autograd.graph import saved_tensors_hooks

from burnish.batch.pack import TreeBatch, pack
from burnish.methods.sft import next_token_loss
from burnish.models.model import Model, Policy, Scorer
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.config import MethodConfig
from burnish.training.update import Loss, StepLoss, Update
from burnish.types import Branch, Tree

SECONDS = 3.0  # that the larger of two timed sizes may take
REPEATED = 0.3  # seconds of timing below which a call is timed again
STEPS = 24  # tokens of the answers that are drawn to time a step
SAMPLE = 1 << 25  # bytes that are written to time the disk


@dataclass(frozen=True, slots=True)
class Shape:
    """Of one tree: tokens of its prompt, how many answers, tokens of each."""

    prompt: int
    answers: int
    answer: int

    @property
    def tokens(self) -> int:
        return self.prompt + self.answers * self.answer


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of a pass: `once`, and `each` for every tree in it."""

    once: float
    each: float

    def __call__(self, trees: float, passes: float = 1.0) -> float:
        return passes * self.once + trees * self.each


@dataclass(frozen=True, slots=True)
class Learning:
    """Seconds of an optimiser step itself, of its passes, and the bytes of activations that they keep of a token."""

    step: float
    line: Line
    kept: float


@dataclass(frozen=True, slots=True)
class Writing:
    """Seconds of drawing answers: a call, a prompt, a step of all answers side by side, and a token in it."""

    call: float
    prompt: float
    step: float
    token: float


def learning(model: Model, config: MethodConfig, shape: Shape, most: int) -> Learning:
    """Of trees of this shape, at most `most` in a pass. The weights stay: the model may be asked for answers after."""
    loss = next_token_loss(model) if isinstance(model, Policy) else _squares(cast(Scorer, model))
    update = Update(model, config, learning_rate=0.0)
    saved = _saved_bytes(model, loss, shape) / shape.tokens

    def learn(trees: int, passes: int) -> None:
        update.budget = trees * shape.tokens
        update(stand_ins(model, shape, passes * trees), loss, step=0, steps=1)

    learn(1, 1)  # what is computed first also finds its kernels
    alone = _seconds(lambda: learn(1, 1))
    many = max(1, min(most, int(SECONDS / alone)))
    one = alone if many == 1 else _seconds(lambda: learn(many, 1))
    return Learning(*step_split(alone, many, one, _seconds(lambda: learn(many, 2))), saved)


def step_split(alone: float, many: int, one: float, two: float) -> tuple[float, Line]:
    """Of a step of one tree, of `many`, and of two passes of `many` each: what the step costs, and its passes."""
    full = min(max(two - one, 0.0), one)
    each = full if many == 1 else min(max((one - alone) / (many - 1), 0.0), full / many)
    return one - full, Line(full - many * each, each)


def reading(model: Model, shape: Shape, most: int) -> Line:
    """The line of a pass without gradient."""

    def read(trees: int) -> None:
        rows = stand_ins(model, shape, trees)
        if isinstance(model, Policy):
            model.frozen_logprobs(rows, trees * shape.tokens)
        elif isinstance(model, Scorer):
            model.frozen_scores(rows, trees * shape.tokens)

    return _line(read, most)


def writing(policy: Policy, prompt: int, samples: int, sampling: Sampling, most: int) -> Writing:
    """Of `samples` answers to each prompt of so many tokens, at most `most` prompts at a time."""
    engine = LocalEngine(policy)
    tokens = min(STEPS, sampling.max_new_tokens)

    def drawn(prompts: int, length: int) -> float:
        changed = {"max_new_tokens": length, "min_new_tokens": length, "stop": ()}
        rows = [tree.prompt for tree in stand_ins(policy, Shape(prompt, 1, 1), prompts)]
        exact = sampling.model_copy(update=changed)
        return _seconds(lambda: engine.sample(rows, samples, exact, end_tokens=(0,), seed=0))

    few = max(1, 4 // samples)
    first = drawn(few, 2)
    many = max(few + 1, min(most, int(few * SECONDS / first / 4)))
    opened = _through(few, first, many, drawn(many, 2))
    if tokens <= 2:
        return Writing(opened.once, opened.each, 0.0, 0.0)
    grown = [(drawn(n, tokens) - opened(n)) / (tokens - 2) for n in (few, many)]
    step = _through(few * samples, grown[0], many * samples, grown[1])
    return Writing(opened.once - 2 * step.once, opened.each - 2 * step.each * samples, step.once, step.each)


def keeping(folder: Path) -> float:
    """Seconds that a byte takes to be written to this folder's disk, synced and hashed."""
    block = os.urandom(1 << 20) * (SAMPLE >> 20)
    file = folder / f".tmp-speed-{os.getpid()}"
    began = time.perf_counter()
    try:
        with file.open("wb") as handle:
            handle.write(block)
            handle.flush()
            os.fsync(handle.fileno())
        sha256(block).digest()
    finally:
        file.unlink(missing_ok=True)
    return (time.perf_counter() - began) / len(block)


def stand_ins(model: Model, shape: Shape, count: int) -> list[Tree]:
    """Trees of this shape with tokens drawn at random."""
    vocabulary = int(model.model.config.get_text_config().vocab_size)
    draw = torch.Generator().manual_seed(count)

    def tokens(size: int) -> tuple[int, ...]:
        return tuple(torch.randint(vocabulary, (size,), generator=draw).tolist())

    def branch(answer: int) -> Branch:
        learned = (shape.prompt > 0, *[True] * (shape.answer - 1))  # nothing predicts the first token of a text
        return Branch(tokens(shape.answer), learned, place=answer, answer=answer)

    return [Tree(tokens(shape.prompt), tuple(map(branch, range(shape.answers))), group=g) for g in range(count)]


def _squares(scorer: Scorer) -> Loss:
    """A loss that costs a reward model what its own does: nearly all of that is the trunk's."""

    def loss(batch: TreeBatch) -> StepLoss:
        score_N = scorer.scores(batch)
        return StepLoss((score_N**2).sum(), len(score_N))

    return loss


def _saved_bytes(model: Model, loss: Loss, shape: Shape) -> float:
    """What a tree's forward pass keeps for its backward pass, each piece of memory counted once, weights not."""
    own = {p.untyped_storage().data_ptr() for p in model.model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        loss(pack(stand_ins(model, shape, 1)).to(model.device))
    return float(sum(kept.values()))


def _line(call: Callable[[int], object], most: int) -> Line:
    """Through the time of one tree and that of as many as `SECONDS` allow, two at least."""
    call(1)  # what is computed first also finds its kernels
    first = _seconds(lambda: call(1))
    many = max(2, min(most, int(SECONDS / first)))
    return _through(1, first, many, _seconds(lambda: call(many)))


def _through(few: int, first: float, many: int, second: float) -> Line:
    each = max((second - first) / (many - few), 0.0)
    return Line(max(first - few * each, 0.0), each)


def _seconds(call: Callable[[], object]) -> float:
    """The median of as many calls as fill `REPEATED`."""
    took: list[float] = []
    while not took or (sum(took) < REPEATED and len(took) < 9):
        began = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return statistics.median(took)
