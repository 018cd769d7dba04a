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
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import choix
import numpy as np
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit

from burnish.errors import ConfigError
from burnish.feedback.bootstrap import Bootstrap, Estimate, Floats, Ints
from burnish.feedback.records import Ranking
from burnish.feedback.verdicts import FIRST, TIE, Readings, verdict

PSEUDO = 0.5


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


def davidson(win_SS: Floats, tie_SS: Floats, pseudo: float = PSEUDO) -> tuple[Floats, float]:
    """(strengths with mean 0, ν). `tie_SS[i, j]` = `tie_SS[j, i]`: how often i and j were put level.

    Without any tie ν is 0 and the strengths are Bradley's and Terry's. Raises ConfigError as `bradley_terry` does.
    """
    ties = np.triu(tie_SS, 1)
    if not ties.any():
        return bradley_terry(win_SS, pseudo), 0.0
    _finite(win_SS + tie_SS, pseudo)
    systems = len(win_SS)
    upper = np.triu_indices(systems, 1)
    first_P, second_P = upper
    counts_P3 = np.stack([win_SS[upper], ties[upper], win_SS.T[upper]], axis=1)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        strength_S, log_nu = parameters[:-1], parameters[-1]
        i_P, j_P = strength_S[first_P], strength_S[second_P]
        logit_P3 = np.stack([i_P, log_nu + (i_P + j_P) / 2, j_P], axis=1)
        total_P = np.logaddexp.reduce(logit_P3, axis=1)
        missed_P3 = counts_P3 - counts_P3.sum(axis=1, keepdims=True) * np.exp(logit_P3 - total_P[:, None])
        gradient = np.zeros(systems + 1)
        np.add.at(gradient, first_P, missed_P3[:, 0] + missed_P3[:, 1] / 2)
        np.add.at(gradient, second_P, missed_P3[:, 2] + missed_P3[:, 1] / 2)
        gradient[-1] = missed_P3[:, 1].sum()
        gradient[:-1] += pseudo * (expit(-strength_S) - expit(strength_S))
        prior = pseudo * (log_expit(strength_S) + log_expit(-strength_S)).sum()
        return -float((counts_P3 * (logit_P3 - total_P[:, None])).sum() + prior), -gradient

    found = minimize(loss, np.zeros(systems + 1), jac=True, method="L-BFGS-B", options={"gtol": 1e-7, "ftol": 1e-15})
    strength_S = np.asarray(found.x[:-1], dtype=np.float64)
    return _centred(strength_S), math.exp(found.x[-1])


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

    Every pair that a ranking orders counts once. Answers of unknown source are left out.
    """
    names = sorted({name for one in _all(by_item) for name in one.source_K if name is not None})
    win_GSS, tie_GSS = _tables(by_item, names)
    if not (win_GSS.any() or tie_GSS.any()):
        return None
    met_S = (win_GSS + win_GSS.transpose(0, 2, 1) + tie_GSS).sum(axis=(0, 2)) > 0
    names = [name for name, met in zip(names, met_S, strict=True) if met]
    win_GSS, tie_GSS = win_GSS[:, met_S][:, :, met_S], tie_GSS[:, met_S][:, :, met_S]

    def fit(count_G: Ints) -> tuple[Floats, Floats, float]:
        win_SS, tie_SS = np.tensordot(count_G, win_GSS, 1), np.tensordot(count_G, tie_GSS, 1)
        return (bradley_terry(win_SS + tie_SS / 2, pseudo), *davidson(win_SS, tie_SS, pseudo))

    prompts = len(win_GSS)
    plain_S, with_ties_S, nu = fit(np.ones(prompts, dtype=np.int64))
    drawn = [fit(count_G)[:2] for block_RG in bootstrap.counts(prompts) for count_G in block_RG]
    drawn_2RS = np.array(drawn).transpose(1, 0, 2)
    win_SS, tie_SS = win_GSS.sum(axis=0), tie_GSS.sum(axis=0)
    order = np.argsort(-with_ties_S, kind="stable")
    made = {
        names[s]: Strength(
            Estimate(float(plain_S[s]), *bootstrap.interval(drawn_2RS[0, :, s]), prompts),
            Estimate(float(with_ties_S[s]), *bootstrap.interval(drawn_2RS[1, :, s]), prompts),
            won=int(win_SS[s].sum()),
            tied=int(tie_SS[s].sum()),
            lost=int(win_SS[:, s].sum()),
        )
        for s in order
    }
    return Systems(made, nu, int(win_SS.sum() + tie_SS.sum() / 2))


def _all(by_item: Readings) -> list[Ranking]:
    return [one for by_annotator in by_item.values() for one in by_annotator.values()]


def _tables(by_item: Readings, names: list[str]) -> tuple[Floats, Floats]:
    """Wins and ties of each prompt, (G, S, S); ties stand on both sides of the diagonal."""
    number = {name: index for index, name in enumerate(names)}
    ranked = _all(by_item)
    prompts = {prompt: index for index, prompt in enumerate(dict.fromkeys(one.prompt for one in ranked))}
    win_GSS = np.zeros((len(prompts), len(names), len(names)))
    tie_GSS = np.zeros_like(win_GSS)
    for one in ranked:
        for i, j in combinations(range(len(one.place_K)), 2):
            first, second = one.source_K[i], one.source_K[j]
            if first is None or second is None or first == second:
                continue
            at, (a, b) = prompts[one.prompt], (number[first], number[second])
            said = verdict(one.place_K, i, j)
            if said == TIE:
                tie_GSS[at, a, b] += 1
                tie_GSS[at, b, a] += 1
            elif said == FIRST:
                win_GSS[at, a, b] += 1
            else:
                win_GSS[at, b, a] += 1
    return win_GSS, tie_GSS
