"""How many prompts a verdict needs: the chance that its interval leaves out a half, where the true win rate is another.

    √n (m - ½) = z_(1 - α/2) s₀ + z_power s₁                             Lachin 1981, the basic equation of sample size
    s₁² = (m (1 - m) - ties / 4) · (1 + (samples - 1) alike) / samples
    s₀² = f̃ / 4,  f = s₁² / (m (1 - m)),  f̃ = (n f + z²) / (n + z²)      what intervals.py takes for the variance at ½

m is the true rate, of which a tie is half a win. The first factor of s₁² is the variance of {0, ½, 1}; the second the
design effect of several answers to a prompt (Kish 1965): `alike` is the correlation of two of them, at 1 further ones
tell nothing, at 0 each tells as much as a prompt. The same holds for an accuracy, with rankings in place of prompts.
"""

import math
from statistics import NormalDist

NORMAL = NormalDist()
MOST = 10**9


def prompts_needed(
    rate: float = 0.55,
    *,
    ties: float = 0.0,
    samples: int = 1,
    alike: float = 1.0,
    level: float = 0.95,
    power: float = 0.8,
) -> int:
    """The fewest prompts with which the interval of this level leaves out ½ with the chance `power`.

    Raises ValueError for a rate so near to ½ that none suffice, or shares that cannot be.
    """
    if not 0 < power < 1:
        raise ValueError(f"power is a chance between 0 and 1; found {power}")

    def suffice(prompts: int) -> bool:
        return power_of(prompts, rate, ties=ties, samples=samples, alike=alike, level=level) >= power

    too_few, enough = 0, 1
    while not suffice(enough):
        too_few, enough = enough, 2 * enough
        if enough > MOST:
            raise ValueError(f"a rate of {rate:g} is told from ½ by no number of prompts up to {MOST:g}")
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if suffice(middle) else (middle, enough)
    return enough


def power_of(
    prompts: int,
    rate: float = 0.55,
    *,
    ties: float = 0.0,
    samples: int = 1,
    alike: float = 1.0,
    level: float = 0.95,
) -> float:
    """The chance that so many prompts tell this rate from ½. Raises ValueError for shares that cannot be."""
    if not (0 <= ties <= 1 and 0 <= alike <= 1 and samples >= 1 and ties / 2 <= rate <= 1 - ties / 2):
        raise ValueError(
            f"a rate of {rate:g} with {ties:g} ties, {samples} answers a prompt that are alike to {alike:g}: "
            "ties and likeness lie between 0 and 1, and half the ties at most on either side of the rate"
        )
    coin = rate * (1 - rate)
    variance = (coin - ties / 4) * (1 + (samples - 1) * alike) / samples
    z = NORMAL.inv_cdf(0.5 + level / 2)
    share = variance / coin if coin else 1.0
    drawn = (prompts * share + z * z) / (prompts + z * z)
    beyond = math.sqrt(prompts) * abs(rate - 0.5) - z * math.sqrt(drawn / 4)
    return NORMAL.cdf(beyond / math.sqrt(variance)) if variance > 0 else float(beyond > 0)
