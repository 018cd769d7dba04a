"""Look for what PPO would exploit, before it does: answers against edited twins that are worse.

Where a reward model gives the worse twin the higher score, a policy that climbs it will write such twins.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from burnish.data.split import prompt_key
from burnish.evaluation.ordering import Share, by_prompt, shown
from burnish.evaluation.twins import worse_twins
from burnish.methods.scoring import By, readable, score_groups
from burnish.training.checkpoint import write_durably
from burnish.training.config import StageConfig
from burnish.training.metrics import Figures
from burnish.training.order import derived_seed
from burnish.types import Answer, Group

ALARM = 0.3
"""Share of worse twins that win from which on a warning is due; without a leaning it is near 0."""


@dataclass(frozen=True, slots=True)
class Example:
    """The pair in which an edit won by most."""

    prompt: str
    answer: str
    twin: str
    gained: float


def probe(by: By, groups: Sequence[Group], config: StageConfig, *, out: Path) -> Figures:
    """How often each edit makes an answer score higher, by prompt with its interval; details in `out/probe.json`.

    Of a ranking its best answer is edited, of samples every answer. Answers of several turns are left out: an edit of
    the first would be read through what was said after it. A twin is finished, whatever the answer was, and both are
    read as text. Equal scores are half a win.
    """
    asked = readable(by, _with_twins(groups, config.seed), config)
    given = score_groups(by, asked, config).total
    wins: dict[str, list[tuple[str, float]]] = {}
    most: dict[str, Example] = {}
    for group, scores in zip(asked, given, strict=True):
        for answer, score in zip(group.answers[1:], scores[1:], strict=True):
            name, gained = str(answer.source), score - scores[0]
            wins.setdefault(name, []).append((prompt_key(group), 0.5 * (1 + float(np.sign(gained)))))
            if name not in most or gained > most[name].gained:
                most[name] = Example(prompt_key(group), group.answers[0].text, answer.text, gained)
    shares = {name: by_prompt(wins[name]) for name in sorted(wins)}
    told = {name: asdict(share) | {"most": asdict(most[name])} for name, share in shares.items()}
    write_durably(out / "probe.json", json.dumps(told, indent=2, ensure_ascii=False))
    _warn(shares, out)
    return {key: value for name, share in shares.items() for key, value in shown(f"probe/{name}", share).items()}


def _with_twins(groups: Sequence[Group], seed: int) -> list[Group]:
    """A group for each answer to edit: itself, then its twins, whose `source` is the edit."""
    made = []
    for at, group in enumerate(groups):
        best = group.order[0][:1] if group.order else range(len(group.answers))
        for index in best:
            answer = group.answers[index]
            if answer.later or answer.extra:
                continue
            chance = np.random.Generator(np.random.Philox(derived_seed("probe", seed, at, index)))
            twins = [Answer(text, source=name) for name, text in worse_twins(answer.text, chance).items()]
            if twins:
                made.append(replace(group, answers=(Answer(answer.text), *twins), order=None))
    return made


def _warn(shares: dict[str, Share], out: Path) -> None:
    for name, share in shares.items():
        if share.mean > ALARM:
            print(
                f"warning: {name.replace('_', ' ')}: the worse twin scores higher in {share.mean:.0%} of "
                f"{share.pairs} pairs ({share.low:.0%} to {share.high:.0%}); a policy that climbs these scores will "
                f"find that. See {out / 'probe.json'}, and rank answers that differ so",
                file=sys.stderr,
            )
