"""The win rate at equal length: closed forms, what judges of length and of quality come to, and what cannot be told."""

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from burnish.errors import ConfigError
from burnish.evaluation.intervals import proportion
from burnish.evaluation.length_control import length_controlled

DRAWS = 200
LEAST = 0.895  # 0.95 less three and a half deviations of 200 draws


def one_each(values):
    return [[float(value)] for value in values]


def test_of_two_lengths_it_is_the_mean_of_their_log_odds():
    """Longer by 5 on 30 prompts, 24 won; shorter by 5 on 50, 10 won. Each length has half a win and half a loss more,
    and they lie on either side of equal: σ(½ (ln 24.5/6.5 + ln 10.5/40.5))."""
    won = [1] * 24 + [0] * 6 + [1] * 10 + [0] * 40
    found = length_controlled(one_each(won), one_each([5] * 30 + [-5] * 50))
    assert found.mean == pytest.approx(expit((math.log(24.5 / 6.5) + math.log(10.5 / 40.5)) / 2), abs=1e-6)
    assert found.low < found.mean < found.high
    assert found.prompts == 80


def test_its_variance_there_is_that_of_two_independent_shares():
    """V = ¼ (1 / (31 p q) + 1 / (51 p' q')), for coins: neither ties nor several answers make f another than 1."""
    won = [1] * 24 + [0] * 6 + [1] * 10 + [0] * 40
    found = length_controlled(one_each(won), one_each([5] * 30 + [-5] * 50))
    long, short = 24.5 / 31, 10.5 / 51
    variance = (1 / (31 * long * (1 - long)) + 1 / (51 * short * (1 - short))) / 4
    half = 1.959964 * math.sqrt(variance)
    assert (logit(found.high) - logit(found.low)) / 2 == pytest.approx(half, rel=0.01)


def test_of_many_prompts_it_is_plain_logistic_regression():
    """scikit-learn's without penalty, a tie as half a row won and half a row lost."""
    generator = np.random.default_rng(4)
    longer = generator.normal(6, 20, 4000).round()
    won = (generator.random(4000) < expit(0.4 + np.tanh(longer / 20))).astype(float)
    won[generator.random(4000) < 0.2] = 0.5
    x = np.tanh(longer / longer.std())[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.concatenate([x, x]), [1] * 4000 + [0] * 4000, sample_weight=np.concatenate([won, 1 - won])
    )
    found = length_controlled(one_each(won), one_each(longer))
    assert found.mean == pytest.approx(expit(fit.intercept_[0]), abs=2e-4)


def test_answers_of_one_length_leave_the_win_rate_as_it_is():
    won = one_each([1, 0.5, 0, 1, 1])
    assert length_controlled(won, one_each([0] * 5)) == proportion(won)


def test_two_models_see_it_from_both_sides():
    generator = np.random.default_rng(0)
    won, longer = generator.choice([0, 0.5, 1], 60), generator.normal(3, 9, 60).round()
    one, other = (
        length_controlled(one_each(won), one_each(longer)),
        length_controlled(one_each(1 - won), one_each(-longer)),
    )
    assert one.mean == pytest.approx(1 - other.mean)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


def test_the_unit_of_length_does_not_matter():
    generator = np.random.default_rng(1)
    won, longer = one_each(generator.choice([0, 1], 60)), generator.normal(3, 9, 60).round()
    tokens, characters = (length_controlled(won, one_each(unit * longer)) for unit in (1, 4))
    assert tokens.mean == pytest.approx(characters.mean)


def drawn(quality, of_length, prompts, samples=1, ties=0.0, draws=DRAWS):
    """Coverage of the true rate at equal length, and the means of raw and controlled rates, over `draws` judges. The
    model's answers are longer by half a deviation."""
    generator = np.random.default_rng(0)
    covered, raw, controlled = 0, [], []
    for _ in range(draws):
        shared = generator.normal(0, 12, (prompts, 1))  # some prompts ask for longer answers
        longer = (10 + shared + generator.normal(0, 16, (prompts, samples))).round()
        won = (generator.random((prompts, samples)) < expit(logit(quality) + of_length(longer / 20))).astype(float)
        won = np.where(generator.random((prompts, samples)) < ties, 0.5, won)
        found = length_controlled(won.tolist(), longer.tolist())
        truth = quality * (1 - ties) + ties / 2
        covered += found.low <= truth <= found.high
        raw.append(won.mean())
        controlled.append(found.mean)
    return covered / draws, np.mean(raw), np.mean(controlled)


