"""Reading and ranking at ease: focus, answers that scroll together, keys of one's own."""

from collections.abc import Callable

import pytest
from browser.people import Person
from browser.test_views import LIST, item
from feedback.served import Served
from playwright.sync_api import Locator, Page, expect

LONG = tuple(f"{word} and so on.\n\n" * lines for word, lines in (("Short", 30), ("Longer", 60), ("Longest", 200)))


def visible(page: Page, *selectors: str) -> list[str]:
    return [one for one in selectors if page.locator(one).first.is_visible()]


def test_focus_leaves_prompt_answers_and_order_until_its_key_or_a_free_esc(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    person = come(serve([item("a", "one", "two")], "ann"), "ann")
    page = person.page
    kept = (".prompt", ".card .text", ".card .ranks", ".bar .places", ".bar .primary", ".saved", ".focus-mode")
    left_out = (".progress", ".tools .segments", ".tools .together", ".judging", ".bar .quiet", ".card .flag")
    person.press("2", "o")
    person.shows("Focus. o or Esc leaves it")
    expect(page.locator(".saved")).to_have_text("Draft kept")
    assert visible(page, *kept, *left_out) == list(kept)
    page.reload()
    page.wait_for_selector(".card")
    assert visible(page, *left_out) == []
    person.press("Shift+A", "Escape")
    person.shows("A has no rank")
    assert visible(page, *left_out) == []
    person.press("Escape")
    person.shows("All is shown again")
    assert visible(page, *left_out) == list(left_out)
    page.get_by_role("button", name="Focus").click()
    person.press("i", "Escape")  # a question between two: Esc takes no rank away there
    assert visible(page, ".progress") == [".progress"]
    person.press("i", "o", "1", "2")
    person.submit()
    assert visible(page, ".notice", ".progress") == [".notice", ".progress"]  # with no item there is nothing to hide
    assert person.faults == []


def test_answers_beside_each_other_scroll_together_each_by_its_share(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    """Halfway down one is halfway down all; 30 lines, 60 and 200. In a list there is nothing to scroll together."""
    person = come(serve([item("a", *LONG), item(*LIST)], "ann"), "ann")
    for _ in range(2):
        before = person.prompt
        if before == "a":
            scrolled(person)
            person.page.set_viewport_size({"width": 820, "height": 800})  # three answers in two rows
            scrolled(person)
            person.page.set_viewport_size({"width": 1280, "height": 800})
        else:
            button = person.page.get_by_role("button", name="Scroll together")
            expect(button).to_be_disabled()
            person.press("t")
            expect(button).to_have_attribute("aria-pressed", "false")
            person.press("i")  # two of them stand beside each other
            expect(button).to_be_enabled()
            person.press("i")
            expect(person.page.locator(".saved")).to_have_text("Draft kept")
        person.press("s", "5")
        person.left(before)
    assert person.faults == []


def scrolled(person: Person) -> None:
    texts = person.page.locator(".card .text")

    def scroll(answer: int, share: float) -> None:
        to = "(text, share) => text.scrollTo(0, share * (text.scrollHeight - text.clientHeight))"
        texts.nth(answer).evaluate(to, share)
        settled(person.page)

    for answer in range(3):
        scroll(answer, 0.0)
    scroll(0, 0.5)
    assert shares(texts) == pytest.approx([0.5, 0, 0], abs=0.01)
    person.press("Shift+A", "t")
    person.shows("Answers scroll together")
    assert shares(texts) == pytest.approx([0.5, 0.5, 0.5], abs=0.01)
    for answer, share in ((1, 0.25), (2, 1.0), (0, 0.75)):
        scroll(answer, share)
        assert shares(texts) == pytest.approx([share] * 3, abs=0.01)
    longest = texts.nth(max(range(3), key=lambda answer: len(person.answers()[answer])))
    longest.evaluate("(text) => text.scrollTo(0, 1237)")
    settled(person.page)  # the short one is a few pixels further: were it heard in turn, the long one would be moved
    assert longest.evaluate("(text) => text.scrollTop") == 1237
    scroll(0, 0.75)
    person.press("t")
    person.shows("Each answer scrolls by itself")
    scroll(1, 0.0)
    assert shares(texts) == pytest.approx([0.75, 0, 0.75], abs=0.01)


def settled(page: Page) -> None:
    """A scroll is told in the frame after it; what it moves, in the one after that."""
    page.evaluate("async () => { for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame); }")


def shares(texts: Locator) -> list[float]:
    found: list[float] = texts.evaluate_all(
        "(all) => all.map((text) => text.scrollTop / (text.scrollHeight - text.clientHeight))"
    )
    return found


STORED = {
    '{"skip": "w", "diff": "<b>", "undo": "1", "nothing": "q", "tie": ["="], "__proto__": {"flag": "y"}}': "dwu=",
    '{"diff": "w", "skip": "w"}': "wsu=",  # the first one took what the second wants
    '{"diff": "s"}': "sau=",  # its usual key is the other's: the first that is free
    '["skip"]': "dsu=",
    "7": "dsu=",
    "{": "dsu=",
}
"""What the browser's storage may hold, and the keys of differences, skip, undo and tie then."""
IN_FORCE = """async (stored) => {
    localStorage.setItem("burnish.keys", stored);
    const { ACTIONS, keyOf } = await import("/keymap.js");
    return Object.fromEntries(ACTIONS.map((name) => [name, keyOf(name)]));
}"""


def key_of(page: Page, action: str) -> Locator:
    return page.get_by_role("combobox", name=action, exact=True)


def test_a_key_of_ones_own_is_shown_and_acts_and_one_that_is_taken_is_swapped(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    """And whatever was stored, every action has one key."""
    person = come(serve([item("a", "one", "two")], "ann"), "ann")
    page = person.page
    told = page.locator(".own-keys [role=status]")
    signs = {name: page.locator(f"button:has-text('{name}') kbd") for name in ("Differences", "Skip", "Undo", "Submit")}
    person.press("?")
    page.locator("summary").click()
    key_of(page, "Skip").select_option("w")
    expect(told).to_have_text("w: Skip")
    key_of(page, "Differences").select_option("u")
    expect(told).to_have_text("u: Differences. d: Undo, or take back")
    expect(key_of(page, "Undo, or take back")).to_have_value("d")
    expect(page.locator(".keys [data-does=diff]")).to_have_text("u")
    assert page.locator("dialog:modal").count() == 1
    person.press("Escape", "1", "u")
    expect(page.get_by_role("button", name="Differences")).to_have_attribute("aria-pressed", "true")
    page.reload()
    page.wait_for_selector(".card")
    assert [sign.inner_text() for sign in signs.values()] == ["u", "w", "d", "⏎"]
    person.press("s")
    expect(page.locator("dialog")).to_have_count(0)
    person.press("w")
    expect(page.locator("dialog h2")).to_have_text("Why skip this item?")
    person.press("Escape", "?")
    page.get_by_label("Use keys without").uncheck()
    person.press("Escape", "w")
    expect(page.locator("dialog")).to_have_count(0)
    assert [sign.is_visible() for sign in signs.values()] == [False, False, False, True]
    page.get_by_role("button", name="Keys and settings").click()
    page.get_by_label("Use keys without").check()
    page.locator("summary").click()
    page.get_by_role("button", name="Usual keys").click()
    expect(told).to_have_text("All keys are the usual ones")
    person.press("Escape")
    assert [sign.inner_text() for sign in signs.values()] == ["d", "s", "u", "⏎"]
    for stored, keys in STORED.items():
        found = page.evaluate(IN_FORCE, stored)
        assert len(set(found.values())) == len(found) == 18
        assert "".join(found[name] for name in ("diff", "skip", "undo", "tie")) == keys, stored
    assert person.faults == []
