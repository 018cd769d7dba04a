"""Rejection sampling: draw n answers a prompt, keep the best, learn to give it; again in rounds.

    best-of-n as a policy has KL ≤ log n - (n - 1)/n to the one that it draws from      Beirami et al. 2025, theorem 3.1

A round samples from the model as it then is, scores, keeps, and fine-tunes on what it kept (Touvron et al. 2023, Llama
2, rejection sampling). Each round lies in a folder of its own, whole or not there, so a killed run goes on with its
round.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from burnish.batch.trees import prompt_trees, tree_of
from burnish.data.templates import Template, resolve
from burnish.errors import ConfigError
from burnish.methods.checks import check_before_step_one, check_sampler
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, say
from burnish.methods.scoring import By, answered, score_groups
from burnish.methods.sft import next_token_loss
from burnish.models.model import Policy
from burnish.rollout.gap import sampler_gap, training_logprobs
from burnish.rollout.local import LocalEngine
from burnish.rollout.settings import Sampling
from burnish.training.checkpoint import write_durably
from burnish.training.config import MethodConfig
from burnish.training.identity import identity
from burnish.training.loop import train_on
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Group, Rollout, Tree

CHECKED = 32  # answers whose log-probabilities are computed again before step one


class RejectConfig(MethodConfig):
    learning_rate: float = Field(2e-5, gt=0, description="peak of the learning rate, in every round")
    samples: int = Field(8, ge=2, description="answers a prompt and round")
    keep: int = Field(1, ge=1, description="best answers of a prompt that are learned")
    rounds: int = Field(1, ge=1, description="how often to sample, keep and learn")
    unfinished_penalty: float = Field(1.0, ge=0, description="taken from the score of an answer without an end")
    sampling: Sampling = Field(default_factory=lambda: Sampling(), description="temperature and lengths of the answers")


def reject(model: PolicyInput, prompts: DataInput, config: RejectConfig, *, by: By, out: Path) -> Figures:
    """Train `model` on the best of its own answers by `by`, write `out/model`, and return the last round's figures.

    A prompt whose answers are all alike teaches nothing about which is better; such prompts are counted as `alike`.
    """
    if config.keep >= config.samples:
        raise ConfigError(f"keep: {config.keep} of {config.samples} samples would keep every answer; lower it")
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
        rollouts = LocalEngine(policy).sample(
            [tree.prompt for tree in asked],
            config.samples,
            config.sampling,
            end_tokens=sorted(template.end_tokens),
            seed=derived_seed(config.seed, "reject", number),
        )
        if number == 1:
            _check_sampler(policy, asked, rollouts, template, config)
        given = score_groups(by, answered([groups[tree.group] for tree in asked], rollouts, template), config)
        scores = [
            score - config.unfinished_penalty * (not rollout.finished)
            for score, rollout in zip((s for row in given.total for s in row), rollouts, strict=True)
        ]
        chosen, figures = best(rollouts, scores, config.keep)
        figures |= given.means()
        rows = [{"prompt": r.prompt, "sample": r.sample, "tokens": r.tokens, "finished": r.finished} for r in chosen]
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(kept_file, json.dumps({"kept": rows, "figures": figures}))
        kept = [_tree_from(asked[r.prompt], row) for r, row in zip(chosen, rows, strict=True)]
    if number == 1:
        check_before_step_one(policy, kept, template, config, only=("outputs",))
    known = identity(config, kept)
    learned = train_on(policy, kept, next_token_loss(policy), config, out=folder, identity=known)
    return learned | figures


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
