"""How often 95 % intervals cover what they are of, with judges that are simulated: the tables of docs/evaluation.md.

python scripts/interval_coverage.py [DRAWS]       # 4000 draws a line, from fixed seeds: some five minutes on one core

rates      a win rate with ties, one answer a prompt or four: ours, Wilson's, and mean ± z·s/√n
several    models that are all as good as the first one: how often one of them seems better or worse
length     the win rate at equal length, by judges that like length, quality or both
"""

import math
import sys
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from burnish.evaluation.intervals import each_of, proportion, wilson, wins
from burnish.evaluation.length_control import length_controlled

Floats = NDArray[np.float64]
Generator = np.random.Generator

Z = NormalDist().inv_cdf(0.975)
CASES = [(rate, ties, n) for rate in (0.5, 0.7, 0.9) for ties in (0.0, 0.4) for n in (50, 200, 500)]
EXTREME = [(rate, ties, n) for rate, ties in ((0.98, 0.0), (0.5, 0.9)) for n in (20, 50, 500)]
ALIKE = 0.3  # the correlation of two answers to one prompt


def ours(value_GK: Floats) -> tuple[float, float]:
    found = proportion(value_GK.tolist())
    return found.low, found.high


def of_coins(value_GK: Floats) -> tuple[float, float]:
    """Wilson's, of all values as if each were a prompt of its own and a tie half a coin."""
    return wilson(float(value_GK.mean()), value_GK.size, Z)


def normal(value_GK: Floats) -> tuple[float, float]:
    mean_G = value_GK.mean(axis=1)
    half = Z * float(mean_G.std(ddof=1)) / math.sqrt(len(mean_G))
    return float(mean_G.mean()) - half, float(mean_G.mean()) + half


def judged(generator: Generator, rate: float, ties: float, prompts: int, answers: int) -> Floats:
    """1, ½ or 0 for each answer. A prompt's chance to win is its own, from a beta distribution around `rate`."""
    scale = 1 / ALIKE - 1
    chance_G1 = generator.beta(rate * scale, (1 - rate) * scale, (prompts, 1))
    won_GK = (generator.random((prompts, answers)) < chance_G1).astype(np.float64)
    return np.where(generator.random((prompts, answers)) < ties, 0.5, won_GK)


def rates(draws: int) -> None:
    heads = (
        "decided won",
        "ties",
        "prompts",
        "burnish",
        "Wilson",
        "mean ± z·s/√n",
        "burnish, 4 each",
        "Wilson, 4 each",
    )
    print(f"| {' | '.join(heads)} |\n|{'---:|' * len(heads)}")
    for rate, ties, prompts in CASES + EXTREME:
        generator = np.random.default_rng(0)
        covered, width = np.zeros(5), np.zeros(5)
        truth = rate * (1 - ties) + ties / 2
        for _ in range(draws):
            one, four = (judged(generator, rate, ties, prompts, answers) for answers in (1, 4))
            found = [ours(one), of_coins(one), normal(one), ours(four), of_coins(four)]
            for place, (low, high) in enumerate(found):
                covered[place] += low <= truth <= high
                width[place] += high - low
        cells = " | ".join(f"{c:.1%}, {w:.3f}" for c, w in zip(covered / draws, width / draws, strict=True))
        print(f"| {rate} | {ties} | {prompts} | {cells} |", flush=True)


def several(draws: int, prompts: int = 200) -> None:
    print("\n| models beside the first | each interval at 95 % | at `each_of(models)` |\n|---:|---:|---:|")
    for models in (1, 2, 4, 8):
        generator = np.random.default_rng(0)
        wrong = np.zeros(2)
        for _ in range(draws):
            first, *others = generator.normal(size=(models + 1, prompts, 1)).tolist()
            for place, level in enumerate((0.95, each_of(models))):
                found = [proportion(wins(own, first), level=level) for own in others]
                wrong[place] += any(not one.low <= 0.5 <= one.high for one in found)
        print(f"| {models} | {wrong[0] / draws:.1%} | {wrong[1] / draws:.1%} |", flush=True)


def straight(apart: Floats) -> Floats:
    return 1.5 * apart


def bent(apart: Floats) -> Floats:
    return 1.5 * np.tanh(apart)


def step(apart: Floats) -> Floats:
    return np.where(apart == 0, 0.0, np.copysign(np.inf, apart))


JUDGES: dict[str, tuple[float, Callable[[Floats], Floats]]] = {
    "length alone, as the form has it": (0.5, bent),
    "length alone, odds that grow with each token": (0.5, straight),
    "length alone: the longer wins": (0.5, step),
    "quality alone": (0.7, np.zeros_like),
    "quality, and what is short": (0.7, lambda apart: -bent(apart)),
    "quality, and what is long": (0.7, bent),
}
"""How often a judge prefers the model at equal length, and what it adds to the logit for each deviation of length."""


def length(draws: int) -> None:
    heads = ("the judge likes", "at equal length", "prompts", "win rate", "controlled", "covered", "width")
    print(f"\n| {' | '.join(heads)} |\n|---|{'---:|' * (len(heads) - 1)}")
    for name, (quality, of_length) in JUDGES.items():
        for prompts in (50, 200, 500):
            generator = np.random.default_rng(0)
            raw = found = covered = width = 0.0
            for _ in range(draws):
                longer_G1 = np.round(generator.normal(10, 20, (prompts, 1)))  # tokens: longer by half a deviation
                chance_G1 = expit(logit(quality) + of_length(longer_G1 / 20))
                won_G1 = (generator.random((prompts, 1)) < chance_G1).astype(np.float64)
                one = length_controlled(won_G1.tolist(), longer_G1.tolist())
                raw, found = raw + won_G1.mean(), found + one.mean
                covered, width = covered + (one.low <= quality <= one.high), width + one.high - one.low
            cells = f"{raw / draws:.3f} | {found / draws:.3f} | {covered / draws:.1%} | {width / draws:.3f}"
            print(f"| {name} | {quality} | {prompts} | {cells} |", flush=True)


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    for table in (rates, several, length):
        table(times)
