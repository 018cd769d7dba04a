"""Memory that was used, and what to say where it runs out."""

import torch

from burnish.errors import OutOfMemory

ADVICE = (
    "a smaller micro_batch_tokens (same results; auto_micro_batch: true halves it by itself), "
    "activation_checkpointing: true (same results), lora: {rank: 16}, a shorter max_length"
)


def peak_gb() -> float:
    """The most that this process has had: on the GPU where there is one, else in all."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    import resource  # not on Windows, which has no training here

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def out_of_memory(where: str, error: BaseException, model: torch.nn.Module) -> OutOfMemory:
    """The error to raise instead of `error`, with what was used and what the model itself needs of it."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    learned = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    needed = (weights + 3 * learned) / 1e9  # a gradient and two moments of whatever learns
    cause = str(error) or type(error).__name__  # Python's own says nothing
    return OutOfMemory(
        f"{where}: out of memory: {cause}\nAt most {peak_gb():.2f} GB were used; weights, gradients and AdamW's "
        f"moments of this model take {needed:.2f} GB, the rest is another model's or activations. What helps: {ADVICE}"
    )
