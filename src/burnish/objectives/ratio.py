"""The ratio of two probabilities of one token, from their logarithms.

Shapes: T tokens of all answers end to end.
"""

from torch import Tensor

FARTHEST = 20.0
"""Nats beyond which a ratio is no longer followed: e^20 ≈ 5e8, and its square is finite in float32."""


def ratio(above_T: Tensor, below_T: Tensor) -> Tensor:
    """exp(above - below), from 20 nats on with the value and the slope that it has at 20.

    The plain exponential is inf from 89 nats on in float32, and inf · 0 makes a gradient NaN even where a clip has
    switched the token off. Clamping alone would take the gradient from exactly those tokens that have to come back.
    """
    if above_T.shape != below_T.shape:
        raise ValueError(f"two log-probabilities a token: {tuple(above_T.shape)}, {tuple(below_T.shape)}")
    return limited_exp(above_T - below_T)


def limited_exp(exponent_T: Tensor) -> Tensor:
    """exp(x), from x = 20 on e^20 with slope e^20."""
    excess_T = (exponent_T.detach() - FARTHEST).clamp(min=0)
    return (exponent_T - excess_T).exp()


def farthest_from_1(ratio_T: Tensor) -> Tensor:
    """The one ratio that is most off, (); a mean would hide a few wrong tokens among thousands of right ones."""
    return ratio_T[(ratio_T - 1).abs().argmax()]
