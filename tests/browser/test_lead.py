"""The lead's pages in a real browser: the statistics, and a dispute decided by keyboard."""

import json
import uuid
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest
from browser.people import Person, looked_at, picture
from browser.test_views import LIST, THREE, item
from feedback.served import Served
from playwright.sync_api import expect

from burnish.feedback.records import Submission
from burnish.feedback.store import Store

TEXTS = [THREE, *((f"{LIST[0]} ({way})", *answers) for way, answers in enumerate(permutations(LIST[1:4]), 1))]


def ranked_by_two(serve: Callable[..., Served], *options: str) -> Served:
    """A server on seven items that ann and bo have ranked, each in an order of their own; lea leads."""
    served = serve([item(*text) for text in TEXTS], "ann", "bo", options=("--lead", "lea", *options))
    with Store.open(served.store) as store:
        for seed, name in enumerate(("ann", "bo")):
            session = store.redeem(store.invite(name))
            assert session is not None
            for turn, _ in enumerate(TEXTS):
                given = store.next_item(session.annotator)
                assert given is not None
                letters = sorted("ABC", key=lambda letter: given.answers[ord(letter) - 65])
                order = letters[::-1] if seed and turn % 3 == 0 else letters
                sent = Submission(tuple((letter,) for letter in order), acceptable=1 + seed, confidence=2, seconds=30.0)
                store.submit(session.annotator, given.id, sent, str(uuid.uuid4()))
    return served


def at_statistics(person: Person) -> None:
    expect(person.page.locator(".figures").first).to_be_visible()


def of_a_model(folder: Path) -> tuple[str, ...]:
    """Scores that a reward model gave the items, and its accuracy after more and more rankings."""
    rows = [
        {"prompt": prompt, "answers": answers, "scores": [-len(one) / 10 for one in answers], "model": "m", "seed": 0}
        for prompt, *answers in TEXTS
    ]
    sizes = [{"rankings": n, "accuracy": a, "low": a - 0.04, "high": a + 0.04}
             for n, a in ((100, 0.58), (200, 0.62), (400, 0.65))]  # fmt: skip
    for name, lines in (("scored", rows), ("curve", sizes)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    return ("--scores", str(folder / "scored.jsonl"), "--curve", str(folder / "curve.jsonl"))


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_axe_finds_nothing_serious_on_the_leads_pages(
    serve: Callable[..., Served], come: Callable[..., Person], language: str, tmp_path: Path
):
    person = come(ranked_by_two(serve, *of_a_model(tmp_path)), "lea", locale=language)
    troubles: list[str] = []
    at_statistics(person)
    model, more = person.page.locator(".headline .large").all_inner_texts()
    assert "%" in model
    assert "200" in more
    looked_at(person, "statistics", troubles)
    picture(person, "statistics" if language == "en-GB" else "statistics-chinese")
    person.page.set_viewport_size({"width": 640, "height": 400})  # as zoomed by 200 %
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert person.page.evaluate(wide) == 0
    looked_at(person, "statistics at 200 %", troubles)
    person.page.set_viewport_size({"width": 1280, "height": 800})
    person.page.get_by_role("button", name={"en-GB": "Decide", "zh-CN": "裁决"}[language]).click()
    expect(person.page.locator(".opinion")).to_have_count(2)
    looked_at(person, "decide", troubles)
    assert troubles == []
    assert person.faults == []


def test_a_lead_decides_by_keyboard_and_takes_it_back(serve: Callable[..., Served], come: Callable[..., Person]):
    served = ranked_by_two(serve)
    person = come(served, "lea")
    at_statistics(person)
    person.page.get_by_role("button", name="Decide").press("Enter")
    expect(person.page.locator(".opinion .who")).to_have_text(["ann", "bo"])
    orders = person.page.locator(".opinion .places")
    ann, bo = ([one for one in "".join(orders.nth(at).inner_text().split()) if one in "ABC"] for at in (0, 1))
    assert ann == bo[::-1]
    person.press("1", "2", "2")
    assert person.order() == "A>B=C"
    picture(person, "adjudication")
    first = person.prompt
    person.submit()
    person.press("1", "2", "3")
    person.submit()
    second = person.prompt
    person.press("u", "u")
    expect(person.page.locator(".item .said").first).to_have_text(first)
    assert person.order() == "A>B=C"
    person.page.get_by_role("button", name="Rank", exact=True).click()
    expect(person.page.locator(".notice h2")).to_have_text("All done")  # each item has its two annotators
    person.page.get_by_role("button", name="Decide").click()
    expect(person.page.locator(".item .said").first).to_have_text(first)
    person.submit()
    assert second != first
    with Store.open(served.store) as store:
        (kept,) = store.rankings(layers=["adjudicated"])
        assert sorted(kept.place_K) == [0, 1, 1]
    assert person.faults == []


def test_an_annotators_page_has_no_way_to_the_leads(serve: Callable[..., Served], come: Callable[..., Person]):
    person = come(serve([item(*THREE)], "ann"), "ann")
    expect(person.page.get_by_role("button", name="Decide")).to_be_hidden()
    expect(person.page.get_by_role("button", name="Statistics")).to_be_hidden()
