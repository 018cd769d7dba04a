"""How long each stage of a recipe takes on this machine, before it runs.

    seconds = Σ over what the stage is made of: how often × how long one takes

How often follows from the rows and the settings (rows.py), how long one takes is measured on the stage's own model
(speed.py). A model that another stage will make is as large as the one that it starts from, so that one stands in for
it. What nobody can know beforehand is taken as it is now: that answers stay as long as those of the demonstrations that
the policy learned from, or of the policy itself, and that none is longer than the longest of these. Where they grow to
`max_new_tokens` the stage takes `high`.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from burnish.errors import BurnishError, MissingInput
from burnish.methods.dpo_settings import FORMS, DPOConfig
from burnish.methods.ensemble import members
from burnish.methods.evaluate import EvaluateConfig
from burnish.methods.generate import GenerateConfig
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.ppo import PPOConfig
from burnish.methods.pretrain import PretrainConfig, started, without_weights
from burnish.methods.reject_settings import RejectConfig
from burnish.models.files import whole_copy
from burnish.recipes import speed
from burnish.recipes.graph import Result, Stage, leaves, placed
from burnish.recipes.inputs import HUB_ID
from burnish.recipes.load import Recipe
from burnish.recipes.machine import KEPT, Need, needs
from burnish.recipes.measured import Measured, Models, fitting
from burnish.recipes.rows import Rows, Tokens, rows_in
from burnish.recipes.speed import Shape
from burnish.rollout.prepacked import LEAST_ANSWERS
from burnish.rollout.settings import Sampling
from burnish.training.config import MethodConfig, StageConfig
from burnish.training.order import Order
from burnish.training.saving import pause

WITHIN = 0.25  # of what a stage then took, on a machine that nobody else uses; benchmarks/planned.py
LEARNS_ON_PAIRS = ("reward", "dpo")


@dataclass
class Duration:
    """`parts`: seconds by what they go to; `grown`: seconds more where every answer has `max_new_tokens`; `memory`: the
    most bytes at once, `disk` those of the stage's folder; `left_out`: what takes time and is not in it."""

    parts: dict[str, float] = field(default_factory=dict)
    grown: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    left_out: list[str] = field(default_factory=list)

    def add(self, part: str, seconds: float) -> None:
        self.parts[part] = self.parts.get(part, 0.0) + seconds

    @property
    def seconds(self) -> float:
        return sum(self.parts.values())

    def told(self) -> dict[str, Any]:
        """As a plan has it."""
        return {
            "seconds": round(self.seconds, 3),
            "low": round(self.seconds * (1 - WITHIN), 3),
            "high": round(self.seconds * (1 + WITHIN) + self.grown, 3),
            "parts": {name: round(seconds, 2) for name, seconds in self.parts.items()},
            "peak_gb": round(self.memory / 1e9, 3),
            "disk_gb": round(self.disk / 1e9, 3),
            "left_out": list(dict.fromkeys(self.left_out)),
        }


