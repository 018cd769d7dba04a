"""Attention over a tree gives each path what plain causal attention over prompt and branch alone would give it."""

from typing import Any

import pytest
import torch
from models.conftest import spans_of
from torch import Tensor

from burnish.models import attention
from burnish.models.attention import TreeLayout, UnsupportedAttentionError, tree_attention

CPU = torch.device("cpu")
HEADS, WIDTH = 4, 8


ROW = spans_of((13, [40, 3, 36]), (10, [9, 14]), (9, [12]), (0, [7, 2]), (20, []), (1, [1, 1, 1, 1]))


def query_key_value(key_heads: int = HEADS) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    size = ROW[-1].branches[-1][1]
    shapes = [(1, heads, size, WIDTH) for heads in (HEADS, key_heads, key_heads)]
    return [torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]


def plain(q: Tensor, k: Tensor, v: Tensor, window: int | None, softcap: float | None, scale: float) -> Tensor:
    """softmax(cap · tanh(q·k·scale / cap)) · v over what is earlier and within the window, written out."""
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    score = q @ k.transpose(2, 3) * scale
    if softcap:
        score = softcap * torch.tanh(score / softcap)
    back = torch.arange(q.shape[2])[:, None] - torch.arange(k.shape[2])[None, :]
    hidden = (back < 0) | (back >= (window or q.shape[2] + 1))
    return score.masked_fill(hidden, float("-inf")).softmax(-1) @ v


def path_by_path(leaves: list[Tensor], window: int | None, softcap: float | None, scale: float) -> Tensor:
    """Each path in a row of its own, the results put where the packed row has them: (1, T, H, D)."""
    out = torch.zeros(1, leaves[0].shape[2], HEADS, WIDTH, dtype=torch.float64)
    for span in ROW:
        prompt = torch.arange(*span.prompt)
        for branch in span.branches or (None,):
            own = torch.arange(*branch) if branch else torch.arange(0)
            path = torch.cat((prompt, own))
            told = plain(*(leaf[:, :, path] for leaf in leaves), window, softcap, scale).transpose(1, 2)
            out = out.index_copy(1, path, told)  # a prompt's results are the same on every path
    return out


def values_and_gradients(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(out.shape, generator=draw, dtype=out.dtype)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)]


@pytest.mark.parametrize("call_cost", [0, 3000, 10**9], ids=["branches apart", "as measured", "one call a tree"])
@pytest.mark.parametrize("window, softcap, key_heads", [(None, None, 4), (None, None, 2), (8, None, 1), (8, 2.0, 2)])
def test_values_and_gradients_are_those_of_each_path_alone(
    call_cost: int, window: int | None, softcap: float | None, key_heads: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(attention, "_CALL_IN_PRODUCTS", call_cost)
    leaves = query_key_value(key_heads)
    settings: dict[str, Any] = {"sliding_window": window, "softcap": softcap, "scaling": 0.3}
    ours, _ = tree_attention(torch.nn.Module(), *leaves, None, tree=TreeLayout(ROW, CPU), **settings)
    theirs = path_by_path(leaves, window, softcap, 0.3)
    limit = 1e-6 if softcap else 1e-12  # the soft-capped softmax is float32, as transformers' is
    for mine, other in zip(values_and_gradients(ours, leaves), values_and_gradients(theirs, leaves), strict=True):
        assert ((mine - other).norm() / other.norm()).item() < limit


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_dropout_drops_attention(softcap: float | None):
    leaves = query_key_value()
    settings: dict[str, Any] = {"softcap": softcap, "tree": TreeLayout(ROW, CPU)}
    whole, _ = tree_attention(torch.nn.Module(), *leaves, None, **settings)
    torch.manual_seed(0)
    dropped = torch.stack(
        [tree_attention(torch.nn.Module(), *leaves, None, dropout=0.3, **settings)[0] for _ in range(300)]
    )
    assert not torch.allclose(dropped[0], dropped[1])
    assert ((dropped.mean(0) - whole).norm() / whole.norm()).item() < 0.1  # what is left is scaled up by 1 / 0.7


def test_masks_are_made_once_for_all_layers():
    layout = TreeLayout(ROW, CPU)
    assert layout.calls(8, torch.float32) is layout.calls(8, torch.float32)
    assert layout.calls(8, torch.float32) is not layout.calls(None, torch.float32)


def test_no_mask_of_the_whole_row_exists():
    """A row of 100 trees of 30 tokens would have 9 million pairs; what is seen are 100 · 30² at most."""
    layout = TreeLayout(spans_of(*[(10, [10, 10])] * 100), CPU)
    masks = [call.mask for calls in layout.calls(None, torch.float32) for call in calls if call.mask is not None]
    assert sum(mask.numel() for mask in masks) <= 100 * 30**2


def test_what_a_model_adds_to_attention_is_not_passed_over():
    leaves = query_key_value()
    with pytest.raises(UnsupportedAttentionError, match="uses s_aux"):
        tree_attention(torch.nn.Module(), *leaves, None, tree=TreeLayout(ROW, CPU), s_aux=torch.zeros(HEADS))
    with pytest.raises(UnsupportedAttentionError, match="does not hand the layout to its attention"):
        tree_attention(torch.nn.Module(), *leaves, None)
