"""Every view, in both languages, light and dark: what axe finds, and what it looks like."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser.people import Person, looked_at, picture
from feedback.served import Served
from playwright.sync_api import expect

from burnish.feedback.records import Item
from burnish.types import Answer, Group, Message

GUIDELINES = "# What counts\n\nTrue before **helpful**, helpful before *short*.\n\n1. Read all.\n2. Then rank."
THREE = (
    "How do I get candle wax out of a linen tablecloth?",
    "Put the cloth into the freezer for an hour, then break the wax off with the back of a knife.\n\n"
    "What stays behind has sunk into the linen: lay kitchen paper above and below it, iron at a low setting without "
    "steam, and change the paper until it takes up no more. A stain of colour goes with a little spirit.\n\n"
    "Then wash as usual.",
    "Iron it. The heat melts the wax and it will go away, just use the hottest setting so that it is quick. Linen can "
    "take it. If there is a mark afterwards use bleach.",
    "Scrape off what you can once it is hard. Pour boiling water through the back of the cloth from a little height, "
    "so that the wax runs out the way it came in. Wash it warm afterwards.\n\nBeeswax may need a second round.",
)
LIST = (
    "In a sentence or two: why is the sky blue, and why is it red in the evening?",
    "Air scatters blue light about four times as strongly as red, so blue comes from everywhere. In the evening the "
    "way through the air is so long that the blue has been scattered out of the beam, and red is what is left.",
    "The sky is blue because it reflects the ocean, and in the evening it reflects the sun.",
    "Because of Rayleigh scattering: its strength goes with the inverse fourth power of the wavelength. At sunset "
    "light passes some forty times as much air.",
    "It is blue since blue light is scattered more than red by molecules of air.",
    "I cannot look at the sky, but I can tell you that many people find it beautiful, and that its colours change.",
    "Sunlight has all colours. Blue bounces around in the air and reaches us from all sides; at dusk only red comes.",
)
CHINESE = (
    "请用一两句话解释：为什么傍晚的天空是红色的？",
    "傍晚时阳光斜着穿过大气，路程比中午长得多，蓝光在途中大多被散射掉了，剩下的红光照亮了天空和云。",
    "因为太阳在傍晚会变红，所以天空也是红的。",
    "这是瑞利散射造成的：波长越短，散射越强。夕阳的光线要穿过更厚的空气，到达我们眼睛的主要是红色和橙色的光。",
)


def item(prompt: object, *answers: str) -> Item:
    return Item(Group(prompt, tuple(Answer(text, source="m") for text in answers), id=str(prompt)))  # type: ignore[arg-type]


TURNS = (
    Message("system", "You help in a library."),
    Message("user", "Which of your books is the oldest?"),
    Message("assistant", "A herbal of 1543.\n\nIt may be looked at on Thursdays."),
    Message("user", "And who printed it? " + "I would like to know. " * 12),
)


@contextmanager
def dialog(person: Person, key: str) -> Iterator[None]:
    person.press(key)
    expect(person.page.locator("dialog")).to_be_visible()
    yield
    person.press("Escape")
    expect(person.page.locator("dialog")).to_have_count(0)


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_axe_finds_nothing_serious_on_any_view(
    serve: Callable[..., Served], come: Callable[..., Person], tmp_path: Path, language: str
):
    (tmp_path / "guide.md").write_text(GUIDELINES)
    served = serve(
        [item("Two?", "Yes, *two*.", "No."), item(TURNS, *LIST[1:])],
        "ann",
        options=("--guidelines", str(tmp_path / "guide.md")),
    )
    person = come(served, "ann", locale=language)
    assert person.page.locator("html").get_attribute("lang") == {"en-GB": "en", "zh-CN": "zh-Hans"}[language]
    troubles: list[str] = []
    for _ in range(2):
        several = len(person.answers()) > 2
        name = "list" if several else "columns"
        person.press("1", "2")
        if several:
            person.press("2", "3", "4", "4")
        person.press("Shift+A", "n", "d")
        looked_at(person, name, troubles)
        person.press("d", "m")
        person.page.wait_for_selector(".text em" if not several else ".said p")
        looked_at(person, f"{name}, formatted", troubles)
        person.press("m", "i")
        looked_at(person, "pair", troubles)
        person.press("i")
        if several:
            person.page.set_viewport_size({"width": 390, "height": 844})
            looked_at(person, "phone", troubles)
            person.page.set_viewport_size({"width": 1280, "height": 800})
        else:
            for key, view in {"?": "keys", "f": "flags", "s": "skip", "g": "guidelines"}.items():
                with dialog(person, key):
                    if view == "keys":
                        person.page.locator("summary").click()
                    looked_at(person, view, troubles)
            person.press("o")
            looked_at(person, "focus", troubles)
            person.press("o")
        person.submit()
    looked_at(person, "done", troubles)
    person.page.context.clear_cookies()
    person.page.reload()
    person.page.wait_for_selector(".notice")
    looked_at(person, "link needed", troubles)
    assert troubles == []
    assert [fault for fault in person.faults if "401" not in fault] == []


def test_the_page_as_it_looks(serve: Callable[..., Served], come: Callable[..., Person]):
    person = come(serve([item(*THREE), item(*LIST), item(*CHINESE)], "ann"), "ann", locale="en")
    for _ in range(3):
        text = next(text for text in (THREE, LIST, CHINESE) if text[0] == person.prompt)
        at = [person.answers().index(answer) for answer in text[1:]]
        for answer, rank in zip(at, (1, 3, 2) if text is not LIST else (1, 3, 1, 2), strict=False):
            person.press(f"Shift+{chr(65 + answer)}", str(rank))
        person.press(f"Shift+{chr(65 + at[0])}")
        if text is LIST:
            assert person.order().count(">") == 2
            picture(person, "list")
            person.press("5", "5", "5", "5", "5", "5")
        else:
            person.press(f"Shift+{chr(65 + at[1])}", "n", "n", "x", f"Shift+{chr(65 + at[0])}")
            assert person.order().split("|")[1] == f">{chr(65 + at[1])}"
        if text is THREE:
            picture(person, "columns")
            person.page.emulate_media(color_scheme="dark")
            picture(person, "dark")
            person.page.emulate_media(color_scheme="light")
            person.page.set_viewport_size({"width": 390, "height": 844})
            picture(person, "phone")
            person.page.set_viewport_size({"width": 1280, "height": 800})
            person.press("o")
            picture(person, "focus")
            person.press("o")
        if text is CHINESE:
            person.speaks("zh")
            expect(person.page.locator(".saved")).to_have_text("草稿已保留")
            picture(person, "chinese")
            person.speaks("en")
        person.submit()


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_nothing_is_cut_off_at_any_zoom(serve: Callable[..., Served], come: Callable[..., Person], scale: int):
    """Zoomed by 400 %, a window 1280 wide has 320 pixels of CSS; all still fits in its width."""
    person = come(serve([item(*LIST)], "ann"), "ann", viewport={"width": 1280 // scale, "height": 1024 // scale})
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert person.page.evaluate(wide) == 0
    for name in ("Submit", "Skip", "Undo"):
        shown = person.page.get_by_role("button", name=name)
        shown.scroll_into_view_if_needed()
        expect(shown).to_be_in_viewport(ratio=1)
