"""How well formed a sentence is: does each word stand where such a word is to be expected?

    order    = Σ_t min(1, log p(c_t | c_t-2, c_t-1) - log p(c_t)) / T     SLOR, Pauls and Klein 2012; Lau et al. 2017
    disorder = max(0, usual - order)²,  usual: one deviation above the mean of sentences that people wrote

c_t is the word's class: the word itself where it is frequent, its last two letters where it is not. So the model knows
the grammar's small words and endings, and a few thousand sentences are enough to learn it; taking log p(c_t) away
leaves rare and frequent words on a par. p interpolates trigrams, bigrams and single classes by Witten and Bell 1991.
A word gains at most 1 nat, or one worn phrase would pay for a jump to the next; above `usual` more order earns nothing.
The end of the text is no class: a mark foretells it so surely that it would favour short sentences.

Log-odds of "written by a person" come from a logistic regression on `disorder` and what else betrays a machine (runs of
words that return, words that return, no end mark). It learns from people's sentences against the same ones spoilt.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burnish.errors import DataError
from burnish.rewards.words import repetition, words

FREQUENT = 20  # occurrences from which on a word is a class of its own
MOST = 1.0  # nats that a word can gain
START, NUMBER, OTHER = "^", "#", "-"
END_MARKS = frozenset({".", "!", "?", '"', ")", "。", "！", "？", "”", "」", "…"})

Context = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """Counts of classes after 0, 1 and 2 classes. `frequent`: the words that are classes of their own."""

    frequent: frozenset[str]
    counts: Mapping[Context, Mapping[str, int]]

    def classes(self, text: str) -> list[str]:
        """The classes of a text's words."""
        known = self.counts[()]
        return [c if (c := kind(word, self.frequent)) in known else OTHER for word in words(text)]

    def order(self, text: str) -> float:
        """SLOR in nats a word: above 0 where words follow each other as they do in the sentences it was fitted on."""
        row = self.classes(text)
        history = [START, START]
        total = 0.0
        for c in row:
            single, context = self._probabilities(history, c)
            total += min(MOST, math.log(context) - math.log(single))
            history = [history[1], c]
        return total / len(row) if row else 0.0

    def _probabilities(self, history: Sequence[str], c: str) -> tuple[float, float]:
        """p(c) and p(c | history)."""
        probability = 1 / (len(self.counts[()]) + 1)
        single = probability
        for length in range(3):
            seen = self.counts.get(tuple(history[2 - length :]))
            if seen is None:
                break
            total, kinds = sum(seen.values()), len(seen)
            probability = (seen.get(c, 0) + kinds * probability) / (total + kinds)
            single = probability if length == 0 else single
        return single, probability


def kind(word: str, frequent: frozenset[str]) -> str:
    """The class of a word."""
    if word in frequent:
        return word
    return NUMBER if word[0].isdigit() else OTHER + word[-2:]


def fit_grammar(texts: Sequence[str]) -> Grammar:
    """Count classes in `texts`; a class seen once is any other word's."""
    occurrences = Counter(word for text in texts for word in words(text))
    frequent = frozenset(word for word, count in occurrences.items() if count >= FREQUENT)
    seen: Counter[str] = Counter()
    for word, count in occurrences.items():
        seen[kind(word, frequent)] += count
    counts: dict[Context, Counter[str]] = {}
    for text in texts:
        row = [START, START, *(c if seen[c := kind(word, frequent)] > 1 else OTHER for word in words(text))]
        for t in range(2, len(row)):
            for length in range(3):
                counts.setdefault(tuple(row[t - length : t]), Counter())[row[t]] += 1
    return Grammar(frequent, counts)


@dataclass(frozen=True, slots=True)
class WellFormed:
    """`weight` of the four signs, in the order of `signs`."""

    grammar: Grammar
    usual: float
    bias: float
    weight: tuple[float, ...]

    def log_odds(self, text: str) -> float:
        """Log-odds of "written by a person" against "spoilt", where both are as frequent."""
        found = signs(text, self.grammar.order(text), self.usual)
        return self.bias + math.fsum(w * x for w, x in zip(self.weight, found, strict=True))


def signs(text: str, order: float, usual: float) -> tuple[float, float, float, float]:
    """Disorder; share of runs of three words that stood before; the same of longer words; a missing end mark."""
    row = words(text)
    longer = [word for word in row if len(word) > 3]
    returns = 1 - len(set(longer)) / len(longer) if longer else 0.0
    endless = not row or row[-1] not in END_MARKS
    return max(0.0, usual - order) ** 2, repetition(row), returns, float(endless)


