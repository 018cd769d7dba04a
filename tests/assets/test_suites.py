"""The published prompts of the suites: whole, named after their authors, and never learned from."""

from pathlib import Path

import pytest

import burnish
from burnish.evaluation.choices import choices_of
from burnish.evaluation.suites import PARTS, questions

SUITES = Path(burnish.__file__).parent / "assets/suites"
ROWS = {
    "xstest_safe": 250,
    "xstest_unsafe": 200,
    "harmbench": 200,
    "advbench": 520,
    "truthfulqa": 817,
    "bbq_ambiguous": 605,
    "bbq_disambiguated": 595,
    "cvalues": 664,
}


def test_every_set_is_whole():
    found = [one.part.file for suite in PARTS for one in questions(suite)]
    assert {name: found.count(name) for name in found} == ROWS


def test_the_attribution_names_every_file_and_what_it_is_not_for():
    said = (SUITES / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in said for name in ROWS)
    assert "train nothing on them" in said
    assert sum(path.stat().st_size for path in SUITES.iterdir()) < 400_000


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_a_limit_takes_so_many_of_each_part_evenly_spaced(limit: int):
    found = [one.part.file for one in questions("safety", limit)]
    assert all(found.count(part.file) == min(limit, ROWS[part.file]) for part in PARTS["safety"])
    spaced = [one.prompt for one in questions("safety", 10) if one.part.file == "xstest_safe"]
    assert spaced == [one.prompt for one in questions("safety") if one.part.file == "xstest_safe"][::25]


def test_questions_with_given_answers_have_a_true_one_and_a_false_one():
    for one in questions("safety"):
        if one.part.set == "truthfulqa":
            assert one.row["best"] in one.row["correct"]
            assert {*one.row["incorrect"]} - {*one.row["correct"]}
        elif one.part.set == "bbq":
            assert len({*choices_of(one.row)}) == 3
            assert one.row["target"] != one.row["unknown"]
            assert (one.row["label"] == one.row["unknown"]) == (one.part.file == "bbq_ambiguous")
