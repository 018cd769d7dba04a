"""Generate: sample answers to prompts, and keep them with the tokens and log-probabilities that they were drawn with.

A model behind an http address writes text alone.

Writes `answers.jsonl`, one row a prompt in the order of the prompts, which rank, score and people read. It grows in
chunks (answer_file.py): a run that was killed ends with the same bytes as if nothing had happened.

With `best_of` each answer is the best of so many draws by `by` (best_of.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from burnish.address import Address
from burnish.batch.trees import prompt_trees
from burnish.data.convert import record
from burnish.data.templates import resolve
from burnish.methods.answer_file import AnswerFile, Sampled
from burnish.methods.best_of import BestOf, Kept, check_inputs, figures_of
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.scoring import By, answered, as_written
from burnish.rewards.by import URL
from burnish.rollout.engine import Engine
from burnish.rollout.local import LocalEngine
from burnish.rollout.served import Served, Server
from burnish.rollout.settings import Sampling
from burnish.training.config import StageConfig
from burnish.training.identity import identity, settings_identity
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Group


class GenerateConfig(StageConfig, Sampling):
    samples: int = Field(4, ge=1, description="answers a prompt")
    slots: int | None = Field(
        None, ge=1, description="answers that are written side by side; by default what 1 GiB of keys and values holds"
    )
    chunk: int = Field(128, ge=1, description="prompts that are sampled and committed together")
    best_of: int = Field(1, ge=1, description="each answer is the best of so many draws by `by`; 1 keeps every draw")
    unfinished_penalty: float = Field(1.0, ge=0, description="best_of: taken from the score of an answer cut by length")
    curve: bool = Field(False, description="best_of: also tell what n is worth, by one more draw a prompt")
    server: Server = Field(default_factory=lambda: Server(), description="how a model behind an http address is asked")

    @model_validator(mode="before")
    @classmethod
    def _one_best(cls, given: Any) -> Any:
        """One answer a prompt where it is the best of several and nothing else is said."""
        several = isinstance(given, Mapping) and given.get("best_of", 1) != 1
        return {**given, "samples": 1} if several and "samples" not in given else given

    @model_validator(mode="after")
    def _nothing_idle(self) -> Self:
        for key in ("unfinished_penalty", "curve"):
            if self.best_of == 1 and key in self.model_fields_set and getattr(self, key):
                raise ValueError(
                    f"{key} is of the best of several draws, and best_of is 1; raise it, or leave both out"
                )
        return self

    @property
    def draws(self) -> int:
        """Answers that are drawn to a prompt."""
        return self.samples * self.best_of + self.curve


def generate(
    model: PolicyInput | Address,
    prompts: DataInput,
    config: GenerateConfig,
    *,
    out: Path,
    by: By | None = None,
    judge: By | None = None,
    engine: Engine | None = None,
) -> Figures:
    """Sample `config.samples` answers to each prompt into `out/answers.jsonl`.

    With `best_of`, `by` chooses among draws; with `curve`, `out/best_of_n.jsonl` says what n is worth by `judge`, whom
    nothing climbs, or by `by` itself.

    Called again on the same folder it goes on where it was, or does nothing where all is there. A `model` that is an
    http address is asked for text, which has no tokens. `engine` samples in the model's place; the model's tokenizer
    and template are used all the same. Raises ConfigError for inputs that do not fit the settings, and where the folder
    was begun with other settings, prompts, weights or judges, NotOurs where its answers are of unknown origin,
    Unreachable where an address does not answer, Interrupted on SIGTERM or SIGINT: the chunks that are whole stay.
    """
    check_inputs(by, judge, n=config.best_of, with_curve=config.curve)
    groups = as_groups(prompts, "prompt", config, out)
    if isinstance(model, str) and URL.match(model):
        model = Address(model)
    source = _Elsewhere(model, groups, config) if isinstance(model, Address) else _Here(model, groups, config, engine)
    best = None if by is None else _best_of(by, judge, config)
    answers = AnswerFile(out, source.identity | ({} if best is None else best.identity()))

    def sample(first: int, last: int) -> Sampled:
        seed = derived_seed(config.seed, "generate", answers.chunks)  # where their size was changed, none comes twice
        return _kept(source.chunk(first, last, seed), best, source, config)

    answers.fill(source.prompts, config.chunk, sample, told="generate")
    figures = answers.finish() | source.told
    if best is not None and source.prompts:
        figures |= figures_of(answers.whole, out, n=config.best_of, with_curve=config.curve)
    return figures


def _best_of(by: By, judge: By | None, config: GenerateConfig) -> BestOf:
    penalty = config.unfinished_penalty
    return BestOf(by, judge, config, n=config.best_of, samples=config.samples, unfinished_penalty=penalty)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A prompt with all that was drawn, and how many tokens each answer has, 0 where a server did not say."""

    group: Group
    token_K: list[int]


