"""Rankings as CSV: every fact of a ranking beside each of its answers, and nothing that a spreadsheet would run."""

import csv
from pathlib import Path

from feedback.stores import a_store, as_shown, key, someone

from burnish.cli.main import main
from burnish.feedback.records import Item, Submission
from burnish.types import Answer, Group, Message


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_an_answer_of_a_ranking_with_who_made_it_and_how(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with a_store(tmp_path / "s.db", items=1) as store:
        ann = someone(store)
        told = Submission((("B",), ("A", "C")), acceptable=1, confidence=3, flags={"B": ("broken",)}, seconds=7.5)
        store.submit(ann, store.next_item(ann).id, told, key())
        (ranking,) = store.rankings()
    assert main(["rank", "export", "--store", str(tmp_path / "s.db"), "--format", "csv", "--out", "r.csv"]) == 0
    rows = rows_of(Path("r.csv"))
    assert [int(row["place"]) - 1 for row in rows] == list(ranking.place_K)
    assert [row["answer"] for row in rows] == ["1", "2", "3"]
    assert [row["acceptable"] for row in rows] == [str(place == 0).lower() for place in ranking.place_K]
    assert [row["flags"] for row in rows] == ["broken" if place == 0 else "" for place in ranking.place_K]
    shared = {"annotator": ann.alias, "confidence": "3", "seconds": "7.5", "propensity": "1.0", "layer": "people"}
    for row in rows:
        assert shared.items() <= row.items()


def test_no_cell_begins_a_formula_and_texts_come_back_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = ("=1+1", "+x", "-y", "@sum", "\t=1", 'a "quoted", line\nand another')
    prompt = (Message("user", "=cmd()"),)
    with a_store(tmp_path / "s.db") as store:
        store.add_items([Item(Group(prompt, tuple(map(Answer, texts)), id="=item"))])
        ann = someone(store)
        store.submit(ann, store.next_item(ann).id, as_shown(6), key())
    assert main(["rank", "export", "--store", str(tmp_path / "s.db"), "--format", "csv", "--out", "r.csv"]) == 0
    rows = rows_of(Path("r.csv"))
    assert [row["text"] for row in rows] == [*(f"'{text}" for text in texts[:5]), texts[5]]
    assert {row["item"] for row in rows} == {"'=item"}
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values())
