"""How strong each of several models is when all of them are compared with each other, and not only with the first.

    P(i is preferred to j) = σ(strength_i - strength_j),  Σ strength = 0              Bradley and Terry 1952

A tie is half a win, a prompt counts once, and the interval draws prompts with replacement: all models answered the same
ones, so a draw takes or leaves a prompt for every pair at once. A difference of 0.69 means two wins for each loss.

Axes: M models, G prompts, K answers of one prompt (ragged), R resamples.
"""

from collections.abc import Mapping

import numpy as np

from burnish.evaluation.intervals import wins
from burnish.evaluation.verdict import Table
from burnish.feedback.agreement.bootstrap import Bootstrap, Estimate
from burnish.feedback.agreement.systems import bradley_terry


def strengths(score_GK_of: Mapping[str, Table], bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Each model's strength with its interval, from one judge's scores of all models' answers to the same prompts.

    Answer k of one is compared with answer k of another. Each model is given half a win and half a loss against one of
    average strength, so that one that always wins has a strength too. Raises ConfigError where the models do not have
    the same prompts with the same numbers of answers.
    """
    names = list(score_GK_of)
    asked = [g for g, score_K in enumerate(score_GK_of[names[0]]) if len(score_K)]
    won_MMG = np.array(
        [
            [[np.mean(won_GK[g]) for g in asked] for won_GK in (wins(score_GK_of[i], score_GK_of[j]) for j in names)]
            for i in names
        ]
    )
    won_MMG[range(len(names)), range(len(names))] = 0.0  # nobody is compared with themselves
    drawn_RM = np.array(
        [
            bradley_terry(won_MM)
            for block_RG in bootstrap.counts(len(asked))
            for won_MM in np.einsum("ijg,rg->rij", won_MMG, block_RG)
        ]
    )
    strength_M = bradley_terry(won_MMG.sum(axis=2))
    return {
        name: Estimate(float(strength_M[i]), *bootstrap.interval(drawn_RM[:, i]), len(asked))
        for i, name in enumerate(names)
    }
