"""Packed training on a GPU: is it right in bf16, how fast is it, what does it need? See gpu.sh.

Weights and tokens are random, so nothing is downloaded: time and memory do not depend on what they are. A step is what
the training loop does: forward and backward of each micro-batch, one division, clipping, AdamW. Work is 6 · body
matrices · tokens computed + 6 · head · tokens projected, and its share is of the rate of a large bf16 product measured
here. What is computed again (the head's logits, and where activations are not kept, every layer) is not work.
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from burnish.batch.pack import micro_batches, pack
from burnish.models.check import stock_outputs
from burnish.models.model import Policy
from burnish.objectives import preference, ranking
from burnish.types import Branch, Tree

SECONDS = 520  # of the whole; what would begin later is left out, and said
STEPS, WARM = 8, 2
BUDGET = 8192  # tokens of a micro-batch


@dataclass(frozen=True)
class Shape:
    """A Llama's dimensions. `rows` trees a step; `kept`: activations are kept, not computed again."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    tied: bool
    rows: int
    kept: bool

    def model(self, device: torch.device, dtype: torch.dtype, *, deviation: float = 0.02) -> LlamaForCausalLM:
        config = LlamaConfig(
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.key_heads,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
            max_position_embeddings=4096,
            initializer_range=deviation,
            dtype=dtype,
        )
        torch.manual_seed(0)
        with device:
            model = LlamaForCausalLM(config).to(dtype).eval()
        if not self.kept:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        return model


SHAPES = {
    "tiny": Shape(64, 128, 2, 4, 2, 512, True, 4, True),  # to try the script itself, on a CPU
    "135M": Shape(576, 1536, 30, 9, 3, 49152, True, 64, True),  # SmolLM2
    "1B": Shape(2048, 8192, 16, 32, 8, 128256, True, 64, True),  # Llama 3.2
    "8B": Shape(4096, 14336, 32, 32, 8, 128256, False, 32, False),  # Llama 3.1; AdamW in bf16 makes it 64 GB
}


def random_trees(rows: int, branches: int, vocabulary: int, seed: int) -> list[Tree]:
    """Prompts of 64 to 448 tokens, answers of 32 to 224: HH's proportions at twice its size."""
    draw = torch.Generator().manual_seed(seed)

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draw))

    def tokens(size: int) -> tuple[int, ...]:
        return tuple(torch.randint(vocabulary, (size,), generator=draw).tolist())

    trees = []
    for group in range(rows):
        answers = [tokens(between(32, 224)) for _ in range(branches)]
        own = tuple(Branch(a, (True,) * len(a), place=place, answer=place) for place, a in enumerate(answers))
        trees.append(Tree(tokens(between(64, 448)), own, group=group))
    return trees


# ---- right?


@torch.no_grad()
def check(device: torch.device) -> bool:
    """In bf16 the packed path must be no further from the truth than transformers' own attention in bf16 is.

    The truth is transformers' own attention in float32, from the same weights.
    """
    shape = SHAPES["135M" if device.type == "cuda" else "tiny"]
    model = shape.model(device, torch.float32, deviation=0.1)  # 0.02 gives no opinion that a wrong mask could change
    batch = pack(random_trees(6, 3, shape.vocabulary, seed=1)).to(device)

    def both(policy: Policy) -> tuple[Tensor, Tensor]:
        with policy.stock():
            stock = stock_outputs(policy, batch)
        return policy.logprobs(batch), stock

    packed, truth = both(Policy(model, None))  # type: ignore[arg-type]  # no text is read
    print(f"float32: packed and stock log-probabilities differ by at most {(packed - truth).abs().max():.1e}")
    exact = bool((packed - truth).abs().max() < 1e-3)
    model.set_attn_implementation("sdpa")
    packed, stock = both(Policy(model.to(torch.bfloat16), None))  # type: ignore[arg-type]
    own, theirs = ((side - truth).square().mean().sqrt().item() for side in (packed, stock))
    print(f"bf16: root mean square error against float32: packed {own:.2e}, stock {theirs:.2e}")
    print(f"bf16: packed and stock differ by at most {(packed - stock).abs().max():.2e}")
    return exact and own <= 1.2 * theirs + 1e-4


