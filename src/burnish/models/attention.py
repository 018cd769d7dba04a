"""Attention over packed token trees, as an attention function of transformers.

A token sees its own tree's prompt and the earlier tokens of its own branch. Every tree is computed by itself: its
prompt causally, then each branch against prompt + branch, so no mask of (row × row) exists and what costs is what is
seen. Small trees take one call with a mask, since a call costs more than the few products that it would save. On CUDA
one FlexAttention call computes the whole row; see flex.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from burnish.batch.pack import Span
from burnish.errors import ConfigError
from burnish.models.flex import block_mask, flex_tree_attention

TREE_ATTENTION = "burnish_tree"
_CALL_IN_PRODUCTS = 3000  # one attention call costs about as much as this many query-key products of all heads


class UnsupportedAttentionError(Exception):
    """The model asks of its attention what tree attention does not compute; the padded path takes it."""


@dataclass(frozen=True)
class TreeLayout:
    """Where the trees lie in the row. Masks are made once and serve every layer that has the same window.

    `flex`: one FlexAttention call computes the whole row, instead of a few calls a tree.
    """

    spans: tuple[Span, ...]
    device: torch.device
    flex: bool = False
    _masks: dict[tuple[int | None, torch.dtype], list[list["_Call"]]] = field(default_factory=dict)
    _block_masks: dict[int | None, BlockMask] = field(default_factory=dict)

    def block_mask(self, window: int | None) -> BlockMask:
        """FlexAttention's mask of the whole row."""
        if window not in self._block_masks:
            self._block_masks[window] = block_mask(self.spans, window, self.device)
        return self._block_masks[window]

    def calls(self, window: int | None, dtype: torch.dtype) -> list[list["_Call"]]:
        """For each tree its attention calls, in the order of its tokens."""
        if (window, dtype) not in self._masks:
            self._masks[window, dtype] = [_plan(span, window, dtype, self.device) for span in self.spans]
        return self._masks[window, dtype]


@dataclass(frozen=True, slots=True)
class _Call:
    """Queries [start, stop) of a tree against its first `prompt` keys and keys [start, stop). No mask means causal."""

    start: int
    stop: int
    prompt: int
    mask: Tensor | None


def _plan(span: Span, window: int | None, dtype: torch.dtype, device: torch.device) -> list[_Call]:
    prompt = span.prompt[1] - span.prompt[0]
    origin = span.prompt[0]
    branches = [(a - origin, b - origin) for a, b in span.branches]
    if len(branches) <= 1:
        return [_causal(0, span.size, window, dtype, device)]
    apart = prompt * prompt // 2 + sum((b - a) * (prompt + b - a) for a, b in branches)
    if span.size * span.size - apart < _CALL_IN_PRODUCTS * len(branches):
        return [_Call(0, span.size, 0, _tree_mask(prompt, branches, window, dtype, device))]
    calls = [_causal(0, prompt, window, dtype, device)] if prompt else []
    for start, stop in branches:
        query = torch.arange(prompt, prompt + stop - start, device=device)[:, None]
        key = torch.arange(prompt + stop - start, device=device)[None, :]
        calls.append(_Call(start, stop, prompt, _additive(_visible(query, key, window), dtype)))
    return calls


def _causal(start: int, stop: int, window: int | None, dtype: torch.dtype, device: torch.device) -> _Call:
    if window is None or stop - start <= window:
        return _Call(start, stop, 0, None)
    position = torch.arange(stop - start, device=device)
    return _Call(start, stop, 0, _additive(_visible(position[:, None], position[None, :], window), dtype))


def _tree_mask(
    prompt: int, branches: Sequence[tuple[int, int]], window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    sizes = [b - a for a, b in branches]
    position = torch.cat([torch.arange(prompt)] + [torch.arange(prompt, prompt + size) for size in sizes])
    branch = torch.repeat_interleave(torch.arange(-1, len(sizes)), torch.tensor([prompt, *sizes]))
    seen = _visible(position[:, None], position[None, :], window)
    seen &= (branch[None, :] == -1) | (branch[None, :] == branch[:, None])
    return _additive(seen.to(device), dtype)


def _visible(query: Tensor, key: Tensor, window: int | None) -> Tensor:
    """Causal in positions, not in places in the row; a window of w sees the token itself and w - 1 before it."""
    seen = key <= query
    return seen if window is None else seen & (query - key < window)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    tree: TreeLayout | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """Attention of one packed row: query (1, H, T, D), key and value (1, H or fewer, T, D) -> (1, T, H, D).

    Raises UnsupportedAttentionError for what is not computed here: sinks, position biases, a model that drops keywords.
    """
    if tree is None:
        raise UnsupportedAttentionError(f"{type(module).__name__} does not hand the layout to its attention")
    for name in ("s_aux", "position_bias"):
        if other.get(name) is not None:
            raise UnsupportedAttentionError(f"{type(module).__name__} uses {name}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if tree.flex:
        if dropout:
            raise ConfigError("dropout: FlexAttention has none; set dropout to 0, or train on a CPU")
        mask = tree.block_mask(sliding_window)
        return flex_tree_attention(query, key, value, mask, scale, softcap).transpose(1, 2), None
    groups = query.shape[1] // key.shape[1]
    if softcap and groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)

    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if softcap:
            return _capped_attention(q, k, v, mask, scale, softcap, dropout)
        # the kernel's own sharing of heads saves a fifth of attention's time beside repeating keys and values
        return scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale, enable_gqa=groups > 1
        )

    # split, not slices: a slice's backward would write a zero-filled copy of the whole row for every tree
    sizes = [span.size for span in tree.spans]
    out: list[Tensor] = []
    for q, k, v, calls in zip(
        query.split(sizes, 2),
        key.split(sizes, 2),
        value.split(sizes, 2),
        tree.calls(sliding_window, query.dtype),
        strict=True,
    ):
        out.extend(_one_tree(q, k, v, calls, attend))
    # each part transposed, then joined: the kernel's output lies that way, and the output layer copies nothing
    return torch.cat([part.transpose(1, 2) for part in out], 1), None


def _one_tree(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    calls: list[_Call],
    attend: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor],
) -> list[Tensor]:
    if len(calls) == 1:
        return [attend(q, k, v, calls[0].mask)]
    sizes = [call.stop - call.start for call in calls]
    parts = list(zip(q.split(sizes, 2), k.split(sizes, 2), v.split(sizes, 2), calls, strict=True))
    _, prompt_k, prompt_v, _ = parts[0]
    out = []
    for part_q, part_k, part_v, call in parts:
        if call.prompt:
            part_k, part_v = torch.cat((prompt_k, part_k), 2), torch.cat((prompt_v, part_v), 2)
        out.append(attend(part_q, part_k, part_v, call.mask))
    return out


def _capped_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, cap: float, dropout: float
) -> Tensor:
    """softmax(cap · tanh(q·k·scale / cap)) · v, which no fused kernel of a CPU computes. Gemma 2, section 2."""
    weight = torch.tanh(q @ k.transpose(2, 3) * (scale / cap)) * cap
    if mask is None:
        size = q.shape[2]
        mask = _additive(torch.ones(size, size, dtype=torch.bool, device=q.device).tril(), q.dtype)
    share = (weight + mask).softmax(-1, dtype=torch.float32).to(q.dtype)
    return torch.nn.functional.dropout(share, dropout) @ v


def _no_mask(*_: Any, **__: Any) -> None:
    """The layout says who sees whom, so transformers builds no (T × T) mask."""


AttentionInterface.register(TREE_ATTENTION, tree_attention)
AttentionMaskInterface.register(TREE_ATTENTION, _no_mask)
