"""What every training command proves on a real batch before step one; it refuses to start where a proof fails.

Each check has a name. `skip_check: [NAME]` leaves one out, and the run's settings record it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from burnish.batch.pack import Key, pack
from burnish.data.templates import Template
from burnish.errors import ConfigError
from burnish.models.check import disagreement, stock_outputs
from burnish.models.model import Model, Scorer
from burnish.training.config import MethodConfig
from burnish.types import Tree

CHECKS = ("outputs", "mask", "begin_token", "end_token", "score")


CLOSE = {torch.float64: 1e-5, torch.float32: 1e-4, torch.bfloat16: 0.2, torch.float16: 0.05}
"""What rounding explains between two passes over sampled tokens: of the worst one, in half precision of the mean.

SmolLM2-135M in float32: 4e-5 nats between sampler and training pass, 2e-5 in the ratio of two passes that were cut
differently. Half precision is held to the mean, since its worst token may be off by 0.3.
"""
AT_REFERENCE = 1e-3  # nats a token; the same weights in the same pass give 0 in every precision


def check_before_step_one(
    model: Model, trees: Sequence[Tree], template: Template, config: MethodConfig, *, only: Collection[str] = CHECKS
) -> None:
    """Raise ConfigError naming the check that fails, what it saw and how to leave it out.

    `only`: sampled answers need no look at their masks, for the sampler made them.
    """
    checks: dict[str, Callable[[], str]] = {
        "mask": lambda: _mask(trees),
        "begin_token": lambda: _begin_token(model, trees),
        "end_token": lambda: _end_token(trees, template),
        "outputs": lambda: _outputs(model, trees),
        "score": lambda: _score(model, trees),
    }
    for name, check in checks.items():
        trouble = "" if name in config.skip_check or name not in only else check()
        if trouble:
            raise refused(name, trouble)


def check_sampler(gap: tuple[float, float], dtype: torch.dtype, config: MethodConfig) -> None:
    """Raise ConfigError unless the sampler gave its tokens the log-probabilities that the training pass gives them.

    `gap` is the largest and the mean difference, in nats a token.
    """
    told = _too_far(*gap, dtype)
    if told and "sampler" not in config.skip_check:
        raise refused("sampler", f"log-probabilities of sampled tokens in the sampler and in training differ by {told}")


def check_starts_at_reference(old: Mapping[Key, Tensor], reference: Mapping[Key, Tensor], config: MethodConfig) -> None:
    """Raise ConfigError unless the policy gives each of its own tokens the reference's log-probability: KL is 0."""
    away = torch.cat([old[key] - reference[key] for key in old]).abs().max().item()
    if not away <= AT_REFERENCE and "reference" not in config.skip_check:  # never true of NaN
        raise refused(
            "reference", f"policy and reference differ by {away:.2g} nats at a sampled token; before step one KL is 0"
        )


def check_ratio(ratio_L: Tensor, dtype: torch.dtype, config: MethodConfig) -> None:
    """Raise ConfigError unless π/π_old is 1 for every token of the first minibatch."""
    off_L = (ratio_L - 1).abs().double()
    told = _too_far(off_L.max().item(), off_L.mean().item(), dtype)
    if told and "ratio" not in config.skip_check:
        raise refused("ratio", f"the first ratio of new to old probability must be 1; it is off by {told}")


def _too_far(worst: float, mean: float, dtype: torch.dtype) -> str:
    half = dtype in (torch.bfloat16, torch.float16)
    found, limit = (mean if half else worst), CLOSE.get(dtype, 1e-4)
    if found <= limit:  # never true of NaN
        return ""
    return f"{found:.2g} {'on average' if half else 'at worst'} (at most {limit:g} is rounding)"


def refused(name: str, trouble: str) -> ConfigError:
    return ConfigError(
        f"check before step one, {name}: {trouble}\nIf this is meant, leave the check out with --set skip_check={name}"
    )


def _mask(trees: Sequence[Tree]) -> str:
    """No learned row has an empty mask, nor, where a branch says what others wrote too, a full one."""
    for tree in trees:
        for branch in tree.branches:
            if len(branch.learned) != len(branch.tokens):
                return f"{tree.origin}: {len(branch.tokens)} tokens and a mask of {len(branch.learned)}"
            if not any(branch.learned):
                return f"{tree.origin}: no token of answer {branch.answer + 1} carries loss; its mask is empty"
    return ""


def _begin_token(model: Model, trees: Sequence[Tree]) -> str:
    """The begin token is not doubled, where it is one that only begins."""
    begin = model.tokenizer.bos_token_id
    if begin is None or begin == model.tokenizer.eos_token_id:
        return ""
    for tree in trees:
        if (tree.prompt + tree.branches[0].tokens)[:2] == (begin, begin):
            return (
                f"{tree.origin}: the begin token {model.tokenizer.bos_token!r} stands twice; the template adds one too"
            )
        for branch in tree.branches:
            if tree.prompt and branch.tokens[:1] == (begin,):
                return f"{tree.origin}: answer {branch.answer + 1} opens with another begin token"
    return ""


def _end_token(trees: Sequence[Tree], template: Template) -> str:
    """Every answer that was not cut teaches its end, once."""
    for tree in trees:
        if not tree.prompt:
            continue  # text for pretraining: documents end inside a row, a row ends anywhere
        for branch in tree.branches:
            taught = [token for token, wanted in zip(branch.tokens, branch.learned, strict=True) if wanted]
            if branch.ended and (not taught or taught[-1] not in template.end_tokens):
                return f"{tree.origin}: answer {branch.answer + 1} is whole and yet teaches no end token"
            if branch.ended and taught[-2:-1] and taught[-2] == taught[-1]:
                return f"{tree.origin}: answer {branch.answer + 1} teaches its end token twice"
    return ""


@torch.no_grad()
def _outputs(model: Model, trees: Sequence[Tree]) -> str:
    """The path in use gives what transformers' own forward gives, on the shortest real tree."""
    forked = [tree for tree in trees if len(tree.branches) > 1]
    tree = min(forked or trees, key=lambda t: t.size)
    batch = pack([tree]).to(model.device)
    ours = model.scores(batch) if isinstance(model, Scorer) else model.logprobs(batch)  # type: ignore[attr-defined]
    with model.stock():
        stock = stock_outputs(model, batch)
    told = disagreement(ours, stock, model.model.dtype)
    path = "packed" if model.packed else "padded"
    return told and f"{tree.origin}: the {path} path and transformers' own forward differ by {told}"


@torch.no_grad()
def _score(model: Model, trees: Sequence[Tree]) -> str:
    """A score does not depend on what else is in the batch."""
    if not isinstance(model, Scorer):
        return ""
    few = sorted(trees, key=lambda t: t.size)[:3]
    together = model.scores(pack(few).to(model.device))
    alone = torch.cat([model.scores(pack([tree]).to(model.device)) for tree in few])
    told = disagreement(together, alone, model.model.dtype)
    return told and f"an answer's score changes with its neighbours in the batch by {told}"