# ---- how fast?


def synchronised(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, the median of ten."""
    size = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(13):
        began = synchronised(device)
        left @ right
        seconds.append(synchronised(device) - began)
    return float(2 * size**3 / median(seconds[3:]))


def parts_of(trees: list[Tree], *, whole: bool) -> list[list[Tree]]:
    return micro_batches(trees, BUDGET, whole=whole)


def step(policy: Policy, trees: list[Tree], optimiser: torch.optim.Optimizer, reference_N: dict | None) -> None:
    """One update: SFT, or DPO where the reference's log-probabilities of the answers are given."""
    parameters = list(policy.trainable().values())
    optimiser.zero_grad(set_to_none=True)
    count = 0
    for part in parts_of(trees, whole=reference_N is not None):
        batch = pack(part).to(policy.device)
        if reference_N is None:
            loss = -policy.logprobs(batch).sum()
            count += len(batch.target_L)
        else:
            gain_N = policy.logprob_sums(batch) - batch.gather(reference_N)
            better_P, worse_P = ranking.decided_pairs(batch.place_N, batch.group_N)
            loss = preference.dpo(gain_N[better_P], gain_N[worse_P], beta=0.1).sum()
            count += len(better_P)
        loss.backward()
    torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], 1 / count)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()


def work(policy: Policy, trees: list[Tree]) -> float:
    body = sum(
        p.numel() for name, p in policy.model.base_model.named_parameters() if p.dim() == 2 and "embed" not in name
    )
    projected = sum(sum(branch.learned) for tree in trees for branch in tree.branches)
    return 6.0 * (body * sum(tree.size for tree in trees) + policy.head.weight_VD.numel() * projected)


def measure(name: str, method: str, device: torch.device, dtype: torch.dtype) -> tuple[float, float, float]:
    """Tokens a second, work a second, and peak memory in GB."""
    shape = SHAPES[name]
    policy = Policy(shape.model(device, dtype), None)  # type: ignore[arg-type]
    policy.model.train(not shape.kept)  # activations are computed again only in a model that is being trained
    trees = random_trees(shape.rows, 1 if method == "SFT" else 2, shape.vocabulary, seed=0)
    reference_N = None
    if method == "DPO":
        table = policy.frozen_logprobs(trees, BUDGET)
        reference_N = {key: logprob_L.sum().reshape(1) for key, logprob_L in table.items()}
    optimiser = torch.optim.AdamW(policy.trainable().values(), lr=1e-6, fused=True)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(WARM + STEPS):
        began = synchronised(device)
        step(policy, trees, optimiser, reference_N)
        seconds.append(synchronised(device) - began)
    typical = median(seconds[WARM:])
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")
    return sum(tree.size for tree in trees) / typical, work(policy, trees) / typical, peak


def rows(shapes: list[str], device: torch.device, dtype: torch.dtype, end: float) -> Iterator[str]:
    for name in shapes:
        for method in ("SFT", "DPO"):
            label = f"{name:>5}  {method}  {'kept' if SHAPES[name].kept else 'again':>11}"
            if time.perf_counter() > end:
                yield f"{label}  left out: the time is up"
                continue
            rate = product_rate(device, dtype)
            try:
                tokens, done, peak = measure(name, method, device, dtype)
                yield f"{label}  {tokens:8.0f}  {done / rate:7.0%}  {peak:7.1f}  {rate / 1e12:7.1f}"
            except torch.OutOfMemoryError:
                yield f"{label}  does not fit into this device's memory"
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["135M", "1B", "8B"])
    parser.add_argument("--device", default="cuda", help="cpu tries the script itself, with --shapes tiny")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")
        return 0
    end = time.perf_counter() + SECONDS
    device, dtype = torch.device(options.device), torch.bfloat16
    named = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{named}; torch {torch.__version__}; micro-batches of {BUDGET} tokens; median of {STEPS} steps")
    right = check(device)
    print("shape  step  activations  tokens/s  of rate  peak GB  product TFLOP/s", flush=True)
    for row in rows(options.shapes, device, dtype, end):
        print(row, flush=True)
    if not right:
        print("packed and stock outputs differ by more than rounding: do not trust the packed path on this device")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