@pytest.mark.parametrize("prompts", [50, 200])
@pytest.mark.parametrize("samples, ties", [(1, 0.0), (4, 0.4)])
def test_a_judge_that_only_likes_length_is_left_with_nothing(prompts, samples, ties):
    covered, raw, controlled = drawn(0.5, lambda apart: 1.5 * np.tanh(apart), prompts, samples, ties)
    assert covered >= LEAST
    assert raw > 0.55
    assert controlled == pytest.approx(0.5, abs=0.01)


def test_nor_does_one_to_whom_the_longer_answer_always_is_the_better():
    """No finite slope fits best; half of each leverage won and half lost keeps it finite."""
    covered, raw, controlled = drawn(0.5, lambda apart: 1e3 * np.sign(apart), 200, draws=100)
    assert covered >= LEAST
    assert raw > 0.65
    assert controlled == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("quality", [0.5, 0.7, 0.9])
def test_of_a_judge_that_only_likes_quality_it_is_the_win_rate(quality):
    covered, raw, controlled = drawn(quality, np.zeros_like, 200)
    assert covered >= LEAST
    assert controlled == pytest.approx(raw, abs=0.01)


def test_quality_that_a_taste_for_short_answers_hides_comes_out():
    covered, raw, controlled = drawn(0.7, lambda apart: -1.5 * np.tanh(apart), 200)
    assert covered >= LEAST
    assert raw < 0.62
    assert controlled == pytest.approx(0.7, abs=0.02)


def test_a_prompt_with_more_answers_weighs_no_more():
    generator = np.random.default_rng(2)
    won, longer = generator.choice([0.0, 1.0], 40), generator.normal(2, 8, 40).round()
    once = length_controlled(one_each(won), one_each(longer))
    thrice = length_controlled([[value] * 3 for value in won], [[value] * 3 for value in longer])
    assert (thrice.mean, thrice.low, thrice.high) == pytest.approx((once.mean, once.low, once.high))


def test_the_further_from_equal_the_wider():
    """The same wins and spread of lengths, but from 10 tokens longer on: what equal lengths would give is guessed."""
    generator = np.random.default_rng(3)
    won, longer = one_each(generator.choice([0, 1], 200)), generator.normal(0, 10, 200).round()
    near, far = (length_controlled(won, one_each(longer + more)) for more in (0, 25))
    assert far.high - far.low > 2 * (near.high - near.low)


@pytest.mark.parametrize("away", [1, 2, 3])
@pytest.mark.parametrize("prompts", [50, 200])
def test_the_interval_holds_the_rate_however_far_from_equal(away, prompts):
    """A judge of quality alone, of answers that are all longer: where nothing can be told, nothing is."""
    generator = np.random.default_rng(5)
    told = [
        length_controlled(
            one_each(generator.random(prompts) < 0.7), one_each(generator.normal(20 * away, 20, prompts).round())
        )
        for _ in range(60)
    ]
    known = [found for found in told if not math.isnan(found.mean)]
    assert len(known) > 20
    assert np.mean([found.low <= 0.7 <= found.high for found in known]) >= 0.88  # 0.95 less two deviations of 60


@pytest.mark.parametrize("longer", [[40, 41], [100] * 19 + [101], [55, 58, 60, 57, 59, 61] * 10, [1e6, 1e6 + 1] * 20])
def test_differences_that_are_nearly_the_same_tell_nothing(longer):
    found = length_controlled(one_each([0, 1] * (len(longer) // 2)), one_each(longer))
    assert math.isnan(found.mean)
    assert math.isnan(found.high)


def test_one_difference_everywhere_tells_nothing():
    found = length_controlled(one_each([1, 0, 1]), one_each([7] * 3))
    assert math.isnan(found.mean)
    assert math.isnan(found.low)
    assert found.prompts == 3


@pytest.mark.parametrize("won", [[1.0] * 30, [0.5] * 30, [1.0]])
def test_wins_or_ties_alone_stay_finite(won):
    found = length_controlled(one_each(won), one_each(range(1, len(won) + 1)) if len(won) > 1 else [[1.0]])
    if len(won) > 1:
        assert 0 <= found.low <= found.mean <= found.high <= 1
    else:
        assert math.isnan(found.mean)


def test_what_is_no_rate_or_lacks_a_length_is_refused():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        length_controlled([[2.0]], [[1.0]])
    with pytest.raises(ValueError, match="2 answers, 1 differences"):
        length_controlled([[1.0], [0.0]], [[1.0]])
