"""What a file brings into the store, and what is refused, with its line."""

import json

import pytest
from feedback.stores import as_shown, key, someone

from burnish.data.convert import write
from burnish.data.read import read
from burnish.errors import DataError
from burnish.feedback.exports import export
from burnish.feedback.imports import import_file
from burnish.types import Answer, Group


def test_samples_become_items_with_their_lineage(tmp_path, empty):
    row = {
        "prompt": "p",
        "answers": ["b", "c"],
        "tokens": [[1], [2]],
        "model": "m@abc",
        "seed": 4,
        "finished": [True, False],
    }
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n")
    assert import_file(empty, tmp_path / "answers.jsonl") == {
        "items": 1, "items_known": 0, "rankings": 0, "rankings_known": 0, "left_out_all_alike": 0,
    }  # fmt: skip
    (item,) = empty.items()
    assert [answer.source for answer in item.group.answers] == ["m@abc", "m@abc"]
    assert (item.group.extra, item.group.answers[1].tokens) == ({"model": "m@abc", "seed": 4}, (2,))
    ann = someone(empty)
    empty.submit(ann, empty.next_item(ann).id, as_shown(2), key())
    export(empty, tmp_path / "out.jsonl")
    (group,) = read(tmp_path / "out.jsonl", kind="ranking")
    assert [answer.tokens for answer in group.answers] == [(1,), (2,)]
    assert (group.extra["model"], group.extra["seed"]) == ("m@abc", 4)


def test_samples_that_are_all_alike_are_left_out_and_counted(tmp_path, empty):
    row = {"prompt": "p", "model": "m", "seed": 0}
    rows = [{**row, "answers": ["b", "b"]}, {**row, "answers": ["b", "b", "c"]}]
    rows.append({"prompt": "q", "answers": ["b", "b"], "model": "m", "seed": 0})
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = import_file(empty, tmp_path / "answers.jsonl")
    assert (made["items"], made["left_out_all_alike"]) == (1, 2)
    tied = {"prompt": "r", "answers": ["b", "b"], "ranking": [[0, 1]]}  # somebody ranked it: it stays
    (tmp_path / "ranked.jsonl").write_text(json.dumps(tied) + "\n")
    assert import_file(empty, tmp_path / "ranked.jsonl")["rankings"] == 1


def test_gold_comes_by_option_or_by_field(tmp_path, empty):
    ranked = Group("a", (Answer("b"), Answer("c"), Answer("d")), order=((2,), (0, 1)), id="1")
    write([ranked], "ranking", tmp_path / "gold.jsonl")
    assert import_file(empty, tmp_path / "gold.jsonl", gold=True)["rankings"] == 0
    row = {"id": "z", "prompt": "z", "answers": ["b", "c"], "model": "m", "seed": 0, "gold": [[1], [0]]}
    (tmp_path / "one.jsonl").write_text(json.dumps(row) + "\n")
    import_file(empty, tmp_path / "one.jsonl")
    assert [item.gold for item in empty.items()] == [((2,), (0, 1)), ((1,), (0,))]
    (tmp_path / "bad.jsonl").write_text(json.dumps({**row, "id": "y", "gold": [[1]]}) + "\n")
    with pytest.raises(DataError, match=r"bad.jsonl:1: gold: answer 0 is not ranked"):
        import_file(empty, tmp_path / "bad.jsonl")


def test_rows_that_cannot_be_ranked_are_told_with_their_line(tmp_path, empty):
    rows = [{"prompt": "p", "answers": [str(i) for i in range(n)], "model": "m", "seed": 0} for n in (3, 10)]
    (tmp_path / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"many.jsonl:2: 10 answers; to rank there must be 2 to 9"):
        import_file(empty, tmp_path / "many.jsonl")
    assert empty.counts()["items"] == 0
    assert import_file(empty, tmp_path / "many.jsonl", task="pick")["items"] == 2
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(DataError, match="holds prompt records"):
        import_file(empty, tmp_path / "p.jsonl")
    clash = [{"id": 1, "prompt": p, "answers": ["b", "c"], "ranking": [0, 1]} for p in ("p", "q")]
    (tmp_path / "clash.jsonl").write_text("".join(json.dumps(row) + "\n" for row in clash))
    with pytest.raises(DataError, match=r"clash.jsonl:2: id 1 has another prompt.*than .*clash.jsonl:1 has"):
        import_file(empty, tmp_path / "clash.jsonl")


def test_bad_rows_are_skipped_when_asked_and_written_beside_the_store(tmp_path, empty):
    good = [{"prompt": f"p {n}", "answers": ["b", "c"], "ranking": [0, 1]} for n in range(200)]
    bad = {"prompt": "p", "answers": ["b", "c"], "ranking": [0, 0]}
    (tmp_path / "else").mkdir()
    file = tmp_path / "else/rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (*good, bad)))
    with pytest.raises(DataError, match=r"rows.jsonl:201: ranking: answer 0 stands 2 times"):
        import_file(empty, file)
    assert empty.counts()["items"] == 0
    assert import_file(empty, file, on_bad_row="skip")["items"] == 200
    (kept,) = (tmp_path / "rows.rejected.jsonl").read_text().splitlines()
    assert json.loads(kept)["row"] == bad
    assert [path.name for path in (tmp_path / "else").iterdir()] == ["rows.jsonl"]
