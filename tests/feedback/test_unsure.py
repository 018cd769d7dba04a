"""What a reward model is unsure of is asked sooner."""

import json
import math
from contextlib import closing
from pathlib import Path

import pytest
from feedback.stores import a_store, as_shown, key, someone

from burnish.cli.main import main
from burnish.feedback.database.schema import connect
from burnish.feedback.scores import scores_of
from burnish.feedback.store import Store
from burnish.feedback.unsure import ask_next, uncertainty


def test_who_cannot_tell_has_an_uncertainty_of_one_bit_and_who_is_certain_none():
    assert uncertainty([[0.5, 0.5, 0.5]]) == pytest.approx(1)
    assert uncertainty([[0.0, 1000.0]]) == uncertainty([[1000.0, 0.0]]) == 0


def test_a_closer_pair_is_less_sure():
    near, far = uncertainty([[0.0, 0.1]]), uncertainty([[0.0, 2.0]])
    assert 0 < far < near < 1


def test_the_entropy_of_three_to_one():
    """s_1 - s_2 = log 3 makes p = 3/4, whose entropy is 2 - 3/4 · log2 3 bits."""
    assert uncertainty([[math.log(3), 0.0]]) == pytest.approx(2 - 0.75 * math.log2(3))


def test_models_that_agree_teach_nothing_however_close_it_is():
    assert uncertainty([[0.5, 0.5], [0.1, 0.1]]) == 0
    assert uncertainty([[3.0, 0.0], [3.0, 0.0]]) == pytest.approx(0)


def test_models_that_are_certain_of_opposites_differ_by_a_whole_bit():
    assert uncertainty([[100.0, 0.0], [0.0, 100.0]]) == pytest.approx(1)


def test_scores_that_are_no_table_are_refused():
    for wrong in ([], [[1.0]], [[1.0, 2.0], [1.0]]):
        with pytest.raises(ValueError, match="one score for each"):
            uncertainty(wrong)


