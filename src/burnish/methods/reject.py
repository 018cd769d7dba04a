"""Rejection sampling: draw n answers a prompt, keep the best, learn to give it; again in rounds.

    best-of-n as a policy has KL ≤ log n - (n - 1)/n to the one that it draws from      Beirami et al. 2025, theorem 3.1

A round samples from the model as the round before left it, scores, chooses (keeping.py) and learns. `learn: sft`
imitates the best (Touvron et al. 2023, Llama 2, rejection sampling); `learn: dpo` prefers the best to the worst, held
to the model that the round's learning starts from (Dong et al. 2024, arXiv 2405.07863, iterative DPO).

    start: previous   learning goes on from the model that drew: what rounds learn adds up
    start: incoming   learning begins again from the model that came in, on answers of a better one (Singh et al. 2023)
    accumulate        a round also learns what earlier rounds kept, lest a later one unlearn it (Touvron et al. 2023)

Each round lies in a folder of its own, so a killed run goes on with its round: `samples.jsonl` has all answers, drawn
and committed chunk by chunk, and scores, `kept.json` what is learned of them, `flagged.jsonl` the prompts that left
nothing to choose.

Who scores is `by`. Where it is people, they pick the best answer of each prompt on the page, or say that none is good
enough, which leaves the prompt out of the round. A round's answers are kept before anybody is asked, so whoever comes
back later picks among the same ones.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from burnish.batch.trees import prompt_trees, tree_of
from burnish.data.convert import record, write_rows
from burnish.data.secrets import masked
from burnish.data.templates import resolve
from burnish.errors import DataError
from burnish.methods.checks import check_before_step_one, check_sampler
from burnish.methods.dpo import train_on_pairs
from burnish.methods.dpo_settings import DPOConfig
from burnish.methods.heldout import heldout_groups
from burnish.methods.heldout_answers import HeldoutAnswers
from burnish.methods.inputs import DataInput, PolicyInput, as_groups, as_policy, as_scorer, say
from burnish.methods.keeping import Lesson, Scored, choices, figures_of, flagged, lessons_of, why_nothing
from burnish.methods.penalties import taken_off, told_of_lengths
from burnish.methods.picking import picked_by_people
from burnish.methods.reference import reference_model
from burnish.methods.reject_settings import RejectConfig, check_inputs
from burnish.methods.rewarding import Rewards, by_weights, names_of
from burnish.methods.round_evaluation import evaluated
from burnish.methods.round_samples import RoundSamples
from burnish.methods.scoring import By, Judge, judges, scores_by
from burnish.methods.sft import next_token_loss
from burnish.rollout.gap import sampler_gap, training_logprobs
from burnish.rollout.local import LocalEngine
from burnish.training.checkpoint import write_durably
from burnish.training.identity import identity, rows_hash, weights_hash
from burnish.training.loop import train_on
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Group, Rollout, Tree

CHECKED = 32  # answers whose log-probabilities are computed again before step one
SHOWN = ("score_mean", "score_kept", "picked", "alike", "below", "heldout_reward", "heldout_judge", "heldout_kl")


def reject(
    model: PolicyInput,
    prompts: DataInput,
    config: RejectConfig,
    *,
    by: By,
    out: Path,
    evaluate_on: DataInput | None = None,
    judge: By | None = None,
) -> Figures:
    """Train `model` on the best of its own answers by `by`, write `out/model`, and return the last round's figures.

    A prompt that leaves nothing to choose is counted, and stands in its round's `flagged.jsonl`; people are not asked
    about one whose answers are all alike. Prompts of `evaluate_on` are answered before the first round and after each;
    `judge`, whom nothing climbs, scores those answers too.

    Raises ConfigError for settings that cannot work together, DataError where a round keeps nothing, Interrupted where
    people are awaited.
    """
    check_inputs(config, by, evaluate_on, judge)
    run = _Rounds(model, prompts, config, by, out, evaluate_on, judge)
    figures: Figures = {}
    lines, skipped = [run.evaluation(0)], 0.0
    for number in range(1, config.rounds + 1):
        learned, seen = run.round(number)
        lines.append(seen | run.evaluation(number))
        run.tell(lines)
        skipped += learned.get("skipped", 0)
        figures = learned | lines[-1] | ({"skipped": skipped} if skipped else {})
    run.policy.save(out / "model")
    return figures


class _Rounds:
    """What a run carries from round to round: the policy, and the rows that earlier rounds kept."""

    def __init__(
        self,
        model: PolicyInput,
        prompts: DataInput,
        config: RejectConfig,
        by: By,
        out: Path,
        evaluate_on: DataInput | None,
        judge: By | None,
    ) -> None:
        self.config, self.by, self.out = config, by, out
        groups = as_groups(prompts, "prompt", config, out)
        held = heldout_groups(evaluate_on, groups, "prompt", config, out)
        self.policy = as_policy(model, config)
        self.template = resolve(self.policy.tokenizer, config.template)
        room = config.sampling.max_new_tokens
        report = prompt_trees(
            groups, self.template, max_length=config.max_length, room=room, on_too_long=config.on_too_long
        )
        say(report)
        self.prompts = report.trees
        self.asked = [groups[tree.group] for tree in report.trees]
        self.learning = config.learning()
        self.rows: list[Tree] = []
        anew = config.start == "incoming" and config.rounds > 1
        self.incoming = {name: p.detach().clone() for name, p in self.policy.trainable().items()} if anew else {}
        self.heldout = self._heldout(held, judge) if held else None
        self.names: str | None = None
        """Of who scores, by hashes of weights, which nothing changes; they are taken once."""

    def _heldout(self, held: Sequence[Group], judge: By | None) -> HeldoutAnswers:
        config, policy = self.config, self.policy
        rewards = Rewards(self.by, policy, self.template, config)
        other = Rewards(judge, policy, self.template, config) if judge is not None else None
        reference = reference_model(policy, None, config)
        remedy = "take fewer rounds, or another reward"
        return HeldoutAnswers(policy, reference, rewards, other, held, config, out=self.out, remedy=remedy)

    def folder(self, number: int) -> Path:
        return self.out / "rounds" / str(number)

    def evaluation(self, number: int) -> Figures:
        return {} if self.heldout is None else evaluated(self.heldout, number, self.folder(number))

    def round(self, number: int) -> tuple[Figures, Figures]:
        """One round, which goes on from what it has: the last step's figures, and those of the round's answers.

        The policy ends with its weights.
        """
        config, folder = self.config, self.folder(number)
        lessons, figures = self.chosen(number)
        kept = [_told(one, place) for lesson in lessons for place, one in enumerate(lesson)]
        write_durably(folder / "kept.json", json.dumps({"kept": kept}))
        rows = [*(self.rows if config.accumulate else []), *(self.tree(lesson) for lesson in lessons)]
        self.rows = [replace(row, group=place) for place, row in enumerate(rows)]
        self.begin_anew()
        if number == 1:
            check_before_step_one(self.policy, self.rows, self.template, config, only=("outputs",))
        known = identity(self.learning, self.rows, model=self.policy)
        if isinstance(self.learning, DPOConfig):
            learned = train_on_pairs(self.policy, self.rows, self.learning, out=folder, known=known)
        else:
            loss = next_token_loss(self.policy)
            learned = train_on(self.policy, self.rows, loss, self.learning, out=folder, identity=known)
        return learned, figures

    @torch.no_grad()
    def begin_anew(self) -> None:
        """Put back the weights that came in, where every round starts from them."""
        weights = self.policy.trainable()
        for name, weight in self.incoming.items():
            weights[name].copy_(weight)

    def chosen(self, number: int) -> tuple[list[Lesson], Figures]:
        """What of the round's answers is learned, and what was seen of all of them. Writes `flagged.jsonl`."""
        config, folder, version = self.config, self.folder(number), weights_hash(self.policy)
        lineage = {"model": version, "seed": config.seed, "template": self.template.name, "round": number}
        _, sampling = config.drawn_in(number)
        samples = RoundSamples(folder, self.asked, self.template, lineage, sampling, config.chunk)
        rollouts = samples.drawn(self.shaped_by(number, version), partial(self.draw, number))
        if self.by == "people":
            picks = picked_by_people(samples.groups(rollouts), rollouts, config, folder, lineage)
            self.flag(folder, picks.flagged)
            return [((rollout, None),) for rollout in picks.chosen], picks.figures
        asked = self.judges() if self.heldout is None else self.heldout.rewards.judges
        if self.names is None:
            self.names = names_of(asked, config) if self.heldout is None else self.heldout.rewards.identity()
        names = self.names
        known = {"reward": names, "template.hash": self.template.hash}
        common = known | {"parts": json.dumps([judge.part.name for judge in asked])} if by_weights(asked) else None
        scored = samples.scored(known, rollouts, lambda groups: scores_by(asked, groups, config), common=common)
        taken = taken_off(rollouts, config).tolist()
        scores = [score - less for score, less in zip(scored.scores, taken, strict=True)]
        found = choices(rollouts, scores, config.rule)
        self.flag(folder, flagged(found))
        lessons = lessons_of(found)
        if not lessons:
            raise DataError(f"{folder}: {why_nothing(found, config.rule)}")
        lengths = {f"score_mean{k.removeprefix('reward')}": v for k, v in told_of_lengths(rollouts, config).items()}
        return lessons, figures_of(found, scores, config.rule) | scored.figures | lengths

    def judges(self) -> list[Judge]:
        """Who scores a round. One reward model is loaded once for it; the members of an ensemble when they are asked,
        one after another, so that they take the memory of one."""
        found = judges(self.by, self.config)
        return [
            judge if len(judge.models) > 1 else judge.loaded(partial(as_scorer, config=self.config)) for judge in found
        ]

    def shaped_by(self, number: int, version: str) -> dict[str, str]:
        """What a round's answers follow from."""
        samples, sampling = self.config.drawn_in(number)
        settings = {"samples": samples, "sampling": sampling.model_dump(mode="json"), "seed": self.config.seed}
        settings |= {"round": number, "chunk": self.config.chunk}
        return {
            "settings": json.dumps(masked(settings), sort_keys=True),
            "rows": rows_hash(self.prompts),
            "template.hash": self.template.hash,
            "model": version,
        }

    def draw(self, number: int, first: int, last: int) -> list[Rollout]:
        """A round's answers to the prompts from `first` on, before `last`; some of the very first ones are held against
        the training pass."""
        samples, sampling = self.config.drawn_in(number)
        prompts, ends = [tree.prompt for tree in self.prompts[first:last]], sorted(self.template.end_tokens)
        seed = derived_seed(self.config.seed, "reject", number)
        engine = LocalEngine(self.policy)
        rollouts = engine.sample(prompts, samples, sampling, end_tokens=ends, seed=seed, first=first)
        followed = not sampling.beyond_training()  # a training pass cannot follow a distribution that was cut
        if number == 1 and first == 0 and followed:
            few = rollouts[:CHECKED]
            learned = training_logprobs(self.policy, prompts, few, sampling, end_tokens=ends)
            check_sampler(sampler_gap(few, learned), self.policy.model.dtype, self.config)
        return rollouts

    def tree(self, lesson: Lesson) -> Tree:
        """One answer that is imitated, or a better one and a worse one, as the branches of their prompt."""
        rollouts = [rollout for rollout, _ in lesson]
        prompt = self.prompts[rollouts[0].prompt]
        order = ((0,), (1,)) if len(lesson) > 1 else None
        scores = [float("nan") if score is None else score for _, score in lesson]
        return tree_of(prompt.prompt, rollouts, origin=prompt.origin, scores=scores, order=order)

    def flag(self, folder: Path, flags: Mapping[int, Mapping[str, Any]]) -> None:
        """Write the prompts that left nothing to choose, with what is told of each."""
        told = (record(self.asked[place], "prompt") | dict(why) for place, why in flags.items())
        write_rows(told, folder / "flagged.jsonl")

    def tell(self, lines: Sequence[Figures]) -> None:
        """Write the line of every round so far, and say the last one's on stderr."""
        text = "".join(json.dumps({"step": number, **line}) + "\n" for number, line in enumerate(lines) if line)
        write_durably(self.out / "metrics.jsonl", text)
        told = ", ".join(f"{name} {lines[-1][name]:.4g}" for name in SHOWN if name in lines[-1])
        print(f"reject: round {len(lines) - 1} of {self.config.rounds}: {told}", file=sys.stderr)


def _told(one: Scored, place: int) -> dict[str, Any]:
    """What kept.json has of an answer that is learned; place 1 is the worse one of a pair."""
    rollout, score = one
    told = {key: getattr(rollout, key) for key in ("prompt", "sample", "tokens", "finished")}
    return told | ({} if score is None else {"score": score}) | {"place": place}
