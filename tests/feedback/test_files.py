"""Files into the store and out of it: what goes in comes out, other tools' formats too, and trains as it is."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from feedback.stores import a_store, an_item, as_shown, key, someone

from burnish.cli.main import main
from burnish.data.convert import write
from burnish.data.read import examine, read
from burnish.data.split import prompt_key
from burnish.errors import ConfigError, DataError
from burnish.feedback.database.assignment import Policy
from burnish.feedback.exports import FORMATS, export, heldout_name
from burnish.feedback.imports import import_file
from burnish.feedback.records import Given, Submission
from burnish.feedback.store import Store
from burnish.types import Answer, Group, Message

REAL = Path(__file__).parents[1] / "data/real"
CHAT = (Message("system", "Be brief."), Message("user", "Which?"))
SAMPLED = (
    Answer("x", source="m", tokens=(1, 2), logprobs=(-1.0, -0.5), finished=True),
    Answer("y", source="n", tokens=(3,), logprobs=(-2.0,), finished=False),
)
SURE = {"acceptable": 1, "confidence": 3, "seconds": 4.5, "flags": [["unsafe"], []]}
ODD = {"confidence": 0.75, "flags": ["odd"], "note": "n"}
THREE = (Answer("b"), Answer("c"), Answer("d"))
ROWS = [
    Group("a", THREE, order=((2,), (0, 1)), id="1", extra={"annotator": "ann"}),
    Group("a", THREE, order=((0,), (1,), (2,)), id="1", extra={"annotator": "bob"}),
    Group(CHAT, SAMPLED, order=((1,), (0,)), id="2", extra={"annotator": "ann", **SURE, "tree": "t"}),
    Group("e", (Answer("f"), Answer("g")), order=((0, 1),), id="3", extra=ODD),
]


def what(groups):
    """A group's prompt, answers, order and facts, without who said it."""
    kept = [{n: v for n, v in g.extra.items() if n not in ("annotator", *OURS)} for g in groups]
    return [(g.prompt, g.answers, g.order, extra) for g, extra in zip(groups, kept, strict=True)]


OURS = ("layer", "kind", "propensity", "mode", "weight")


# ---- round trips


@pytest.mark.parametrize("rows", [ROWS, "oasst_rankings", "pandalm_rankings", "pandalm_votes"], ids=str)
def test_rankings_come_out_as_they_went_in(tmp_path, empty, rows):
    path = tmp_path / "in.jsonl"
    if isinstance(rows, str):
        path = REAL / f"{rows}.jsonl"
    else:
        write(rows, "ranking", path)
    before = read(path)
    assert import_file(empty, path)["rankings"] == len(before)
    assert export(empty, tmp_path / "out.jsonl").files == {str(tmp_path / "out.jsonl"): len(before)}
    after = read(tmp_path / "out.jsonl")
    assert what(after) == what(before)
    assert [a.id for b, a in zip(before, after, strict=True) if b.id != b.origin] == [
        b.id for b in before if b.id != b.origin
    ]
    people = {(b.extra.get("annotator"), a.extra.get("annotator")) for b, a in zip(before, after, strict=True)}
    assert len(people) == len({b.extra.get("annotator") for b in before}) == len({alias for _, alias in people})
    assert all((name is None) == (alias is None) for name, alias in people)


def test_what_was_exported_and_imported_again_is_the_same_file(tmp_path, empty):
    write(ROWS, "ranking", tmp_path / "in.jsonl")
    import_file(empty, tmp_path / "in.jsonl")
    export(empty, tmp_path / "once.jsonl")
    with Store.create(tmp_path / "again.db") as again:
        import_file(again, tmp_path / "once.jsonl")
        export(again, tmp_path / "twice.jsonl")
    assert (tmp_path / "twice.jsonl").read_bytes() == (tmp_path / "once.jsonl").read_bytes()


