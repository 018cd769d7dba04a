"""Rejection sampling: draw n answers a prompt, keep the best, learn to give it; again in rounds.

    best-of-n as a policy has KL ≤ log n - (n - 1)/n to the one that it draws from      Beirami et al. 2025, theorem 3.1

A round samples from the model as it then is, scores, keeps, and fine-tunes on what it kept (Touvron et al. 2023, Llama
2, rejection sampling). Each round lies in a folder of its own, whole or not there, so a killed run goes on with its
round.

Who scores is `by`. Where it is people, they pick the best answer of each prompt on the page, or say that none is good
enough, which leaves the prompt out of the round. A round's answers are kept before anybody is asked, so whoever comes
back later picks among the same ones.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from burnish.batch.trees import prompt_trees, tree_of
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError, DataError
from burnish.methods.checks import check_before_step_one, check_sampler
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.people import PeopleConfig, judged_by_people, judgements
from burnish.methods.scoring import By, answered, score_groups
from burnish.methods.sft import next_token_loss
from burnish.models.model import Policy
from burnish.rollout.gap import sampler_gap, training_logprobs
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.checkpoint import write_durably
from burnish.training.config import MethodConfig
from burnish.training.identity import identity, weights_hash
from burnish.training.loop import train_on
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Group, Rollout, Tree

CHECKED = 32  # answers whose log-probabilities are computed again before step one


MOST_PICKED = 16  # answers of a prompt that the page shows to people


class RejectConfig(MethodConfig, PeopleConfig):
    learning_rate: float = Field(2e-5, gt=0, description="peak of the learning rate, in every round")
    samples: int = Field(8, ge=2, description="answers a prompt and round")
    keep: int = Field(1, ge=1, description="best answers of a prompt that are learned")
    rounds: int = Field(1, ge=1, description="how often to sample, keep and learn")
    unfinished_penalty: float = Field(1.0, ge=0, description="taken from the score of an answer without an end")
    sampling: Sampling = Field(default_factory=lambda: Sampling(), description="temperature and lengths of the answers")


def reject(model: PolicyInput, prompts: DataInput, config: RejectConfig, *, by: By, out: Path) -> Figures:
    """Train `model` on the best of its own answers by `by`, write `out/model`, and return the last round's figures.

    A prompt whose answers are all alike teaches nothing about which is better; such prompts are counted as `alike`.
    People are not asked about those. Raises ConfigError for settings that cannot work together, DataError where people
    picked nothing, Interrupted where people are awaited.
    """
    if config.keep >= config.samples:
        raise ConfigError(f"keep: {config.keep} of {config.samples} samples would keep every answer; lower it")
    if by == "people" and config.keep > 1:
        raise ConfigError(f"keep: {config.keep}: people pick one answer of a prompt; set it to 1")
    if by == "people" and config.samples > MOST_PICKED:
        raise ConfigError(f"samples: {config.samples}: people pick among {MOST_PICKED} answers at most; lower it")
    groups = as_groups(prompts, "prompt", config, out)
    policy = as_policy(model, config)
    figures: Figures = {}
    for number in range(1, config.rounds + 1):
        folder = out / "rounds" / str(number)
        figures = _round(policy, groups, config, by, folder, number)
    policy.save(out / "model")
    return figures


def _round(policy: Policy, groups: list[Group], config: RejectConfig, by: By, folder: Path, number: int) -> Figures:
    """One round, which goes on from its checkpoint where it was cut; the policy ends with the round's weights."""
    template = resolve(policy.tokenizer, config.template)
    room = config.sampling.max_new_tokens
    report = prompt_trees(groups, template, max_length=config.max_length, room=room, on_too_long=config.on_too_long)
    say(report)
    asked = report.trees
    kept_file = folder / "kept.json"
    if kept_file.exists():
        stored = json.loads(kept_file.read_text(encoding="utf-8"))
        kept = [_tree_from(asked[row["prompt"]], row) for row in stored["kept"]]
        figures: Figures = stored["figures"]
    else:
        rollouts = _rollouts(
            policy, asked, template, config, number, folder / "answers.json" if by == "people" else None
        )
        answers = answered([groups[tree.group] for tree in asked], rollouts, template)
        if by == "people":
            lineage = {"model": weights_hash(policy), "seed": config.seed, "template": template.name, "round": number}
            chosen, figures = _picked_by_people(answers, rollouts, config, folder, lineage)
        else:
            given = score_groups(by, answers, config)
            scores = [
                score - config.unfinished_penalty * (not rollout.finished)
                for score, rollout in zip((s for row in given.total for s in row), rollouts, strict=True)
            ]
            chosen, figures = best(rollouts, scores, config.keep)
            figures |= given.means() | given.reliability()
        rows = [_row(rollout) for rollout in chosen]
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(kept_file, json.dumps({"kept": rows, "figures": figures}))
        kept = [_tree_from(asked[r.prompt], row) for r, row in zip(chosen, rows, strict=True)]
    if number == 1:
        check_before_step_one(policy, kept, template, config, only=("outputs",))
    known = identity(config, kept)
    learned = train_on(policy, kept, next_token_loss(policy), config, out=folder, identity=known)
    return learned | figures


