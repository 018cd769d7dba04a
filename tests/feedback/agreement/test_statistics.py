"""`rank stats` on real stores: what people, files and judges put in comes out as figures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from feedback.ranked import ranking
from feedback.stores import Clock, a_store, an_item, as_shown, key, someone

from burnish.cli.main import main
from burnish.data.convert import write
from burnish.data.read import read
from burnish.errors import ConfigError, DataError
from burnish.feedback.agreement.bootstrap import Bootstrap
from burnish.feedback.agreement.statistics import curve_of, statistics
from burnish.feedback.records import Given, Item, Submission
from burnish.feedback.store import Store
from burnish.types import Answer, Group

DRAWS = Bootstrap(resamples=50)

VOTES = {  # item → verdicts of three people: the first better, the second, a tie
    "i": "112",
    "j": "111",
    "k": "220",
    "l": "222",
}
ORDERS = {"1": ((0,), (1,)), "2": ((1,), (0,)), "0": ((0, 1),)}


@pytest.fixture
def voted(tmp_path: Path) -> Path:
    """A store with the votes above as rankings that came along with a file, answers by two systems."""
    path = tmp_path / "votes.db"
    with Store.create(path) as store:
        answers = (Answer("short", source="small"), Answer("rather longer", source="large"))
        store.add_items(Item(Group(f"prompt {name}", answers, id=name)) for name in VOTES)
        store.add_rankings(
            Given(name, ORDERS[vote], annotator=f"person {who}")
            for name, votes in VOTES.items()
            for who, vote in enumerate(votes)
        )
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["rank", "stats", "--resamples", "20", *arguments]) == 0
    return capsys.readouterr().out


def test_one_object_holds_every_figure(voted, capsys):
    found = json.loads(run(capsys, "--store", str(voted), "--json"))
    assert (found["rankings"], found["items"], found["items_with_two"]) == (12, 4, 4)
    assert found["layers"] == {"imported": 12}
    assert found["pairs"]["with_ties"]["value"] == pytest.approx((1 / 3 + 1 + 1 / 3 + 1) / 4)
    assert found["pairs"]["without_ties"]["value"] == pytest.approx((1 / 3 + 1 + 1 + 1) / 4)
    assert found["ceiling"]["value"] == pytest.approx((1 / 3 + 1 + 3 / 4 + 1) / 4)
    assert len(found["annotators"]) == 3
    assert found["systems"]["strengths"]["small"]["won"] == found["systems"]["strengths"]["large"]["lost"] == 5
    assert [dispute["item"] for dispute in found["disputes"]] == ["i"]
    assert found["line"].startswith("annotator–annotator ceiling 77.1 % [")


def test_the_terminal_shows_tables_and_the_line_last(voted, capsys):
    shown = run(capsys, "--store", str(voted)).splitlines()
    assert shown[0] == "12 rankings of 4 items by 3 annotators, 4 items by two or more"
    assert shown[-1].startswith("annotator–annotator ceiling 77.1 % [")
    assert any(line.split()[:4] == ["large", "6", "1", "5"] for line in shown)
    assert "position and length" in shown


def test_the_same_command_gives_the_same_intervals_and_another_seed_others(voted, capsys):
    first, again, other = (run(capsys, "--store", str(voted), "--json", "--seed", seed) for seed in ("1", "1", "2"))
    assert first == again != other


def test_a_judge_is_left_out_until_asked_for_and_then_stands_beside_people(voted, capsys):
    with Store.open(voted) as store:
        store.add_rankings([Given(name, ORDERS["1"], annotator="reward", layer="judge") for name in VOTES])
    alone = json.loads(run(capsys, "--store", str(voted), "--json"))
    beside = json.loads(run(capsys, "--store", str(voted), "--json", "--layer", "imported", "--layer", "judge"))
    assert (len(alone["annotators"]), len(beside["annotators"])) == (3, 4)
    assert beside["layers"] == {"imported": 12, "judge": 4}
    assert len(beside["two_annotators"]) == 6


def scored(tmp_path: Path, rows: list[dict]) -> Path:
    file = tmp_path / "scored.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_scores_set_the_model_beside_people_whatever_the_order_of_rows_and_answers(voted, tmp_path, capsys):
    """The model prefers the first answer of i and j, the second of l; k was not scored."""
    first = {"answers": ["rather longer", "short"], "scores": [0.0, 1.0]}
    rows = [{"prompt": "prompt l", "answers": ["short", "rather longer"], "scores": [0.0, 1.0]}]
    rows += [{"prompt": f"prompt {name}", **first} for name in "ji"]
    found = json.loads(run(capsys, "--store", str(voted), "--json", "--scores", str(scored(tmp_path, rows))))
    assert found["beside"]["model"]["value"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found["beside"]["people"]["value"] == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert found["beside"]["verdicts"] == 9
    assert found["line"].startswith("reward model 88.9 % [")


def test_from_a_file_of_votes_to_the_line_by_commands_alone(tmp_path, capsys):
    """Import votes, export rankings, score what was exported, set the scores beside people."""
    votes, store, exported = tmp_path / "votes.jsonl", str(tmp_path / "votes.db"), tmp_path / "ranked.jsonl"
    answers = {"answers": ["short", "rather longer"], "systems": ["small", "large"]}
    rows = [{"id": n, "prompt": f"question {n}", **answers, "votes": [1, 1, 2 - n % 2]} for n in range(8)]
    votes.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rank", "import", str(votes), "--store", store]) == 0
    assert main(["rank", "export", "--store", store, "--out", str(exported)]) == 0
    capsys.readouterr()
    groups = [
        replace(one, answers=tuple(replace(answer, score=-float(len(answer.text))) for answer in one.answers))
        for one in read(exported, kind="ranking")
    ]
    write(groups, "sample", tmp_path / "scored.jsonl")  # as `burnish score` writes
    told = run(capsys, "--store", store, "--json", "--scores", str(tmp_path / "scored.jsonl"))
    found = json.loads(told)
    assert "NaN" not in told
    assert (found["rankings"], found["items"]) == (24, 8)
    assert found["beside"]["model"]["value"] == pytest.approx((4 * 1 + 4 * 2 / 3) / 8)
    assert found["beside"]["people"]["value"] == pytest.approx((4 * 1 + 4 * 1 / 3) / 8)
    assert found["systems"]["strengths"]["small"]["won"] == 20
    assert found["length"]["longer_wins"]["value"] == pytest.approx(4 / 24)


def test_a_curve_foretells_what_more_rankings_bring(voted, tmp_path, capsys):
    rows = [{"rankings": n, "accuracy": 0.7 - n**-0.5, "low": 0.5, "high": 0.9} for n in (100, 400, 1600)]
    file = scored(tmp_path, rows)
    found = json.loads(run(capsys, "--store", str(voted), "--json", "--curve", str(file), "--more", "400"))
    assert found["curve"]["gain"]["value"] == pytest.approx(1600**-0.5 - 2000**-0.5, rel=1e-3)
    assert "; 400 more rankings expected to give +0.3 points [" in found["line"]


@pytest.mark.parametrize(
    "text", ['{"rankings": 5}', "no JSON", "[1]", '{"rankings": "x", "accuracy": 1, "low": 0, "high": 1}']
)
def test_a_curve_names_the_row_that_it_cannot_read(tmp_path, text):
    file = tmp_path / "curve.jsonl"
    file.write_text("\n" + text + "\n")
    with pytest.raises(DataError, match=r"curve\.jsonl:2: expected"):
        curve_of(file, DRAWS)


def test_an_empty_curve_is_too_short(tmp_path):
    (tmp_path / "curve.jsonl").write_text("")
    with pytest.raises(ConfigError, match="three or more"):
        curve_of(tmp_path / "curve.jsonl", DRAWS)


def test_what_people_did_on_the_page_is_in_the_figures(tmp_path):
    """Two annotators rank six items, half a minute each; both always put first what stands first."""
    clock = Clock()
    with a_store(tmp_path / "people.db", clock=clock) as store:
        store.add_items(an_item(f"item-{n}", answers=2) for n in range(6))
        for name in ("ann", "bob"):
            who = someone(store, name)
            while (given := store.next_item(who)) is not None:
                clock.now += 30
                store.submit(who, given.id, as_shown(2, seconds=20.0, acceptable=0), key())
        found = statistics(store.rankings(), DRAWS)
    assert set(found.layers) == {"people"}
    for one in found.annotators.values():
        assert one.conduct.active_items_an_hour == pytest.approx(120)
        assert one.conduct.median_seconds == 20.0
        assert one.conduct.none_acceptable_rate == 1.0
    assert found.position.wins == {"A": found.rankings, "B": 0}
    assert set(found.systems.strengths) == {"model-0", "model-1"}


def test_the_terminal_names_people_and_what_leaves_the_store_has_aliases(tmp_path, capsys):
    with a_store(tmp_path / "people.db", items=1) as store:
        for name in ("ann", "bob"):
            who = someone(store, name)
            if (given := store.next_item(who)) is not None:
                store.submit(who, given.id, as_shown(3), key())
        aliases = {one.annotator for one in store.rankings()}
    shown = run(capsys, "--store", str(tmp_path / "people.db"))
    told = run(capsys, "--store", str(tmp_path / "people.db"), "--json")
    assert any(line.split()[:2] == ["ann", "1"] for line in shown.splitlines())
    assert not any(alias in shown for alias in aliases)
    assert set(json.loads(told)["annotators"]) == aliases
    assert '"ann"' not in told


def test_how_somebody_practised_is_one_line_of_its_own(tmp_path, capsys):
    """One of two gold items is practised on, ranked as its key says: three pairs of three."""
    with a_store(tmp_path / "people.db", items=2) as store:
        store.add_items(an_item(f"gold-{n}", gold=((0,), (1,), (2,))) for n in range(2))
        who = someone(store)
        given = store.next_item(who)
        order = tuple(("ABC"[[text[-1] for text in given.answers].index(str(n))],) for n in range(3))
        store.submit(who, given.id, Submission(order), key())
        store.submit(who, store.next_item(who).id, as_shown(3), key())
    shown = run(capsys, "--store", str(tmp_path / "people.db"))
    practice = shown.split("practice beside the orders known to be right (in no other figure)\n")[1]
    assert [line.split() for line in practice.splitlines()[:2]] == [["items", "pairs", "right"], ["ann", "1", "3/3"]]
    assert shown.startswith("1 rankings of 1 items")


def test_insertion_questions_reach_transitivity(tmp_path):
    with a_store(tmp_path / "people.db") as store:
        store.add_items([an_item("one", answers=3)])
        who = someone(store)
        given = store.next_item(who)
        questions = (("A", "B", ">"), ("B", "C", ">"), ("A", "C", "<"))
        submission = Submission(order=(("A",), ("B",), ("C",)), mode="insertion", comparisons=questions)
        store.submit(who, given.id, submission, key())
        (one,) = statistics(store.rankings(), DRAWS).annotators.values()
    assert (one.conduct.transitivity, one.conduct.redundant_questions) == (0.0, 1)


def test_without_rankings_there_is_nothing_to_tell(tmp_path, capsys):
    with Store.create(tmp_path / "empty.db") as store:
        store.add_items([an_item("one")])
    assert main(["rank", "stats", "--store", str(tmp_path / "empty.db")]) == 65
    assert "no rankings of imported, people" in capsys.readouterr().err


def test_an_unknown_layer_and_a_missing_store_are_named(voted, tmp_path, capsys):
    assert main(["rank", "stats", "--store", str(voted), "--layer", "robots"]) == 64
    assert "there is no layer robots; choose of people, judge, imported, adjudicated" in capsys.readouterr().err
    assert main(["rank", "stats", "--store", str(tmp_path / "none.db")]) == 66


def test_an_adjudicated_item_leaves_the_queue():
    disputed = [ranking("i", "ann", (0, 1)), ranking("i", "bob", (1, 0))]
    assert len(statistics(disputed, DRAWS).disputes) == 1
    assert statistics([*disputed, ranking("i", "lead", layer="adjudicated")], DRAWS).disputes == []
