"""Dawid and Skene's model finds who errs, and how; its fit is a maximum of the likelihood."""

import numpy as np
import pytest
from feedback.ranked import ranking

from burnish.errors import ConfigError
from burnish.feedback.agreement.reliability import dawid_skene, reliability
from burnish.feedback.agreement.verdicts import readings, verdicts

# Dawid and Skene 1979, Table 1: 45 patients, each graded 1 to 4 by five anaesthetists, by the first of them three times
PATIENTS = """
111 1 1 1 1  333 4 3 3 4  112 2 1 2 2  222 3 1 2 1  222 3 2 2 2  222 3 3 2 2  122 2 1 1 1  333 3 4 3 3  222 2 2 2 3
232 2 2 2 3  444 4 4 4 4  222 3 3 4 3  111 1 1 1 1  222 3 2 1 2  121 1 1 1 1  111 2 1 1 1  111 1 1 1 1  111 1 1 1 1
222 2 2 2 1  222 1 3 2 2  222 2 2 2 2  222 2 2 2 1  222 3 2 2 2  221 2 2 2 2  111 1 1 1 1  111 1 1 1 1  232 2 2 2 2
111 1 1 1 1  111 1 1 1 1  112 1 1 2 1  111 1 1 1 1  333 3 2 3 3  111 1 1 1 1  222 2 2 2 2  222 3 2 3 2  433 4 3 4 3
221 2 2 3 2  232 3 2 3 3  333 3 4 3 2  111 1 1 1 1  111 1 1 1 1  121 2 1 1 1  232 2 2 2 2  121 1 1 1 1  222 2 2 2 2
"""


def anaesthetists():
    table = PATIENTS.split()
    said = [
        (patient, observer, int(grade) - 1)
        for patient in range(45)
        for observer, grades in enumerate(table[5 * patient : 5 * patient + 5])
        for grade in grades
    ]
    return (np.array(column) for column in zip(*said, strict=True))


def log_likelihood(fit, unit_V, annotator_V, value_V):
    """Σ ln Σ p[c] Π π_a[c, l], eq. 2.7, written as in the paper."""
    total = 0.0
    for unit in range(len(fit.truth_UC)):
        here = unit_V == unit
        total += np.log(fit.prior_C @ np.prod(fit.confusion_ACC[annotator_V[here], :, value_V[here]], axis=0))
    return total


def test_the_anaesthetists_are_fitted_to_a_maximum_of_the_papers_likelihood():
    unit_V, annotator_V, value_V = anaesthetists()
    fit = dawid_skene(unit_V, annotator_V, value_V, classes=4)
    best = log_likelihood(fit, unit_V, annotator_V, value_V)
    assert fit.log_likelihood == pytest.approx(best)
    chance = np.random.default_rng(2)
    for _ in range(50):  # a step to any other rates that are possible is a step down
        other = dawid_skene(unit_V, annotator_V, value_V, classes=4)
        share = 0.02
        other.confusion_ACC[:] = (1 - share) * fit.confusion_ACC + share * chance.dirichlet(np.ones(4), (5, 4))
        other.prior_C[:] = (1 - share) * fit.prior_C + share * chance.dirichlet(np.ones(4))
        assert log_likelihood(other, unit_V, annotator_V, value_V) < best


def test_a_patient_on_whom_all_agree_is_what_they_say():
    unit_V, annotator_V, value_V = anaesthetists()
    truth_UC = dawid_skene(unit_V, annotator_V, value_V, classes=4).truth_UC
    agreed = {0: 0, 10: 3, 20: 1}
    assert all(truth_UC[patient, grade] > 0.999 for patient, grade in agreed.items())
    assert truth_UC.sum(axis=1) == pytest.approx(1.0)


def test_error_rates_are_recovered_from_verdicts_without_any_truth():
    chance = np.random.default_rng(0)
    truth_U = chance.choice(3, 3000, p=[0.4, 0.2, 0.4])
    able = np.array([[0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.05, 0.05, 0.9]])
    poor = np.array([[0.6, 0.1, 0.3], [0.3, 0.4, 0.3], [0.3, 0.1, 0.6]])
    rates = [able, able, poor, poor, poor]
    said = [(u, a, chance.choice(3, p=rate[truth])) for u, truth in enumerate(truth_U) for a, rate in enumerate(rates)]
    fit = dawid_skene(*(np.array(column) for column in zip(*said, strict=True)), classes=3)
    assert fit.prior_C == pytest.approx([0.4, 0.2, 0.4], abs=0.04)
    for annotator, rate in enumerate(rates):
        assert fit.confusion_ACC[annotator] == pytest.approx(rate, abs=0.08)


def test_smoothing_keeps_anyone_from_being_infallible():
    votes = np.array([0, 0]), np.array([0, 1]), np.array([0, 0])
    assert dawid_skene(*votes, classes=2).confusion_ACC[0, 0, 0] == 1.0
    assert dawid_skene(*votes, classes=2, smoothing=1.0).confusion_ACC[0, 0, 0] < 0.8


def test_no_verdicts_and_unknown_classes_are_refused():
    nothing = np.array([], dtype=np.int64)
    with pytest.raises(ConfigError, match="found 0 verdicts"):
        dawid_skene(nothing, nothing, nothing, classes=3)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        dawid_skene(np.array([0]), np.array([0]), np.array([2]), classes=2)


def crowd(rights, items=600, seed=4):
    """Annotators who see the better of two answers with the given probabilities; which is listed first is a coin."""
    chance = np.random.default_rng(seed)
    for n in range(items):
        better = chance.integers(2)
        for name, right in rights.items():
            first = (chance.random() < right) == (better == 0)
            yield ranking(str(n), name, (0, 1) if first else (1, 0))


def test_discernment_is_recovered_and_weights_follow_it():
    found = reliability(verdicts(readings(crowd({"ann": 0.9, "bob": 0.8, "cy": 0.75, "guess": 0.5}))))
    assert [found[name].discernment for name in ("ann", "bob", "cy", "guess")] == pytest.approx(
        [0.9, 0.8, 0.75, 0.5], abs=0.05
    )
    assert found["guess"].weight < 0.2
    assert found["ann"].weight == pytest.approx(4 * 0.8 / (0.8 + 0.6 + 0.5 + 0.0), rel=0.15)
    assert np.mean([one.weight for one in found.values()]) == pytest.approx(1.0)


def test_the_order_in_which_an_item_lists_its_answers_does_not_matter():
    ranked = list(crowd({"ann": 0.9, "bob": 0.7, "cy": 0.7}, items=60))
    turned = [ranking(one.item, one.annotator, one.place_K[::-1]) for one in ranked]
    straight, other = (reliability(verdicts(readings(some))) for some in (ranked, turned))
    assert {name: one.discernment for name, one in straight.items()} == pytest.approx(
        {name: one.discernment for name, one in other.items()}
    )


def test_who_shares_no_item_has_no_reliability():
    assert reliability(verdicts(readings([ranking()]))) == {}
    shared = [ranking("i", "ann"), ranking("i", "bob"), ranking("j", "cy")]
    assert set(reliability(verdicts(readings(shared)))) == {"ann", "bob"}