def _rollouts(
    policy: Policy, asked: Sequence[Tree], template: Template, config: RejectConfig, number: int, kept: Path | None
) -> list[Rollout]:
    """The round's answers. With `kept` they are drawn once and stay there: people may come back to them after days."""
    if kept is not None and kept.exists():
        rows = json.loads(kept.read_text(encoding="utf-8"))
        return [
            Rollout(r["prompt"], r["sample"], tuple(r["tokens"]), tuple(r["logprobs"]), r["finished"], 0) for r in rows
        ]
    rollouts = LocalEngine(policy).sample(
        [tree.prompt for tree in asked],
        config.samples,
        config.sampling,
        end_tokens=sorted(template.end_tokens),
        seed=derived_seed(config.seed, "reject", number),
    )
    if number == 1:
        _check_sampler(policy, asked, rollouts, template, config)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        # with log-probabilities: the store refuses the same texts with others
        write_durably(kept, json.dumps([_row(rollout) | {"logprobs": rollout.logprobs} for rollout in rollouts]))
    return rollouts


def _row(rollout: Rollout) -> dict[str, Any]:
    """What is kept of an answer, as JSON has it."""
    return {key: getattr(rollout, key) for key in ("prompt", "sample", "tokens", "finished")}


def _picked_by_people(
    answers: Sequence[Group],
    rollouts: Sequence[Rollout],
    config: RejectConfig,
    folder: Path,
    lineage: Mapping[str, Any],
) -> tuple[list[Rollout], Figures]:
    """The answer of each prompt that people picked; a text that several answers share is shown once, as the first.

    `lineage`: what the store is to know of the answers, and nobody who picks sees.
    """
    from burnish.feedback.records import Item

    firsts = [_distinct(group) for group in answers]
    apart = [place for place, first in enumerate(firsts) if len(first) > 1]
    if not apart:
        raise ConfigError("samples: no prompt has two answers that differ, so there is nothing to pick; draw more")
    names = {f"prompt-{place + 1}": place for place in apart}
    items = [
        replace(answers[place], answers=tuple(answers[place].answers[k] for k in firsts[place]), id=name)
        for name, place in names.items()
    ]
    judged_by_people([Item(replace(one, extra={**one.extra, **lineage}), task="pick") for one in items], config, folder)
    said = judgements(folder)
    picks = most_picked([(one.item, picked(one.place_K)) for one in said])
    of_answer = {(rollout.prompt, rollout.sample): rollout for rollout in rollouts}
    chosen = [
        of_answer[place, firsts[place][pick]] for name, place in names.items() if (pick := picks.get(name)) is not None
    ]
    if not chosen:
        raise DataError(f"{folder}: people found none of {len(picks)} prompts' answers good enough: nothing to learn")
    return chosen, {
        "prompts": float(len(answers)),
        "alike": float(len(answers) - len(apart)),
        "picked": float(len(chosen)),
        "none_good": float(sum(pick is None for pick in picks.values())),
        "annotators": float(len({one.annotator for one in said})),
    }


def _distinct(group: Group) -> list[int]:
    """Indices of the answers whose text no earlier one has."""
    first: dict[str, int] = {}
    for index, answer in enumerate(group.answers):
        first.setdefault(answer.text, index)
    return list(first.values())


def picked(place_K: Sequence[int]) -> int | None:
    """The one answer that stands before all others; None where all share a place, and none was good enough."""
    return place_K.index(0) if place_K.count(0) == 1 else None


def most_picked(said: Sequence[tuple[str, int | None]]) -> dict[str, int | None]:
    """What most people picked of each item, of (item, pick) in the order in which it was said.

    An answer counts only if more people picked it than said that none is good enough; of two that are picked equally
    often it is the one that was picked first.
    """
    votes: dict[str, list[int | None]] = {}
    for item, pick in said:
        votes.setdefault(item, []).append(pick)
    found: dict[str, int | None] = {}
    for item, picks in votes.items():
        best_one = max((pick for pick in picks if pick is not None), key=picks.count, default=None)
        found[item] = best_one if picks.count(best_one) > picks.count(None) else None
    return found


def _check_sampler(
    policy: Policy, asked: Sequence[Tree], rollouts: Sequence[Rollout], template: Template, config: RejectConfig
) -> None:
    """Raise ConfigError unless the sampler drew what the model says, on a few answers and where it can be computed."""
    if config.sampling.beyond_training():
        return
    few, prompts = rollouts[:CHECKED], [tree.prompt for tree in asked]
    learned = training_logprobs(policy, prompts, few, config.sampling, end_tokens=sorted(template.end_tokens))
    check_sampler(sampler_gap(few, learned), policy.model.dtype, config)


def best(rollouts: list[Rollout], scores: list[float], keep: int) -> tuple[list[Rollout], Figures]:
    """The `keep` best answers of each prompt, by score, then by sample number; and what was seen of the scores."""
    by_prompt: dict[int, list[tuple[float, Rollout]]] = {}
    for rollout, score in zip(rollouts, scores, strict=True):
        by_prompt.setdefault(rollout.prompt, []).append((score, rollout))
    kept: list[Rollout] = []
    alike = 0
    for answers in by_prompt.values():
        alike += len({rollout.tokens for _, rollout in answers}) == 1
        ranked = sorted(answers, key=lambda item: (-item[0], item[1].sample))
        kept += [rollout for _, rollout in ranked[:keep]]
    chosen = {(r.prompt, r.sample) for r in kept}
    best_scores = [s for s, r in zip(scores, rollouts, strict=True) if (r.prompt, r.sample) in chosen]
    figures = {
        "score_mean": sum(scores) / len(scores),
        "score_kept": sum(best_scores) / len(best_scores),
        "alike": float(alike),
        "prompts": float(len(by_prompt)),
    }
    return kept, figures


def _tree_from(asked: Tree, row: dict[str, Any]) -> Tree:
    rollout = Rollout(0, 0, tuple(row["tokens"]), (), row["finished"], 0)
    return tree_of(asked.prompt, [rollout], group=asked.group, origin=asked.origin)
