"""The best of n and the best policy, from draws, against everything that can be enumerated."""

import math
from itertools import combinations, permutations, product

import numpy as np
import pytest

from burnish.evaluation.best_of_n import best_of_n, curve, doublings, kept_chance, kl_bound, tilted, win_rates

SCORE = [0.3, -1.0, 2.5, 0.9, -0.2, 1.1]
VALUE = [5.0, 1.0, -2.0, 0.0, 7.0, 3.0]


@pytest.mark.parametrize("n", range(1, 7))
def test_it_is_the_mean_over_every_subset(n):
    kept = [VALUE[max(subset, key=SCORE.__getitem__)] for subset in combinations(range(6), n)]
    assert best_of_n([SCORE], [VALUE], n)[0] == pytest.approx(sum(kept) / len(kept))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_it_has_no_bias_whatever_was_drawn(n):
    """Its mean over all 3⁴ ways in which four draws from three answers can come is the best of n of such draws."""
    chance, score, value = [0.5, 0.3, 0.2], [0.0, 1.0, 2.0], [4.0, -1.0, 3.0]

    def over(draws: int, found) -> float:
        return sum(math.prod(chance[a] for a in drawn) * found(drawn) for drawn in product(range(3), repeat=draws))

    exact = over(n, lambda drawn: value[max(drawn)])  # the scores rise with the number
    estimated = over(4, lambda drawn: best_of_n([[score[a] for a in drawn]], [[value[a] for a in drawn]], n)[0])
    assert estimated == pytest.approx(exact)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_equal_scores_share_their_chance(n):
    """Over every order in which a tie of three could be broken, the chance of each is the same."""
    chance = kept_chance([1.0, 0.0, 1.0, 1.0], n)
    broken = np.mean([kept_chance([1 + a, 0.0, 1 + b, 1 + c], n) for a, b, c in permutations([0.0, 0.1, 0.2])], axis=0)
    assert chance == pytest.approx(broken)
    assert chance[0] == chance[2] == chance[3]


def test_many_draws_do_not_overflow():
    """C(4096, 64) is 10¹⁴²: the chances add up to 1 all the same."""
    assert kept_chance(list(range(4096)), 64).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("n", [0, 7])
def test_more_than_there_are_is_refused(n):
    with pytest.raises(ValueError, match=f"between 1 and 6; found {n}"):
        kept_chance(SCORE, n)


def test_a_prompt_needs_a_value_for_each_score():
    with pytest.raises(ValueError, match="prompt 1 has 6 scores and 5 values"):
        best_of_n([SCORE], [VALUE[:-1]], 2)


def won(mine: float, other: float) -> float:
    return (1 + (mine > other) - (mine < other)) / 2


@pytest.mark.parametrize("n", range(1, 6))
@pytest.mark.parametrize("score", [SCORE, [1.0, 0.0, 1.0, 1.0, 2.0, 0.0]])
def test_a_win_rate_is_the_mean_over_every_subset_with_every_further_draw(n: int, score: list[float]):
    """Where several of a subset score best, each of them is kept as often."""
    value = [1.0, 1.0, -2.0, 0.0, 7.0, 3.0]  # the judge knows a tie too
    found = []
    for subset in combinations(range(6), n):
        best = [i for i in subset if score[i] == max(score[k] for k in subset)]
        others = [j for j in range(6) if j not in subset]
        found += [np.mean([won(value[i], value[j]) for i in best]) for j in others]
    assert win_rates([score], [value], n)[0] == pytest.approx(np.mean(found))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_win_rate_has_no_bias_whatever_was_drawn(n: int):
    """Its mean over all 3⁴ ways in which four draws can come is the chance that the best of n beats one more."""
    chance, value = [0.5, 0.3, 0.2], [4.0, -1.0, 3.0]  # the score is the answer's number

    def over(draws: int, found) -> float:
        return sum(math.prod(chance[a] for a in drawn) * found(drawn) for drawn in product(range(3), repeat=draws))

    exact = over(n + 1, lambda drawn: won(value[max(drawn[:n])], value[drawn[n]]))
    estimated = over(4, lambda drawn: win_rates([drawn], [[value[a] for a in drawn]], n)[0])
    assert estimated == pytest.approx(exact)


