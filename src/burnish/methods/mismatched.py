"""Answers to other prompts, put below a ranking: a score must also rise with how well an answer fits what was asked.

Without them a reward model may learn what a good answer looks like and never read the prompt. They are branches of the
tree like its own answers, of no place, and their number is negative: -1, -2, … in the order in which they were drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from burnish.data.split import prompt_key
from burnish.training.order import derived_seed
from burnish.types import Branch, Group, Tree

TRIES = 50  # draws before a prompt does without: others' answers are too long for it, or everybody asks the same


def is_mismatched(answer: int) -> bool:
    """Whether an answer's number, as in `Branch.answer` and in the keys of a batch, is that of another prompt's."""
    return answer < 0


def with_mismatched(
    rows: Sequence[Tree], groups: Sequence[Group], count: int, *, max_length: int, seed: int
) -> list[Tree]:
    """Each tree with up to `count` answers that stand under other prompts of `rows`, drawn uniformly from the seed.

    What a tree gets depends on the seed, its group and the rows, not on the batch. Never taken: an answer to the same
    prompt, a text that the tree has already, and one that would have to be cut to `max_length`, for a cut would tell it
    from the tree's own. Where none is found the tree gets fewer.
    """
    keys = [prompt_key(groups[tree.group]) for tree in rows]
    return [
        replace(tree, branches=(*tree.branches, *_drawn(at, rows, keys, count, max_length, seed)))
        for at, tree in enumerate(rows)
    ]


def _drawn(at: int, rows: Sequence[Tree], keys: Sequence[str], count: int, max_length: int, seed: int) -> list[Branch]:
    tree = rows[at]
    generator = np.random.Generator(np.random.Philox(derived_seed("mismatched", seed, tree.group)))
    taken = {branch.tokens for branch in tree.branches}
    found: list[Branch] = []
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        other = int(generator.integers(len(rows)))
        branch = rows[other].branches[int(generator.integers(len(rows[other].branches)))]
        fits = len(tree.prompt) + len(branch.tokens) <= max_length
        if keys[other] != keys[at] and branch.tokens not in taken and fits:
            taken.add(branch.tokens)
            found.append(replace(branch, place=-1, answer=-1 - len(found), score=math.nan))
    return found
