"""Someone new at the page: they practise, are told how they did, and then rank; and are told who wrote what."""

from collections.abc import Callable

from browser.people import Person, in_both_languages, looked_at, picture
from feedback.served import Served
from playwright.sync_api import expect

from burnish.feedback.records import Item
from burnish.feedback.store import Store
from burnish.types import Answer, Group

TAUGHT = {
    "What does a kettle do?": ("It boils water.", "It boils water, mostly for tea.", "It is a bird."),
    "How many legs has a spider?": ("Eight.", "Eight, I think.", "Six, like every insect."),
    "Which way does the sun rise?": ("In the east.", "In the east, I think.", "In the west."),
    "What is ice?": ("Frozen water.", "Frozen water, I think.", "A kind of glass."),
}
"""Prompt → answers, the first two known to be as good and the third worse."""


def real(prompt: str) -> Item:
    answers = (Answer("One.", source="small"), Answer("Two.", source="large"), Answer("Three."))
    return Item(Group(prompt, answers, id=prompt))


def items() -> list[Item]:
    return [real("Real?")] + [
        Item(Group(prompt, tuple(map(Answer, texts)), id=prompt), gold=((0, 1), (2,)))
        for prompt, texts in TAUGHT.items()
    ]


def rank(person: Person, *ranks: int) -> None:
    """The answers as they stand in `TAUGHT` get these ranks, and all is sent by Enter."""
    for text, one in zip(TAUGHT[person.prompt], ranks, strict=True):
        person.press(f"Shift+{chr(65 + person.answers().index(text))}", str(one))
    person.press("Enter")


def letters(person: Person, prompt: str) -> list[str]:
    """Under which letter each answer of `TAUGHT` stands, while it is told how it was ranked."""
    shown = person.page.locator(".read .text").all_text_contents()
    return [chr(65 + shown.index(text)) for text in TAUGHT[prompt]]


def test_someone_new_practises_is_told_what_was_wrong_and_ranks(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    served = serve(items(), "ann")
    person = come(served, "ann")
    page, troubles = person.page, []
    expect(page.locator(".progress")).to_have_text("Practice 1 of 2")
    expect(page.locator(".practice")).to_contain_text("The first 2 items are for practice")
    first = person.prompt
    rank(person, 2, 3, 1)
    told = page.locator(".aftermath")
    expect(told.locator("h2")).to_have_text("0 of 2 pairs stand as in the known order")
    expect(told.locator("h2")).to_be_focused()
    good, also, bad = letters(person, first)
    differs = {f"{better} is better than {bad}; you had {bad} above {better}" for better in (good, also)}
    assert set(told.locator("li").filter(has_text="better").all_inner_texts()) == differs
    assert page.locator(".read .small").nth(ord(bad) - 65).inner_text() == "rank 2; yours 1"
    expect(page.locator(".read .differs")).to_have_count(3)
    person.saved()
    picture(person, "practice")
    looked_at(person, "told, English", troubles)
    person.press("u")
    person.shows("This cannot be taken back: you have seen what is told of it.")
    person.speaks("zh")
    expect(told.locator("h2")).to_have_text("2 对中有 0 对与已知顺序一致")
    expect(page.locator(".progress")).to_have_text("练习 1 / 2")
    looked_at(person, "told, Chinese", troubles)
    person.press("Enter")
    expect(page.locator(".progress")).to_have_text("练习 2 / 2")
    in_both_languages(person, "practice", troubles)
    rank(person, 1, 2, 3)
    expect(told.locator("h2")).to_have_text("As in the known order: all 2 pairs")
    expect(page.locator(".read .differs")).to_have_count(0)  # where the key has a tie, any order is as good
    page.reload()  # loses the view of it, and nothing else
    expect(page.locator(".progress")).to_have_text("0 of 1")
    assert person.prompt == "Real?"
    expect(page.locator(".practice")).to_have_count(0)
    person.press("1", "2", "3")
    person.submit()
    served.stop()
    with Store.open(served.store) as store:
        assert [(one.layer, one.kind) for one in store.rankings()] == [("calibration", "calibration")] * 2 + [
            ("people", "uniform")
        ]
    with Store.open(served.store) as store:
        store.add_items([real("More?")])
    served.options = ("--reveal",)
    served.start()
    again = come(served, "ann", viewport={"width": 390, "height": 844})
    texts = again.answers()
    again.press("1", "1", "2", "Enter")
    told = again.page.locator(".aftermath")
    expect(told.locator("h2")).to_have_text("Who wrote what")
    wrote = dict(zip(texts, again.page.locator(".read .author").all_inner_texts(), strict=True))
    assert wrote == {"One.": "small", "Two.": "large", "Three.": "not known"}
    picture(again, "reveal")
    in_both_languages(again, "revealed, on a phone", troubles)
    again.press("u")
    again.shows("This cannot be taken back: you have seen what is told of it.")
    again.page.get_by_role("button", name="Go on").click()
    expect(again.page.locator(".notice h2")).to_have_text("All done")
    again.page.get_by_role("button", name="Undo").click()
    expect(again.page.locator(".notice [role=status]")).to_have_text("There is nothing to undo.")
    assert troubles == []
    assert again.faults == []
    assert person.faults == []