class _Here:
    """A model in this process."""

    def __init__(
        self, model: PolicyInput, groups: Sequence[Group], config: GenerateConfig, engine: Engine | None
    ) -> None:
        policy = as_policy(model, config, trained=False)
        self._groups, self._config = groups, config
        self._template = resolve(policy.tokenizer, config.template)
        self._engine = engine or LocalEngine(policy, slots=config.slots)
        asked = prompt_trees(
            groups,
            self._template,
            max_length=config.max_length,
            room=config.max_new_tokens,
            on_too_long=config.on_too_long,
        )
        say(asked)
        self._trees = asked.trees
        self.prompts = len(asked.trees)
        self.told: Figures = {"shortened": float(asked.shortened)}
        self.template = self._template.name
        self.version = self._engine.weights_version
        self.identity = identity(config, asked.trees)
        self.identity |= {"template.hash": self._template.hash, "model": self.version}

    def chunk(self, first: int, last: int, seed: int) -> list[_Drawn]:
        """The prompts from `first` on, before `last`, with their answers."""
        trees = self._trees[first:last]
        rollouts = self._engine.sample(
            [tree.prompt for tree in trees],
            self._config.draws,
            self._config,
            end_tokens=sorted(self._template.end_tokens),
            seed=seed,
        )
        groups = answered([self._groups[tree.group] for tree in trees], rollouts, self._template)
        return [_Drawn(group, [len(answer.tokens or ()) for answer in group.answers]) for group in groups]


class _Elsewhere:
    """A model behind an address. Its server has the template and the limit of length, and `max_length` none."""

    def __init__(self, address: Address, groups: Sequence[Group], config: GenerateConfig) -> None:
        self._served = Served.at(address, config.server, config.template)
        self._groups, self._config = groups, config
        self.prompts = len(groups)
        self.told: Figures = {}
        self.template = config.template
        self.version = self._served.name
        said = repr([(group.id, group.prompt) for group in groups])
        # how it is asked changes no answer, but for the name that says who answers
        settings = settings_identity(config.model_copy(update={"server": Server(model=config.server.model)}))
        self.identity = {"settings": settings, "rows": sha256(said.encode()).hexdigest(), "model": self.version}

    def chunk(self, first: int, last: int, seed: int) -> list[_Drawn]:
        groups = self._groups[first:last]
        asked = [group.prompt for group in groups]
        written = self._served.answers(asked, self._config.draws, self._config, seed=seed, first=first)
        return [
            _Drawn(replace(group, answers=tuple(one.answer for one in row)), [one.tokens or 0 for one in row])
            for group, row in zip(groups, written, strict=True)
        ]


def _kept(drawn: Sequence[_Drawn], best: BestOf | None, source: _Here | _Elsewhere, config: GenerateConfig) -> Sampled:
    """Sample records of the answers that are kept, and how many tokens these have."""
    groups = [replace(d.group, answers=tuple(as_written(a, config) for a in d.group.answers)) for d in drawn]
    kept = [Kept(group, list(range(len(group.answers)))) for group in groups]
    if best is not None:
        cut_GK = [
            [a.finished is False and a.text == whole.text for a, whole in zip(g.answers, d.group.answers, strict=True)]
            for g, d in zip(groups, drawn, strict=True)
        ]
        kept = best.chosen(groups, cut_GK)
    tokens = sum(one.token_K[k] for one, own in zip(drawn, kept, strict=True) for k in own.draws)
    known = {"model": source.version, "seed": config.seed, "template": source.template}
    return [record(replace(o.group, extra={**o.group.extra, **known}), "sample") for o in kept], tokens
