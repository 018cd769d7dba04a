"""Models of a recipe as a plan knows them: loaded one at a time, timed once for each shape of rows that asks."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from burnish.methods.checks import check_before_step_one
from burnish.methods.inputs import as_policy, placement
from burnish.methods.pretrain import PretrainConfig, started
from burnish.models.files import is_reward_model
from burnish.models.load import load_scorer
from burnish.models.model import Model, Policy
from burnish.recipes import speed
from burnish.recipes.rows import Rows, Tokens
from burnish.recipes.speed import Learning, Line, Shape, Writing
from burnish.rollout.local import LocalEngine, token_bytes
from burnish.rollout.settings import Sampling
from burnish.training.config import MethodConfig, StageConfig

ASKED = 16  # prompts that a model answers so that the length of its answers is known
FOR_A_TOKEN = 16  # bytes: logits and probabilities in float32, each with a copy
T = TypeVar("T")


class Measured:
    """One model's times, and the bytes of its weights. Each is taken once; the model is loaded again where another has
    taken its place since."""

    def __init__(self, models: "Models", load: Callable[[], Model]) -> None:
        self._models, self._load = models, load
        self._known: dict[Any, Any] = {}
        began = time.perf_counter()
        models.at_hand = (self, load())
        self.load = time.perf_counter() - began
        self.weights = sum(w.numel() * w.element_size() for w in self.model.weights().values())

    @property
    def model(self) -> Model:
        if self._models.at_hand is None or self._models.at_hand[0] is not self:
            self._models.at_hand = None  # before the next one is loaded
            self._models.at_hand = (self, self._load())
        return self._models.at_hand[1]

    def learn(self, config: MethodConfig, shape: Shape) -> Learning:
        most = min(config.batch_size, fitting(shape, config))
        return self._once(("learn", shape), lambda: speed.learning(self.model, config, shape, most))

    def read(self, config: StageConfig, shape: Shape) -> Line:
        return self._once(("read", shape), lambda: speed.reading(self.model, shape, fitting(shape, config)))

    def write(self, prompt: int, samples: int, sampling: Sampling, prompts: int) -> Writing:
        """`prompts`: as many as are drawn from in one call."""

        def write() -> Writing:
            return speed.writing(cast(Policy, self.model), prompt, samples, sampling, prompts)

        return self._once(("write", prompt, samples, sampling), write)

    def slots(self, prompt: int, samples: int, sampling: Sampling) -> tuple[int, float]:
        """Answers that are written side by side, and the bytes that each takes: its keys and values, with a copy while
        others move up, and what is known of each token of the vocabulary."""

        def slots() -> tuple[int, float]:
            engine, policy = LocalEngine(cast(Policy, self.model)), cast(Policy, self.model)
            tokens = prompt / samples + sampling.max_new_tokens
            drawing = FOR_A_TOKEN * policy.head.weight_VD.shape[0]
            return engine.slots_for([[0] * prompt], samples, sampling), 2 * token_bytes(policy) * tokens + drawing

        return self._once(("slots", prompt, samples, sampling.max_new_tokens), slots)

    def answer_lengths(self, rows: Rows, sampling: Sampling, tokens: Tokens) -> list[int]:
        """Of the answers that it gives to some of these prompts."""

        def lengths() -> list[int]:
            prompts, ends = rows.prompts[:ASKED], sorted(tokens.template.end_tokens)
            rollouts = LocalEngine(cast(Policy, self.model)).sample(prompts, 1, sampling, end_tokens=ends, seed=0)
            return [len(rollout.tokens) for rollout in rollouts]

        return self._once(("lengths", rows.shape.prompt, sampling), lengths)

    def check(self, config: MethodConfig, tokens: Tokens, shape: Shape) -> float:
        """Seconds of what is proved before step one."""

        def check() -> float:
            began = time.perf_counter()
            rows = speed.stand_ins(self.model, shape, 3)
            check_before_step_one(self.model, rows, tokens.template, config, only=("outputs", "score"))
            return time.perf_counter() - began

        return self._once(("check", shape), check)

    def _once(self, key: object, take: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = take()
        return cast(T, self._known[key])


class Models:
    """`start`: seconds that a process takes before it can load its first model; `base`: bytes of its memory then."""

    def __init__(self) -> None:
        self.start, self.base = 0.0, memory_now()
        self.at_hand: tuple[Measured, Model] | None = None
        self._known: dict[Any, Measured] = {}

    def policy(self, source: Path, config: StageConfig) -> Measured:
        if isinstance(config, PretrainConfig):
            return self._of("pretrain", source, config, lambda: started(source, config))
        return self._of("policy", source, config, lambda: as_policy(source, config))

    def scorer(self, source: Path, config: StageConfig, *, trained: bool) -> Measured:
        """A reward model, or what becomes one of a language model. `trained`: it is what the stage trains."""
        lora = getattr(config, "lora", None) if trained else None
        fresh = not is_reward_model(source)
        kind = f"scorer {lora}"
        return self._of(
            kind, source, config, lambda: load_scorer(source, placement(config), lora=lora, fresh_head=fresh)
        )

    def _of(self, kind: str, source: Path, config: StageConfig, load: Callable[[], Model]) -> Measured:
        key = (kind, source, getattr(config, "lora", None), placement(config))
        if key not in self._known:
            first = not self._known
            began = time.perf_counter()
            if first:
                load()
            took = time.perf_counter() - began
            self._known[key] = Measured(self, load)
            if first:
                self.start = max(0.0, took - self._known[key].load)
                on_cpu = self._known[key].model.device.type == "cpu"  # elsewhere its weights are not in this memory
                self.base = memory_now() - (self._known[key].weights if on_cpu else 0)
        return self._known[key]


def fitting(shape: Shape, config: StageConfig) -> int:
    """Trees of this shape that one micro-batch holds."""
    return max(1, config.micro_batch_tokens // max(shape.tokens, 1))


def memory_now() -> float:
    """Bytes of memory that this process has; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    return float(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")) if statm.exists() else 0.0
