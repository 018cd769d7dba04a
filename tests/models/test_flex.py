"""The GPU's one call over the whole row gives what the CPU's calls a tree give. Run here on a CPU, uncompiled."""

from collections.abc import Callable, Iterator

import pytest
import torch
from models.conftest import spans_of
from torch import Tensor
from torch.nn.attention import flex_attention
from torch.nn.attention.flex_attention import create_block_mask
from transformers import PreTrainedModel

from burnish.batch.pack import pack
from burnish.models.attention import TreeLayout, tree_attention
from burnish.models.check import check_trees, difference, stock_outputs
from burnish.models.flex import BLOCK, block_mask, mask_function, tree_branch_position
from burnish.models.model import Policy
from burnish.models.random_copy import random_copy

CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile"),  # here it is meant
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # torch's own tracing
]


@pytest.fixture(autouse=True)
def backward_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch refuses gradients of FlexAttention on a CPU, though its uncompiled form has them."""
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *_: None)
    yield
    torch._dynamo.reset()


ROW = spans_of((13, [40, 38, 36]), (10, [9, 14, 10]), (9, [12]), (0, [7]), (20, []))


def test_a_token_sees_its_prompt_and_the_earlier_tokens_of_its_branch_and_nothing_else():
    spans = spans_of((2, [2, 1]), (1, [1]))
    index = torch.arange(7)
    seen = mask_function(*tree_branch_position(spans, CPU), None)(index, index, index[:, None], index[None, :])
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],  # prompt
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],  # first branch
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],  # second branch
        [0, 0, 0, 0, 0, 1, 0],  # another tree
        [0, 0, 0, 0, 0, 1, 1],
    ]


@pytest.mark.parametrize("window", [None, 8, 200])
def test_blocks_are_those_that_torch_finds_by_asking_every_pair(window: int | None):
    spans = spans_of((300, [70, 90]), (40, [30, 600]))
    ours = block_mask(spans, window, CPU)
    size = ours.seq_lengths[0]
    assert size == 1130
    seen = mask_function(*tree_branch_position(spans, CPU), window)
    theirs = create_block_mask(seen, None, None, size, size, device="cpu", BLOCK_SIZE=BLOCK)
    assert torch.equal(ours.to_dense(), theirs.to_dense())
    assert torch.equal(ours.kv_num_blocks, theirs.kv_num_blocks)
    assert torch.equal(ours.full_kv_num_blocks, theirs.full_kv_num_blocks)
    for count, mine, other in (
        (ours.kv_num_blocks, ours.kv_indices, theirs.kv_indices),
        (ours.full_kv_num_blocks, ours.full_kv_indices, theirs.full_kv_indices),
    ):
        for row, number in enumerate(count[0, 0].tolist()):
            assert torch.equal(mine[0, 0, row, :number], other[0, 0, row, :number])


@pytest.mark.parametrize(
    "window, softcap, key_heads", [(None, None, 4), (None, None, 2), (8, None, 2), (None, 2.0, 2), (8, 2.0, 1)]
)
def test_values_and_gradients_are_those_of_the_calls_a_tree(window: int | None, softcap: float | None, key_heads: int):
    draw = torch.Generator().manual_seed(0)
    size = ROW[-1].prompt[1]
    leaves = [
        torch.randn(1, heads, size, 16, generator=draw, dtype=torch.float64).requires_grad_()
        for heads in (4, key_heads, key_heads)
    ]
    weight = torch.randn(1, size, 4, 16, generator=draw, dtype=torch.float64)
    told: list[list[Tensor]] = []
    for flex in (True, False):
        layout = TreeLayout(ROW, CPU, flex=flex)
        out, _ = tree_attention(
            torch.nn.Module(), *leaves, None, sliding_window=window, softcap=softcap, scaling=0.3, tree=layout
        )
        told.append([out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)])
    limit = 1e-6 if softcap else 1e-12  # the CPU's soft-capped softmax is float32, as transformers' is
    for ours, theirs in zip(*told, strict=True):
        assert ((ours - theirs).norm() / theirs.norm()).item() < limit


@pytest.mark.parametrize("architecture", ["gemma2", "smollm3", "opt"])
def test_a_whole_model_gives_transformers_own_outputs_and_gradients(
    architecture: str, build: Callable[[str], PreTrainedModel]
):
    copied = random_copy(build(architecture)).double()
    policy = Policy(copied, None, flex=True)
    batch = pack(check_trees(copied))
    parameters = list(copied.parameters())
    ours = policy.logprobs(batch)
    our_gradient = torch.autograd.grad(ours.sum(), parameters)
    with policy.stock():
        stock = stock_outputs(policy, batch)
    stock_gradient = torch.autograd.grad(stock.sum(), parameters)
    assert ((ours - stock).norm() / stock.norm()).item() < 1e-6
    off = sum((a - b).square().sum() for a, b in zip(our_gradient, stock_gradient, strict=True))
    assert (off / sum(b.square().sum() for b in stock_gradient)).sqrt().item() < 1e-6


def test_the_check_sees_what_the_one_call_computes(build: Callable[[str], PreTrainedModel]):
    """On CUDA the check runs with it; a mask that is wrong there alone must be caught."""
    copied = random_copy(build("mistral"))
    assert difference(copied, packed=True, flex=True) == ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TreeLayout, "block_mask", lambda layout, _: block_mask(layout.spans, None, CPU))
        assert "packed and stock outputs differ" in difference(copied, packed=True, flex=True)
        assert difference(copied, packed=True) == ""
