"""Beyond rankings: people pick the answer that rejection sampling learns, and compare the models of an evaluation."""

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any

import pytest
from feedback.served import signed_in

import burnish.evaluation.told_apart
import burnish.feedback.store
import burnish.methods.people
from burnish.errors import ConfigError, DataError, Interrupted
from burnish.evaluation.sentence import with_sentences
from burnish.feedback.page.shown import visible
from burnish.feedback.store import Store
from burnish.methods.evaluate import EvaluateConfig, evaluate
from burnish.methods.picking import most_picked, picked
from burnish.methods.reject import reject
from burnish.methods.reject_settings import RejectConfig
from burnish.rollout.settings import Sampling
from burnish.types import Answer, Group

PROMPTS = [Group(f"{i} is ", origin=f"prompts:{i + 1}") for i in range(6)]
SHORT = Sampling(max_new_tokens=6)
PICKING = RejectConfig(samples=3, epochs=1, max_length=32, sampling=SHORT)
Decide = Callable[[dict[str, Any]], dict[str, Any]]
"""What is sent of an item: its order, and what else is said of it."""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> "Page":
    """Somebody sits at the terminal and reads what is told there."""
    found = Page()
    monkeypatch.setattr(burnish.methods.people, "at_a_terminal", lambda: True)
    monkeypatch.setattr(burnish.methods.people, "_tell", found.tell)
    return found


class Page:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.links: SimpleQueue[str] = SimpleQueue()

    def tell(self, text: str) -> None:
        self.told.append(text)
        if "/#t=" in text:
            self.links.put(text.split()[-1])

    def beside(self, stage: Callable[[], Any], decide: Decide) -> Any:
        """What `stage` returns, while a visitor decides over HTTP, on each page that it serves."""
        links = self.links = SimpleQueue()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(stage)
            running.add_done_callback(lambda _: links.put(""))
            while link := links.get(timeout=120):
                self._visited(link, decide)
            return running.result()

    def _visited(self, link: str, decide: Decide) -> None:
        visitor = signed_in(link)
        with suppress(ConnectionError):  # once the stage has enough, it closes its page
            while (item := visitor.next()) is not None:
                try:
                    sent = {"assignment": item["id"], "key": str(uuid.uuid4()), **decide(item)}
                except Exception:
                    while (left := visitor.next()) is not None:  # else the stage would wait for ever
                        visitor.post("/api/skip", {"assignment": left["id"], "reason": "other"})
                    raise
                assert visitor.post("/api/submit", sent)[0] == 200


def longest(item: dict[str, Any]) -> dict[str, Any]:
    """Picks the longest answer; of a prompt with a 3 none is good enough."""
    letters = [chr(65 + at) for at in range(len(item["answers"]))]
    if "3" in item["prompt"][0]["text"]:
        return {"order": [letters], "acceptable": 0, "mode": "pick"}
    best = max(letters, key=lambda letter: (len(item["answers"][ord(letter) - 65]), letter))
    rest = [letter for letter in letters if letter != best]
    return {"order": [[best], rest], "mode": "pick"}


def test_people_pick_the_answers_that_are_learned(tiny_model: Path, tmp_path: Path, page: Page):
    def stage() -> Any:
        return reject(tiny_model, PROMPTS, PICKING, by="people", out=tmp_path)

    figures = page.beside(stage, longest)
    assert (figures["picked"], figures["none_good"], figures["annotators"]) == (5.0, 1.0, 1.0)
    folder = tmp_path / "rounds" / "1"
    kept = json.loads((folder / "kept.json").read_text())["kept"]
    assert [row["prompt"] for row in kept] == [0, 1, 2, 4, 5]
    with Store.open(folder / "rankings.db") as store:
        items = {item.group.id: item.group for item in store.items()}
        best = {one.item: one.place_K.index(0) for one in store.rankings() if one.acceptable is None}
    for row in kept:
        group = items[f"prompt-{row['prompt'] + 1}"]
        assert group.answers[best[group.id]].tokens == tuple(row["tokens"])
        assert len(group.extra["model"]) == 64  # the hash of the weights that wrote it, which no page shows
    flagged = [json.loads(line) for line in (folder / "flagged.jsonl").read_text().splitlines()]
    assert [(row["prompt"], row["flags"]) for row in flagged] == [(PROMPTS[3].prompt, ["none_good"])]
    assert any("pick" in line and "6 of 6" in line for line in page.told)
    assert stage() == figures, "what is done is not asked again"