def test_by_its_own_score_the_best_of_n_wins_n_of_n_plus_1():
    """Of n + 1 draws without ties each is as likely the highest."""
    assert [win_rates([SCORE], [SCORE], n)[0] for n in (1, 2, 5)] == pytest.approx([1 / 2, 2 / 3, 5 / 6])


def test_a_curve_doubles_up_to_the_last_that_leaves_a_draw_to_compare_with():
    assert doublings(5) == [1, 2, 4, 5]
    assert doublings(8) == [1, 2, 4, 8]
    rows = [one.record() for one in curve([SCORE, SCORE[::-1]], [VALUE, VALUE])]
    assert [row["n"] for row in rows] == [1, 2, 4, 5]
    assert (rows[0]["kl"], rows[0]["win_rate"]) == (0, pytest.approx(0.5)), "one draw is the model itself"
    assert rows[0]["score_mean"] == pytest.approx(np.mean(SCORE))
    assert rows[2]["score_win_rate"] == pytest.approx(4 / 5)
    assert rows[2]["win_rate"] == pytest.approx(win_rates([SCORE, SCORE[::-1]], [VALUE, VALUE], 4).mean())
    assert rows[2]["judge_mean"] == pytest.approx(best_of_n([SCORE, SCORE[::-1]], [VALUE, VALUE], 4).mean())
    assert all(row["win_rate_low"] <= row["win_rate"] <= row["win_rate_high"] for row in rows)


def test_without_a_judge_the_score_says_who_wins():
    (row,) = [one.record() for one in curve([SCORE, SCORE], counts=[2])]
    assert row["win_rate"] == row["score_win_rate"] == pytest.approx(2 / 3)
    assert "judge_mean" not in row


def test_a_curve_needs_a_draw_to_compare_with():
    with pytest.raises(ValueError, match="two draws of each prompt"):
        curve([[1.0]])
    with pytest.raises(ValueError, match="between 1 and 5; found 6"):
        win_rates([SCORE], [VALUE], 6)


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_the_bound_is_the_kl_where_no_two_answers_are_the_same(n):
    """Of N equally likely answers with scores of their own the kept one has chance (i/N)ⁿ - ((i-1)/N)ⁿ."""
    chance = np.diff(np.linspace(0, 1, 200_001) ** n)
    kl = float(np.sum(chance[chance > 0] * np.log(chance[chance > 0] * len(chance))))
    assert kl == pytest.approx(kl_bound(n), abs=1e-3)


def test_the_best_policy_on_all_answers_is_the_one_that_the_formula_names():
    """Where each of K equally likely answers was drawn once, the weights are π* itself."""
    beta, score = 0.7, np.array(SCORE)
    found = tilted(SCORE, beta)
    best = np.exp(score / beta) / np.exp(score / beta).sum()
    assert found.weight_K == pytest.approx(best)
    assert found.kl == pytest.approx(float(best @ np.log(best * 6)))
    assert found.mean(VALUE) == pytest.approx(float(best @ np.array(VALUE)))
    objective = found.mean(SCORE) - beta * found.kl
    assert objective == pytest.approx(beta * math.log(np.exp(score / beta).mean()))  # β·log Z


def test_of_normal_scores_it_gains_one_over_beta_at_half_its_square_in_nats():
    """Scores N(0, 1): π* is N(1/β, 1), with KL 1/(2β²) and K_eff = K·exp(-1/β²)."""
    draws = np.random.default_rng(0).normal(size=200_000)
    found = tilted(draws, beta=1.0)
    assert found.mean(draws) == pytest.approx(1, abs=0.02)
    assert found.kl == pytest.approx(0.5, abs=0.02)
    assert found.effective / len(draws) == pytest.approx(math.exp(-1), abs=0.02)


def test_it_goes_from_the_model_itself_to_its_best_draw():
    free, dear = tilted(SCORE, 1e-3), tilted(SCORE, 1e6)
    assert (dear.kl, dear.effective) == (pytest.approx(0, abs=1e-9), pytest.approx(6))
    assert (free.kl, free.effective, free.mean(SCORE)) == (pytest.approx(math.log(6)), pytest.approx(1), 2.5)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_a_price_is_above_0(beta):
    with pytest.raises(ValueError, match="above 0"):
        tilted(SCORE, beta)
