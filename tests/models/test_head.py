"""Log-probabilities in chunks are those of the whole: the same values and gradients, and nothing large is kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from burnish.models import head as heads
from burnish.models.head import (
    Forbidden,
    Head,
    entropies,
    token_kl,
    token_logprobs,
    token_logprobs_and_entropies,
)

L, D, V = 37, 8, 23
DRAW = torch.Generator().manual_seed(0)


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=DRAW, dtype=dtype)


def whole(
    head: Head, hidden_LD: Tensor, target_L: Tensor, temperature: float = 1.0, forbidden: Forbidden | None = None
) -> Tensor:
    """The formula as it stands: log_softmax of all logits, then the target's."""
    logits_LV = hidden_LD @ head.weight_VD.T
    if head.bias_V is not None:
        logits_LV = logits_LV + head.bias_V
    logits_LV = logits_LV * head.scale
    if head.softcap:
        logits_LV = head.softcap * torch.tanh(logits_LV / head.softcap)
    logits_LV = logits_LV / temperature
    if forbidden is not None:
        never_LV = torch.zeros(logits_LV.shape, dtype=torch.bool)
        never_LV[:, forbidden.token_F] = forbidden.row_L[:, None]
        logits_LV = logits_LV.masked_fill(never_LV, float("-inf"))
    return logits_LV.log_softmax(1).gather(1, target_L[:, None]).squeeze(1)


@pytest.fixture(params=[1, 16, 1000], ids=lambda size: f"{size}-a-chunk")
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_rows_a_chunk", lambda _: request.param)
    monkeypatch.setattr(heads, "_columns_a_chunk", lambda *_: request.param)


def difference_of_values_and_gradients(settings: dict[str, Any]) -> float:
    """The largest difference, over values and the gradients of hidden states, weight and bias."""
    hidden_LD = normal(L, D).requires_grad_()
    weight_VD = (3 * normal(V, D)).requires_grad_()
    bias_V = normal(V).requires_grad_() if settings.pop("bias", False) else None
    temperature = settings.pop("temperature", 1.0)
    forbidden = settings.pop("forbidden", None)
    head = Head(weight_VD, bias_V, **settings)
    target_L = torch.randint(2, V, (L,), generator=DRAW)  # tokens 0 and 1 are those that may be forbidden
    leaves = [leaf for leaf in (hidden_LD, weight_VD, bias_V) if leaf is not None]
    weight_L = normal(L)
    told = []
    for value_L in (
        token_logprobs(head, hidden_LD, target_L, temperature=temperature, forbidden=forbidden),
        whole(head, hidden_LD, target_L, temperature, forbidden),
    ):
        told.append([value_L.detach(), *torch.autograd.grad((value_L * weight_L).sum(), leaves)])
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*told, strict=True))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bias": True},
        {"scale": 0.25},
        {"softcap": 2.0},
        {"temperature": 0.7},
        {"forbidden": Forbidden(torch.tensor([0, 1]), torch.arange(L) < 9)},
        {
            "bias": True,
            "scale": 0.5,
            "softcap": 3.0,
            "temperature": 1.3,
            "forbidden": Forbidden(torch.tensor([1]), torch.arange(L) % 2 == 0),
        },
    ],
    ids=lambda settings: "+".join(settings) or "plain",
)
def test_values_and_gradients_are_those_of_log_softmax(settings: dict[str, Any]):
    assert difference_of_values_and_gradients(dict(settings)) < 1e-10


def test_a_forbidden_target_has_probability_zero():
    head = Head(normal(V, D))
    forbidden = Forbidden(torch.tensor([3]), torch.tensor([True, False]))
    told_L = token_logprobs(head, normal(2, D), torch.tensor([3, 3]), forbidden=forbidden)
    assert told_L[0] == float("-inf")
    assert torch.isfinite(told_L[1])


