"""Strengths of the systems that wrote the answers, from who was preferred to whom.

    P(i ≻ j) = π_i / (π_i + π_j)                                                       Bradley and Terry 1952
    P(i ≻ j) = π_i / (π_i + π_j + ν √(π_i π_j)),  P(i = j) = ν √(π_i π_j) / (same)      Davidson 1970

Strengths are ln π, their mean 0: a difference of d means odds of e^d among decided comparisons. Under Bradley–Terry a
tie is half a win for both.

Both have no finite maximum where a system wins or loses everything, so each system is given `pseudo` wins and as many
losses against one of average strength (Turner et al. 2020 take ½); 0 is the plain maximum-likelihood estimate.

Axes: S systems, G prompts, R resamples.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import choix
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit, log_softmax

from burnish.errors import ConfigError
from burnish.feedback.agreement.bootstrap import Bootstrap, Estimate, Floats, Ints
from burnish.feedback.agreement.verdicts import SECOND, TIE, Readings, verdict

PSEUDO = 0.5
MOST_SYSTEMS = 50


def bradley_terry(win_SS: Floats, pseudo: float = PSEUDO) -> Floats:
    """Strengths, (S,), mean 0. `win_SS[i, j]`: how often i was preferred to j; halves are welcome.

    Raises ConfigError where `pseudo` is 0 and the estimate is not finite: some systems never lost to the others.
    """
    _finite(win_SS, pseudo)
    systems = len(win_SS)
    table = np.zeros((systems + 1, systems + 1))
    table[:systems, :systems] = win_SS
    table[:systems, systems] = table[systems, :systems] = pseudo
    rated = table if pseudo else table[:systems, :systems]
    strength_S: Floats = choix.ilsr_pairwise_dense(rated, max_iter=1000, tol=1e-9)[:systems]
    return _centred(strength_S)


def davidson(
    win_SS: Floats, tie_SS: Floats, pseudo: float = PSEUDO, start: Floats | None = None
) -> tuple[Floats, float]:
    """(strengths with mean 0, ν). `tie_SS[i, j]` = `tie_SS[j, i]`: how often i and j were put level.

    Without any tie ν is 0 and the strengths are Bradley's and Terry's. `start`: strengths to begin from. Raises
    ConfigError as `bradley_terry` does.
    """
    if not tie_SS.any():
        return bradley_terry(win_SS, pseudo), 0.0
    _finite(win_SS + tie_SS, pseudo)
    systems = len(win_SS)
    upper = np.triu_indices(systems, 1)
    counts_P3 = np.stack([win_SS[upper], tie_SS[upper], win_SS.T[upper]], axis=1)
    met_P1 = counts_P3.sum(axis=1, keepdims=True)
    design_P3F = _design(systems)  # the three outcomes are a multinomial logit in (strengths, ln ν)
    level = np.zeros(systems + 1)
    level[:systems] = 1.0  # the sum of strengths, which no outcome depends on: held near 0 so that the optimum is one

    def loss(parameters: Floats) -> tuple[float, Floats]:
        log_chance_P3 = log_softmax(design_P3F @ parameters, axis=1)
        gradient = np.einsum("po,pof->f", met_P1 * np.exp(log_chance_P3) - counts_P3, design_P3F)
        gradient[:systems] += pseudo * np.tanh(parameters[:systems] / 2)
        sides = log_expit(parameters[:systems]) + log_expit(-parameters[:systems])
        offset = float(level @ parameters)
        value = -(counts_P3 * log_chance_P3).sum() - pseudo * sides.sum() + offset**2 / 2
        return float(value), gradient + offset * level

    def hessian(parameters: Floats) -> Floats:
        chance_P3 = np.exp(log_softmax(design_P3F @ parameters, axis=1))
        mean_PF = np.einsum("po,pof->pf", chance_P3, design_P3F)
        curved: Floats = np.einsum("po,pof,pog->fg", met_P1 * chance_P3, design_P3F, design_P3F)
        curved -= np.einsum("p,pf,pg->fg", met_P1[:, 0], mean_PF, mean_PF)
        chance_S = expit(parameters[:systems])
        curved[range(systems), range(systems)] += 2 * pseudo * chance_S * (1 - chance_S)
        return curved + np.outer(level, level)

    begin = np.append(np.zeros(systems) if start is None else start, 0.0)
    found = minimize(loss, begin, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-6})
    return _centred(np.asarray(found.x[:systems], dtype=np.float64)), math.exp(found.x[systems])


@lru_cache(maxsize=8)
def _design(systems: int) -> Floats:
    """What each outcome of each pair (first, tie, second) adds up, (pairs, 3, systems + 1)."""
    first_P, second_P = np.triu_indices(systems, 1)
    pair_P = np.arange(len(first_P))
    design_P3F = np.zeros((len(first_P), 3, systems + 1))
    design_P3F[pair_P, 0, first_P] = design_P3F[pair_P, 2, second_P] = 1.0
    design_P3F[pair_P, 1, first_P] = design_P3F[pair_P, 1, second_P] = 0.5
    design_P3F[:, 1, systems] = 1.0
    return design_P3F


def _centred(strength_S: Floats) -> Floats:
    centred_S: Floats = strength_S - strength_S.mean()
    return centred_S


def _finite(beats_SS: Floats, pseudo: float) -> None:
    if pseudo == 0 and connected_components(beats_SS > 0, connection="strong")[0] > 1:
        raise ConfigError(
            "strengths have no finite estimate: the systems fall into groups of which one never lost to the other; "
            "rank more, or give pseudo > 0"
        )


# ---- from rankings


@dataclass(frozen=True, slots=True)
class Strength:
    """One system. Counts are of pairs of answers to one prompt by two different systems, over all annotators."""

    bradley_terry: Estimate
    davidson: Estimate
    won: int
    tied: int
    lost: int


@dataclass(frozen=True, slots=True)
class Systems:
    """All systems, the strongest first by Davidson's model. `nu`: its tie parameter, 0 where nothing was tied."""

    strengths: Mapping[str, Strength]
    nu: float
    pairs: int


