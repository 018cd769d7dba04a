"""People pick the best of each prompt's answers on the page, or say that none is good enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from burnish.errors import ConfigError, DataError
from burnish.methods.people import PeopleConfig, judged_by_people, judgements
from burnish.training.metrics import Figures
from burnish.types import Group, Rollout

MOST_PICKED = 16  # answers of a prompt that the page shows to people


@dataclass(frozen=True, slots=True)
class Picks:
    """`chosen`: an answer of each prompt of which one was picked. `flagged`: the other prompts, by their place, with
    why: `alike`, `none_good`, or `not_asked` where enough was picked before."""

    chosen: list[Rollout]
    flagged: dict[int, dict[str, object]]
    figures: Figures


def picked_by_people(
    answers: Sequence[Group],
    rollouts: Sequence[Rollout],
    config: PeopleConfig,
    folder: Path,
    lineage: Mapping[str, Any],
) -> Picks:
    """What people picked; a text that several answers share is shown once, as the first.

    `lineage`: what the store is to know of the answers, and nobody who picks sees. Raises ConfigError where no prompt
    has answers that differ, DataError where nothing was picked, and what `judged_by_people` does.
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
    why = {place: "none_good" if name in picks else "not_asked" for name, place in names.items()}
    why |= {place: "alike" for place in range(len(answers)) if place not in apart}
    learned = {rollout.prompt for rollout in chosen}
    figures = {
        "prompts": float(len(answers)),
        "alike": float(len(answers) - len(apart)),
        "picked": float(len(chosen)),
        "none_good": float(sum(pick is None for pick in picks.values())),
        "annotators": float(len({one.annotator for one in said})),
    }
    flagged = {
        place: {"flags": [flag], "learned": False} for place, flag in sorted(why.items()) if place not in learned
    }
    return Picks(chosen, flagged, figures)


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
