"""Held-out rankings under a reward model: each with its scores, and with that of an answer to another prompt."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from burnish.batch.pack import Key
from burnish.data.split import prompt_key
from burnish.evaluation.ordering import EXPLAINED, Ordering, Ranked
from burnish.methods.mismatched import is_mismatched
from burnish.training.checkpoint import write_durably
from burnish.types import Group, Tree

OTHERS = 1  # answers to other prompts that a held-out prompt's own are held to


def ranked(rows: Sequence[Tree], groups: Sequence[Group], table: Mapping[Key, Tensor]) -> list[Ranked]:
    """The rankings of `rows` with the scores of `table`. A length is in tokens, the end token included."""
    return [_ranked(tree, groups[tree.group], table) for tree in rows]


def _ranked(tree: Tree, group: Group, table: Mapping[Key, Tensor]) -> Ranked:
    own = [branch for branch in tree.branches if not is_mismatched(branch.answer)]
    others = [branch for branch in tree.branches if is_mismatched(branch.answer)]
    return Ranked(
        prompt=prompt_key(group),
        score=tuple(float(table[tree.group, branch.answer]) for branch in own),
        place=tuple(branch.place for branch in own),
        length=tuple(len(branch.tokens) for branch in own),
        source=tuple(group.answers[branch.answer].source for branch in own),
        margin=group.margin,
        others=tuple(float(table[tree.group, branch.answer]) for branch in others),
    )


def tell(found: Ordering, out: Path) -> None:
    """Write `out/evaluation.json`, and say what is wrong with the scores on stderr."""
    write_durably(out / "evaluation.json", json.dumps(found.record(), indent=2))
    if found.length_share > EXPLAINED:
        print(
            f"warning: length alone explains {found.length_share:.0%} of what tells answers to a prompt apart; a "
            "policy that climbs these scores will change its length first. Rank answers of like length; by_length in "
            f"{out / 'evaluation.json'} shows what is right without it",
            file=sys.stderr,
        )