def test_the_least_sure_items_are_asked_next():
    """Scores that differ by 0, 1 and 9: the entropy of σ(0) is one bit."""
    scores = {"sure": [9.0, 0.0], "even": [1.0, 1.0], "some": [1.0, 0.0], "ranked": [0.0, 0.0], "single": [1.0]}
    found = ask_next(scores, ranked=["ranked"], most=2)
    assert [item for item, _ in found] == ["even", "some"]
    assert found[0][1] == 1.0
    assert math.isclose(found[1][1], 0.8405, abs_tol=1e-3)


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Forty samples without an id of their own, in a store."""
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"p {n}", "answers": ["b", "c"], "model": "m", "seed": 0} for n in range(40)]
    Path("answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rank", "import", "answers.jsonl", "--store", "s.db"]) == 0
    return rows


def scored(name: str, rows: list[dict], gap) -> None:
    made = [{**row, "scores": [gap(n), 0.0]} for n, row in enumerate(rows)]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in made))


def kept() -> list[float]:
    """The uncertainties in the store, in the order of the rows."""
    with closing(connect(Path("s.db"))) as raw:
        return [value for (value,) in raw.execute("SELECT uncertainty FROM item ORDER BY item")]


def test_scores_of_the_imported_answers_decide_what_is_asked(answers, capsys):
    """The gap grows with the row's number, so the first rows are the least sure."""
    scored("scored.jsonl", answers, gap=lambda n: 0.1 * n)
    capsys.readouterr()
    assert main(["rank", "unsure", "scored.jsonl", "--store", "s.db", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 40
    assert kept() == sorted(kept(), reverse=True)
    assert kept()[0] == pytest.approx(1)
    with Store.open("s.db") as store:
        who = someone(store)
        store.submit(who, store.next_item(who).id, as_shown(2), key())
        (ranking,) = store.rankings()
    assert ranking.propensity == pytest.approx(1)  # 0.5 + 0.5 · 40/40: fewer than 50, so all are in the top


def test_two_models_are_compared_row_by_row(answers, capsys):
    scored("one.jsonl", answers, gap=lambda n: 5.0)
    scored("two.jsonl", answers, gap=lambda n: -5.0 if n == 7 else 5.0)
    assert main(["rank", "unsure", "one.jsonl", "two.jsonl", "--store", "s.db"]) == 0
    assert [row for row, value in enumerate(kept()) if value > 0.5] == [7]
    scored("two.jsonl", answers[:10], gap=lambda n: 1.0)
    assert main(["rank", "unsure", "one.jsonl", "two.jsonl", "--store", "s.db"]) == 65
    assert "scored 1 times in 2 files" in capsys.readouterr().err


def test_rows_without_scores_or_items_are_told(answers, capsys):
    assert main(["rank", "unsure", "answers.jsonl", "--store", "s.db"]) == 65
    assert "answers.jsonl:1: has no score of each of its answers" in capsys.readouterr().err
    Path("prompts.jsonl").write_text('{"prompt": "p 0"}\n')
    assert main(["rank", "unsure", "prompts.jsonl", "--store", "s.db"]) == 65
    scored("other.jsonl", [{**answers[0], "prompt": "never imported"}], gap=lambda n: 1.0)
    assert main(["rank", "unsure", "other.jsonl", "--store", "s.db"]) == 65
    assert "none of its 1 rows is an item of the store" in capsys.readouterr().err
    scored("other.jsonl", [answers[0], {**answers[0], "prompt": "never imported"}], gap=lambda n: 1.0)
    assert main(["rank", "unsure", "other.jsonl", "--store", "s.db"]) == 65
    assert "other.jsonl:2: no such item in this store: its uncertainty cannot be set" in capsys.readouterr().err
    assert set(kept()) == {None}


def test_one_item_with_two_scores_in_one_file_is_refused(answers, capsys):
    scored("twice.jsonl", [answers[0], answers[0]], gap=lambda n: float(n))
    assert main(["rank", "unsure", "twice.jsonl", "--store", "s.db"]) == 65
    assert "twice.jsonl:2: the same prompt and answers as" in capsys.readouterr().err


def test_one_item_that_is_scored_twice_may_differ_in_the_last_bits(answers):
    scored("twice.jsonl", [answers[0], answers[0]], gap=lambda n: 1.0 + n * 1e-6)
    assert main(["rank", "unsure", "twice.jsonl", "--store", "s.db"]) == 0


def test_a_scale_that_is_no_number_above_0_is_told(answers, capsys):
    for name, wrong in (("score_deviation", 0), ("score_deviation", "1"), ("score_deviation", True)):
        scored("wrong.jsonl", [{**answers[0], name: wrong}], gap=lambda n: 1.0)
        assert main(["rank", "unsure", "wrong.jsonl", "--store", "s.db"]) == 65
        assert "wrong.jsonl:1: score_deviation: must be a number above 0" in capsys.readouterr().err
    row = {**answers[0], "scores_by_member": [[1, 0], [0, 1]], "score_deviation_by_member": [1.0]}
    scored("wrong.jsonl", [row], gap=lambda n: 1.0)
    assert main(["rank", "unsure", "wrong.jsonl", "--store", "s.db"]) == 65
    assert "score_deviation_by_member: one number for each of 2 members is wanted" in capsys.readouterr().err


def test_answers_may_stand_in_another_order_and_under_another_id(answers):
    rows = [{**answers[3], "id": "scored-elsewhere", "answers": ["c", "b"], "scores": [5.0, 0.0]}]
    Path("scored.jsonl").write_text(json.dumps(rows[0]))
    with Store.open("s.db") as store:
        found, others = scores_of(store.items(), "scored.jsonl")
    assert list(found.values()) == [[0.0, 5.0]]
    assert others == []


# ---- the other commands of the lead


def test_the_policy_is_shown_and_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    a_store(Path("s.db")).close()
    assert main(["rank", "policy", "--store", "s.db", "--overlap", "0.5", "--annotators", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "overlap": 0.5, "annotators": 3, "gold": 0.05, "repeats": 0.03, "active": 0.5, "calibration": 5,
    }  # fmt: skip
    assert main(["rank", "policy", "--store", "s.db", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["annotators"] == 3
    assert main(["rank", "policy", "--store", "s.db", "--calibration", "-1"]) == 78
    assert "calibration: -1: choose how many items" in capsys.readouterr().err
    assert main(["rank", "policy", "--store", "s.db", "--overlap", "2"]) == 78
    assert "overlap: 2.0: choose a share from 0 to 1" in capsys.readouterr().err
    with Store.open("s.db") as store:
        (entry,) = store.audit()  # of four commands one changed something
    assert (entry["what"], json.loads(entry["old"])["annotators"], json.loads(entry["new"])["annotators"]) == (
        "policy", 2, 3,
    )  # fmt: skip


def test_the_audit_is_written_oldest_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with a_store(Path("s.db"), items=3) as store:
        who = someone(store)
        store.submit(who, store.next_item(who).id, as_shown(), key())
        store.undo(who)
    assert main(["rank", "audit", "--store", "s.db", "--out", "audit.jsonl"]) == 0
    rows = [json.loads(line) for line in Path("audit.jsonl").read_text().splitlines()]
    assert [row["what"] for row in rows] == ["import", "invite", "redeem", "submit", "undo submit"]
    assert rows[3]["annotator"] == who.alias
    assert json.loads(rows[3]["new"]) == json.loads(rows[4]["old"])
