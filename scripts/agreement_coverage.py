"""How often the bootstrap intervals of α and of the ceiling hold the truth: `python scripts/agreement_coverage.py`.

Three annotators, each right about the better of two answers with probability 0.8, over few and many items. They
foretell each other with 0.8² + 0.2² = 0.68, and α is 1 - 0.32 / 0.5 = 0.36.
"""

import numpy as np

from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.ceiling import people_ceiling
from burnish.feedback.agreement.coefficients import alpha_of_pairs
from burnish.feedback.agreement.verdicts import Verdicts, verdicts_of

RIGHT, ANNOTATORS, DRAWS = 0.8, 3, 1000


def drawn(chance: np.random.Generator, items: int) -> Verdicts:
    """One study: every annotator's verdict on every item."""
    by_item = {}
    for item in map(str, range(items)):
        better = (0, 1) if chance.random() < 0.5 else (1, 0)
        said = {str(who): better if chance.random() < RIGHT else better[::-1] for who in range(ANNOTATORS)}
        by_item[item] = (item, 1.0, said)
    return verdicts_of(by_item)


def coverage(items: int, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Shares of studies whose interval holds the true α and the true ceiling."""
    chance, bootstrap = np.random.default_rng(seed), Bootstrap(resamples=400)
    held = np.zeros(2)
    for _ in range(draws):
        table = drawn(chance, items)
        found = (alpha_of_pairs(table, bootstrap), people_ceiling(table, bootstrap))
        held += [one.low <= truth <= one.high for one, truth in zip(found, (0.36, 0.68), strict=True)]
    return float(held[0] / draws), float(held[1] / draws)


if __name__ == "__main__":
    print("| items | α | ceiling |\n|---:|---:|---:|")
    for items in (5, 10, 20, 50, 200):
        alpha, ceiling = coverage(items)
        print(f"| {items} | {100 * alpha:.1f}% | {100 * ceiling:.1f}% |")