class Reckoning:
    """The stages of one recipe, whose run lies in `run` or will: what is done there is taken as it is. `imported`:
    seconds that the first stage takes to import what it needs."""

    def __init__(self, recipe: Recipe, run: Path, imported: float = 0.0) -> None:
        self.recipe, self.run, self.imported = recipe, run, imported
        self.needs: Mapping[str, Need] = needs(recipe)
        self.models = Models()
        self.byte = speed.keeping(next(parent for parent in (run.resolve(), *run.resolve().parents) if parent.exists()))
        self._rows: dict[tuple[str, str], Rows] = {}
        self._spare, self._copies = Path(), dict[Path, Path]()

    def stages(self, stages: Sequence[Stage]) -> Iterator[tuple[str, Duration | str]]:
        """Each stage's duration, or why it is not known."""
        told = 0.0  # seconds that are told as some stage's start
        with TemporaryDirectory() as spare:
            self._spare, self._copies = Path(spare), {}
            for stage in stages:
                try:
                    duration = _Of(self, stage).duration()
                except BurnishError as error:  # a run would say the same, or another stage makes it first
                    yield stage.name, str(error).splitlines()[0]
                    continue
                if start := self.imported + self.models.start - told:  # the first model may be a later stage's
                    duration.add("start", start)
                told += start
                yield stage.name, duration

    def source(self, value: Any) -> Path:
        """The folder of a model that is as large as this one, or as each of an ensemble. Raises MissingInput where none
        is here."""
        if isinstance(value, Result):
            if not self.done(value):
                made = self.recipe.stage(value.stage)
                source = self.source(made.inputs.get("model"))
                return self._drawn(source, made.config) if isinstance(made.config, PretrainConfig) else source
            value = placed(value, self.run)
        if isinstance(value, str) and HUB_ID.fullmatch(value) and (copy := whole_copy(value)) is not None:
            return copy
        if isinstance(value, Path) and value.is_dir():
            return next(iter(members(value)), value)
        raise MissingInput(f"{value} is not on this machine")

    def _drawn(self, source: Path, config: PretrainConfig) -> Path:
        """A folder of what `pretrain` starts from: `source`, or a copy with random weights where it has none."""
        if source not in self._copies:
            copy = self._spare / str(len(self._copies))
            if without_weights(source):
                started(source, config).save(copy)
            self._copies[source] = copy if without_weights(source) else source
        return self._copies[source]

    def members(self, value: Result | Path) -> int:
        """How many reward models this is: an ensemble's, or one."""
        if isinstance(value, Result) and not self.done(value):
            return getattr(self.recipe.stage(value.stage).config, "members", 1)
        return max(1, len(members(placed(value, self.run))))

    def done(self, result: Result) -> bool:
        return (self.run / result.stage / "DONE.json").exists()

    def rows(self, stage: Stage, key: str) -> Rows:
        """What an input of a stage holds."""
        if (stage.name, key) not in self._rows:
            found = [self._rows_of(stage, key, one) for one in leaves(stage.inputs.get(key))]
            if not found:
                raise MissingInput(f"{key} is not named")
            count = sum(rows.count for rows in found)
            largest = max(found, key=lambda rows: rows.count)
            self._rows[stage.name, key] = Rows(count, largest.shape, largest.seconds, largest.prompts, largest.lengths)
        return self._rows[stage.name, key]

    def _rows_of(self, stage: Stage, key: str, value: Any) -> Rows:
        config = cast(StageConfig, stage.config)
        if isinstance(value, Result):
            if not self.done(value):
                return self._made_by(self.recipe.stage(value.stage))
            value = placed(value, self.run)
        if not isinstance(value, Path) or not value.is_file():
            raise MissingInput(f"{key}: {value} is not on this machine")
        named = [one for k in ("model", "models", "by") for one in _who(stage.inputs.get(k)) if one != "people"]
        reads = next((one for one in named if isinstance(one, Result | Path) or HUB_ID.fullmatch(str(one))), None)
        tokens = None if reads is None else Tokens.of(self.source(reads), config)
        return rows_in([value], stage.method, key, tokens, config)

    def _made_by(self, stage: Stage) -> Rows:
        """The rows that a stage will have made."""
        if stage.method == "generate":
            config = cast(GenerateConfig, stage.config)
            asked = self.rows(stage, "prompts")
            return asked.of(config.samples, statistics.fmean(self.answer_lengths(stage, asked, config)))
        key = "answers" if stage.inputs.get("answers") is not None else "data"
        rows = self.rows(stage, key)
        items = getattr(stage.config, "items", None)
        return rows if items is None else Rows(min(items, rows.count), rows.shape, rows.seconds)

    def answer_lengths(self, stage: Stage, asked: Rows, sampling: Sampling) -> Sequence[int]:
        """Of the answers that a stage draws: as of the demonstrations that its model learns from, or, of a model that
        is there, as of some that it gives."""
        value = own = next(leaves(stage.inputs.get("model") or stage.inputs.get("models")), None)
        while isinstance(value, Result) and not self.done(value):
            parent = self.recipe.stage(value.stage)
            if parent.method == "sft":
                rows = self.rows(parent, "data")
                return [min(n, sampling.max_new_tokens) for n in rows.lengths or (rows.shape.answer,)]
            value = next(leaves(parent.inputs.get("model")), None)
        if not asked.prompts:
            return [sampling.max_new_tokens]
        source, config = self.source(own), cast(StageConfig, stage.config)
        return self.models.policy(source, config).answer_lengths(asked, sampling, Tokens.of(source, config))


