"""Judges of Chinese verse that ship with burnish: could a poet have gone on like this?

    score = bias + Σ_i w_i x_i,  x: shape, returns, rhyme, tones, order[, company]

the log-odds of "a poet's couplet" against one that was spoilt, by logistic regression. Every x is 0 where nothing is
left to wish for and grows with what is wrong, so nothing can be bought: a rhyme does not make up for nonsense, and
better than good earns nothing.

    shape     log(1 + edits that give it the opening's measure and marks)
    returns   share of characters that stood before
    rhyme     0 where it rhymes with the opening, else 1
    tones     share of tones that should differ and do not
    order     max(0, usual - order)²      does each character stand where it is to be expected? rewards/well_formed.py
    company   max(0, usual - company)²    do its characters keep company in poets' verse? of judge B alone

    company = mean over pairs (c, d) of log((n_cd + 2) / (e_cd + 2)),  c in a later clause than d, c in the couplet

n_cd counts how often two characters stand in clauses of one poem at most three apart, e_cd how often they would if
characters knew nothing of each other (pointwise mutual information, Church and Hanks 1990, drawn towards 0 by two
occurrences). `usual` is one deviation above the mean of poets' couplets for the order, and their mean for the company.

The first four are rules, in rewards/prosody.py. Judge A and judge B learned the rest, and the weights, from different
poems; B knows of company, which A does not, and sees an opening and a couplet as parts of one poem.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from burnish.errors import ConfigError, DataError
from burnish.rewards import prosody
from burnish.rewards.well_formed import Grammar, fit_grammar
from burnish.types import Prompt

Poem = Sequence[str]
"""The couplets of a poem, in order."""

APART = 3  # clauses: what a couplet and its opening span
RARE = 3  # occurrences below which a character's company is unknown
DRAWN = 2.0
LEAST = 50  # quatrains of each half
KIND = "verse"
SIGNS = ("shape", "returns", "rhyme", "tones", "order", "company")


class Company:
    """How much oftener than by chance two characters stand near each other in `poems`. C: characters it knows."""

    def __init__(self, poems: Sequence[Poem]) -> None:
        clauses_of = [prosody.clauses("".join(poem)) for poem in poems]
        seen = Counter(character for row in clauses_of for clause in row for character in clause)
        self.place = {c: i for i, c in enumerate(sorted(c for c, count in seen.items() if count >= RARE))}
        self.log_ratio_CC = self._log_ratio(clauses_of)

    def _log_ratio(self, clauses_of: Sequence[Sequence[str]]) -> np.ndarray[Any, Any]:
        from scipy.sparse import csr_matrix

        places, ends = [], [0]
        near: list[tuple[int, int]] = []
        for row in clauses_of:
            first = len(ends) - 1
            near += [(first + i, first + j) for i, j in combinations(range(len(row)), 2) if j - i <= APART]
            for clause in row:
                places += sorted({self.place[c] for c in clause if c in self.place})
                ends.append(len(places))
        clauses = len(ends) - 1
        stands_LC = csr_matrix((np.ones(len(places), np.float32), places, ends), shape=(clauses, len(self.place)))
        earlier_L, later_L = np.array(near, dtype=int).reshape(-1, 2).T
        near_LL = csr_matrix((np.ones(len(near), np.float32), (earlier_L, later_L)), shape=(clauses, clauses))
        n_CC = (stands_LC.T @ near_LL @ stands_LC).toarray()
        n_CC = n_CC + n_CC.T
        total_C = n_CC.sum(axis=1)
        expected_CC = np.outer(total_C, total_C) / max(float(total_C.sum()), 1.0)
        log_ratio_CC = np.log((n_CC + DRAWN) / (expected_CC + DRAWN))
        np.fill_diagonal(log_ratio_CC, 0.0)  # a character that returns is told by `returns`
        return log_ratio_CC

    def mean(self, opening: str, couplet: str) -> float:
        """Mean log-ratio of a couplet's characters with those of the clauses before them; 0 where none is known.

        Of what is longer, the last two clauses count.
        """
        rows = [prosody.clauses(text)[-2:] for text in (opening, couplet)]
        places = [[self.place[c] for c in clause if c in self.place] for row in rows for clause in row]
        pairs = [(i, j) for i, j in combinations(range(len(places)), 2) if j >= len(rows[0])]
        values = [self.log_ratio_CC[np.ix_(places[i], places[j])].ravel() for i, j in pairs]
        together = np.concatenate(values) if values else np.zeros(0)
        return float(together.mean()) if together.size else 0.0


@dataclass(frozen=True)
class Verse:
    """Call it with openings and couplets for their scores. `weight` of SIGNS in their order; no company weighs 0.

    `poems` are what it learned from. Its counts are taken from them anew, so a person can read its file.
    """

    poems: tuple[tuple[str, ...], ...]
    usual: tuple[float, float]
    bias: float
    weight: tuple[float, ...]

    @cached_property
    def grammar(self) -> Grammar:
        return fit_grammar([couplet for poem in self.poems for couplet in poem])

    @cached_property
    def company(self) -> Company | None:
        return Company(self.poems) if self.weight[-1] else None

    def signs(self, opening: str, couplet: str) -> tuple[float, ...]:
        """What is wrong with a couplet, in the order of SIGNS."""
        return _signs(_found(opening, couplet, self.grammar, self.company), self.usual)

    def score(self, opening: str, couplet: str) -> float:
        """Log-odds of "a poet's" against "spoilt", where both are as frequent."""
        return self.bias + math.fsum(w * x for w, x in zip(self.weight, self.signs(opening, couplet), strict=True))

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """A score an answer. In a conversation its last turn is the opening."""
        openings = [prompt if isinstance(prompt, str) else prompt[-1].content for prompt in prompts]
        return [self.score(opening, answer) for opening, answer in zip(openings, answers, strict=True)]


def _found(opening: str, couplet: str, grammar: Grammar, company: Company | None) -> tuple[float, ...]:
    return (
        math.log1p(prosody.shape(opening, couplet)),
        prosody.returns(opening, couplet),
        prosody.unrhymed(opening, couplet),
        prosody.discord(couplet),
        grammar.order(couplet),
        company.mean(opening, couplet) if company else 0.0,
    )


def _signs(found: Sequence[float], usual: tuple[float, float]) -> tuple[float, ...]:
    *rules, order, company = found
    return (*rules, max(0.0, usual[0] - order) ** 2, max(0.0, usual[1] - company) ** 2)


def followed(poem: Poem) -> list[tuple[str, str]]:
    """The couplets of a poem two by two, as opening and what follows: the first with the second, the third with the
    fourth. One that is left over stands in none."""
    return list(zip(poem[::2], poem[1::2], strict=False))


def fit_verse(poems: Sequence[Poem], *, company: bool, seed: int = 0) -> Verse:
    """Learn from poets' couplets against spoilt ones; the same poems in the same order give the same judge.

    Each half of the poems is judged by counts of the other half, since counts find their own poems too good. Raises
    ConfigError where a half has fewer than fifty couplets that follow another.
    """
    from sklearn.linear_model import LogisticRegression

    pairs_of = [[pair for poem in poems[half::2] for pair in followed(poem)] for half in (0, 1)]
    if (least := min(map(len, pairs_of))) < LEAST:
        raise ConfigError(f"a judge of verse learns from two halves of at least {LEAST} quatrains; found {least}")
    generator = random.Random(seed)  # noqa: S311 (no secret hangs on it)
    pool = [couplet for pairs in pairs_of for _, couplet in pairs]
    found: list[tuple[float, ...]] = []
    for half, pairs in enumerate(pairs_of):
        others = poems[1 - half :: 2]
        grammar = fit_grammar([couplet for poem in others for couplet in poem])
        known = Company(others) if company else None
        for number, (opening, couplet) in enumerate(pairs):
            spoilt = SPOILERS[number % len(SPOILERS)](opening, couplet, pool, generator)
            found += [_found(opening, text, grammar, known) for text in (couplet, spoilt)]
    poet = np.arange(len(found)) % 2 == 0
    order, keeps = np.array(found)[poet, 4], np.array(found)[poet, 5]
    usual = (round(float(order.mean() + order.std()), 4), round(float(keeps.mean()), 4))
    x = np.array([_signs(row, usual) for row in found])
    scale = np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)  # else the penalty of the weights would forget company
    model = LogisticRegression(C=1.0, max_iter=1000).fit(x / scale, poet)
    weight = tuple(round(w, 4) for w in (model.coef_[0] / scale).tolist())
    return Verse(tuple(map(tuple, poems)), usual, round(float(model.intercept_[0]), 4), weight)


Spoiler = Callable[[str, str, Sequence[str], random.Random], str]


def _of(clauses: Sequence[str]) -> str:
    return "，".join(clauses) + "。"


def _shuffled(_: str, couplet: str, _pool: Sequence[str], generator: random.Random) -> str:
    return _of(["".join(generator.sample(clause, len(clause))) for clause in prosody.clauses(couplet)])


def _elsewhere(opening: str, _: str, pool: Sequence[str], generator: random.Random) -> str:
    """Another poem's couplet of the same measure."""
    fitting = [couplet for couplet in generator.sample(pool, min(40, len(pool))) if not prosody.shape(opening, couplet)]
    return fitting[0] if fitting else generator.choice(pool)


