"""The statistics give the numbers that their sources print."""

import math

import numpy as np
import pytest
from feedback.ranked import ranking
from scipy.stats import rankdata

from burnish.feedback.agreement.coefficients import alpha, gold_accuracy, kendall_w, tau_b
from burnish.feedback.agreement.systems import bradley_terry, davidson

_ = None

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units, five values,
# with missing data
OBSERVED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]


@pytest.mark.parametrize("level, published", [("nominal", 0.743), ("ordinal", 0.815)])
def test_alpha_of_krippendorffs_data_with_missing_values(level, published):
    counts_UC = np.array(
        [[sum(given[unit] == value for given in OBSERVED) for value in range(1, 6)] for unit in range(12)]
    )
    assert alpha(counts_UC.astype(float), level) == pytest.approx(published, abs=5e-4)


# The example of NAG's g02bn: nine observations of three variables, with ties; Kendall's τ is printed with four digits
NAG = [
    (1.70, 2.80, 0.60, 1.80, 0.99, 1.40, 1.80, 2.50, 0.99),
    (1.0, 4.0, 6.0, 9.0, 4.0, 2.0, 9.0, 7.0, 5.0),
    (0.5, 3.0, 2.5, 6.0, 2.5, 5.5, 7.5, 0.0, 3.0),
]


@pytest.mark.parametrize("first, second, published", [(0, 1, 0.0294), (0, 2, 0.1176), (1, 2, 0.2353)])
def test_tau_b_of_the_numerical_algorithms_group_data_with_ties(first, second, published):
    places = [tuple(rankdata(NAG[index], method="dense").astype(int)) for index in (first, second)]
    assert tau_b(*places) == pytest.approx(published, abs=5e-5)


def test_tau_of_hollander_and_wolfes_tuna():
    """Hollander and Wolfe 1973, p. 187: lightness and panel score of nine lots of tuna, T = 26 of 36 pairs concordant.

    τ = (26 - 10) / 36.
    """
    lightness = (44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1)
    panel = (2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8)
    assert tau_b(lightness, panel) == pytest.approx(16 / 36)


def test_w_of_three_rankings_with_ties():
    """The example of NAG's g08da: three rankings of ten objects with ties, W = 0.828."""
    rankings = [
        (1.0, 4.5, 2.0, 4.5, 3.0, 7.5, 6.0, 9.0, 7.5, 10.0),
        (2.5, 1.0, 2.5, 4.5, 4.5, 8.0, 9.0, 6.5, 10.0, 6.5),
        (2.0, 1.0, 4.5, 4.5, 4.5, 4.5, 8.0, 8.0, 8.0, 10.0),
    ]
    assert kendall_w(rankings) == pytest.approx(0.828, abs=5e-4)


def test_w_of_twenty_subjects_by_three_raters():
    """`anxiety` of R's irr, 20 subjects on six grades: W corrected for ties 0.54, χ² = m (K - 1) W = 30.8."""
    raters = [
        (3, 3, 3, 4, 5, 5, 2, 3, 5, 2, 2, 6, 1, 5, 2, 2, 1, 2, 4, 3),
        (3, 6, 4, 6, 2, 4, 2, 4, 3, 3, 2, 3, 3, 3, 2, 2, 1, 3, 3, 4),
        (2, 1, 4, 4, 3, 2, 1, 6, 1, 1, 1, 2, 3, 3, 1, 1, 3, 3, 2, 2),
    ]
    assert 3 * 19 * kendall_w(raters) == pytest.approx(30.8, abs=0.05)


# Agresti 2002, p. 438: the American League's Eastern Division in 1987, wins at home of the row over the column
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
HOME_WINS = [
    [_, 4, 4, 4, 6, 4, 6],
    [3, _, 4, 4, 6, 6, 4],
    [2, 4, _, 2, 4, 4, 6],
    [3, 5, 2, _, 4, 4, 6],
    [5, 2, 3, 4, _, 5, 6],
    [2, 3, 3, 4, 4, _, 2],
    [2, 1, 1, 2, 1, 3, _],
]
HOME_LOSSES = [
    [_, 3, 2, 3, 1, 2, 0],
    [3, _, 2, 3, 0, 1, 3],
    [5, 3, _, 4, 3, 2, 0],
    [3, 1, 5, _, 3, 2, 1],
    [1, 5, 3, 2, _, 2, 0],
    [5, 3, 4, 3, 2, _, 4],
    [5, 5, 6, 4, 6, 4, _],
]


def test_bradley_terry_of_agrestis_baseball():
    """Agresti 2002, Table 10.11: strengths above Baltimore's 1.58, 1.44, 1.29, 1.25, 1.11, 0.68."""
    won, lost = (np.array([[cell or 0 for cell in row] for row in table]) for table in (HOME_WINS, HOME_LOSSES))
    strength_S = bradley_terry((won + lost.T).astype(float), pseudo=0)
    assert (strength_S - strength_S[6])[:6] == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68], abs=5e-3)


# Davidson 1970, Table 2: six brands of chocolate pudding; for each pair i, j: i preferred, j preferred, no preference
PUDDING = {
    (1, 2): (19, 22, 16),
    (1, 3): (16, 19, 12),
    (2, 3): (19, 19, 10),
    (1, 4): (18, 23, 13),
    (2, 4): (23, 19, 9),
    (3, 4): (19, 20, 15),
    (1, 5): (13, 19, 18),
    (2, 5): (16, 20, 12),
    (3, 5): (16, 15, 17),
    (4, 5): (17, 14, 16),
    (1, 6): (18, 21, 12),
    (2, 6): (22, 20, 12),
    (3, 6): (13, 18, 10),
    (4, 6): (14, 19, 18),
    (5, 6): (11, 21, 12),
}


def test_davidson_of_his_chocolate_pudding():
    """Worths 0.139, 0.173, 0.162, 0.165, 0.159, 0.202 that sum to 1, and ν = 0.747.

    As R's PlackettLuce gives them with the iterations that it takes to print Davidson's own figures.
    """
    win_SS, tie_SS = np.zeros((6, 6)), np.zeros((6, 6))
    for (i, j), (first, second, tied) in PUDDING.items():
        win_SS[i - 1, j - 1], win_SS[j - 1, i - 1] = first, second
        tie_SS[i - 1, j - 1] = tie_SS[j - 1, i - 1] = tied
    strength_S, nu = davidson(win_SS, tie_SS, pseudo=0)
    worth_S = np.exp(strength_S) / np.exp(strength_S).sum()
    assert worth_S == pytest.approx([0.1388005, 0.1729985, 0.1617420, 0.1653930, 0.1586805, 0.2023855], abs=5e-4)
    assert nu == pytest.approx(0.7468147, abs=5e-4)


def test_wilsons_interval_of_newcombes_example():
    """Newcombe 1998, Table I: 81 of 263 gives 0.2553 to 0.3662."""
    asked = [ranking(str(i), place_K=(0, 1) if i < 81 else (1, 0), gold_K=(0, 1), kind="gold") for i in range(263)]
    (gold,) = gold_accuracy(asked).values()
    assert (gold.items, gold.right) == (263, 81)
    assert (gold.low, gold.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert not math.isnan(gold.pairs)
