"""Has a policy learned to please its reward and nobody else? Gao et al. 2022, Scaling laws for reward model
overoptimization: the score that is climbed goes on rising while what it stands for falls.

Two evaluations of the same G prompts are compared prompt by prompt, by the score that is climbed and by an independent
judge's, with Student's interval of the mean difference:

    d ± t(1 - 0.05 / 2k, G - 1) · s / √G        s = deviation of the G differences

The earlier of the two is the one that the judge liked best of k, and the best of many equals has had luck: beside it
the others seem to fall. So the interval is Bonferroni's, which holds for all k at once and so for any that is chosen.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from burnish.evaluation.intervals import Interval


def paired_change(now_G: Sequence[float], then_G: Sequence[float], *, chosen_of: int = 1) -> Interval:
    """How much larger values are `now` than `then`, with the interval above; its ends are NaN for a single prompt.

    Raises ValueError where the two do not have the same number of prompts.
    """
    if len(now_G) != len(then_G):
        raise ValueError(f"the same prompts, one value each: {len(now_G)} now, {len(then_G)} then")
    gap_G = np.asarray(now_G, dtype=float) - np.asarray(then_G, dtype=float)
    n, mean = len(gap_G), float(gap_G.mean())
    if n < 2:
        return Interval(mean, math.nan, math.nan, n)
    half = float(t.ppf(1 - 0.05 / (2 * chosen_of), n - 1)) * float(gap_G.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def parted(climbed: Interval, judged: Interval) -> bool:
    """Whether the score that is climbed rose and the judge's fell, both beyond their intervals."""
    return climbed.low > 0 and judged.high < 0
