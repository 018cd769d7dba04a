"""Log-probabilities of given tokens without ever keeping a (tokens × vocabulary) tensor.

L rows, V vocabulary, D hidden size, C columns of a chunk. The projection runs in chunks of the vocabulary, all rows at
once: a product of few rows would wait for the weight to come from memory, and each chunk's part of the weight's
gradient is written once. The backward pass computes each chunk's logits again, which costs one more product and saves
4·L·V bytes for every tensor that would have been kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

_SCALE_NAMES = ("logit", "lm_head", "output_mult")
_ROW_ELEMENTS = 1 << 23  # logits of a chunk of whole rows on a CPU: 32 MB in float32
_COLUMN_ELEMENTS = 1 << 20  # of a chunk of columns: 4 MB, which the passes after the product still find in the cache
_ELEMENTS_GPU = 1 << 27  # smaller, and reading the weight from memory would take longer than multiplying by it


@dataclass(frozen=True)
class Head:
    """How a model turns a hidden state into logits: cap·tanh((W·h + b)·scale / cap) / temperature."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden_LD: Tensor, temperature: float = 1.0, columns: slice = slice(None)) -> Tensor:
        """Logits (L, V) in float32, or in float64 where the weights are; or `columns` of them."""
        logits_LV = at_least_float32(self.product(hidden_LD, columns))
        if self.scale != 1.0:
            logits_LV = logits_LV * self.scale
        if self.softcap:
            logits_LV = torch.tanh(logits_LV / self.softcap) * self.softcap
        return logits_LV if temperature == 1.0 else logits_LV / temperature

    def product(self, hidden_LD: Tensor, columns: slice = slice(None)) -> Tensor:
        """W·h + b, (L, V), or `columns` of it."""
        bias_V = None if self.bias_V is None else self.bias_V[columns]
        return torch.nn.functional.linear(hidden_LD, self.weight_VD[columns], bias_V)


@torch.no_grad()
def scale_and_softcap(model: PreTrainedModel) -> tuple[float, float | None]:
    """The `scale` and `softcap` of a causal language model's head, measured on its own forward pass.

    Names in a config do not tell: `logits_scaling` divides in Granite and multiplies in HyperCLOVA X. So where a
    number may play a part, hidden states that make logits of about 10 are put under the model's head, every number is
    tried both ways, and what comes closest is taken.
    """
    settings = vars(model.config.get_text_config())
    numbers = {k: float(v) for k, v in settings.items() if isinstance(v, float | int) and not isinstance(v, bool) and v}
    caps = [v for k, v in numbers.items() if "logit" in k and "cap" in k]
    scales = [v for k, v in numbers.items() if any(part in k for part in _SCALE_NAMES) and v not in caps]
    if not caps and not scales:
        return 1.0, None
    plain = Head(*_output_layer(model))
    draw = torch.Generator().manual_seed(0)
    hidden_LD = torch.randn(4, plain.weight_VD.shape[1], generator=draw).to(plain.weight_VD)
    hidden_LD = hidden_LD * (10 / plain.logits(hidden_LD).std()).to(hidden_LD.dtype)
    logits_LV = _logits_for(model, hidden_LD)
    forms = [(s, c) for s in [1.0, *scales, *(1 / v for v in scales)] for c in [None, *caps]]
    return min(
        forms, key=lambda form: (replace(plain, scale=form[0], softcap=form[1]).logits(hidden_LD) - logits_LV).norm()
    )


def _output_layer(model: PreTrainedModel) -> tuple[Tensor, Tensor | None]:
    layer = model.get_output_embeddings()
    return layer.weight, getattr(layer, "bias", None)


def _logits_for(model: PreTrainedModel, hidden_LD: Tensor) -> Tensor:
    """What the model's own forward pass makes of these last hidden states."""

    def put(_: object, __: object, output: Any) -> Any:
        output.last_hidden_state = hidden_LD[None]
        return output

    handle = model.base_model.register_forward_hook(put)
    try:
        ids = torch.arange(len(hidden_LD), device=hidden_LD.device)[None] % model.config.get_text_config().vocab_size
        logits: Tensor = model(input_ids=ids, use_cache=False).logits[0]
    finally:
        handle.remove()
    return at_least_float32(logits)


@dataclass(frozen=True)
class Forbidden:
    """Tokens that cannot be drawn in some rows: ids `token_F` wherever `row_L` is true.

    It is what a minimum length does to the end token, alike in sampling, old and new policy and reference.
    """

    token_F: Tensor
    row_L: Tensor


def token_logprobs(
    head: Head, hidden_LD: Tensor, target_L: Tensor, *, temperature: float = 1.0, forbidden: Forbidden | None = None
) -> Tensor:
    """log p(target_l | hidden_l), (L,), differentiable in hidden states, weight and bias."""
    return _read(head, hidden_LD, target_L, temperature, forbidden, entropy=False)[0]


