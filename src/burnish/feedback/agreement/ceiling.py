"""The reward model beside people: how often each foretells one annotator's verdict, on the same pairs.

    credit = 1 where the foretold verdict is right, ½ where it is a tie, 0 where it is the other way round

The verdict to foretell is one annotator's preference (their ties are not asked for). A person's credit is the mean over
the other annotators who ranked the pair: that is the ceiling, which no model that is fitted to such verdicts should be
expected to pass by much. Only items drawn by a known propensity enter, weighed by its inverse; a prompt counts once.

Axes: U units (pairs of answers of one item), G prompts, M sizes of training set, R resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares, lsq_linear

from burnish.errors import ConfigError
from burnish.feedback.agreement.bootstrap import Bootstrap, Estimate, Floats, cluster_means
from burnish.feedback.agreement.verdicts import FIRST, SECOND, TIE, Verdicts


@dataclass(frozen=True, slots=True)
class Beside:
    """`model` and `people` on the same `verdicts`; `difference` is model - people, its interval paired by prompt."""

    model: Estimate
    people: Estimate
    difference: Estimate
    verdicts: int

    def line(self) -> str:
        """The two figures in a sentence."""
        return f"reward model {self.model.percent()}, annotator–annotator ceiling {self.people.percent()}"


def people_ceiling(table: Verdicts, bootstrap: Bootstrap) -> Estimate:
    """How often one annotator's verdict is foretold by another's."""
    credit_U, target_U = _of_people(table.counts())
    return bootstrap.mean(_by_prompt(table, credit_U, target_U), table.prompt_weights())


def model_beside_people(table: Verdicts, scores: Mapping[str, Sequence[float]], bootstrap: Bootstrap) -> Beside:
    """Both figures on the pairs that at least two annotators ranked and the model scored.

    `scores`: item → the model's score of each answer, in the item's own order; higher is better, equal scores are a
    tie. Raises ConfigError where the scores share no such pair with the rankings, or an item has another number of
    scores than of answers.
    """
    gap_U = _gaps(table, scores)
    counts_U3 = table.counts()
    people_U, target_U = _of_people(counts_U3)
    foretold_U = 0.5 * (1 + np.sign(gap_U))  # 1: the model prefers the first
    model_U = _ratio(counts_U3[:, FIRST] * foretold_U + counts_U3[:, SECOND] * (1 - foretold_U), target_U)
    known_U = np.isfinite(people_U) & np.isfinite(model_U)
    if not known_U.any():
        raise ConfigError(
            f"the scores share no pair with the rankings that two annotators ranked and one of them decided: "
            f"{len(scores)} scored items, {len(table.items)} ranked ones"
        )
    weight_G = table.prompt_weights()
    model_G, people_G = (
        _by_prompt(table, np.where(known_U, credit_U, np.nan), target_U) for credit_U in (model_U, people_U)
    )
    return Beside(
        model=bootstrap.mean(model_G, weight_G),
        people=bootstrap.mean(people_G, weight_G),
        difference=bootstrap.mean(model_G - people_G, weight_G),
        verdicts=int(target_U[known_U].sum()),
    )


def _gaps(table: Verdicts, scores: Mapping[str, Sequence[float]]) -> Floats:
    """Score of the first answer less the second's for each unit; NaN where the item was not scored."""
    answers = np.zeros(len(table.items), dtype=np.int64)
    np.maximum.at(answers, table.item_U, table.second_U + 1)
    for item, size in zip(table.items, answers, strict=True):
        if item in scores and len(scores[item]) != size:
            raise ConfigError(
                f"item {item}: {len(scores[item])} scores for {size} answers; score the answers that were ranked"
            )
    score_IK = [scores.get(item) for item in table.items]
    gap = [
        math.nan if (score_K := score_IK[item]) is None else score_K[first] - score_K[second]
        for item, first, second in zip(table.item_U, table.first_U, table.second_U, strict=True)
    ]
    return np.array(gap, dtype=np.float64)


