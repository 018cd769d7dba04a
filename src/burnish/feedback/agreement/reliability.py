"""How reliable each annotator is, without knowing who is right.

    P(annotator a says l | truth c) = π_a[c, l],  P(truth c) = p[c]     Dawid and Skene 1979, fitted by EM

    E   q_u[c] ∝ p[c] Π over verdicts (a, l) of unit u of π_a[c, l]     eq. 2.5
    M   π_a[c, l] ∝ s + Σ_u q_u[c] n_u,a,l,   p[c] ∝ s + Σ_u q_u[c]     eqs. 2.3, 2.4 with s = 0

Axes: V verdicts, U units, A annotators, C classes (first, tie, second for pairs of answers).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from burnish.errors import ConfigError
from burnish.feedback.agreement.bootstrap import Floats, Ints
from burnish.feedback.agreement.verdicts import FIRST, SECOND, Verdicts


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """`truth_UC`: probability of each class for each unit; `prior_C`; `confusion_ACC[a, c, l]` = P(a says l | truth c).

    `log_likelihood` is of the verdicts, without the smoothing's part.
    """

    truth_UC: Floats
    prior_C: Floats
    confusion_ACC: Floats
    log_likelihood: float
    iterations: int


def dawid_skene(
    unit_V: Ints,
    annotator_V: Ints,
    value_V: Ints,
    *,
    classes: int,
    smoothing: float = 0.0,
    tolerance: float = 1e-6,
    most: int = 2000,
) -> DawidSkene:
    """Fit by EM from shares of votes (their eq. 3.1) until no probability of a unit moves by more than `tolerance`.

    `smoothing`: s above, verdicts added to every cell: the mode under a Dirichlet prior, so that three verdicts do not
    make an annotator infallible. 0 is the paper's maximum-likelihood estimate, which EM may find only locally.

    Raises ConfigError where there are no verdicts, or a value is not a class.
    """
    if not len(value_V) or value_V.min() < 0 or value_V.max() >= classes:
        raise ConfigError(f"Dawid–Skene needs verdicts from 0 to {classes - 1}; found {len(value_V)} verdicts")
    units, annotators = int(unit_V.max()) + 1, int(annotator_V.max()) + 1
    said_SU = csr_array(  # how often annotator a said l of a unit; S = annotator · classes + l
        (np.ones(len(value_V)), (annotator_V * classes + value_V, unit_V)), shape=(annotators * classes, units)
    )
    votes_UC = np.zeros((units, classes))
    np.add.at(votes_UC, (unit_V, value_V), 1.0)
    truth_UC: Floats = votes_UC / np.maximum(votes_UC.sum(axis=1, keepdims=True), 1)
    for iterations in range(1, most + 1):  # noqa: B007  (told in the result)
        said_SC: Floats = np.asarray(said_SU @ truth_UC)
        confusion_ACC = said_SC.reshape(annotators, classes, classes).transpose(0, 2, 1) + smoothing
        given_AC1 = confusion_ACC.sum(axis=2, keepdims=True)
        confusion_ACC = np.divide(confusion_ACC, given_AC1, out=np.zeros_like(confusion_ACC), where=given_AC1 > 0)
        prior_C = truth_UC.sum(axis=0) + smoothing
        prior_C /= prior_C.sum()
        with np.errstate(divide="ignore"):  # ln 0 is -inf, and right: that class is impossible
            log_SC = np.log(confusion_ACC).transpose(0, 2, 1).reshape(annotators * classes, classes)
            joint_UC = np.log(prior_C) + said_SU.T @ log_SC
        total_U = np.logaddexp.reduce(joint_UC, axis=1)
        before_UC, truth_UC = truth_UC, np.exp(joint_UC - total_U[:, None])
        if np.abs(truth_UC - before_UC).max() < tolerance:
            break
    return DawidSkene(truth_UC, prior_C, confusion_ACC, float(total_U.sum()), iterations)


@dataclass(frozen=True, slots=True)
class Reliability:
    """`accuracy`: P(verdict is the truth). `discernment`: P(right | truth and verdict both decided): ½ is guessing.

    `weight`: what `annotator_weight` multiplies this annotator's rankings with in the reward model's loss, in
    proportion to max(0, 2 · discernment - 1), with a mean of 1 over verdicts. An annotator who is right with
    probability η pulls the expected gradient by 2η - 1 towards the truth (Chen et al. 2013, Crowd-BT's mixture), so
    whoever guesses teaches nothing.
    """

    verdicts: int
    accuracy: float
    discernment: float
    weight: float


def reliability(table: Verdicts, smoothing: float = 1.0) -> Mapping[str, Reliability]:
    """annotator → reliability, from the pairs that at least two annotators ranked; empty where there are none.

    Each pair enters in both directions: which answer an item lists first has nothing to do with an annotator's errors,
    so P(first | second) and P(second | first) are one number. With two annotators nothing tells whose errors they are.
    """
    counts_U = np.bincount(table.unit_V, minlength=len(table.item_U))
    shared_V = counts_U[table.unit_V] > 1
    if not shared_V.any():
        return {}
    units, unit_V = np.unique(table.unit_V[shared_V], return_inverse=True)
    annotator_V, value_V = table.annotator_V[shared_V], table.value_V[shared_V]
    fit = dawid_skene(
        np.concatenate([unit_V, unit_V + len(units)]),
        np.concatenate([annotator_V, annotator_V]),
        np.concatenate([value_V, SECOND - value_V]),
        classes=3,
        smoothing=smoothing,
    )
    given_A = np.bincount(annotator_V, minlength=len(table.annotators))
    right_A = fit.confusion_ACC[:, FIRST, FIRST]
    wrong_A = fit.confusion_ACC[:, FIRST, SECOND]
    discernment_A = right_A / (right_A + wrong_A)
    pull_A = np.maximum(0, 2 * discernment_A - 1)
    mean = float((pull_A * given_A[: len(pull_A)]).sum() / given_A.sum())
    return {
        name: Reliability(
            verdicts=int(given_A[a]),
            accuracy=float(fit.prior_C @ np.diag(fit.confusion_ACC[a])),
            discernment=float(discernment_A[a]),
            weight=float(pull_A[a] / mean) if mean > 0 else math.nan,
        )
        for a, name in enumerate(table.annotators)
        if a < len(pull_A) and given_A[a]
    }