def _replaced(_: str, couplet: str, pool: Sequence[str], generator: random.Random) -> str:
    row = list(couplet)
    for at in generator.sample([i for i, sign in enumerate(row) if sign not in "，。"], k=1 + len(row) // 6):
        row[at] = generator.choice(prosody.clauses(generator.choice(pool))[0])
    return "".join(row)


def _paired(opening: str, _: str, pool: Sequence[str], generator: random.Random) -> str:
    """Runs of two and three characters of other couplets, glued to the right measure."""

    def glued() -> str:
        row = ""
        while len(row) < prosody.measure(opening):
            clause = generator.choice(prosody.clauses(generator.choice(pool)))
            at = 2 * generator.randrange(len(clause) // 2)
            row += clause[at : at + generator.choice((2, 2, 3))]
        return row[: prosody.measure(opening)]

    return _of([glued(), glued()])


def _uneven(_: str, couplet: str, _pool: Sequence[str], generator: random.Random) -> str:
    row = prosody.clauses(couplet)
    which = generator.randrange(len(row))
    at = generator.randrange(len(row[which]))
    row[which] = row[which][:at] + row[which][at + 1 :] if generator.random() < 0.5 else row[which] + row[which][at]
    return _of(row)


def _cut_off(_: str, couplet: str, _pool: Sequence[str], generator: random.Random) -> str:
    return couplet[: generator.randrange(1, len(couplet))]


def _said_again(opening: str, couplet: str, _pool: Sequence[str], generator: random.Random) -> str:
    rows = prosody.clauses(opening), prosody.clauses(couplet)
    return generator.choice([opening, _of([rows[1][0]] * 2), _of([rows[0][0], rows[1][1]]), couplet * 2])


def _one_word(opening: str, couplet: str, _pool: Sequence[str], generator: random.Random) -> str:
    word = prosody.clauses(couplet)[0][: generator.choice((1, 2))] * prosody.measure(opening)
    return _of([word[: prosody.measure(opening)]] * 2)


SPOILERS: tuple[Spoiler, ...] = (
    _shuffled,
    _elsewhere,
    _replaced,
    _paired,
    _uneven,
    _cut_off,
    _said_again,
    _one_word,
)


def to_json(verse: Verse) -> dict[str, Any]:
    """A poem a line, and a few numbers; `from_json` makes the same judge of them."""
    return {
        "kind": KIND,
        "usual": list(verse.usual),
        "bias": verse.bias,
        "weight": dict(zip(SIGNS, verse.weight, strict=True)),
        "poems": ["".join(poem) for poem in verse.poems],
    }


def from_json(value: Any) -> Verse:
    """Raises DataError where something is missing or of the wrong kind."""
    try:
        order, company = (float(number) for number in value["usual"])
        weight = tuple(float(value["weight"][sign]) for sign in SIGNS)
        bias = float(value["bias"])
        poems = tuple(tuple(couplets(str(poem))) for poem in value["poems"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"this is no judge of verse: {type(error).__name__} {error}") from None
    if not all(map(math.isfinite, (order, company, bias, *weight))) or not any(poems):
        raise DataError("this is no judge of verse: it needs finite numbers, and poems")
    return Verse(poems, (order, company), bias, weight)


def couplets(poem: str) -> list[str]:
    """A poem cut after each 「。」."""
    return [f"{couplet}。" for couplet in poem.split("。") if couplet]
