"""The model beside people, on the same pairs; and what more rankings would bring."""

import numpy as np
import pytest
from feedback.ranked import ranking

from burnish.errors import ConfigError
from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.ceiling import learning_curve, model_beside_people, people_ceiling
from burnish.feedback.agreement.coefficients import alpha_of_pairs
from burnish.feedback.agreement.verdicts import readings, verdicts, verdicts_of

DRAWS = Bootstrap(resamples=300)


def voted(item, *places, **known):
    return [ranking(item, f"ann{who}", place_K, **known) for who, place_K in enumerate(places)]


def table(*votes):
    return verdicts(readings(one for group in votes for one in group))


FIRST, SECOND, TIE = (0, 1), (1, 0), (0, 0)


def test_the_ceiling_is_the_mean_over_the_other_annotators():
    """Two say first, one says second: each of the two is foretold by half of the others, the third by none."""
    assert people_ceiling(table(voted("i", FIRST, FIRST, SECOND)), DRAWS).value == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_a_tie_foretells_half_and_is_not_foretold():
    assert people_ceiling(table(voted("i", FIRST, TIE)), DRAWS).value == 0.5
    assert people_ceiling(table(voted("i", TIE, TIE)), DRAWS).clusters == 0


def test_the_model_is_right_about_those_who_agree_with_it():
    found = model_beside_people(table(voted("i", FIRST, FIRST, SECOND)), {"i": [2.0, 1.0]}, DRAWS)
    assert found.model.value == pytest.approx(2 / 3)
    assert found.people.value == pytest.approx(1 / 3)
    assert found.difference.value == pytest.approx(1 / 3)
    assert found.verdicts == 3


def test_equal_scores_are_half_right():
    assert model_beside_people(table(voted("i", FIRST, SECOND)), {"i": [1.0, 1.0]}, DRAWS).model.value == 0.5


def test_both_are_measured_on_the_same_pairs_only():
    """Item j has no scores and item k one annotator: neither enters, for either figure."""
    votes = [voted("i", FIRST, FIRST), voted("j", FIRST, SECOND), voted("k", FIRST)]
    found = model_beside_people(table(*votes), {"i": [1.0, 0.0], "k": [0.0, 1.0]}, DRAWS)
    assert (found.model.value, found.people.value, found.verdicts) == (1.0, 1.0, 2)
    assert found.line() == "reward model 100.0 % [100.0, 100.0], annotator–annotator ceiling 100.0 % [100.0, 100.0]"


def test_actively_chosen_items_count_by_the_inverse_of_their_propensity():
    """i: drawn four times as likely, people agree; j: drawn with 1, they differ. (¼ · 1 + 1 · 0) / 1¼ = 0.2."""
    votes = [voted("i", FIRST, FIRST, kind="active", propensity=4.0), voted("j", FIRST, SECOND)]
    assert people_ceiling(table(*votes), DRAWS).value == pytest.approx(0.2)


def noisy(right, items=800, annotators=3, seed=1):
    chance = np.random.default_rng(seed)
    for n in range(items):
        better = FIRST if chance.random() < 0.5 else SECOND
        yield better, voted(str(n), *(better if chance.random() < right else better[::-1] for _ in range(annotators)))


def test_a_model_that_knows_the_truth_passes_the_ceiling_of_noisy_people():
    """People right with 0.8 foretell each other with 0.8² + 0.2² = 0.68; the truth foretells them with 0.8."""
    made = list(noisy(0.8))
    scores = {str(n): [1.0, 0.0] if better == FIRST else [0.0, 1.0] for n, (better, _) in enumerate(made)}
    found = model_beside_people(table(*(votes for _, votes in made)), scores, DRAWS)
    assert found.people.low < 0.68 < found.people.high
    assert found.model.low < 0.80 < found.model.high
    assert found.difference.low > 0
    paired, apart = found.difference, (found.model, found.people)
    assert paired.high - paired.low < sum(one.high - one.low for one in apart)


def test_intervals_of_ceiling_and_alpha_hold_the_truth_about_as_often_as_they_say():
    """100 studies of 50 items; α is 1 - 0.32 / 0.5. Three and a half deviations of 100 draws below 93 % is 84 %."""
    chance, held = np.random.default_rng(6), np.zeros(2)
    for _ in range(100):
        seen = (chance.random((50, 3)) < 0.8) == (chance.random((50, 1)) < 0.5)  # who prefers the first
        said = {
            str(n): (str(n), 1.0, {str(who): FIRST if first else SECOND for who, first in enumerate(row)})
            for n, row in enumerate(seen)
        }
        study, draws = verdicts_of(said), Bootstrap(resamples=200)
        found = (people_ceiling(study, draws), alpha_of_pairs(study, draws))
        held += [one.low <= truth <= one.high for one, truth in zip(found, (0.68, 0.36), strict=True)]
    assert (held / 100 > 0.84).all()


def test_scores_of_other_items_and_of_other_answers_are_refused():
    with pytest.raises(ConfigError, match="share no pair"):
        model_beside_people(table(voted("i", FIRST, FIRST)), {"j": [1.0, 0.0]}, DRAWS)
    with pytest.raises(ConfigError, match="item i: 3 scores for 2 answers"):
        model_beside_people(table(voted("i", FIRST, FIRST)), {"i": [1.0, 0.0, 2.0]}, DRAWS)


def test_a_power_law_is_read_back_and_foretells_its_own_gain():
    sizes = [50, 100, 200, 400, 800, 1600]
    accuracy = [0.75 - 0.9 * n**-0.6 for n in sizes]
    found = learning_curve(sizes, accuracy, [0.001] * 6, Bootstrap(resamples=30), more=200)
    assert (found.limit, found.scale, found.power) == (
        pytest.approx(0.75, abs=1e-4),
        pytest.approx(0.9, rel=1e-2),
        pytest.approx(0.6, abs=1e-2),
    )
    assert found.gain.value == pytest.approx(0.9 * (1600**-0.6 - 1800**-0.6), rel=1e-2)
    assert found.gain.low <= found.gain.value <= found.gain.high


def test_with_few_sizes_the_power_is_held_and_noise_widens_the_interval():
    sizes, accuracy = [100, 400, 1600], [0.6, 0.65, 0.675]
    sure, unsure = (learning_curve(sizes, accuracy, [error] * 3, Bootstrap(resamples=30)) for error in (0.001, 0.02))
    assert sure.power == 0.5
    assert sure.limit == pytest.approx(0.7)  # 0.7 - n^-½ passes through all three
    assert unsure.gain.high - unsure.gain.low > 5 * (sure.gain.high - sure.gain.low)


@pytest.mark.parametrize(
    "sizes, errors, message",
    [
        ([100, 200], [0.1, 0.1], "three or more"),
        ([5, 5, 9], [0.1] * 3, "three or more"),
        ([1, 2, 3], [0.0] * 3, "positive"),
    ],
)
def test_a_curve_needs_three_sizes_with_errors(sizes, errors, message):
    with pytest.raises(ConfigError, match=message):
        learning_curve(sizes, [0.6] * len(sizes), errors, DRAWS)
