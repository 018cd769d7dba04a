"""Evaluation: the same held-out prompts to every model, and a verdict on each against the first.

Every model answers with the same seeds at temperature 1. A verdict says how often its answer beats the first model's
(by `by`), how far it went for that (exact KL to the first model), and whether the answers are still answers: fluency
under the pretrained base, variety, length, endings, and perplexity of text that nobody trained on.

Where `by` is people, they see each answer beside the first model's, in an order of their own, and say which is better.

`people` are texts that people wrote to the same prompts: can a classifier tell the model's from theirs, and where `by`
is people, can they? `suite` asks for safety, beside this or alone.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from burnish.batch.texts import text_trees
from burnish.batch.trees import TreeReport, prompt_trees, tree_of
from burnish.data.convert import write
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError
from burnish.evaluation.gate import condition
from burnish.evaluation.sentence import with_sentences
from burnish.evaluation.suites import Suite
from burnish.evaluation.verdict import Measured
from burnish.methods import verdicts
from burnish.methods.human_like import beside_people, people_by_prompt, told_by_people
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, as_tokenizer, say
from burnish.methods.people import PeopleConfig, enough_of
from burnish.methods.scoring import By, Scores, answered, score_groups
from burnish.methods.suite import check_lengths, suite_figures
from burnish.models.divergence import answer_kl
from burnish.models.model import Policy
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.checkpoint import write_durably
from burnish.training.identity import weights_hash
from burnish.training.order import derived_seed
from burnish.types import Branch, Group, Tree


class EvaluateConfig(PeopleConfig):
    samples: int = Field(1, ge=1, description="answers a prompt")
    sampling: Sampling = Field(default_factory=lambda: Sampling(), description="lengths of the answers")
    suite: Suite | None = Field(None, description="published prompts that ask for safety: safety, or safety-zh")
    limit: int | None = Field(
        None, ge=1, description="prompts of each part of the suite, evenly spaced; unset is all of them"
    )
    require: tuple[str, ...] = Field((), description="conditions on the verdict; a run ends with 1 where one fails")

    @field_validator("require", mode="before")
    @classmethod
    def _one_condition_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("require")
    @classmethod
    def _conditions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            condition(text)
        return value


DEFAULTS = EvaluateConfig()


def evaluate(
    models: Mapping[str, PolicyInput],
    prompts: DataInput | None = None,
    config: EvaluateConfig = DEFAULTS,
    *,
    by: By | None = None,
    out: Path,
    base: PolicyInput | None = None,
    text: DataInput | None = None,
    people: DataInput | None = None,
) -> dict[str, Any]:
    """Judge `models`, the first of which is the one to beat, and write `out/verdict.json`.

    With `prompts`, `by` judges the answers to them, which `out/samples.jsonl` has. `base` is the pretrained model that
    fluency is measured with, `text` held-out text for perplexity, `people` what people wrote to the same prompts;
    without them those figures are missing. With `config.suite` see `suite.suite_figures`. Returns each model's figures
    by name; whether they are what `require` wants is asked by who runs the stage, once it is done. Raises ConfigError
    for settings that cannot work together, and where people judge what `verdicts.by_people` does.
    """
    if (prompts is None) != (by is None) or (prompts is None and config.suite is None):
        raise ConfigError("evaluate: name `prompts` and who judges (`by`), or `suite: safety`, or all of them")
    for key, value in {"base": base, "text": text, "people": people}.items():
        if value is not None and prompts is None:
            raise ConfigError(f"evaluate: {key} says nothing without `prompts`; add that, or leave this out")
    figures: dict[str, dict[str, float | None]] = {name: {} for name in models}
    if config.suite is not None:  # before hours of judging, or of what the models that do fit are asked
        check_lengths(models, config.suite, config, config.sampling, limit=config.limit)
    if prompts is not None and by is not None:
        figures = _judged(models, prompts, config, by, out, base, text, people)
        _write(figures, out)
    if config.suite is not None:
        asked = suite_figures(models, config.suite, config, config.sampling, limit=config.limit, out=out)
        figures = {name: own | asked[name] for name, own in figures.items()}
        _write(figures, out)
    return figures


def _write(figures: Mapping[str, Mapping[str, float | None]], out: Path) -> None:
    write_durably(out / "verdict.json", json.dumps(with_sentences(figures), indent=1, ensure_ascii=False))


def _judged(
    models: Mapping[str, PolicyInput],
    prompts: DataInput,
    config: EvaluateConfig,
    by: By,
    out: Path,
    base: PolicyInput | None,
    text: DataInput | None,
    people: DataInput | None,
) -> dict[str, dict[str, float | None]]:
    """The verdict on each model's answers to `prompts`."""
    asks_people = by == "people"
    if config.sampling.temperature != 1.0:
        raise ConfigError("sampling.temperature: a KL is that of the model's own distribution; evaluate at 1.0")
    config.sampling.for_training()
    if asks_people and len(models) < 2:
        raise ConfigError("by: people: they compare a model with the first one; name two models at least")
    groups = as_groups(prompts, "prompt", config, out)
    asked = [groups[place] for place in _asked(models, groups, config)]
    theirs = people_by_prompt(as_groups(people, None, config, out), asked) if people is not None else None
    known = verdicts.identity_of(config, groups, {name: _named(model) for name, model in models.items()})
    found = verdicts.kept(out, known) if asks_people else None
    given: dict[str, Scores] = {}
    if found is None:
        found, samples, given = _measured_all(models, groups, config, by, out, base, text)
        write(samples, "sample", out / "samples.jsonl")
        if asks_people:
            verdicts.keep(out, known, found)
    told: dict[str, dict[str, float | None]] = {}
    if asks_people and theirs is not None:  # first: who has compared the answers knows by them which text is none
        enough_of(list(verdicts.pairs_of(groups, found).values()), config)
        told = told_by_people(groups, found, theirs, config, out)
    figures = verdicts.by_people(groups, found, config, out) if asks_people else verdicts.by_scores(found, given)
    if theirs is not None:
        like = beside_people(groups, found, theirs)
        figures = {name: own | like[name] | told.get(name, {}) for name, own in figures.items()}
    return figures


