"""A stage of people: it serves its page until enough is ranked, and what they did is never asked again."""

import json
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen

import pytest
from fault.people import AtTerminal, running_recipe

import burnish.methods.people
from burnish.data.convert import write
from burnish.data.read import read
from burnish.errors import ConfigError, DataError, Interrupted
from burnish.feedback.records import Submission
from burnish.feedback.store import Store
from burnish.methods.rank import RankConfig, rank
from burnish.training.metrics import Figures
from burnish.types import Answer, Group

PROMPTS = 6


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    groups = [
        Group(f"What is {i}?", tuple(Answer(f"{i} is {word}.") for word in ("one", "two", "odd")), id=f"q{i}")
        for i in range(PROMPTS)
    ]
    write(groups, "sample", tmp_path / "answers.jsonl")
    return tmp_path / "answers.jsonl"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at it."""
    monkeypatch.setattr(burnish.methods.people, "at_a_terminal", lambda: True)


def rank_next(path: Path, name: str, *, skip: bool = False) -> bool:
    """What the page does for `name`: take the next item and put the longest answer first."""
    with Store.open(path) as store:
        session = store.redeem(store.invite(name))
        assert session is not None
        found = store.next_item(session.annotator)
        if found is None:
            return False
        if skip:
            store.skip(session.annotator, found.id, "unclear")
            return True
        letters = sorted("ABC", key=lambda letter: -len(found.answers["ABC".index(letter)]))
        store.submit(session.annotator, found.id, Submission(tuple((one,) for one in letters)), str(uuid.uuid4()))
        return True


def ranked_beside(people: Callable[[], None], config: RankConfig, answers: Path, out: Path) -> Figures:
    """The stage's figures, while `people` work. Its thread is its own: Playwright's event loop has the main one."""
    with ThreadPoolExecutor(1) as pool:
        stage = pool.submit(rank, config, out=out, answers=answers, by="people")
        people()
        return stage.result()


def begun_within(out: Path) -> Path:
    """The stage's store, once its items are in it."""
    for _ in range(600):
        if (out / "rankings.db").exists():
            with Store.at(out / "rankings.db") as store:
                if store.counts()["items"] == PROMPTS:
                    return store.path
        time.sleep(0.1)
    raise AssertionError("no store after a minute")


def test_without_a_terminal_it_says_how_the_page_is_served_and_goes_on_when_they_have_ranked(
    answers: Path, tmp_path: Path
):
    config = RankConfig(enough=4, annotators=("ann", "bo"))
    with pytest.raises(
        Interrupted, match=r"0 of 4 rankings .*\n  burnish rank serve --store \S+ --annotator ann --ann"
    ):
        rank(config, out=tmp_path / "ranking", answers=answers, by="people")
    for name in ("ann", "bo", "ann", "bo"):
        assert rank_next(tmp_path / "ranking" / "rankings.db", name)
    figures = rank(config, out=tmp_path / "ranking", answers=answers, by="people")
    assert (figures["rankings"], figures["annotators"]) == (4, 2)
    made = read(tmp_path / "ranking" / "ranking.jsonl", kind="ranking")
    assert all(
        group.answers[group.order[0][0]].text.endswith(("one.", "two.", "odd.")) for group in made if group.order
    )
    assert {group.id for group in made} <= {f"q{i}" for i in range(PROMPTS)}


@pytest.mark.usefixtures("terminal")
def test_the_page_is_served_until_enough_is_ranked(
    answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []

    def people() -> None:
        while not (found := re.search(r"ranks at (\S+)/#t=", "".join(seen))):
            time.sleep(0.05)
        with urlopen(found[1]) as page:  # noqa: S310  its own address
            seen.append(page.read().decode())
        while rank_next(tmp_path / "out" / "rankings.db", "ann"):
            pass

    monkeypatch.setattr(burnish.methods.people, "_tell", seen.append)
    figures = ranked_beside(people, RankConfig(annotators=("ann",)), answers, tmp_path / "out")
    assert figures["rankings"] == PROMPTS
    assert "<html" in "".join(seen)
    assert f"{PROMPTS} of {PROMPTS} rankings" in seen[-1]


@pytest.mark.usefixtures("terminal")
def test_who_skips_the_last_item_does_not_hold_up_the_run(answers: Path, tmp_path: Path):
    def people() -> None:
        store = begun_within(tmp_path / "out")
        for skip in (False, True, True, False, True, True):
            rank_next(store, "ann", skip=skip)

    figures = ranked_beside(people, RankConfig(annotators=("ann",)), answers, tmp_path / "out")
    assert figures["rankings"] == 2


@pytest.mark.usefixtures("terminal")
def test_where_everybody_skipped_everything_the_run_ends_and_says_that_nothing_was_ranked(
    answers: Path, tmp_path: Path
):
    def people() -> None:
        store = begun_within(tmp_path / "out")
        while rank_next(store, "ann", skip=True):
            pass

    with pytest.raises(DataError, match="no ranking of people to write"):
        ranked_beside(people, RankConfig(annotators=("ann",)), answers, tmp_path / "out")


def test_of_many_prompts_some_are_ranked_and_the_same_ones_every_time(answers: Path, tmp_path: Path):
    config = RankConfig(items=3)
    for _ in range(2):
        with pytest.raises(Interrupted, match="0 of 3"):
            rank(config, out=tmp_path / "out", answers=answers, by="people")
    with Store.open(tmp_path / "out" / "rankings.db") as store:
        assert len(list(store.items())) == 3


def test_more_rankings_than_items_are_refused_before_anybody_waits(answers: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="enough: 7 rankings of 6 items"):
        rank(RankConfig(enough=7), out=tmp_path / "out", answers=answers, by="people")


def test_a_run_that_is_killed_while_people_rank_goes_on_with_what_they_did(answers: Path, tmp_path: Path):
    stage = {"method": "rank", "answers": str(answers), "by": "people", "annotators": ["ann"]}
    recipe = {"name": "r", "roots": [str(tmp_path)], "stages": {"ranking": stage}}
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    store = tmp_path / "r" / "ranking" / "rankings.db"
    running = AtTerminal(running_recipe, tmp_path / "r.yaml", tmp_path / "r")
    running.wait(lambda: "loses nothing" in running.told)
    assert "ann ranks at http://127.0.0.1:" in running.told
    for _ in range(4):
        assert rank_next(store, "ann")
    running.kill()
    running = AtTerminal(running_recipe, tmp_path / "r.yaml", tmp_path / "r")
    running.wait(lambda: "loses nothing" in running.told)
    assert "4 of 6 rankings" in running.told
    for _ in range(2):
        assert rank_next(store, "ann")
    running.end()
    assert len(read(tmp_path / "r" / "ranking" / "ranking.jsonl", kind="ranking")) == PROMPTS
