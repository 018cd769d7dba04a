"""How far people agree is in the report of a run in which people ranked; the store is left as it was."""

import json
from hashlib import sha256

import pytest
from evaluation.report.made_up import ORDERS, VOTES, voted_on, write_votes
from evaluation.report.pages import changed, page_of

from burnish.data.convert import write
from burnish.types import Group

ALIKE = (1 / 3 + 1 + 1 / 3 + 1) / 4
"""Of three pairs of people one agrees on i and on k, all on j and l."""


def test_agreement_of_a_stage_of_people_is_told_with_intervals(run_folder):
    text = page_of(write_votes(run_folder)).text
    assert "3 annotators made 12 rankings of 4 items, 4 of which two or more ranked." in text
    assert f"Pairs said alike a tie is a verdict of its own {100 * ALIKE:.0f}\u202f%" in text
    assert "Krippendorff's α of pairs, ordinal" in text
    assert "4 items" in text
    assert "median s" in text


def test_the_store_is_not_touched(run_folder):
    write_votes(run_folder)
    there = {path: sha256(path.read_bytes()).hexdigest() for path in (run_folder / "ranking").iterdir()}
    page_of(run_folder)
    assert {path: sha256(path.read_bytes()).hexdigest() for path in (run_folder / "ranking").iterdir()} == there


def test_of_one_annotator_it_is_said_that_nothing_tells(run_folder):
    text = page_of(write_votes(run_folder, people=1)).text
    assert "No item was ranked by two people" in text
    assert "Krippendorff" not in text


@pytest.mark.parametrize("people", [1, 3])
def test_rankings_from_a_file_tell_it_where_they_name_several_people(run_folder, people):
    rows = [
        Group(made.prompt, made.answers, order=ORDERS[vote], id=f"{name}{who}", extra={"annotator": f"person {who}"})
        for name, given in VOTES.items()
        for made in [voted_on(name)]
        for who, vote in enumerate(given[:people])
    ]
    write(rows, "ranking", run_folder / "ranking/ranking.jsonl")
    changed(run_folder / "lock.json", lambda lock: lock["stages"]["ranking"].update(inputs={"data": ["votes.jsonl"]}))
    text = page_of(run_folder).text
    assert (f"own {100 * ALIKE:.0f}\u202f%" in text) == (people == 3)


def test_a_judges_rankings_are_nobodys_agreement(run_folder):
    (run_folder / "ranking/ranking.jsonl").write_text(json.dumps({"prompt": "p", "answers": ["a", "b"]}))
    assert "How far the people agree" not in page_of(run_folder).text


def test_a_damaged_store_costs_only_its_section(run_folder, capsys):
    (run_folder / "ranking/rankings.db").write_bytes(b"not a database" * 100)
    text = page_of(run_folder).text
    assert "Could not be made: the agreement of the people" in text
    assert "best, dpo and ppo answer better than sft" in text
    assert "agreement of the people could not be made" in capsys.readouterr().err