def _asked(models: Mapping[str, PolicyInput], groups: Sequence[Group], config: EvaluateConfig) -> list[int]:
    """The places of the prompts that there is room for, from tokenizers alone: hours of passes come first otherwise.

    Raises ConfigError where models have room for different ones, DataError for one that none may be left out for.
    """
    fits: list[int] | None = None
    for name, model in models.items():
        template = resolve(as_tokenizer(model), config.template)
        own = [tree.group for tree in _prompts(groups, template, config).trees]
        if fits is not None and own != fits:
            raise ConfigError(f"on_too_long: {name} has room for other prompts than the first model; raise max_length")
        fits = own
    return fits or []


def _prompts(groups: Sequence[Group], template: Template, config: EvaluateConfig) -> TreeReport:
    room = config.sampling.max_new_tokens
    return prompt_trees(groups, template, max_length=config.max_length, room=room, on_too_long=config.on_too_long)


def _named(model: PolicyInput) -> str:
    return weights_hash(model) if isinstance(model, Policy) else str(model)


def _measured_all(
    models: Mapping[str, PolicyInput],
    groups: Sequence[Group],
    config: EvaluateConfig,
    by: By,
    out: Path,
    base: PolicyInput | None,
    text: DataInput | None,
) -> tuple[verdicts.Compared, list[Group], dict[str, Scores]]:
    """What each model answered and how it was measured, with the answers' records and each judge's own scores."""
    texts = as_groups(text, "text", config, out) if text is not None else []
    fluent = as_policy(base, config, trained=False) if base is not None else None
    measured: dict[str, Measured] = {}
    samples: list[Group] = []
    first: Policy | None = None
    asked: list[int] = []
    given: dict[str, Scores] = {}
    against: list[Group] = []
    for name, model in models.items():
        print(f"evaluate: {name}", file=sys.stderr)
        policy = as_policy(model, config, trained=False)
        first = first or policy
        answers, rows = _answers(policy, groups, config)
        asked = [tree.group for tree in rows]
        against = against or answers
        scores = _not_scored(answers) if by == "people" else score_groups(by, answers, config, against=against)
        samples += [_record(group, name, scores, place) for place, group in enumerate(answers)]
        measured[name] = _measured(policy, first, fluent, answers, rows, scores.total, texts, config)
        given[name] = scores
    return verdicts.Compared(measured, asked), samples, given