def token_logprobs_and_entropies(
    head: Head, hidden_LD: Tensor, target_L: Tensor, *, temperature: float = 1.0, forbidden: Forbidden | None = None
) -> tuple[Tensor, Tensor]:
    """`token_logprobs`, and from the same products the entropy of each row's distribution in nats, without gradient."""
    return _read(head, hidden_LD, target_L, temperature, forbidden, entropy=True)


def _read(
    head: Head, hidden_LD: Tensor, target_L: Tensor, temperature: float, forbidden: Forbidden | None, *, entropy: bool
) -> tuple[Tensor, Tensor]:
    if hidden_LD.shape[0] != target_L.shape[0]:
        raise ValueError(f"one target a row: {tuple(hidden_LD.shape)} rows and {tuple(target_L.shape)} targets")
    value_L: Tensor
    entropy_L: Tensor
    value_L, entropy_L = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]  # torch leaves apply untyped
        hidden_LD, head.weight_VD, head.bias_V, target_L, head, temperature, forbidden, entropy
    )
    return value_L, entropy_L


def entropies(head: Head, hidden_LD: Tensor, *, temperature: float = 1.0, forbidden: Forbidden | None = None) -> Tensor:
    """Entropy of the next token's distribution in nats, (L,), differentiable in hidden states, weight and bias.

    The backward pass computes each chunk's logits again.
    """
    out = []
    for start in range(0, len(hidden_LD), rows := _rows_a_chunk(head.weight_VD)):
        some = slice(start, start + rows)
        bound = None if forbidden is None else replace(forbidden, row_L=forbidden.row_L[some])
        out.append(checkpoint(_entropy, head, hidden_LD[some], temperature, bound, use_reentrant=False))
    return torch.cat(out) if out else hidden_LD.new_zeros(0, dtype=torch.float32)


def _entropy(head: Head, hidden_LD: Tensor, temperature: float, forbidden: Forbidden | None) -> Tensor:
    logits_LV = _forbid(head.logits(hidden_LD, temperature), forbidden, slice(0, len(head.weight_VD)))
    logprob_LV = logits_LV.log_softmax(1)
    least = torch.finfo(logprob_LV.dtype).min  # p · log p is 0 at p = 0, and not 0 · -inf
    return -(logprob_LV.exp() * logprob_LV.clamp(min=least)).sum(1)


@torch.no_grad()
def collisions(head: Head, hidden_LD: Tensor) -> Tensor:
    """log Σ_v p(v)² of the next token's distribution, (L,): how likely two draws of it are the same token."""
    out = [(2 * part).logsumexp(1) - 2 * part.logsumexp(1) for part in _logit_chunks(head, hidden_LD, temperature=1.0)]
    return torch.cat(out) if out else hidden_LD.new_zeros(0, dtype=torch.float32)


@torch.no_grad()
def token_kl(head: Head, hidden_LD: Tensor, reference: Head, reference_hidden_LD: Tensor) -> Tensor:
    """Full-vocabulary KL(π ‖ reference) in nats at each visited state, float32 (L,)."""
    out = []
    for own, other in zip(
        _logit_chunks(head, hidden_LD, 1.0), _logit_chunks(reference, reference_hidden_LD, 1.0), strict=True
    ):
        logp, logq = own.log_softmax(1), other.log_softmax(1)
        out.append((logp.exp() * (logp - logq)).sum(1))
    return torch.cat(out) if out else hidden_LD.new_zeros(0, dtype=torch.float32)


def at_least_float32(value: Tensor) -> Tensor:
    return value if value.dtype == torch.float64 else value.float()


