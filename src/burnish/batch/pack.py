"""Token trees packed end to end into one row: every prompt is there once, and no padding exists.

T tokens of the row, N answers, L learned tokens, G trees. A learned token l of answer `answer_L[l]` is predicted at
`source_L[l]`: the token before it in its branch, or the prompt's last token where it opens the branch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from burnish.types import Tree

Key = tuple[int, int]
"""Which answer: the index of its group in the data set, and its index in the group."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a tree lies in the row: [start, end) of its prompt and of each branch."""

    prompt: tuple[int, int]
    branches: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        return (self.branches[-1][1] if self.branches else self.prompt[1]) - self.prompt[0]


@dataclass(frozen=True)
class TreeBatch:
    """What one forward pass computes. All tensors are int64 but for ended_N (bool) and score_N (float32)."""

    trees: tuple[Tree, ...]
    spans: tuple[Span, ...]
    keys: tuple[Key, ...]
    token_T: Tensor
    position_T: Tensor
    source_L: Tensor
    target_L: Tensor
    answer_L: Tensor
    step_L: Tensor
    last_N: Tensor
    group_N: Tensor
    place_N: Tensor
    ended_N: Tensor
    length_N: Tensor
    score_N: Tensor

    def to(self, device: torch.device) -> Self:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: v.to(device) for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def gather(self, table: Mapping[Key, Tensor]) -> Tensor:
        """Put together what a table knows of each answer: a value an answer gives (N,), one a token gives (L,)."""
        return torch.cat([table[key].reshape(-1) for key in self.keys]).to(self.token_T.device)

    def scatter(self, value_L: Tensor) -> dict[Key, Tensor]:
        """The reverse of `gather` for one value a learned token."""
        return dict(zip(self.keys, value_L.split(self.length_N.tolist()), strict=True))

    @cached_property
    def rows(self) -> "PaddedRows":
        """Each branch unrolled into a row of its own, for models in which packing is not exact."""
        return _unroll(self)


@dataclass(frozen=True)
class PaddedRows:
    """(N, S) rows of prompt + branch, padded on the right; `source_L` and `last_N` index the flattened N·S tokens."""

    token_NS: Tensor
    source_L: Tensor
    last_N: Tensor


def pack(trees: Sequence[Tree]) -> TreeBatch:
    """Lay the trees end to end. A tree without branches is a prompt that waits for answers."""
    token: list[int] = []
    position: list[int] = []
    spans: list[Span] = []
    keys: list[Key] = []
    learned: list[tuple[int, int, int, int]] = []  # source, target, answer, step
    last: list[int] = []
    length: list[int] = []
    group: list[int] = []
    for index, tree in enumerate(trees):
        start = len(token)
        token.extend(tree.prompt)
        position.extend(range(len(tree.prompt)))
        prompt_end = len(token)
        ends: list[tuple[int, int]] = []
        for branch in tree.branches:
            begin, answer = len(token), len(keys)
            token.extend(branch.tokens)
            position.extend(range(len(tree.prompt), len(tree.prompt) + len(branch.tokens)))
            steps = [i for i, wanted in enumerate(branch.learned) if wanted]
            if steps and steps[0] == 0 and not tree.prompt:
                raise ValueError(f"{tree.origin or tree.id}: nothing predicts the first token of an empty prompt")
            sources = [begin + i - 1 if i else prompt_end - 1 for i in steps]
            learned.extend((source, branch.tokens[i], answer, i) for source, i in zip(sources, steps, strict=True))
            last.append(begin + (steps[-1] if steps else len(branch.tokens) - 1))
            length.append(len(steps))
            group.append(index)
            keys.append((tree.group, branch.answer))
            ends.append((begin, len(token)))
        spans.append(Span((start, prompt_end), tuple(ends)))
    branches = [branch for tree in trees for branch in tree.branches]
    column = torch.tensor(learned, dtype=torch.int64).reshape(-1, 4).unbind(1)
    return TreeBatch(
        trees=tuple(trees),
        spans=tuple(spans),
        keys=tuple(keys),
        token_T=torch.tensor(token, dtype=torch.int64),
        position_T=torch.tensor(position, dtype=torch.int64),
        source_L=column[0],
        target_L=column[1],
        answer_L=column[2],
        step_L=column[3],
        last_N=torch.tensor(last, dtype=torch.int64),
        group_N=torch.tensor(group, dtype=torch.int64),
        place_N=torch.tensor([branch.place for branch in branches], dtype=torch.int64),
        ended_N=torch.tensor([branch.ended for branch in branches], dtype=torch.bool),
        length_N=torch.tensor(length, dtype=torch.int64),
        score_N=torch.tensor([branch.score for branch in branches], dtype=torch.float32),
    )


def micro_batches(trees: Sequence[Tree], budget: int, *, whole: bool) -> list[list[Tree]]:
    """Cut a global batch, in its order, into parts of at most `budget` tokens.

    A tree above the budget is split by branches, its prompt repeated, unless its answers are compared with each other
    (`whole`): then it is a part of its own, above the budget. So is a single branch that is longer than the budget.
    """
    parts: list[list[Tree]] = []
    room = 0
    for tree in trees:
        for piece in [tree] if whole else _pieces(tree, budget):
            if piece.size > room:
                parts.append([])
                room = budget
            parts[-1].append(piece)
            room -= piece.size
    return parts


def _pieces(tree: Tree, budget: int) -> list[Tree]:
    if tree.size <= budget or not tree.branches:
        return [tree]
    pieces: list[Tree] = []
    for branch in tree.branches:
        if pieces and pieces[-1].size + len(branch.tokens) <= budget:
            pieces[-1] = replace(pieces[-1], branches=(*pieces[-1].branches, branch))
        else:
            pieces.append(replace(tree, branches=(branch,)))
    return pieces


def _unroll(batch: TreeBatch) -> PaddedRows:
    paths = [(span.prompt, branch) for span in batch.spans for branch in span.branches]
    sizes = [p1 - p0 + b1 - b0 for (p0, p1), (b0, b1) in paths]
    width = max(sizes)
    device = batch.token_T.device
    token_NS = torch.zeros(len(paths), width, dtype=torch.int64, device=device)
    for row, ((p0, p1), (b0, b1)) in enumerate(paths):
        token_NS[row, : sizes[row]] = torch.cat((batch.token_T[p0:p1], batch.token_T[b0:b1]))
    prompt_end_N = torch.tensor([p1 for (_, p1), _ in paths], device=device)
    prompt_size_N = torch.tensor([p1 - p0 for (p0, p1), _ in paths], device=device)
    branch_start_N = torch.tensor([b0 for _, (b0, _) in paths], device=device)

    def flat(at: Tensor, answer: Tensor) -> Tensor:
        in_prompt = at < prompt_end_N[answer]
        offset = torch.where(in_prompt, at - prompt_end_N[answer], at - branch_start_N[answer])
        return answer * width + prompt_size_N[answer] + offset

    return PaddedRows(
        token_NS=token_NS,
        source_L=flat(batch.source_L, batch.answer_L),
        last_N=flat(batch.last_N, torch.arange(len(paths), device=device)),
    )
