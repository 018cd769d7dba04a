"""Learning rate over the steps, as a share of its peak."""

import math

from burnish.training.config import MethodConfig


def rate(config: MethodConfig, step: int, steps: int) -> float:
    """Share of the peak at step 0 ≤ step < steps: a linear rise over the warm-up, then cosine, linear or constant.

    The rise reaches 1 at the warm-up's last step and never is 0, so no step is wasted; cosine and linear would reach
    0 one step after the last.
    """
    warm = math.ceil(config.warmup * steps)
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if config.schedule == "linear":
        return 1 - progress
    return 1.0