def test_a_pick_counts_where_more_people_picked_it_than_found_none_good():
    said = [("a", 2), ("a", None), ("b", 1), ("b", 0), ("b", 0), ("c", None), ("d", 1), ("d", 0)]
    assert most_picked(said) == {"a": None, "b": 0, "c": None, "d": 1}
    assert (picked([1, 0, 1]), picked([0, 0, 0])) == (1, None)


def test_where_no_answer_is_good_enough_nothing_is_learned(tiny_model: Path, tmp_path: Path, page: Page):
    def refuse(item: dict[str, Any]) -> dict[str, Any]:
        return longest(item | {"prompt": [{"text": "3"}]})

    with pytest.raises(DataError, match="none of 2 prompts' answers good enough"):
        page.beside(lambda: reject(tiny_model, PROMPTS[:2], PICKING, by="people", out=tmp_path), refuse)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"keep": 2}, "people pick one answer"),
        ({"samples": 17}, "people pick among 16"),
        ({"enough": 7}, "7 picks of"),
        ({"threshold": 1.0}, "people give no score"),
        ({"learn": "dpo"}, "say nothing of the worst"),
    ],
)
def test_what_people_cannot_pick_among_is_refused(tiny_model: Path, tmp_path: Path, changed: dict[str, Any], told: str):
    with pytest.raises(ConfigError, match=told):
        reject(tiny_model, PROMPTS, PICKING.model_copy(update=changed), by="people", out=tmp_path)


# ---- evaluation


