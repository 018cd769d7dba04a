"""How often 95 % intervals of a win rate cover it: ours, Wilson's with ties taken as halves, and mean ± z·s/√n.

python scripts/interval_coverage.py          # the table of docs/evaluation.md, from fixed seeds
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from burnish.evaluation.intervals import proportion

DRAWS = 4000
Z = NormalDist().inv_cdf(0.975)
CASES = ((0.5, 0.0), (0.2, 0.6), (0.7, 0.1), (0.95, 0.03), (0.05, 0.9))  # P(win), P(tie)


def wilson(value_G: NDArray[np.float64]) -> tuple[float, float]:
    n, mean = len(value_G), float(value_G.mean())
    middle = (mean + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(mean * (1 - mean) / n + (Z / (2 * n)) ** 2) / (1 + Z * Z / n)
    return middle - half, middle + half


def normal(value_G: NDArray[np.float64]) -> tuple[float, float]:
    half = Z * float(value_G.std(ddof=1)) / math.sqrt(len(value_G))
    return float(value_G.mean()) - half, float(value_G.mean()) + half


def ours(value_G: NDArray[np.float64]) -> tuple[float, float]:
    found = proportion([[value] for value in value_G])
    return found.low, found.high


def main() -> None:
    print("| P(win) | P(tie) | prompts | burnish | Wilson | mean ± z·s/√n |\n|---:|---:|---:|---:|---:|---:|")
    for win, tie in CASES:
        for prompts in (20, 50, 500):
            generator = np.random.default_rng(0)
            covered, width = np.zeros(3), np.zeros(3)
            for _ in range(DRAWS):
                drawn = generator.choice([0, 0.5, 1], size=prompts, p=[1 - win - tie, tie, win])
                for place, interval in enumerate((ours, wilson, normal)):
                    low, high = interval(drawn)
                    covered[place] += low <= win + tie / 2 <= high
                    width[place] += high - low
            cells = " | ".join(f"{c:.1%}, {w:.3f}" for c, w in zip(covered / DRAWS, width / DRAWS, strict=True))
            print(f"| {win} | {tie} | {prompts} | {cells} |")


if __name__ == "__main__":
    main()
