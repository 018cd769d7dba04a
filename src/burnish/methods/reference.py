"""The reference: which model it is, and what it says of rows that do not change.

log p of each answer is taken once, before the first step.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from burnish import processes
from burnish.batch.pack import Key, micro_batches
from burnish.methods.checks import refused
from burnish.methods.inputs import PolicyInput, as_policy
from burnish.methods.shared import place
from burnish.models.model import Policy
from burnish.training.checkpoint import telling_damage, write_tensors
from burnish.training.config import MethodConfig
from burnish.types import Tree


def reference_model(policy: Policy, named: PolicyInput | None, config: MethodConfig) -> Policy:
    """What the KL is taken to. With an adapter the incoming model is the policy itself, with that switched off."""
    if named is not None and named is not policy:
        return as_policy(named, config, trained=False)
    return policy if policy.adapter is not None else deepcopy(policy)


def reference_table(
    reference: Policy,
    rows: Sequence[Tree],
    config: MethodConfig,
    *,
    cache: Path,
    known: Mapping[str, str],
    each_token: bool = False,
) -> dict[Key, Tensor]:
    """log p of each answer under the reference, (1,), or of each of its learned tokens.

    It is read from `cache` where it was taken for the same rows and weights, else taken and written there; within
    `sharing_in` from a file that every stage finds which asks the same.
    """
    if not rows:
        return {}
    tag = {
        "rows": known["rows"],
        "model": known.get("reference", known["model"]),
        "of": "tokens" if each_token else "answers",
    }
    if (shared := place("reference", tag)) is not None:
        cache = shared.with_suffix(".safetensors")
    stored: dict[str, Tensor] = {}
    if processes.leads():
        with telling_damage(cache, "remove it, and run the same command again"):
            stored = load_file(cache) if cache.exists() and _tag(cache) == tag else {}
    if processes.count() > 1:
        stored = processes.from_rank_0(stored)
    if stored:
        keys = [(group, answer) for group, answer in stored["keys"].tolist()]
        return dict(zip(keys, stored["values"].split(stored["lengths"].tolist()), strict=True))
    table = table_of(reference, rows, config, each_token=each_token)
    lengths = torch.tensor([len(value) for value in table.values()])
    stored = {"keys": torch.tensor(list(table)), "values": torch.cat(list(table.values())), "lengths": lengths}
    if processes.leads():
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(cache, stored, tag)
    return table


def table_of(
    reference: Policy, rows: Sequence[Tree], config: MethodConfig, *, each_token: bool = False
) -> dict[Key, Tensor]:
    """`reference_table` as it is now, for a reference that does not stay as it is."""
    table = _logprobs(reference, rows, config)
    return table if each_token else {key: logprob_L.sum().reshape(1) for key, logprob_L in table.items()}


def _logprobs(policy: Policy, rows: Sequence[Tree], config: MethodConfig) -> dict[Key, Tensor]:
    """`Policy.frozen_logprobs`; of several processes each computes its share, and all have the whole table."""
    if processes.count() == 1:
        return policy.frozen_logprobs(rows, config.micro_batch_tokens)
    parts = micro_batches(rows, config.micro_batch_tokens, whole=False)
    share = set(processes.share_of([sum(tree.size for tree in part) for part in parts]))
    own: dict[Key, Tensor] = {}

    def computed() -> None:
        for index in sorted(share):
            own.update(policy.frozen_logprobs(parts[index], config.micro_batch_tokens))

    processes.together(computed)
    last, length = {}, {}  # a row may be there twice, and then only one of its parts is added
    for index, part in enumerate(parts):
        for key, branch in (((tree.group, branch.answer), branch) for tree in part for branch in tree.branches):
            last[key], length[key] = index, sum(branch.learned)
    dtype = torch.float64 if policy.model.dtype == torch.float64 else torch.float32
    value_L = torch.cat([own[key] if last[key] in share else torch.zeros(length[key], dtype=dtype) for key in length])
    processes.sum_in_place([value_L])
    return dict(zip(length, value_L.split(list(length.values())), strict=True))


def frozen_gains(
    policy: Policy, rows: Sequence[Tree], reference_N: Mapping[Key, Tensor], config: MethodConfig
) -> Tensor:
    """log π - log π_reference of each answer of `rows`, (N,) on the CPU, answers as they come; without gradient."""
    if not rows:
        return torch.zeros(0)
    table = _logprobs(policy, rows, config)
    keys = [(tree.group, branch.answer) for tree in rows for branch in tree.branches]  # a row may be there twice
    return torch.cat([table[key].sum().reshape(1) - reference_N[key] for key in keys])


def _tag(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


@torch.no_grad()
def check_starts_from(
    policy: Policy, rows: Sequence[Tree], reference: Mapping[Key, Tensor], config: MethodConfig
) -> None:
    """Raise ConfigError unless KL to the reference is 0 before step one: both give an answer the same log-probability.

    It is no failure where the reference is another model, which whoever calls this knows.
    """
    if "reference" in config.skip_check:
        return
    first = min(rows, key=lambda tree: tree.size)
    table = policy.frozen_logprobs([first], config.micro_batch_tokens)
    worst = max((logprob_L.sum() - reference[key].sum()).abs().item() for key, logprob_L in table.items())
    if worst > 1e-2:
        raise refused(
            "reference", f"{first.origin}: policy and reference differ by {worst:.2g} nats before the first step"
        )
