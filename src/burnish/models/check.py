"""Is packing exact for this model? Compare with transformers' own forward pass, one sequence at a time.

Twice: on the loaded weights, and on a random copy of the config with two layers of each kind and every window cut to
8, whose weights are drawn so large that a forgotten window, soft-cap, position or branch mask would show.
"""

import copy

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from burnish.batch.pack import TreeBatch, pack
from burnish.models.attention import UnsupportedAttentionError
from burnish.models.model import Model, Policy, Scorer
from burnish.types import Branch, Tree

WINDOW = 8
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.05}
"""Largest difference of a log-probability that rounding explains; what a wrong mask does is ten times as much."""


def why_not_packed(model: PreTrainedModel) -> str:
    """An empty string where the packed pass equals transformers' own, else the reason for the padded path."""
    try:
        copied = random_copy(model)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:
        return f"no small random copy of its config could be made to check it ({type(error).__name__}: {error})"
    for name, subject in (("a random copy", copied), ("the loaded weights", model)):
        trouble = _difference(subject)
        if trouble:
            return f"on {name}: {trouble}"
    return ""


def _difference(model: PreTrainedModel) -> str:
    training = model.training
    model.eval()
    wrapped = _wrap(model)
    batch = pack(check_trees(model.config.get_text_config().vocab_size)).to(model.device)
    try:
        with torch.no_grad():
            packed = _outputs(wrapped, batch)
            with wrapped.stock():
                stock = stock_outputs(wrapped, batch)
    except UnsupportedAttentionError as error:
        return str(error)
    except (ValueError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        return f"its forward pass refuses a packed row ({type(error).__name__}: {str(error)[:200]})"
    finally:
        model.set_attn_implementation(wrapped.stock_attention)
        model.train(training)
    worst = (packed - stock).abs().max().item()
    limit = TOLERANCE.get(model.dtype, 1e-3)
    return "" if worst <= limit else f"packed and stock outputs differ by {worst:.2g} (at most {limit:g} is rounding)"


def check_trees(vocabulary: int, seed: int = 0) -> list[Tree]:
    """Two packed trees of three branches, prompts and branches longer than the window."""
    draw = torch.Generator().manual_seed(seed)

    def tokens(size: int) -> tuple[int, ...]:
        return tuple(torch.randint(vocabulary, (size,), generator=draw).tolist())

    return [
        Tree(
            tokens(prompt),
            tuple(Branch(tokens(size), (True,) * size, answer=k) for k, size in enumerate(sizes)),
            group=index,
        )
        for index, (prompt, sizes) in enumerate([(13, (12, 9, 11)), (10, (9, 14, 10))])
    ]


def stock_outputs(model: Model, batch: TreeBatch) -> Tensor:
    """What transformers itself says, prompt and branch in a row of their own, unpadded: (L,) or, of a scorer, (N,)."""
    outputs = []
    for tree in batch.trees:
        for branch in tree.branches:
            ids = torch.tensor([tree.prompt + branch.tokens], device=model.device)
            learned = [len(tree.prompt) + i for i, wanted in enumerate(branch.learned) if wanted]
            if isinstance(model, Scorer):
                hidden = model.model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, learned[-1:]]
                outputs.append(model.head(hidden).float().reshape(1) - model.mean)
            else:
                target_L = torch.tensor(learned, device=model.device)
                logits = model.model(input_ids=ids, use_cache=False).logits[0, target_L - 1].float()
                outputs.append(logits.log_softmax(-1).gather(1, ids[0, target_L, None]).squeeze(1))
    return torch.cat(outputs)


def random_copy(model: PreTrainedModel, *, seed: int = 0) -> PreTrainedModel:
    """The same architecture, small in depth, with windows of 8 and large random weights, in float32 on a CPU."""
    config = _shallow(model.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copied: PreTrainedModel = type(model)(config).float().eval()
        draw_large(copied)
    return copied


@torch.no_grad()
def draw_large(model: PreTrainedModel) -> None:
    """Weights at which attention is sharp and what each token sees decides what it says."""
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            parameter.normal_(0, 1.0 if "embed" in name else 1.5 / parameter.shape[-1] ** 0.5)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.2)


def _shallow(config: PreTrainedConfig) -> PreTrainedConfig:
    small = copy.deepcopy(config)
    text = small.get_text_config()
    depth = text.num_hidden_layers
    lists = {k: v for k, v in vars(text).items() if isinstance(v, list) and len(v) == depth}
    kinds = [tuple(str(v[i]) for v in lists.values()) for i in range(depth)]
    kept = [i for i in range(depth) if kinds[:i].count(kinds[i]) < 2]
    for name, values in lists.items():
        setattr(text, name, [values[i] for i in kept])
    text.num_hidden_layers = len(kept)
    for name in ("sliding_window", "attention_window", "local_attention_window"):
        if isinstance(getattr(text, name, None), int):
            setattr(text, name, WINDOW)
    return small


def _wrap(model: PreTrainedModel) -> Model:
    kind = Scorer if hasattr(model, "score") else Policy
    return kind(model, tokenizer=None)  # type: ignore[arg-type]  # no text is read here


def _outputs(model: Model, batch: TreeBatch) -> Tensor:
    return model.scores(batch) if isinstance(model, Scorer) else model.logprobs(batch)  # type: ignore[attr-defined]