def fit_well_formed(texts: Sequence[str], *, seed: int = 0) -> WellFormed:
    """Learn from people's sentences against spoilt ones.

    Each half of the texts is judged by a grammar of the other half, since a grammar finds its own sentences too good.
    """
    from sklearn.linear_model import LogisticRegression

    generator = random.Random(seed)  # noqa: S311 (no secret hangs on it)
    everything = [word for text in texts for word in words(text)]
    rows: list[tuple[str, float, bool]] = []
    for half in (0, 1):
        grammar = fit_grammar(texts[1 - half :: 2])
        for number, text in enumerate(texts[half::2]):
            spoil = SPOILERS[number % len(SPOILERS)]
            spoilt = " ".join(spoil(words(text), everything, generator))
            rows += [(text, grammar.order(text), True), (spoilt, grammar.order(spoilt), False)]
    person = np.array([whole for _, _, whole in rows])
    order = np.array([value for _, value, _ in rows])
    usual = round(float(order[person].mean() + order[person].std()), 4)
    found = np.array([signs(text, value, usual) for text, value, _ in rows])
    model = LogisticRegression(C=1.0, max_iter=1000).fit(found, person)
    weight = tuple(round(w, 4) for w in model.coef_[0].tolist())
    return WellFormed(fit_grammar(texts), usual, round(float(model.intercept_[0]), 4), weight)


Spoiler = Callable[[list[str], list[str], random.Random], list[str]]


def _shuffled(row: list[str], _: list[str], generator: random.Random) -> list[str]:
    return generator.sample(row, len(row))


def _shuffled_here(row: list[str], _: list[str], generator: random.Random) -> list[str]:
    for _unused in range(1 + len(row) // 10):
        start = generator.randrange(max(len(row) - 3, 1))
        part = row[start : start + 4]
        row[start : start + 4] = generator.sample(part, len(part))
    return row


def _replaced(row: list[str], everything: list[str], generator: random.Random) -> list[str]:
    for _ in range(1 + len(row) // 6):
        row[generator.randrange(len(row))] = generator.choice(everything)
    return row


def _left_out(row: list[str], _: list[str], generator: random.Random) -> list[str]:
    gone = set(generator.sample(range(len(row)), 1 + len(row) // 6))
    return [word for index, word in enumerate(row) if index not in gone]


def _said_again(row: list[str], _: list[str], generator: random.Random) -> list[str]:
    start = generator.randrange(max(len(row) - 3, 1))
    part = row[start : start + generator.randint(1, 6)]
    return row[:start] + part * generator.randint(2, 4) + row[start + len(part) :]


def _cut_off(row: list[str], _: list[str], generator: random.Random) -> list[str]:
    return row[: max(1, int(len(row) * generator.uniform(0.3, 0.95)))]


def _listed(row: list[str], everything: list[str], generator: random.Random) -> list[str]:
    long = [word for word in generator.choices(everything, k=4 * len(row)) if len(word) > 4]
    return [*long[: max(len(row) - 1, 1)], "."]


def _paired(row: list[str], everything: list[str], generator: random.Random) -> list[str]:
    made: list[str] = []
    while len(made) < len(row) - 1:
        start = generator.randrange(len(everything))
        made += everything[start : start + generator.choice((2, 2, 3))]
    return [*made[: max(len(row) - 1, 1)], "."]


SPOILERS: tuple[Spoiler, ...] = (
    _shuffled,
    _shuffled_here,
    _replaced,
    _left_out,
    _said_again,
    _cut_off,
    _listed,
    _paired,
)


def to_json(well_formed: WellFormed) -> dict[str, Any]:
    """Plain lists and numbers; contexts are written as their classes with a space between."""
    counts = {" ".join(context): dict(seen) for context, seen in well_formed.grammar.counts.items()}
    return {
        "usual": well_formed.usual,
        "bias": well_formed.bias,
        "weight": list(well_formed.weight),
        "frequent": sorted(well_formed.grammar.frequent),
        "counts": counts,
    }


def from_json(value: Mapping[str, Any]) -> WellFormed:
    """Raises DataError where something is missing or of the wrong kind."""
    try:
        counts = {
            tuple(context.split(" ")) if context else (): {str(c): int(n) for c, n in seen.items()}
            for context, seen in value["counts"].items()
        }
        weight = tuple(float(w) for w in value["weight"])
        usual, bias = float(value["usual"]), float(value["bias"])
        if len(weight) != 4 or not all(map(math.isfinite, (usual, bias, *weight))) or () not in counts:
            raise DataError("this is not a judge's file: it needs four finite weights and counts of single classes")
        return WellFormed(Grammar(frozenset(value["frequent"]), counts), usual, bias, weight)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"this is not a judge's file: {type(error).__name__} {error}") from None