def _who(by: Any) -> Iterator[Any]:
    """Everyone who judges in a `by:`, a language model with a rubric as text; or the models of a stage."""
    if isinstance(by, Mapping) and "judge" in by:
        yield f"{by['judge']} with a rubric"
    elif isinstance(by, Mapping):
        for one in [by["by"]] if "by" in by else by.values():
            yield from _who(one)
    elif isinstance(by, list | tuple):
        for one in by:
            yield from _who(one)
    elif by is not None:
        yield by


class _Of:
    """One stage: what it is made of."""

    def __init__(self, reckoning: Reckoning, stage: Stage) -> None:
        self.all, self.stage = reckoning, stage
        self.config = cast(StageConfig, stage.config)
        self.found = Duration()
        self.passing = 0  # bytes of a checkpoint beside those that are kept, while it is written
        self.need = reckoning.needs[stage.name]

    def duration(self) -> Duration:
        config, method = self.config, self.stage.method
        if isinstance(config, OnPolicyConfig):
            self.on_policy(config)
        elif isinstance(config, RejectConfig):
            self.reject(config)
        elif isinstance(config, GenerateConfig):
            self.generate(config)
        elif isinstance(config, EvaluateConfig):
            self.evaluate(config)
        elif method in ("rank", "score"):
            self.judged(self.all.rows(self.stage, "answers" if self.stage.inputs.get("answers") else "data"))
        elif isinstance(config, MethodConfig):
            self.trained(config)
        self.found.memory += self.all.models.base + self.need.memory
        self.found.add("save", self.need.result * self.all.byte)
        self.found.disk += self.need.result + self.passing
        return self.found

    # ---- what stages are made of

    def policy(self, value: Any = None) -> Measured:
        """The stage's model, or another; the time of loading it is counted."""
        model = self.all.models.policy(self.all.source(value or self.stage.inputs["model"]), self.config)
        self.found.add("load", model.load)
        return model

    def scorers(self, *keys: str) -> list[Measured]:
        """The reward models among who judges. Whoever else takes time is told as left out."""
        found = []
        for who in (one for key in keys for one in _who(self.stage.inputs.get(key))):
            if isinstance(who, Result | Path):
                scorer = self.all.models.scorer(self.all.source(who), self.config, trained=False)
                found += [scorer] * self.all.members(who)
            else:
                self.found.left_out.append(f"by {who}")
        for one in found:
            self.found.add("load", one.load)
        return found

    def rows(self, key: str) -> Rows:
        rows = self.all.rows(self.stage, key)
        self.found.add("rows", rows.count * rows.seconds)
        return rows

    def read(self, model: Measured, shape: Shape, trees: float, part: str = "read", *, calls: float = 1) -> None:
        """So many trees in all, in `calls` parts."""
        line = model.read(self.config, shape)
        self.found.add(part, line(trees, calls * math.ceil(trees / calls / fitting(shape, self.config))))

    def learn(
        self, model: Measured, config: MethodConfig, shape: Shape, steps: float, trees: float, *, join: bool = False
    ) -> None:
        """`steps` optimiser steps over so many trees in all. `join`: these join steps that are counted already."""
        learned = model.learn(config, shape)
        passes = steps * math.ceil(trees / steps / fitting(shape, config))
        self.found.add("learn", learned.line(trees, passes) + (0.0 if join else steps * learned.step))
        at_once = min(config.micro_batch_tokens, max(trees / steps, 1) * shape.tokens)
        self.found.memory = max(self.found.memory, learned.kept * at_once)

    def draw(self, policy: Measured, rows: Rows, samples: int, sampling: Sampling, prompts: float, calls: float) -> int:
        """`samples` answers to each of so many prompts, in so many calls; returns an answer's mean length."""
        lengths = self.all.answer_lengths(self.stage, rows, sampling)
        mean = statistics.fmean(lengths)
        many = prompts / calls
        write = policy.write(rows.shape.prompt, samples, sampling, math.ceil(many))
        slots, answer = policy.slots(rows.shape.prompt, samples, sampling)
        beside = policy.weights if many * samples >= LEAST_ANSWERS else 0  # prepacked.py
        self.found.memory = max(self.found.memory, beside + answer * min(slots, many * samples))

        def seconds(length: float, longest: int) -> float:
            steps = max(longest, many * samples * length / slots)
            tokens = many * samples * length
            return calls * (write.call + write.prompt * many + write.step * steps + write.token * tokens)

        now, full = seconds(mean, max(lengths)), seconds(sampling.max_new_tokens, sampling.max_new_tokens)
        self.found.add("write", now)
        self.found.grown += full - now
        return max(1, round(mean))

    def save(self, config: MethodConfig, steps: float) -> None:
        """The checkpoints of so many steps."""
        each = self.need.checkpoint * self.all.byte
        saves = 1
        if config.save_every == "auto":
            saves += int(self.found.seconds / pause(each))
        elif config.save_every:
            saves = math.ceil(steps / config.save_every)
        self.found.add("save", saves * each)
        self.found.disk += self.need.checkpoint * min(saves, KEPT)
        self.passing = max(self.passing, self.need.checkpoint * (saves > KEPT))

    def judged(self, rows: Rows) -> None:
        for scorer in self.scorers("by", *(["model"] if self.stage.method == "score" else [])):
            self.read(scorer, rows.shape, rows.count, "judge")

    # ---- each kind of stage

    def trained(self, config: MethodConfig) -> None:
        """Steps over fixed rows."""
        stage, scores = self.stage, self.stage.method == "reward"
        source = self.all.source(stage.inputs["model"])
        models = self.all.models
        model = models.scorer(source, config, trained=True) if scores else models.policy(source, config)
        rows = self.rows("data")
        held, members = 0.0, getattr(config, "members", 1)
        taught = rows.count
        if stage.inputs.get("evaluate_on") is not None:
            held = self.rows("evaluate_on").count
        elif scores:
            held = taught * cast(float, getattr(config, "heldout", 0.0))
            taught -= held
        plan = Order.of(max(1, round(taught)), config)
        tokens = Tokens.of(source, config)
        self.found.add("load", members * model.load)
        self.found.add("check", members * model.check(config, tokens, rows.shape))
        if stage.inputs.get("reference") is not None:
            self.policy(stage.inputs["reference"])
        if getattr(config, "reference_every", 0):  # asked at every step
            self.read(model, rows.shape, plan.total, "reference", calls=plan.steps)
        elif stage.method == "kto" or (isinstance(config, DPOConfig) and FORMS[config.loss].reference):
            self.read(model, rows.shape, taught + held, "reference")
        self.learn(model, config, rows.shape, members * plan.steps, members * plan.total)
        evaluations = 1 + (plan.steps - 1) // config.evaluate_every if config.evaluate_every else 1
        if held:
            calls = members * (evaluations + scores)  # a reward model is normalised by one more
            self.read(model, rows.shape, held * calls, "evaluate", calls=calls)
        self.save(config, plan.steps)

    def on_policy(self, config: OnPolicyConfig) -> None:
        """Iterations: draw, read, score, learn."""
        rows, policy = self.rows("prompts"), self.policy()
        if self.stage.inputs.get("reference") is not None:
            self.policy(self.stage.inputs["reference"])
        plan = Order.of(max(1, round(rows.count)), config)
        length = self.draw(policy, rows, config.samples, config.sampling, plan.total, plan.steps)
        shape = rows.of(config.samples, length).shape
        scorers = self.scorers("by")
        for reader in (policy, policy, *scorers):  # under the weights that drew and the reference, and by who scores
            self.read(reader, shape, plan.total, calls=plan.steps)
        updates = plan.steps * config.inner_epochs * config.minibatches
        self.learn(policy, config, shape, updates, config.inner_epochs * plan.total)
        if self.stage.inputs.get("mix") is not None:
            mixed = self.rows("mix")
            self.learn(policy, config, mixed.shape, updates, updates * config.mix_rows, join=True)
        if isinstance(config, PPOConfig) and config.critic.kind != "shared":
            source = self.all.source(self.stage.inputs["model"])
            adapter = config.critic.kind == "adapter"
            critic = scorers[0] if scorers and not adapter else self.all.models.scorer(source, config, trained=adapter)
            self.read(critic, shape, plan.total, "critic", calls=plan.steps)
            self.learn(critic, config, shape, updates, config.inner_epochs * plan.total)
            self.found.add("load", critic.load)
        every = config.evaluate_every
        self.heldout(policy, scorers, 2 + ((plan.steps - 1) // every if every else 0))
        self.save(config, plan.steps)

    def heldout(self, policy: Measured, scorers: Sequence[Measured], evaluations: int) -> None:
        """Answers to `evaluate_on`, with their exact KL and their scores."""
        if self.stage.inputs.get("evaluate_on") is None:
            return
        config, rows = cast(OnPolicyConfig, self.config), self.rows("evaluate_on")
        asked = min(config.evaluate_prompts, rows.count)
        length = self.draw(policy, rows, 1, config.sampling, asked * evaluations, evaluations)
        shape = rows.of(1, length).shape
        for reader in (policy, policy, *scorers, *self.scorers("judge")):  # itself and its reference, and who scores
            self.read(reader, shape, asked * evaluations, "evaluate", calls=evaluations)

    def reject(self, config: RejectConfig) -> None:
        """Rounds: draw, score, learn the best."""
        rows, policy = self.rows("prompts"), self.policy()
        learning, scorers, pairs = config.learning(), self.scorers("by"), config.learn == "dpo"
        for number in range(1, config.rounds + 1):
            samples, sampling = config.drawn_in(number)
            length = self.draw(policy, rows, samples, sampling, rows.count, 1)
            for scorer in scorers if number == 1 or self.stage.inputs.get("evaluate_on") else self.scorers("by"):
                self.read(scorer, rows.of(samples, length).shape, rows.count, "score")
            lessons = rows.count * (1 if pairs else config.keep) * (number if config.accumulate else 1)
            shape = rows.of(2 if pairs else 1, length).shape
            plan = Order.of(max(1, round(lessons)), learning)
            if pairs:
                self.read(policy, shape, lessons, "reference")
            self.learn(policy, learning, shape, plan.steps, plan.total)
            self.save(learning, plan.steps)
        self.heldout(policy, scorers, config.rounds + 1)

    def generate(self, config: GenerateConfig) -> None:
        rows, policy = self.rows("prompts"), self.policy()
        length = self.draw(policy, rows, config.draws, config, rows.count, math.ceil(rows.count / config.chunk))
        self.judged(rows.of(config.draws, length))

    def evaluate(self, config: EvaluateConfig) -> None:
        """Every model answers; each is read beside the first one and under the base."""
        if config.suite is not None:
            self.found.left_out.append(f"suite: {config.suite}")
        if self.stage.inputs.get("prompts") is None:
            return
        rows, base = self.rows("prompts"), self.stage.inputs.get("base")
        fluent = self.policy(base) if base is not None else None
        for value in leaves(self.stage.inputs["models"]):
            policy = self.policy(value)
            length = self.draw(policy, rows, config.samples, config.sampling, rows.count, 1)
            shape = rows.of(config.samples, length).shape
            self.read(policy, shape, 2 * rows.count)
            if fluent is not None:
                self.read(fluent, shape, rows.count)
            if self.stage.inputs.get("text") is not None:
                text = self.rows("text")
                self.read(policy, text.shape, text.count)
            self.judged(rows.of(config.samples, length))
