"""Which of a prompt's answers are learned: a rule of their scores alone.

    imitated    the `keep` best, of those that score above `threshold`
    paired      the best, above `threshold`, and the worst, where one is better than the other

Of equal scores the answer that was drawn first stands first. A prompt may leave nothing to choose:

    alike   its answers are all the same; imitated like any other, for so the model answers
    tied    they differ, and all score the same
    below   none scores above `threshold`, so that nothing of it is learned
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from burnish.methods.drawn import SAME
from burnish.training.metrics import Figures
from burnish.types import Rollout

Flag = Literal["alike", "tied", "below"]
Scored = tuple[Rollout, float | None]
"""An answer with its score, None where people chose it."""
Lesson = tuple[Scored, ...]
"""Answers to one prompt that are learned together: one that is imitated, or a better one and a worse one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`threshold`: None is any score. `pairs`: the best is learned against the worst."""

    keep: int = 1
    threshold: float | None = None
    pairs: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Of one prompt: the answers that are `kept`, best first, and `worst`, which a pair sets below them."""

    prompt: int
    kept: tuple[tuple[Rollout, float], ...]
    worst: tuple[Rollout, float] | None
    flags: tuple[Flag, ...]
    highest: float
    lowest: float


def choices(rollouts: Sequence[Rollout], scores: Sequence[float], rule: Rule) -> list[Choice]:
    """What `rule` takes of each prompt, in the order in which prompts come."""
    by_prompt: dict[int, list[tuple[Rollout, float]]] = {}
    for rollout, score in zip(rollouts, scores, strict=True):
        by_prompt.setdefault(rollout.prompt, []).append((rollout, score))
    return [_choice(prompt, answers, rule) for prompt, answers in by_prompt.items()]


def _choice(prompt: int, answers: Sequence[tuple[Rollout, float]], rule: Rule) -> Choice:
    ranked = sorted(answers, key=lambda one: (-one[1], one[0].sample))
    highest, lowest = ranked[0][1], ranked[-1][1]
    alike = len({rollout.tokens for rollout, _ in answers}) == 1
    tied = not alike and highest - lowest <= SAME
    kept = tuple(one for one in ranked[: rule.keep] if rule.threshold is None or one[1] > rule.threshold)
    below = rule.threshold is not None and highest <= rule.threshold
    if rule.pairs and (alike or tied):
        kept = ()
    worst = ranked[-1] if rule.pairs and kept else None
    flags: Mapping[Flag, bool] = {"alike": alike, "tied": tied, "below": below}
    return Choice(prompt, kept, worst, tuple(flag for flag, holds in flags.items() if holds), highest, lowest)


def lessons_of(chosen: Sequence[Choice]) -> list[Lesson]:
    """What is learned: every kept answer by itself, or with the worst one below it."""
    return [(one,) if choice.worst is None else (one, choice.worst) for choice in chosen for one in choice.kept]


def figures_of(chosen: Sequence[Choice], scores: Sequence[float], rule: Rule) -> Figures:
    """Means over answers, and counts of prompts. `score_kept` and `score_worst` only where something is learned."""
    kept = [score for choice in chosen for _, score in choice.kept]
    worst = [choice.worst[1] for choice in chosen if choice.worst is not None]
    figures = {"score_mean": sum(scores) / len(scores)}
    figures |= {"score_kept": sum(kept) / len(kept)} if kept else {}
    figures |= {"score_worst": sum(worst) / len(worst)} if worst else {}
    figures |= {"pairs" if rule.pairs else "kept": float(len(kept))}
    counted: tuple[Flag, ...] = ("alike", "tied") if rule.threshold is None else ("alike", "tied", "below")
    figures |= {flag: float(sum(flag in choice.flags for choice in chosen)) for flag in counted}
    return figures | {"prompts": float(len(chosen))}


def flagged(chosen: Sequence[Choice]) -> dict[int, dict[str, object]]:
    """The prompts that left nothing to choose, each with why, its best and worst score, and whether it is learned."""
    return {
        choice.prompt: {
            "flags": list(choice.flags),
            "score_best": choice.highest,
            "score_worst": choice.lowest,
            "learned": bool(choice.kept),
        }
        for choice in chosen
        if choice.flags
    }


def why_nothing(chosen: Sequence[Choice], rule: Rule) -> str:
    """Why no prompt is learned, and what to do."""
    best = max(choice.highest for choice in chosen)
    if rule.threshold is not None and best <= rule.threshold:
        return (
            f"threshold: {rule.threshold:g}: none of {len(chosen)} prompts has an answer above it, and the best one "
            f"scores {best:.3g}; lower it"
        )
    return (
        f"learn: dpo: none of {len(chosen)} prompts has one answer that is better than another"
        + (f" and above threshold: {rule.threshold:g}" if rule.threshold is not None else "")
        + "; draw more samples, or name another `by`"
    )