def _of_people(counts_U3: Floats) -> tuple[Floats, Floats]:
    """Mean credit of the other annotators for each unit, and the verdicts that were to be foretold."""
    first_U, tie_U, second_U = counts_U3[:, FIRST], counts_U3[:, TIE], counts_U3[:, SECOND]
    others_U = counts_U3.sum(axis=1) - 1
    target_U = first_U + second_U
    credit_U = first_U * (first_U - 1 + tie_U / 2) + second_U * (second_U - 1 + tie_U / 2)
    return _ratio(credit_U, target_U * others_U), target_U


def _by_prompt(table: Verdicts, credit_U: Floats, target_U: Floats) -> Floats:
    weight_U = target_U * table.weight_I[table.item_U]
    return cluster_means(credit_U, table.unit_prompts(), len(table.prompts), weight_U)


def _ratio(part_U: Floats, whole_U: Floats) -> Floats:
    ratio_U: Floats = np.divide(part_U, whole_U, out=np.full(len(whole_U), np.nan), where=whole_U > 0)
    return ratio_U


# ---- what more rankings would bring


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """accuracy(n) = limit - scale · n^-power, fitted, and what `more` rankings beyond the last point would add.

    `gain` is in accuracy (0.012 is 1.2 points), its interval from refitting accuracies drawn about the measured ones.
    """

    limit: float
    scale: float
    power: float
    rankings: int
    more: int
    gain: Estimate


def learning_curve(
    rankings_M: Sequence[int],
    accuracy_M: Sequence[float],
    error_M: Sequence[float],
    bootstrap: Bootstrap,
    more: int = 200,
) -> LearningCurve:
    """Fit a power law with a limit to accuracies measured after different numbers of rankings (Hestness et al. 2017).

    `error_M`: standard errors, all positive. With fewer than five sizes the power is held at ½: three free parameters
    would pass through three points and know nothing of their noise. The limit lies between 0.5 and 1.

    Raises ConfigError for fewer than three sizes, sizes that are equal, or an error that is not positive.
    """
    size_M, value_M, sigma_M = (np.array(column, dtype=np.float64) for column in (rankings_M, accuracy_M, error_M))
    if not len(size_M) == len(value_M) == len(sigma_M) or len(np.unique(size_M)) < 3 or size_M.min() < 1:
        raise ConfigError(
            f"a learning curve needs accuracies at three or more different numbers of rankings, with their errors; "
            f"found {list(rankings_M)}"
        )
    if not (sigma_M > 0).all():
        raise ConfigError(f"a standard error must be positive; found {list(error_M)}")
    last = float(size_M.max())

    def gain(fit: tuple[float, float, float]) -> float:
        _, scale, power = fit
        return float(scale * (last**-power - (last + more) ** -power))

    fitted = _power_law(size_M, value_M, sigma_M)
    generator = np.random.Generator(np.random.Philox(bootstrap.seed))
    drawn_R = [
        gain(_power_law(size_M, generator.normal(value_M, sigma_M), sigma_M)) for _ in range(bootstrap.resamples)
    ]
    low, high = bootstrap.interval(np.array(drawn_R))
    return LearningCurve(*fitted, int(last), more, Estimate(gain(fitted), low, high, len(size_M)))


def _power_law(size_M: Floats, value_M: Floats, sigma_M: Floats) -> tuple[float, float, float]:
    """(limit, scale, power) by weighted least squares."""
    unit = float(size_M.min())  # sizes as multiples of the smallest: scale and accuracy are then of one order
    start, low, high = [0.75, 0.1, 0.5], [0.5, 0.0, 0.1], [1.0, 1.0, 2.0]
    if len(size_M) < 5:  # with the power held the law is linear, and a thousand refits take half a second, not four
        law_MF = np.stack((np.ones_like(size_M), -((size_M / unit) ** -0.5)), axis=1) / sigma_M[:, None]
        found = lsq_linear(law_MF, value_M / sigma_M, bounds=(low[:2], high[:2]), method="bvls").x
    else:

        def residual(parameters: Floats) -> Floats:
            limit, scale, power = parameters
            missed_M: Floats = (limit - scale * (size_M / unit) ** -power - value_M) / sigma_M
            return missed_M

        found = least_squares(residual, start, bounds=(low, high)).x
    limit, scale, power = (*map(float, found), 0.5)[:3]
    return limit, scale * unit**power, power