def test_no_tensor_of_rows_times_vocabulary_is_kept(monkeypatch: pytest.MonkeyPatch):
    rows, vocabulary = 64, 512
    monkeypatch.setattr(heads, "_columns_a_chunk", lambda *_: 128)
    hidden_LD = normal(rows, D).requires_grad_()
    head = Head(normal(vocabulary, D).requires_grad_())
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        value_L = token_logprobs(head, hidden_LD, torch.randint(vocabulary, (rows,)))
    assert max(kept) == vocabulary * D  # the weight itself
    value_L.sum().backward()
    assert hidden_LD.grad is not None


def test_a_frozen_head_gets_no_gradient_and_its_hidden_states_do():
    hidden_LD = normal(L, D).requires_grad_()
    head = Head(normal(V, D), normal(V))
    token_logprobs(head, hidden_LD, torch.zeros(L, dtype=torch.int64)).sum().backward()
    assert head.weight_VD.grad is None
    assert head.bias_V is not None
    assert head.bias_V.grad is None
    assert hidden_LD.grad is not None
    assert hidden_LD.grad.norm() > 0


def test_hidden_states_without_gradient_still_teach_the_head():
    head = Head(normal(V, D).requires_grad_())
    token_logprobs(head, normal(L, D), torch.zeros(L, dtype=torch.int64)).sum().backward()
    assert head.weight_VD.grad is not None
    assert head.weight_VD.grad.norm() > 0


def test_no_rows_give_no_values_and_a_zero_gradient():
    head = Head(normal(V, D).requires_grad_())
    told_L = token_logprobs(head, normal(0, D), torch.zeros(0, dtype=torch.int64))
    told_L.sum().backward()
    assert told_L.shape == (0,)
    assert head.weight_VD.grad is not None
    assert head.weight_VD.grad.abs().sum() == 0
    assert entropies(head, normal(0, D)).shape == (0,)


