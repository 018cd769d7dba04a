"""Numbers as the report writes them."""

import math

import pytest

from burnish.evaluation.report.charts import kept, running_mean
from burnish.evaluation.report.words import Words, between, figure, number, rows_of, signed

SAY, ZH = Words(), Words("zh")


@pytest.mark.parametrize(
    "value, shown",
    [
        (0.0, "0.00"),
        (-1.5, "−1.50"),
        (1234.5, "1\u202f234.50"),
        (None, "–"),
        (math.nan, "–"),
        (-math.inf, "−∞"),
        (1e-9, "1.0e−09"),
        (0.00468, "0.005"),
    ],
)
def test_numbers(value, shown):
    assert number(value) == shown


def test_percent_has_a_narrow_space():
    assert SAY.percent(0.8149, 1) == "81.5\u202f%"
    assert SAY.percent(None) == "–"
    assert ZH.percent(0.8149, 1) == "81.5%"


@pytest.mark.parametrize(
    "value, shown", [(810.0, "810"), (0.5812, "0.581"), (12.34, "12.3"), (0.00001, "1.0e−05"), (-3.5, "−3.50")]
)
def test_a_figure_shows_three_digits_that_count(value, shown):
    assert figure(value) == shown


@pytest.mark.parametrize(
    "seconds, shown, in_chinese",
    [
        (0.4, "0.4\u202fs", "0.4 秒"),
        (12.3, "12\u202fs", "12 秒"),
        (185, "3\u202fmin 05\u202fs", "3 分 05 秒"),
        (7800, "2\u202fh 10\u202fmin", "2 小时 10 分"),
    ],
)
def test_durations(seconds, shown, in_chinese):
    assert SAY.duration(seconds) == shown
    assert ZH.duration(seconds) == in_chinese


def test_no_dash_stands_beside_a_minus():
    assert between(-0.71, 0.5, 2) == "−0.71 … 0.50"
    assert between(0.5, 0.71, 1) == "0.5–0.7"


def test_a_change_has_its_sign():
    assert [signed(value) for value in (1.25, -1.25, 0.0)] == ["+1.2", "−1.2", "0.0"]


def test_a_figure_whose_interval_stands_in_its_cell_has_one_row():
    figures = dict.fromkeys(
        ("puns", "puns_low", "puns_high", "kl", "kl_se", "win_rate/b", "win_rate_low/b", "below"), 0.5
    )
    assert [row.figure() for row in rows_of({"m": figures})] == ["win_rate/b", "kl", "puns", "below"]


def test_names_are_listed_as_one_says_them():
    assert SAY.listing(["a"]) == "a"
    assert SAY.listing(["a", "b", "c"]) == "a, b and c"
    assert ZH.listing(["a", "b", "c"]) == "a、b 和 c"


def test_a_running_mean_is_one_of_neighbours():
    assert running_mean(kept([1, 2, 3, 4], [0.0, 3.0, 6.0, 3.0])[1], 3).tolist() == [1.5, 3.0, 4.0, 4.5]


def test_what_is_no_number_is_left_out_of_a_curve():
    x, y = kept([1, 2, 3], [1.0, math.nan, 3.0])
    assert (x.tolist(), y.tolist()) == ([1.0, 3.0], [1.0, 3.0])


def test_a_long_curve_keeps_its_mean():
    x, y = kept(list(range(9000)), list(range(9000)))
    assert len(x) == 300
    assert y.mean() == pytest.approx(4499.5)
