"""A language model with a rubric ranks a store's items, beside the people and marked as who it is."""

import json
from pathlib import Path

from rewards.served import chat_reply, serving

from burnish.cli.main import main
from burnish.feedback.store import Store


def prefers_later_letters(handler, question):
    """Whichever answer's first letter comes later in the alphabet."""
    asked = question["messages"][0]["content"]
    first, second = (asked.split(f"answer {letter} begins\n")[1][0] for letter in "AB")
    chat_reply(handler, "A" if first > second else "B")


def test_a_judge_fills_the_store_in_its_own_layer_under_its_name_and_rubric(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"p {n}", "answers": ["a", "c", "b"], "model": "m", "seed": 0} for n in range(4)]
    Path("answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("kind.md").write_text("Later letters are kinder.")
    assert main(["rank", "import", "answers.jsonl", "--store", "s.db"]) == 0
    with serving(prefers_later_letters) as (url, _):

        def judge(rubric: str) -> int:
            by = json.dumps({"judge": f"{url}?token=hush", "rubric": rubric, "name": "later"})
            return main(["rank", "judge", "--store", "s.db", "--by", by])

        assert judge("kind.md") == judge("kind.md") == judge("Another rubric.") == 0
    with Store.open("s.db") as store:
        found = list(store.rankings())
    assert {one.layer for one in found} == {"judge"}
    assert {one.place_K for one in found} == {(2, 0, 1)}
    assert len(found) == 8  # asked the same again it adds nothing; with another rubric it is another judge
    assert len({one.annotator for one in found}) == 2
    capsys.readouterr()
    assert main(["rank", "stats", "--store", "s.db", "--layer", "judge", "--json"]) == 0
    told = capsys.readouterr().out
    assert '"rankings": 8' in told.replace("8.0", "8")
    assert b"hush" not in Path("s.db").read_bytes()


def test_a_by_in_braces_that_is_no_yaml_is_told(capsys):
    assert main(["rank", "judge", "--answers", "a.jsonl", "--out", "r.jsonl", "--by", "{judge: m, rubric: a: b}"]) == 64
    assert "--by" in capsys.readouterr().err