def _rows_a_chunk(weight_VD: Tensor) -> int:
    elements = _ELEMENTS_GPU if weight_VD.device.type == "cuda" else _ROW_ELEMENTS
    return max(16, elements // weight_VD.shape[0])


def _columns_a_chunk(weight_VD: Tensor, rows: int) -> int:
    elements = _ELEMENTS_GPU if weight_VD.device.type == "cuda" else _COLUMN_ELEMENTS
    return max(1024, elements // max(rows, 1))


def _logit_chunks(head: Head, hidden_LD: Tensor, temperature: float) -> Iterator[Tensor]:
    return (head.logits(part, temperature) for part in hidden_LD.split(_rows_a_chunk(head.weight_VD)))


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_LD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        target_L: Tensor,
        head: Head,
        temperature: float,
        forbidden: Forbidden | None,
        entropy: bool,
    ) -> tuple[Tensor, Tensor]:
        """With z = logit - highest: S = Σ exp z, T = Σ z·exp z, log p = z - log S, entropy = log S - T/S."""
        highest_L = at_least_float32(hidden_LD.new_empty(target_L.shape))
        highest_L.fill_(torch.finfo(highest_L.dtype).min)  # not -inf: a chunk may have nothing that can be drawn
        sum_L, wanted_L = torch.zeros_like(highest_L), torch.empty_like(highest_L)
        tilted_L = torch.zeros_like(highest_L)
        for columns in _chunks(weight_VD, len(target_L)):
            logits_LC = _forbid(head.logits(hidden_LD, temperature, columns), forbidden, columns)
            row_N, column_N = _targets_in(columns, target_L)
            wanted_L[row_N] = logits_LC[row_N, column_N]
            before_L, highest_L = highest_L, torch.maximum(highest_L, logits_LC.amax(1))
            down_L = before_L - highest_L
            shift_L = down_L.exp()
            logits_LC.sub_(highest_L[:, None])
            if entropy:
                exp_LC = logits_LC.exp()
                logits_LC.mul_(exp_LC)
                if forbidden is not None:
                    logits_LC.nan_to_num_(0)  # -inf · 0, of what cannot be drawn
                tilted_L = shift_L * (tilted_L + sum_L * down_L) + logits_LC.sum(1)
            else:
                exp_LC = logits_LC.exp_()
            sum_L = sum_L * shift_L + exp_LC.sum(1)
        entropy_L = sum_L.log() - tilted_L / sum_L
        total_L = sum_L.log_().add_(highest_L)
        ctx.save_for_backward(hidden_LD, weight_VD, bias_V, target_L, total_L)
        ctx.settings = head, temperature, forbidden
        ctx.mark_non_differentiable(entropy_L)
        return wanted_L - total_L, entropy_L

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_LD, weight_VD, bias_V, target_L, total_L = ctx.saved_tensors
        head, temperature, forbidden = ctx.settings
        head = replace(head, weight_VD=weight_VD, bias_V=bias_V)
        upstream_L = grads[0] * (head.scale / temperature)
        want_hidden, want_weight, want_bias = ctx.needs_input_grad[:3]
        # a sum over chunks, so in float32 at least: added up in bfloat16, late chunks would be rounded away
        hidden_grad = torch.zeros_like(hidden_LD, dtype=_wide(hidden_LD)) if want_hidden else None
        weight_grad = torch.empty_like(weight_VD) if want_weight else None
        bias_grad = torch.empty_like(bias_V) if want_bias else None
        for columns in _chunks(weight_VD, len(target_L)):
            logits_LC = _forbid(head.logits(hidden_LD, temperature, columns), forbidden, columns)
            slope_LC = None
            if head.softcap:
                slope_LC = 1 - (logits_LC * (temperature / head.softcap)).nan_to_num(0, 0, 0).square_()
            # d log p(target) / d logits = onehot - softmax
            grad_LC = logits_LC.sub_(total_L[:, None]).exp_().mul_(-upstream_L[:, None])
            row_N, column_N = _targets_in(columns, target_L)
            grad_LC[row_N, column_N] += upstream_L[row_N]
            if slope_LC is not None:
                grad_LC.mul_(slope_LC)
            if bias_grad is not None:
                bias_grad[columns] = grad_LC.sum(0)
            grad_LC = grad_LC.to(weight_VD.dtype)
            if hidden_grad is not None and hidden_grad.dtype == weight_VD.dtype:
                hidden_grad.addmm_(grad_LC, weight_VD[columns])
            elif hidden_grad is not None:
                hidden_grad.add_(grad_LC @ weight_VD[columns])
            if weight_grad is not None:
                torch.mm(grad_LC.T, hidden_LD, out=weight_grad[columns])
        hidden_grad = None if hidden_grad is None else hidden_grad.to(hidden_LD.dtype)
        return hidden_grad, weight_grad, bias_grad, None, None, None, None, None


def _wide(value: Tensor) -> torch.dtype:
    return torch.promote_types(value.dtype, torch.float32)


def _chunks(weight_VD: Tensor, rows: int) -> Iterator[slice]:
    vocabulary, width = weight_VD.shape[0], _columns_a_chunk(weight_VD, rows)
    return (slice(start, min(start + width, vocabulary)) for start in range(0, vocabulary, width))


def _targets_in(columns: slice, target_L: Tensor) -> tuple[Tensor, Tensor]:
    """The rows whose target lies in the chunk, and its column there."""
    row_N = ((target_L >= columns.start) & (target_L < columns.stop)).nonzero().squeeze(1)
    return row_N, target_L[row_N] - columns.start


def _forbid(logits_LC: Tensor, forbidden: Forbidden | None, columns: slice) -> Tensor:
    if forbidden is not None:
        token_F = forbidden.token_F
        token_F = token_F[(token_F >= columns.start) & (token_F < columns.stop)] - columns.start
        row_L = forbidden.row_L.nonzero().squeeze(1)
        logits_LC[row_L[:, None], token_F[None, :]] = float("-inf")
    return logits_LC