def test_people_say_which_model_answers_better_and_what_was_measured_is_not_measured_again(
    tiny_model: Path,
    other_model: Path,
    tmp_path: Path,
    page: Page,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    config = EvaluateConfig(max_length=32, sampling=SHORT, annotators=("ann",))
    models = {"first": tiny_model, "same": tiny_model, "other": other_model}

    def stage() -> Any:
        return evaluate(models, PROMPTS, config, by="people", out=tmp_path)

    monkeypatch.setattr(burnish.methods.people, "at_a_terminal", lambda: False)
    with pytest.raises(Interrupted, match=r"0 of \d verdicts .*\n  burnish rank serve --store \S+ --annotator ann"):
        stage()
    assert "evaluate: other" in capsys.readouterr().err
    monkeypatch.setattr(burnish.methods.people, "at_a_terminal", lambda: True)
    with Store.open(tmp_path / "rankings.db") as store:
        wrote = {(visible(a.text), i.group.prompt): a.source for i in store.items() for a in i.group.answers}
        asked = {item.group.prompt for item in store.items()}  # where both models say the same, nobody is asked
    assert len(asked) >= 4

    def prefers_other(item: dict[str, Any]) -> dict[str, Any]:
        """The other model's answer; of the first two prompts, neither."""
        prompt = item["prompt"][0]["text"]
        who = [wrote[text, prompt] for text in item["answers"]]
        if prompt[0] in "01":
            return {"order": [["A", "B"]], "mode": "pair"}
        return {"order": [["A"], ["B"]] if who[0] == "other" else [["B"], ["A"]], "mode": "pair"}

    figures = page.beside(stage, prefers_other)
    assert "evaluate: " not in capsys.readouterr().err
    won = [1.0 if group.prompt in asked and group.prompt[0] not in "01" else 0.5 for group in PROMPTS]
    assert figures["other"]["win_rate"] == pytest.approx(sum(won) / 6)
    assert figures["other"]["win_rate_low"] < figures["other"]["win_rate"] < figures["other"]["win_rate_high"]
    assert (figures["other"]["verdicts"], figures["same"]["verdicts"]) == (len(asked), 0.0)
    assert figures["same"]["win_rate"] == 0.5, "equal answers tie, and nobody is asked"
    assert figures["other"]["judge_mean"] is None
    assert figures["other"]["kl"] > 0
    written = json.loads((tmp_path / "verdict.json").read_text())
    assert written == with_sentences(figures)
    assert "strength" not in written["other"], "same and other were never compared"
    assert " of prompts [" in written["other"]["sentence"]
    changed = config.model_copy(update={"samples": 2})
    with pytest.raises(ConfigError, match=r"measured under other settings:\n  samples: 1 then, 2 now"):
        evaluate(models, PROMPTS, changed, by="people", out=tmp_path)


def test_people_say_which_text_a_person_wrote_before_they_compare_and_see_no_more_than_the_texts(
    tiny_model: Path, other_model: Path, tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch
):
    """They know it of one model's first prompt, are wrong about its second, and cannot tell of the third."""
    monkeypatch.setattr(burnish.evaluation.told_apart, "FEWEST", len(PROMPTS))
    monkeypatch.setattr(burnish.feedback.store, "SystemRandom", lambda: Random(1))  # six coins may fall alike
    people = [replace(group, answers=(Answer(f" {i} of them\n"),)) for i, group in enumerate(PROMPTS)]
    wrote = {group.prompt: f"{i} of them" for i, group in enumerate(PROMPTS)}
    config = EvaluateConfig(max_length=32, sampling=SHORT, samples=2, enough=7)  # more than the first page has
    models = {"first": tiny_model, "other": other_model}
    seen: list[dict[str, Any]] = []
    said: dict[str, list[float]] = {name: [] for name in models}

    def decide(item: dict[str, Any]) -> dict[str, Any]:
        seen.append(item)
        if item["task"] == "pair":
            return {"order": [["A", "B"]], "mode": "pair"}
        prompt = item["prompt"][0]["text"]
        with Store.open(tmp_path / "told_apart.db") as store:
            (who,) = (i.group.answers[1].source for i in store.items() if i.group.prompt == prompt)
        person = item["answers"].index(wrote[prompt])
        right = (1.0, 0.0, 0.5)[len(said[who])]
        said[who].append(right)
        named = "AB"[person if right else 1 - person]
        order = [["A", "B"]] if right == 0.5 else [[named], ["B" if named == "A" else "A"]]
        return {"order": order, "mode": "person"}

    def stage() -> Any:
        return evaluate(models, PROMPTS, config, by="people", out=tmp_path, people=people)

    figures = page.beside(stage, decide)
    asked = seen[: len(PROMPTS)]
    assert [item["task"] for item in seen] == ["person"] * len(PROMPTS) + ["pair"] * (len(seen) - len(PROMPTS))
    assert {item["prompt"][0]["text"] for item in asked} == wrote.keys(), "each prompt once: its text comes back never"
    assert said == {name: [1.0, 0.0, 0.5] for name in models}, "as many prompts of each model"
    for told in figures.values():
        assert told["told_apart_by_people"] == pytest.approx((1 + 0 + 0.5) / 3)
        assert told["told_apart_by_people_low"] < told["told_apart_by_people"] < told["told_apart_by_people_high"]
    assert {item["answers"].index(wrote[item["prompt"][0]["text"]]) for item in asked} == {0, 1}, "on either side"
    assert "other" not in json.dumps(asked)
    assert stage() == figures, "what was said is not asked again"


def test_too_many_verdicts_are_refused_before_anybody_is_asked(
    tiny_model: Path, other_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(burnish.evaluation.told_apart, "FEWEST", len(PROMPTS))
    people = [replace(group, answers=(Answer("all"),)) for group in PROMPTS]
    config = EvaluateConfig(max_length=32, sampling=SHORT, enough=7)
    models = {"first": tiny_model, "other": other_model}
    with pytest.raises(ConfigError, match=r"enough: 7 verdicts of \d items"):
        evaluate(models, PROMPTS, config, by="people", out=tmp_path, people=people)
    assert not (tmp_path / "told_apart.db").exists()


def test_people_have_two_models_to_compare(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="name two models at least"):
        evaluate({"one": tiny_model}, PROMPTS, EvaluateConfig(), by="people", out=tmp_path)
