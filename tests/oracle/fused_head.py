"""TRL's fused head in a model's own precision."""

import functools
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput


def head_in_full(model: PreTrainedModel, **_: Any) -> None:
    """What TRL's fused head gives, by its definition and in the model's own precision.

    TRL's works in float32 whatever the model has: log-probabilities of -200 would be right to 1e-5 in place of 1e-6.
    The fields that only feed its metrics are 0.
    """
    stock = model.forward

    @functools.wraps(stock)
    def forward(*given: Any, fused_lm_head: bool = False, labels: Tensor | None = None, **named: Any) -> Any:
        if not fused_lm_head or labels is None:
            return stock(*given, **named)
        label, mask = labels[:, 1:].clamp(min=0), labels[:, 1:] != -100
        logprob = stock(*given, **named).logits[:, :-1].log_softmax(-1).gather(-1, label[..., None]).squeeze(-1)
        nothing = torch.zeros_like(logprob)
        return FusedCausalLMOutput(
            log_probs=logprob * mask, label_mask=mask, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool()
        )

    model.forward = forward
