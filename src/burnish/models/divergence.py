"""How far a policy has gone from its reference on answers of its own: the exact KL, state by state."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch

from burnish.batch.pack import Key, micro_batches, pack
from burnish.errors import ConfigError
from burnish.models import head as heads
from burnish.models.model import Policy
from burnish.types import Tree


@torch.no_grad()
def answer_kl(
    policy: Policy, reference: Policy, trees: Sequence[Tree], budget: int, *, adapter: bool = True
) -> dict[Key, float]:
    """Σ_t KL(π(·|s_t) ‖ reference(·|s_t)) in nats over the states that an answer visits, over the full vocabulary.

    `adapter`: False reads the reference with its adapter switched off, which may then be the policy itself.
    For answers drawn from `policy` at temperature 1 without truncation its mean is KL(π ‖ reference) an answer.
    """
    if policy.tokenizer.get_vocab() != reference.tokenizer.get_vocab():
        raise ConfigError(
            f"{policy.source} and {reference.source} have different tokenizers: no KL exists between them"
        )
    table: dict[Key, float] = {}
    for part in micro_batches(trees, budget, whole=False):
        batch = pack(part).to(policy.device)
        hidden_LD = policy.hidden(batch, at="source")
        with nullcontext() if adapter else reference.adapter_off():
            anchor_LD = reference.hidden(batch, at="source")
        kl_L = heads.token_kl(policy.head, hidden_LD, reference.head, anchor_LD)
        sums = kl_L.double().new_zeros(len(batch.keys)).index_add(0, batch.answer_L, kl_L.double())
        table.update(zip(batch.keys, sums.tolist(), strict=True))
    return table
