"""What an answer's length costs. Shapes: N answers."""

import torch
from torch import Tensor


def overlong(length_N: Tensor, *, longest: int, buffer: int) -> Tensor:
    """Soft overlong punishment, (N,), from 0 to -1 (Yu et al. 2025, DAPO, eq. 13).

        0                                  |y| ≤ longest - buffer
        (longest - buffer - |y|) / buffer  from there to longest
        -1                                 beyond

    `longest` is their L_max, the length at which answers are cut; `buffer` their L_cache, the last tokens before it, in
    which the punishment grows. Raises ValueError unless 0 < buffer ≤ longest.
    """
    if not 0 < buffer <= longest:
        raise ValueError(f"a buffer lies within the longest answer: {buffer} of {longest}")
    return ((longest - buffer - length_N.to(torch.float64)) / buffer).clamp(-1, 0)