def _not_scored(answers: Sequence[Group]) -> Scores:
    """People compare; they give no score."""
    return Scores([[math.nan] * len(group.answers) for group in answers], {})


def _answers(policy: Policy, groups: Sequence[Group], config: EvaluateConfig) -> tuple[list[Group], list[Tree]]:
    template = resolve(policy.tokenizer, config.template)
    report = _prompts(groups, template, config)
    say(report)
    asked = report.trees
    rollouts = LocalEngine(policy).sample(
        [tree.prompt for tree in asked],
        config.samples,
        config.sampling,
        end_tokens=sorted(template.end_tokens),
        seed=derived_seed(config.seed, "evaluate"),
    )
    by_prompt = [rollouts[i : i + config.samples] for i in range(0, len(rollouts), config.samples)]
    rows = [tree_of(t.prompt, own, group=t.group) for t, own in zip(asked, by_prompt, strict=True)]
    return answered([groups[tree.group] for tree in asked], rollouts, template), rows


def _measured(
    policy: Policy,
    first: Policy,
    fluent: Policy | None,
    answers: Sequence[Group],
    rows: Sequence[Tree],
    scores: Sequence[Sequence[float]],
    texts: Sequence[Group],
    config: EvaluateConfig,
) -> Measured:
    budget = config.micro_batch_tokens
    template = resolve(policy.tokenizer, config.template)
    kl = answer_kl(policy, first, rows, budget)
    heldout, tokens = _text_logprob(policy, texts, config)
    fluency, lengths = _fluency(fluent, rows, template, budget)
    return Measured(
        answer_GK=[[answer.text for answer in group.answers] for group in answers],
        score_GK=scores,
        kl_GK=[[kl[tree.group, k] for k in range(len(tree.branches))] for tree in rows],
        logprob_GK=fluency,
        length_GK=lengths,
        ended_GK=[[branch.ended for branch in tree.branches] for tree in rows],
        heldout_logprob=heldout,
        heldout_tokens=tokens,
    )


def _fluency(
    base: Policy | None, rows: Sequence[Tree], template: Template, budget: int
) -> tuple[list[list[float]], list[list[int]]]:
    """log p of every answer under the pretrained base, end tokens left out, and the tokens that were counted."""

    def without_end(branch: Branch) -> Branch:
        tokens = branch.tokens[:-1] if branch.tokens[-1] in template.end_tokens else branch.tokens
        return replace(branch, tokens=tokens, learned=(True,) * len(tokens))

    lengths = [[len(without_end(branch).tokens) for branch in tree.branches] for tree in rows]
    if base is None:
        return [[math.nan] * len(row) for row in lengths], lengths
    said = [replace(tree, branches=tuple(b for b in map(without_end, tree.branches) if b.tokens)) for tree in rows]
    table = base.frozen_logprobs([tree for tree in said if tree.branches], budget)
    return [
        [float(table[tree.group, k].sum()) if length else 0.0 for k, length in enumerate(row)]
        for tree, row in zip(rows, lengths, strict=True)
    ], lengths


def _text_logprob(policy: Policy, texts: Sequence[Group], config: EvaluateConfig) -> tuple[float, int]:
    """log p of the held-out text in rows of `max_length` tokens, and the tokens that were predicted."""
    if not texts:
        return 0.0, 0
    rows = text_trees(texts, resolve(policy.tokenizer, "none"), max_length=config.max_length).trees
    rows = [replace(row, group=index) for index, row in enumerate(rows)]  # a text may fill several rows
    table = policy.frozen_logprobs(rows, config.micro_batch_tokens)
    return math.fsum(float(v.double().sum()) for v in table.values()), sum(len(v) for v in table.values())


def _record(group: Group, name: str, scores: Scores, place: int) -> Group:
    """The group at `place` of the model `name`, with its scores."""
    scored = tuple(
        replace(a, score=None if math.isnan(score) else score)
        for a, score in zip(group.answers, scores.total[place], strict=True)
    )
    return replace(group, answers=scored, extra={**group.extra, "model": name, **scores.of(place)})