def test_rows_and_targets_must_be_as_many():
    with pytest.raises(ValueError, match="one target a row"):
        token_logprobs(Head(normal(V, D)), normal(3, D), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("dtype, limit", [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_lower_precision_gives_the_same_to_its_rounding(dtype: torch.dtype, limit: float):
    """Values are float32 at least; a bfloat16 head is rounded in its products only."""
    hidden_LD, weight_VD = normal(L, D).to(dtype).requires_grad_(), normal(V, D).to(dtype).requires_grad_()
    target_L = torch.randint(V, (L,), generator=DRAW)
    told_L = token_logprobs(Head(weight_VD), hidden_LD, target_L)
    exact_hidden, exact_weight = (t.detach().double().requires_grad_() for t in (hidden_LD, weight_VD))
    exact_L = whole(Head(exact_weight), exact_hidden, target_L)
    told_L.sum().backward()
    exact_L.sum().backward()
    assert told_L.dtype == torch.float32
    assert hidden_LD.grad is not None
    assert hidden_LD.grad.dtype == dtype
    for ours, exact in ((told_L, exact_L), (hidden_LD.grad, exact_hidden.grad), (weight_VD.grad, exact_weight.grad)):
        assert ((ours - exact).norm() / exact.norm()).item() < limit


def test_many_chunks_lose_nothing_of_a_bfloat16_gradient(monkeypatch: pytest.MonkeyPatch):
    """Summed in bfloat16, equal parts of 1/1024 would be rounded away from the 256th on."""
    vocabulary = 1024
    monkeypatch.setattr(heads, "_columns_a_chunk", lambda *_: 1)
    weight_VD = torch.ones(vocabulary, 1, dtype=torch.bfloat16)
    weight_VD[0] = 0
    hidden_LD = torch.zeros(1, 1, dtype=torch.bfloat16, requires_grad=True)
    token_logprobs(Head(weight_VD), hidden_LD, torch.tensor([0])).sum().backward()
    assert hidden_LD.grad is not None
    assert hidden_LD.grad.item() == -1  # Σ -1/1024 · 1 over the 1,023 others, in bfloat16


def test_a_chunk_in_which_nothing_can_be_drawn_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(heads, "_columns_a_chunk", lambda *_: 2)
    settings = {"forbidden": Forbidden(torch.tensor([0, 1]), torch.ones(L, dtype=torch.bool))}
    assert difference_of_values_and_gradients(settings) < 1e-10


def read_beside_logprobs(head: Head, hidden_LD: Tensor, **settings: Any) -> Tensor:
    target_L = torch.zeros(len(hidden_LD), dtype=torch.int64)
    logprob_L, entropy_L = token_logprobs_and_entropies(head, hidden_LD, target_L, **settings)
    assert torch.equal(logprob_L, token_logprobs(head, hidden_LD, target_L, **settings))
    assert not entropy_L.requires_grad
    return entropy_L


ENTROPIES = [entropies, read_beside_logprobs]


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("told", ENTROPIES)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_entropies_are_those_of_the_whole_distribution(told: Callable[..., Tensor], scale: float):
    head = Head(scale * normal(V, D), softcap=40.0)
    hidden_LD = normal(L, D).requires_grad_()
    p_LV = (head.logits(hidden_LD) / 0.8).softmax(1)
    assert torch.allclose(told(head, hidden_LD, temperature=0.8), torch.special.entr(p_LV).sum(1))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("told", ENTROPIES)
def test_what_cannot_be_drawn_has_no_part_in_the_entropy(told: Callable[..., Tensor]):
    head, hidden_LD = Head(normal(V, D)), normal(L, D).requires_grad_()
    row_L = torch.arange(L) % 2 == 0
    logits_LV = head.logits(hidden_LD).detach()
    logits_LV[row_L, 1:3] = -torch.inf
    entropy_L = told(head, hidden_LD, forbidden=Forbidden(torch.tensor([1, 2]), row_L))
    assert torch.allclose(entropy_L, torch.special.entr(logits_LV.softmax(1)).sum(1))
    if entropy_L.requires_grad:
        entropy_L.sum().backward()
        assert hidden_LD.grad is not None
        assert hidden_LD.grad.isfinite().all()


@pytest.mark.parametrize("told", ENTROPIES)
def test_the_entropy_of_equal_logits_is_the_logarithm_of_the_vocabulary(told: Callable[..., Tensor]):
    head = Head(torch.zeros(V, D))
    assert torch.allclose(told(head, torch.ones(2, D)), torch.tensor(V).log().expand(2))


@pytest.mark.usefixtures("chunks")
def test_token_kl_is_that_of_the_whole_distributions():
    own, other = Head(normal(V, D)), Head(normal(V, D + 1))
    hidden_LD, other_LE = normal(L, D), normal(L, D + 1)
    logp_LV, logq_LV = own.logits(hidden_LD).log_softmax(1), other.logits(other_LE).log_softmax(1)
    assert torch.allclose(token_kl(own, hidden_LD, other, other_LE), (logp_LV.exp() * (logp_LV - logq_LV)).sum(1))


def test_token_kl_of_a_model_to_itself_is_zero():
    head, hidden_LD = Head(normal(V, D)), normal(L, D)
    assert token_kl(head, hidden_LD, head, hidden_LD).abs().max() == 0


@pytest.mark.usefixtures("chunks")
def test_the_gradient_of_entropies_in_chunks_is_that_of_the_whole():
    hidden_LD, weight_VD = normal(L, D).requires_grad_(), (3 * normal(V, D)).requires_grad_()
    logprob_LV = ((hidden_LD @ weight_VD.T) / 0.8).log_softmax(1)
    whole_L = -(logprob_LV.exp() * logprob_LV).sum(1)
    entropy_L = entropies(Head(weight_VD), hidden_LD, temperature=0.8)
    weight_L = normal(L)
    expected = torch.autograd.grad((whole_L * weight_L).sum(), (hidden_LD, weight_VD))
    found = torch.autograd.grad((entropy_L * weight_L).sum(), (hidden_LD, weight_VD))
    torch.testing.assert_close(entropy_L, whole_L)
    torch.testing.assert_close(found, expected)


def test_a_token_that_is_out_of_reach_leaves_the_gradient_of_the_entropy_finite():
    hidden_LD = torch.tensor([[1e4, 0.0]], requires_grad=True)
    entropies(Head(torch.eye(2)), hidden_LD).sum().backward()
    assert hidden_LD.grad.isfinite().all()
