"""Two people rank at once, by keyboard alone, through everything that goes wrong; nothing is lost, doubled or told."""

import json
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from browser.people import Person
from feedback.served import Served
from playwright.sync_api import Browser, expect

from burnish.cli.main import main
from burnish.feedback.records import Item
from burnish.feedback.store import Store
from burnish.types import Answer, Group

COUNT = 13  # one of them is skipped
AUTHOR = "zq7model"
NAMED = "zq7item"
EXACTLY = {"id", "task", "prompt", "answers", "draft", "submission", "practice"}


def items() -> list[Item]:
    """Two to nine answers each; who wrote them, in which order and under which name is what must not come out."""
    made = []
    for number in range(COUNT):
        answers = tuple(
            Answer(f"Text {number}.{index} {'word ' * (7 * index)}".strip(), source=f"{AUTHOR}-{index}")
            for index in range(2 + number % 8)
        )
        made.append(
            Item(Group(f"Question {number}?", answers, id=f"{NAMED}-{number}", origin=f"{NAMED}.jsonl:{number}"))
        )
    return made


@dataclass
class Ranker:
    """A person, and what the page has shown them as saved: prompt → places of texts."""

    person: Person
    saved: dict[str, list[set[str]]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    shown: dict[str, list[str]] = field(default_factory=dict)

    def place(self, turn: int) -> list[set[str]]:
        """Rank all answers by number keys, the last two a tie in every third item; returns the places."""
        texts = self.person.answers()
        self.shown[self.person.prompt] = texts
        ties = turn % 3 == 0 and len(texts) > 2
        ranks = [(answer + turn) % len(texts) + 1 for answer in range(len(texts))]
        self.person.press("Shift+A", *map(str, ranks))  # a digit goes on to the next answer
        if ties:
            self.person.press(f"Shift+{chr(65 + ranks.index(len(texts)))}", "=")
            ranks[ranks.index(len(texts))] -= 1
        return [{texts[a] for a, rank in enumerate(ranks) if rank == place} for place in sorted(set(ranks))]

    def rank(self, turn: int) -> None:
        prompt, places = self.person.prompt, self.place(turn)
        self.person.submit()
        self.saved[prompt] = places


def undone(ranker: Ranker, turn: int) -> None:
    """What was submitted comes back as it was, is turned round, and replaces what was saved."""
    person, prompt = ranker.person, ranker.person.prompt
    places = ranker.place(turn)
    person.submit()
    before = person.prompt
    person.press("u")
    person.left(before)
    person.shows("Back at the item before.")
    texts = person.answers()
    assert person.prompt == prompt
    assert [set(place.split("=")) for place in person.order().split(">")] == [
        {chr(65 + texts.index(text)) for text in place} for place in places
    ]
    best = next(iter(places[0]))
    person.press(f"Shift+{chr(65 + texts.index(best))}", *["Shift+ArrowDown"] * len(places))
    person.submit()
    rest = [place - {best} for place in places]
    ranker.saved[prompt] = [place for place in rest if place] + [{best}]


def skipped(ranker: Ranker) -> None:
    prompt = ranker.person.prompt
    ranker.person.press("s", "2")
    ranker.person.left(prompt)
    ranker.person.shows("Skipped. Next item.")
    ranker.skipped.append(prompt)


def reloaded(ranker: Ranker, turn: int) -> None:
    """In the middle of an item: half of it is placed, and is there again."""
    person = ranker.person
    prompt = person.prompt
    person.press("Shift+A", "2", "z")
    person.page.reload()
    person.page.wait_for_selector(".card")
    assert person.prompt == prompt
    assert person.order() == "A"
    expect(person.page.get_by_role("button", name="A guess")).to_have_attribute("aria-pressed", "true")
    ranker.rank(turn)


def killed(rankers: list[Ranker], server: Served, turn: int) -> None:
    """Between draft and submit the server dies. Both press Enter; once it is back, both are saved."""
    places = [ranker.place(turn) for ranker in rankers]
    prompts = [ranker.person.prompt for ranker in rankers]
    server.stop(signal.SIGKILL)
    for ranker in rankers:
        ranker.person.press("Enter")
        expect(ranker.person.page.locator(".banner")).to_be_visible()
        expect(ranker.person.page.locator(".saved")).not_to_have_attribute("data-state", "saved")
    server.start()
    for ranker, prompt, order in zip(rankers, prompts, places, strict=True):
        ranker.person.left(prompt)
        ranker.person.saved()
        expect(ranker.person.page.locator(".banner")).to_be_hidden()
        ranker.saved[prompt] = order


def test_what_was_shown_as_saved_is_there_once(
    serve: Callable[..., Served],
    chromium: Browser,
    tmp_path: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
):
    server = serve(items(), "ann", "bo")
    contexts = {
        name: chromium.new_context(
            record_har_path=tmp_path / f"{name}.har", record_har_content="embed", locale="en", reduced_motion="reduce"
        )
        for name in ("ann", "bo")
    }
    rankers = {name: Ranker(Person(context.new_page(), server.links[name])) for name, context in contexts.items()}
    pages: list[str] = []
    for turn in range(COUNT):
        for ranker in rankers.values():
            pages += [ranker.person.page.content(), ranker.person.page.url]
            if turn == 4:
                undone(ranker, turn)
            elif turn == 6:
                skipped(ranker)
            elif turn == 8:
                reloaded(ranker, turn)
            elif turn != 10:
                ranker.rank(turn)
        if turn == 10:
            killed(list(rankers.values()), server, turn)
    for ranker in rankers.values():
        expect(ranker.person.page.locator(".notice h2")).to_have_text("All done")
    for context in contexts.values():
        context.close()
    server.stop()

    saved_once(server, rankers)
    told = [text for name in contexts for text in responses(tmp_path / f"{name}.har")]
    assert len(told) > 100
    nothing_told(told + pages, server)
    shuffled(rankers)
    trained_on(server.store, tiny_model, tmp_path, capsys)


def trained_on(store: Path, model: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the command line: what people agree on, their rankings as a file, a reward model from it."""
    capsys.readouterr()
    assert main(["rank", "stats", "--store", str(store), "--resamples", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    rankings = folder / "rankings.jsonl"
    assert main(["rank", "export", "--store", str(store), "--format", "ranking", "--out", str(rankings)]) == 0
    rows = [json.loads(line) for line in rankings.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2 * (COUNT - 1)
    assert any(len(place) > 1 for row in rows for place in row["ranking"] if isinstance(place, list))
    command = ["reward", "--model", str(model), "--data", str(rankings), "--out", str(folder / "reward")]
    assert main([*command, "--set", "max_length=256", "--set", "epochs=1"]) == 0
    assert (folder / "reward/model/model.safetensors").exists()


def saved_once(server: Served, rankers: dict[str, Ranker]) -> None:
    with Store.open(server.store) as store:
        rankings = list(store.rankings(layers=["people"]))
        by_alias = {progress.annotator.alias: progress.annotator.name for progress in store.progress_all()}
    texts = {item.group.id: (item.group.prompt, [answer.text for answer in item.group.answers]) for item in items()}
    found: dict[str, dict[object, list[set[str]]]] = {"ann": {}, "bo": {}}
    for ranking in rankings:
        prompt, answers = texts[ranking.item]
        mine = found[by_alias[ranking.annotator]]
        assert prompt not in mine, "saved twice"
        places = sorted(set(ranking.place_K))
        mine[prompt] = [
            {text for text, at in zip(answers, ranking.place_K, strict=True) if at == place} for place in places
        ]
    for name, ranker in rankers.items():
        assert len(ranker.saved) == COUNT - 1
        assert len(ranker.skipped) == 1
        assert found[name] == ranker.saved


def responses(har: Path) -> list[str]:
    """All that the server said in a session: heads and bodies."""
    entries = json.loads(har.read_text(encoding="utf-8"))["log"]["entries"]
    told = []
    for entry in entries:
        body = entry["response"]["content"].get("text", "")
        told.append(entry["request"]["url"] + json.dumps(entry["response"]["headers"]) + body)
        if entry["request"]["url"].endswith(("/api/next", "/api/undo")) and entry["response"]["status"] == 200:
            item = json.loads(body)["item"]
            assert item is None or item.keys() == EXACTLY
    return told


def nothing_told(texts: list[str], server: Served) -> None:
    """Neither a model, nor an item's name, nor the file that anything came from."""
    told = "\n".join(texts)
    for secret in (AUTHOR, NAMED, server.store.name, "jsonl"):
        assert secret not in told
    assert not re.search(r'"(source|model|origin|seed|temperature|score|length|index|kind|gold)"', told)


def shuffled(rankers: dict[str, Ranker]) -> None:
    """The order in which answers came is not the order in which they are shown, and two people see two orders."""
    ann, bo = (rankers[name].shown for name in ("ann", "bo"))
    large = [prompt for prompt, texts in ann.items() if len(texts) > 3 and prompt in bo]
    assert len(large) >= 6
    by_number = [sorted(ann[prompt]) == ann[prompt] for prompt in large]
    assert by_number.count(True) < len(large) / 2
    assert [ann[prompt] for prompt in large] != [bo[prompt] for prompt in large]
    assert all(sorted(ann[prompt]) == sorted(bo[prompt]) for prompt in large)
