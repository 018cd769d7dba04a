"""Is packing exact for this model? Compare with transformers' own forward pass, one sequence at a time.

Twice: on the loaded weights, and on a random copy of the config with two layers of each kind and every window cut to
8, whose weights are drawn so large that a forgotten window, soft-cap, position or branch mask would show. Where
packing is not exact the padded path is taken, and compared in the same way: a model for which neither path gives what
transformers gives is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from burnish.batch.pack import TreeBatch, pack
from burnish.errors import ConfigError
from burnish.models.attention import UnsupportedAttentionError
from burnish.models.model import Model, Policy, Scorer
from burnish.models.random_copy import MODEL_FAULTS, NoCopyError, random_copy
from burnish.types import Branch, Tree

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.05}
"""What rounding explains: of the largest difference, in half precision of the mean one.

SmolLM2-135M: 3e-5 in float32, where a wrong branch mask makes 5; in bfloat16 0.05 on average (but 0.3 at the worst
token), where a wrong branch mask makes 0.5 on average.
"""


@dataclass(frozen=True)
class Route:
    """How a model's forward pass goes: packed, but for a reason; on a GPU by FlexAttention, but for another one.

    `flex` None leaves it to the device.
    """

    padded_because: str = ""
    flex: bool | None = None
    flex_refused: str = ""


def why_not_packed(model: PreTrainedModel) -> str:
    """Why the padded path is taken; empty where packing is exact. See `route_of`."""
    return route_of(model).padded_because


def route_of(model: PreTrainedModel) -> Route:
    """The fastest path on which the model, as transformers loaded it, gives transformers' own outputs.

    Raises ConfigError where the padded path, which is the last, does not either.
    """
    try:
        copied: PreTrainedModel | None = random_copy(model)
        reason = ""
    except NoCopyError as error:
        copied, reason = None, f"no small random copy of it could be made to check packing on ({error})"
    subjects = {"a random copy": copied, "the loaded weights": model}
    if copied is not None:
        torch.nn.Module.to(copied, model.device)
    flex_refused = ""
    if not reason and model.device.type == "cuda" and model.dtype != torch.float64:
        flex_refused = _first_trouble(subjects, packed=True, flex=True)
        if not flex_refused:
            return Route(flex=True)
    reason = reason or _first_trouble(subjects, packed=True)
    if not reason:
        return Route(flex=False, flex_refused=flex_refused)
    if trouble := _first_trouble(subjects, packed=False):
        raise ConfigError(
            f"{type(model).__name__}: this architecture cannot be trained here, since burnish's forward pass does not "
            f"give what transformers' own gives. Packed: {reason}. Padded: {trouble}."
        )
    return Route(padded_because=reason)


def _first_trouble(subjects: Mapping[str, PreTrainedModel | None], *, packed: bool, flex: bool = False) -> str:
    for name, subject in subjects.items():
        if subject is not None and (trouble := difference(subject, packed=packed, flex=flex)):
            return f"on {name}: {trouble}"
    return ""


def difference(model: PreTrainedModel, *, packed: bool, flex: bool = False) -> str:
    """How one of our paths differs from transformers' own forward pass; empty where only by rounding."""
    training = model.training
    model.eval()
    stock_attention = model.config._attn_implementation
    path = "packed" if packed else "padded"
    try:
        wrapped = _wrap(model, padded_because="" if packed else "to be compared", flex=flex)
        batch = pack(check_trees(model)).to(model.device)
        with torch.no_grad():
            ours = wrapped.scores(batch) if isinstance(wrapped, Scorer) else wrapped.logprobs(batch)
            with wrapped.stock():
                stock = stock_outputs(wrapped, batch)
    except UnsupportedAttentionError as error:
        return str(error)
    except MODEL_FAULTS as error:
        return f"its forward pass refuses a {path} row ({type(error).__name__}: {str(error)[:200]})"
    finally:
        model.set_attn_implementation(stock_attention)
        model.train(training)
    told = disagreement(ours, stock, model.dtype)
    return told and f"{path} and stock outputs differ by {told}"


def disagreement(ours: Tensor, stock: Tensor, dtype: torch.dtype) -> str:
    """How far apart two passes of a model in `dtype` are; empty where rounding explains it."""
    off = (ours - stock).abs().double()
    half = dtype in (torch.bfloat16, torch.float16)
    told = (off.mean() if half else off.max()).item()
    limit = TOLERANCE.get(dtype, 1e-3)
    if told <= limit:  # never true of NaN
        return ""
    return f"{told:.2g} {'on average' if half else 'at worst'} (at most {limit:g} is rounding)"


def check_trees(model: PreTrainedModel, *, seed: int = 0) -> list[Tree]:
    """Packed trees of three branches, prompts and branches longer than the window, and one of a single branch.

    The first is large enough that its branches are computed apart, the second takes one call; see attention.py. Tokens
    are drawn from those that mean nothing special to the model.
    """
    text = model.config.get_text_config()
    named = [value for part in (model.config, text) for name, value in vars(part).items() if name.endswith("token_id")]
    special = {item for value in named for item in (value if isinstance(value, list) else [value])}
    ordinary = [i for i in range(text.vocab_size) if i not in special]
    choice = torch.tensor(ordinary or range(text.vocab_size))
    positions = getattr(text, "max_position_embeddings", None)
    room = positions if isinstance(positions, int) and positions > 0 else 64
    draw = torch.Generator().manual_seed(seed)

    def tokens(size: int) -> tuple[int, ...]:
        return tuple(choice[torch.randint(len(choice), (size,), generator=draw)].tolist())

    def tree(group: int, prompt: int, sizes: list[int]) -> Tree:
        prompt = min(prompt, room // 2)
        sizes = [min(size, room - prompt) for size in sizes]
        branches = (Branch(tokens(size), (True,) * size, answer=k) for k, size in enumerate(sizes))
        return Tree(tokens(prompt), tuple(branches), group=group)

    return [tree(0, 13, [40, 38, 36]), tree(1, 10, [9, 14, 10]), tree(2, 9, [12])]


def stock_outputs(model: Model, batch: TreeBatch) -> Tensor:
    """What transformers itself says, prompt and branch in a row of their own, unpadded: (L,) or, of a scorer, (N,)."""
    outputs = []
    for tree in batch.trees:
        for branch in tree.branches:
            ids = torch.tensor([tree.prompt + branch.tokens], device=model.device)
            learned = [len(tree.prompt) + i for i, wanted in enumerate(branch.learned) if wanted]
            if isinstance(model, Scorer):
                # its own forward reads the score at a row's last token
                score = model.model(input_ids=ids[:, : learned[-1] + 1], use_cache=False).logits
                outputs.append(score.reshape(1) - model.mean)
            else:
                target_L = torch.tensor(learned, device=model.device)
                logits = model.model(input_ids=ids, use_cache=False).logits[0, target_L - 1]
                logits = logits if logits.dtype == torch.float64 else logits.float()
                outputs.append(logits.log_softmax(-1).gather(1, ids[0, target_L, None]).squeeze(1))
    return torch.cat(outputs)


def _wrap(model: PreTrainedModel, **settings: Any) -> Policy | Scorer:
    kind = Scorer if hasattr(model, "score") else Policy
    return kind(model, None, **settings)  # type: ignore[arg-type]  # no text is read here