def strengths(by_item: Readings, bootstrap: Bootstrap, pseudo: float = PSEUDO) -> Systems | None:
    """Strengths with intervals that draw whole prompts; None where fewer than two systems were compared.

    Every pair that a ranking orders counts once. Answers of unknown source are left out, and beyond `MOST_SYSTEMS`
    those of the systems that were compared least: their strengths would rest on next to nothing.
    """
    met = _met(by_item)
    if met is None:
        return None
    systems, prompts = len(met.names), int(met.prompt_P.max()) + 1

    def counted(count_G: Ints) -> tuple[Floats, Floats]:
        weight_P = count_G[met.prompt_P].astype(np.float64)
        win_SS, tie_SS = np.zeros((systems, systems)), np.zeros((systems, systems))
        np.add.at(win_SS, (met.better_P[~met.tied_P], met.worse_P[~met.tied_P]), weight_P[~met.tied_P])
        np.add.at(tie_SS, (met.better_P[met.tied_P], met.worse_P[met.tied_P]), weight_P[met.tied_P])
        return win_SS, tie_SS + tie_SS.T

    def fit(count_G: Ints) -> tuple[Floats, Floats, float]:
        win_SS, tie_SS = counted(count_G)
        plain_S = bradley_terry(win_SS + tie_SS / 2, pseudo)
        return (plain_S, *davidson(win_SS, tie_SS, pseudo, start=plain_S))

    everything_G = np.ones(prompts, dtype=np.int64)
    plain_S, with_ties_S, nu = fit(everything_G)
    drawn_2RS = np.array([fit(count_G)[:2] for block_RG in bootstrap.counts(prompts) for count_G in block_RG])
    win_SS, tie_SS = counted(everything_G)
    made = {
        met.names[s]: Strength(
            Estimate(float(plain_S[s]), *bootstrap.interval(drawn_2RS[:, 0, s]), prompts),
            Estimate(float(with_ties_S[s]), *bootstrap.interval(drawn_2RS[:, 1, s]), prompts),
            won=int(win_SS[s].sum()),
            tied=int(tie_SS[s].sum()),
            lost=int(win_SS[:, s].sum()),
        )
        for s in np.argsort(-with_ties_S, kind="stable")
    }
    return Systems(made, nu, len(met.tied_P))


@dataclass(frozen=True, slots=True)
class _Met:
    """Pairs of answers by different systems. For a tie, better and worse are only the two."""

    names: tuple[str, ...]
    prompt_P: Ints
    better_P: Ints
    worse_P: Ints
    tied_P: NDArray[np.bool_]


def _met(by_item: Readings) -> _Met | None:
    """Every pair by two known systems, prompts and systems numbered; None where there is none."""
    rows = []
    for one in (ranking for by_annotator in by_item.values() for ranking in by_annotator.values()):
        for i, j in combinations(range(len(one.place_K)), 2):
            first, second = one.source_K[i], one.source_K[j]
            if first is not None and second is not None and first != second:
                said = verdict(one.place_K, i, j)
                pair = (second, first) if said == SECOND else (first, second)
                rows.append((one.prompt, *pair, said == TIE))
    often = Counter(name for row in rows for name in row[1:3])
    names = tuple(sorted(name for name, _ in often.most_common(MOST_SYSTEMS)))
    number = {name: index for index, name in enumerate(names)}
    prompts: dict[str, int] = {}
    kept = [
        (prompts.setdefault(prompt, len(prompts)), number[better], number[worse], tied)
        for prompt, better, worse, tied in rows
        if better in number and worse in number
    ]
    if not kept:
        return None
    prompt_P, better_P, worse_P, tied_P = (np.array(column) for column in zip(*kept, strict=True))
    return _Met(names, prompt_P, better_P, worse_P, tied_P)