def test_a_persons_ranking_keeps_its_propensity_through_a_file(tmp_path):
    with a_store(tmp_path / "s.db", items=30) as store:
        store.set_uncertainty({f"item-{index}": 1.0 for index in range(3)})
        store.set_policy(Policy(overlap=0, gold=0, repeats=0, active=0.9))
        ann = someone(store)
        for _ in range(5):
            store.submit(ann, store.next_item(ann).id, as_shown(seconds=3.0, confidence=2), key())
        rankings = list(store.rankings())
        export(store, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["kind"], row["propensity"], row["annotator"]) for row in rows] == [
        (ranking.kind, ranking.propensity, ann.alias) for ranking in rankings
    ]
    assert {ranking.propensity for ranking in rankings} - {1.0}
    assert {(row["seconds"], row["confidence"], row["layer"], row["mode"]) for row in rows} == {
        (3.0, 2, "people", "place")
    }
    with Store.create(tmp_path / "again.db") as again:
        import_file(again, tmp_path / "out.jsonl")
        export(again, tmp_path / "twice.jsonl")
    assert (tmp_path / "twice.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()


@pytest.mark.parametrize("ending", ["jsonl", "json", "jsonl.gz"])
@pytest.mark.parametrize("tool", ["label-studio", "argilla"])
def test_other_tools_files_come_back_with_their_orders(tmp_path, empty, tool, ending):
    write(ROWS, "ranking", tmp_path / "in.jsonl")
    import_file(empty, tmp_path / "in.jsonl")
    out = tmp_path / f"out.{ending}"
    made = export(empty, out, tool)
    reading = examine(out)
    assert reading.formats == (tool,)
    sayable = [row for row in ROWS if tool == "argilla" or len(row.order) > 1]
    assert [group.order for group in reading.groups] == [row.order for row in sayable]
    assert [[a.text for a in group.answers] for group in reading.groups] == [
        [a.text for a in r.answers] for r in sayable
    ]
    assert [group.prompt for group in reading.groups] == [row.prompt for row in sayable]
    assert [group.id for group in reading.groups] == [row.id for row in sayable]
    assert [a.source for a in reading.groups[2].answers] == ["m", "n"]
    assert len({group.extra["annotator"] for group in reading.groups[:2]}) == 2
    left = {"all answers tie, which Label Studio's Ranker cannot say": 1} if tool == "label-studio" else {}
    assert dict(made.left_out) == left


@pytest.mark.parametrize("tool", ["label-studio", "argilla"])
def test_what_other_tools_wrote_is_taken_in(tmp_path, empty, tool):
    """The file is the other tool's own form, as this package writes it for that tool and as its reader knows it."""
    write(ROWS[:3], "ranking", tmp_path / "in.jsonl")
    import_file(empty, tmp_path / "in.jsonl")
    export(empty, tmp_path / "theirs.jsonl", tool)
    with Store.create(tmp_path / "again.db") as again:
        assert import_file(again, tmp_path / "theirs.jsonl")["rankings"] == 3
        assert {ranking.layer for ranking in again.rankings()} == {"imported"}
        assert [r.place_K for r in again.rankings()] == [r.place_K for r in empty.rankings()]
        assert [r.annotator for r in again.rankings()] == [r.annotator for r in empty.rankings()]


# ---- what weighs how much


def test_the_pairs_of_a_ranking_weigh_one_together_and_ties_make_none(tmp_path, empty):
    write(ROWS, "ranking", tmp_path / "in.jsonl")
    import_file(empty, tmp_path / "in.jsonl")
    made = export(empty, tmp_path / "out.jsonl", "comparison")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    weights = Counter()
    for row in rows:
        weights[row["id"].split("#")[0], row["annotator"]] += row["weight"]
        assert "acceptable" not in row
        assert "flags" not in row
    assert all(total == pytest.approx(1) for total in weights.values())
    assert Counter(row["id"].split("#")[0] for row in rows) == {"1": 2 + 3, "2": 1}
    assert dict(made.left_out) == {"decides no pair": 1}
    assert [(g.answers[0].text, g.answers[1].text) for g in read(tmp_path / "out.jsonl")[:2]] == [
        ("d", "b"),
        ("d", "c"),
    ]


def test_the_line_of_the_acceptable_gives_labels(tmp_path):
    with a_store(tmp_path / "s.db", items=1, answers=4) as store:
        ann = someone(store)
        assignment = store.next_item(ann)
        store.submit(ann, assignment.id, Submission((("C",), ("A", "D"), ("B",)), acceptable=2), key())
        export(store, tmp_path / "out.jsonl", "judgement")
    groups = read(tmp_path / "out.jsonl")
    good = {group.answers[0].text for group in groups if group.answers[0].label}
    assert good == {assignment.answers[index] for index in (2, 0, 3)}
    assert {group.extra["weight"] for group in groups} == {0.25}


def test_without_the_line_there_is_no_judgement(tmp_path, empty):
    write(ROWS[:2], "ranking", tmp_path / "in.jsonl")
    import_file(empty, tmp_path / "in.jsonl")
    with pytest.raises(DataError, match="no ranking can be said as judgement; no line between acceptable and not"):
        export(empty, tmp_path / "out.jsonl", "judgement")


# ---- two files, layers, checks


@pytest.mark.parametrize("written", [name for name in FORMATS if name != "csv"])  # which burnish does not read
def test_no_prompt_stands_in_both_files(tmp_path, written):
    with a_store(tmp_path / "s.db", items=40) as store:
        store.set_policy(Policy(overlap=1, gold=0, repeats=0))
        for name in ("ann", "bob"):
            who = someone(store, name)
            while (assignment := store.next_item(who)) is not None:
                store.submit(who, assignment.id, as_shown(acceptable=1), key())
        made = export(store, tmp_path / "r.jsonl", written, split=0.25)
    train, held = read(tmp_path / "r.jsonl"), read(tmp_path / "r.heldout.jsonl")
    assert list(made.files) == [str(tmp_path / "r.jsonl"), str(tmp_path / "r.heldout.jsonl")]
    apart, together = {prompt_key(g) for g in held}, {prompt_key(g) for g in train}
    assert not apart & together
    assert len(apart | together) == 40
    assert 2 <= len(apart) <= 20  # 40 draws of a quarter: 10, four deviations wide
    assert heldout_name(Path("a/r.jsonl.gz")) == Path("a/r.heldout.jsonl.gz")


def test_checks_and_judges_are_written_only_when_asked_for(tmp_path):
    with a_store(tmp_path / "s.db", items=40) as store:
        store.add_items([an_item("gold", gold=((0,), (1,), (2,)))])
        store.set_policy(Policy(overlap=0, gold=0.3, repeats=0.3))
        ann = someone(store)
        while (assignment := store.next_item(ann)) is not None:
            store.submit(ann, assignment.id, as_shown(), key())
        store.add_rankings([Given("item-1", ((0,), (1,), (2,)), annotator="rm", layer="judge")])
        kinds = Counter(ranking.kind for ranking in store.rankings(layers=["people"]))
        assert kinds["gold"] == 1
        assert kinds["repeat"] > 0
        made = export(store, tmp_path / "r.jsonl")
        assert made.files[str(tmp_path / "r.jsonl")] == 40
        assert dict(made.left_out) == {
            "gold: written with --checks": 1,
            "repeat: written with --checks": kinds["repeat"],
        }
        assert export(store, tmp_path / "r.jsonl", checks=True).files == {str(tmp_path / "r.jsonl"): kinds.total()}
        export(store, tmp_path / "judge.jsonl", layers=["judge"])
        (row,) = read(tmp_path / "judge.jsonl")
        assert (row.extra["annotator"], row.extra["layer"]) == ("rm", "judge")


def test_nothing_to_write_says_what_there_is(tmp_path, store):
    store.add_rankings([Given("item-1", ((0,), (1,), (2,)), annotator="rm", layer="judge")])
    with pytest.raises(DataError, match="the store has 1 of layer judge; choose with --layer"):
        export(store, tmp_path / "r.jsonl")
    with pytest.raises(ConfigError, match="format: tsv"):
        export(store, tmp_path / "r.jsonl", "tsv")


# ---- commands


def test_the_commands_from_import_to_reward_training(tmp_path, tiny_model, monkeypatch, capsys):
    """The 6 real rankings of OASST and 18 votes of PandaLM; a reward model trains on the export as it is, ties too."""
    monkeypatch.chdir(tmp_path)

    def typed(*words):
        capsys.readouterr()
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    for file, rankings in (("oasst_rankings", 6), ("pandalm_votes", 18)):
        assert typed("rank", "import", str(REAL / f"{file}.jsonl"), "--store", "s.db")["rankings"] == rankings
    assert typed("rank", "import", str(REAL / "pandalm_votes.jsonl"), "--store", "s.db")["items_in_all"] == 12
    assert len(typed("rank", "invite", "--store", "s.db", "ann")["token"]) > 40
    assert typed("rank", "revoke", "--store", "s.db", "ann") == {"annotator": "ann", "ended": 1}
    write([replace(ROWS[0], id="tie"), replace(ROWS[3], id="full tie")], "ranking", "ties.jsonl")
    assert typed("rank", "import", "ties.jsonl", "--store", "s.db")["rankings"] == 2
    made = typed("rank", "export", "--store", "s.db", "--out", "r.jsonl", "--split", "0.2")
    assert sum(made["rows"].values()) == 26
    train = [json.loads(line) for line in Path("r.jsonl").read_text().splitlines()]
    assert any(len(row["ranking"]) < len(row["answers"]) for row in train), "no tie is in what is trained on"
    settings = ("steps=3", "batch_size=4", "max_length=800", "micro_batch_tokens=4096", "template=dialogue")
    words = ["--model", str(tiny_model), "--data", "r.jsonl", "--evaluate-on", "r.heldout.jsonl", "--out", "reward"]
    figures = typed("reward", *words, *(word for pair in settings for word in ("--set", pair)))
    assert figures["step"] == 3
    assert 0 < figures["loss"] < 5


def test_a_judge_fills_the_same_store_and_is_marked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("longest.py").write_text("def score(prompts, answers):\n    return [float(len(a)) for a in answers]\n")
    with a_store(Path("s.db"), items=3) as store:
        who = someone(store)
        store.submit(who, store.next_item(who).id, as_shown(), key())
    words = ["rank", "judge", "--store", "s.db", "--by", "longest:score", "--allow-code", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["added"] == 3
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["known"] == 3
    with closing(Store.open(Path("s.db"))) as store:
        judged = list(store.rankings(layers=["judge"]))
        assert [ranking.place_K for ranking in judged] == [(0, 0, 0)] * 3  # equally long: they tie
        assert {ranking.annotator.split("@")[0] for ranking in judged} == {"longest:score"}
        assert len(list(store.rankings(layers=["people"]))) == 1
    assert main(["rank", "judge", "--store", "s.db", "--by", "longest:score", "--out", "x.jsonl"]) == 64
    assert "name what is ranked and where to" in capsys.readouterr().err


def test_an_import_command_that_is_killed_is_run_again(tmp_path):
    rows = [{"prompt": f"p {n}", "answers": ["b", "c"], "ranking": [0, 1], "annotator": "a"} for n in range(3000)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = "import sys; from burnish.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "rank", "import", "r.jsonl", "--store", "s.db", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while not _items(tmp_path / "s.db"):
            assert process.poll() is None
        process.kill()
    assert 0 < _items(tmp_path / "s.db") < 3000, "the kill came too late to prove anything"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ)
    told = json.loads(done.stdout)
    assert told["items"] + told["items_known"] == told["items_in_all"] == 3000
    assert told["rankings"] + told["rankings_known"] == 3000


def _items(path):
    if not path.exists() or not path.stat().st_size:
        return 0
    with Store.open(path) as store:
        return store.counts()["items"]


def test_a_file_that_is_refused_makes_no_store_and_is_told_how_it_would_be_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text('{"prompt": "p", "answers": ["a", "b"]}\n')
    assert main(["rank", "import", "mine.jsonl", "--store", "s.db"]) == 65
    assert "if they are to be ranked, say --format sample" in capsys.readouterr().err
    assert not Path("s.db").exists()
    assert main(["rank", "import", "mine.jsonl", "--store", "s.db", "--format", "sample"]) == 0
