"""Attention over packed token trees on a GPU: one FlexAttention call for the whole row.

Who sees whom is a function of three numbers of each token: its tree, its branch (-1 in a prompt) and its position. The
kernel skips every block of 128 × 128 tokens in which nobody sees anybody, so its cost is what is seen, as on a CPU.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from burnish.batch.pack import Span

BLOCK = 128
_UNBOUNDED = 2**31 - 1
_ROWS_AT_ONCE = 16 * BLOCK  # a row of 32768 tokens takes 64 MB for a comparison instead of 1 GB

MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def tree_branch_position(spans: Sequence[Span], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The three numbers of each token of the row, int32 (T,)."""
    tree: list[int] = []
    branch: list[int] = []
    position: list[int] = []
    count = 0
    for index, span in enumerate(spans):
        prompt = span.prompt[1] - span.prompt[0]
        parts = [(-1, 0, prompt)] + [(count + k, prompt, b - a) for k, (a, b) in enumerate(span.branches)]
        count += len(span.branches)
        for number, begin, size in parts:
            tree.extend([index] * size)
            branch.extend([number] * size)
            position.extend(range(begin, begin + size))
    return tuple(torch.tensor(numbers, dtype=torch.int32, device=device) for numbers in (tree, branch, position))  # type: ignore[return-value]  # three


def mask_function(tree_T: Tensor, branch_T: Tensor, position_T: Tensor, window: int | None) -> MaskFunction:
    """May query i see key j? In FlexAttention's form: batch, head, i, j."""
    # a tensor, as the kernel is made anew for every number that it captures
    reach = torch.tensor(_UNBOUNDED if window is None else window, dtype=torch.int32, device=tree_T.device)

    def seen(_: Tensor, __: Tensor, i: Tensor, j: Tensor) -> Tensor:
        one_path = (tree_T[i] == tree_T[j]) & ((branch_T[j] < 0) | (branch_T[j] == branch_T[i]))
        back = position_T[i] - position_T[j]
        return one_path & (back >= 0) & (back < reach)

    return seen


def block_mask(spans: Sequence[Span], window: int | None, device: torch.device) -> BlockMask:
    """The blocks of 128 × 128 tokens that the kernel computes, and whether it has to ask the mask inside them."""
    numbers = tree_branch_position(spans, device)
    size = len(numbers[0])
    blocks = -(-size // BLOCK)
    seen = mask_function(*numbers, window)
    nothing = torch.zeros((), dtype=torch.int32, device=device)
    key = torch.arange(size, device=device)
    counts: list[Tensor] = []
    for start in range(0, size, _ROWS_AT_ONCE):
        query = torch.arange(start, min(start + _ROWS_AT_ONCE, size), device=device)
        visible = seen(nothing, nothing, query[:, None], key[None, :])
        rows = -(-len(query) // BLOCK) * BLOCK
        visible = torch.nn.functional.pad(visible, (0, blocks * BLOCK - size, 0, rows - len(query)))
        counts.append(visible.view(-1, BLOCK, blocks, BLOCK).sum((1, 3), dtype=torch.int32))
    count = torch.cat(counts)
    whole = count == BLOCK * BLOCK
    return BlockMask.from_kv_blocks(
        *_listed((count > 0) & ~whole), *_listed(whole), BLOCK_SIZE=BLOCK, mask_mod=seen, seq_lengths=(size, size)
    )


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of blocks how many are marked, and their columns first: (1, 1, B) and (1, 1, B, B)."""
    number = blocks.sum(1, dtype=torch.int32)
    columns = blocks.int().argsort(dim=1, descending=True, stable=True).int()
    return number[None, None], columns[None, None].contiguous()


def flex_tree_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float, softcap: float | None
) -> Tensor:
    """(1, H, T, D) of a whole packed row; key and value may have fewer heads."""
    attend: Any = _compiled() if query.device.type == "cuda" else flex_attention
    out: Tensor = attend(
        query,
        key,
        value,
        score_mod=_capped(softcap, query.device) if softcap else None,
        block_mask=mask,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out


@cache
def _compiled() -> Callable[..., Tensor]:
    """Uncompiled, FlexAttention would hold the (T × T) scores of every head."""
    return torch.compile(flex_attention, dynamic=True)


@cache
def _capped(cap: float, device: torch.device) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    limit = torch.tensor(cap, device=device)  # a tensor, for the reason of `reach`

    def capped(score: Tensor, _: Tensor, __: Tensor, ___: Tensor, ____: Tensor) -> Tensor:
        return limit * torch.tanh(score / limit)

    return capped
