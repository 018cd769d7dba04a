"""Someone at the ranking page, who uses nothing but the keyboard unless a test says otherwise.

With BURNISH_IMAGES=docs/images the pictures of the documentation are taken anew.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, Route, expect

IMAGES = os.environ.get("BURNISH_IMAGES")

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text(encoding="utf-8")
PATIENCE = 30_000  # ms; a busy machine is slow, and waiting costs nothing where all is well

expect.set_options(timeout=PATIENCE)


class Person:
    """`faults` collects what the page's console complains of; a test looks at it in the end."""

    def __init__(self, page: Page, link: str) -> None:
        self.page = page
        self.faults: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        page.goto(link)
        page.wait_for_selector(".card, .notice, .compose")

    def press(self, *keys: str) -> None:
        for one in keys:
            self.page.keyboard.press(one)

    @property
    def prompt(self) -> str:
        return self.page.inner_text(".prompt .said")

    def answers(self) -> list[str]:
        """The texts of A, B, C …, as they are shown."""
        return [text or "" for text in self.page.locator(".card .text").all_text_contents()]

    def order(self) -> str:
        """The rank bar: "A>B=C", "|" for the line of what is acceptable."""
        places = self.page.locator(".bar .places li:not(.open)")
        shown = [
            "|" if "line" in (places.nth(at).get_attribute("class") or "") else places.nth(at).inner_text()
            for at in range(places.count())
        ]
        return ">".join("".join(place.split()) for place in shown)

    def shows(self, words: str) -> None:
        """The page says `words`, where it says what happened."""
        expect(self.page.locator(".said-last")).to_have_text(words)

    def saved(self) -> None:
        """The page shows that the server has it."""
        expect(self.page.locator(".saved")).to_have_attribute("data-state", "saved")

    def speaks(self, language: str) -> None:
        """The page is in that language ("en", "zh") from here on."""
        self.page.locator(".tools button").last.click()
        self.page.locator("dialog select").first.select_option(language)
        title = {"en": "Keys and settings", "zh": "按键与设置"}[language]
        expect(self.page.locator("dialog h2")).to_have_text(title)  # it opens anew, in that language
        self.press("Escape")
        expect(self.page.locator("dialog")).to_have_count(0)

    def submit(self) -> None:
        """Enter, and wait until it is shown as saved and the next item, or the end, is there."""
        before = self.prompt
        self.press("Enter")
        self.left(before)
        self.saved()

    def left(self, before: str) -> None:
        """Another item, or none, has taken the place of the one whose prompt was `before`."""
        expect(self.page.locator(".item .said").first.or_(self.page.locator(".notice h2"))).not_to_have_text(before)

    def serious(self, rules: tuple[str, ...] = ()) -> list[str]:
        """What axe finds on the page as it is that is serious or critical; by these rules alone, where named."""
        self.page.evaluate(f"if (!window.axe) {{ {AXE} }}")
        options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
        found: list[dict[str, Any]] = self.page.evaluate(
            "(options) => axe.run(options).then((result) => result.violations)", options
        )
        return [
            f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]


def looked_at(person: Person, view: str, troubles: list[str]) -> None:
    """What axe finds; in the dark nothing but the colours is different."""
    troubles += [f"{view}: {found}" for found in person.serious()]
    person.page.emulate_media(color_scheme="dark")
    troubles += [f"{view}, dark: {found}" for found in person.serious(("color-contrast", "link-in-text-block"))]
    person.page.emulate_media(color_scheme="light")


def in_both_languages(person: Person, view: str, troubles: list[str]) -> None:
    """The same, in Chinese and then in English."""
    for language in ("zh", "en"):
        person.speaks(language)
        looked_at(person, f"{view}, {language}", troubles)


@contextmanager
def held(page: Page, address: str) -> Iterator[None]:
    """What the page asks of that address meanwhile is not answered until afterwards."""
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route(address, hold)
    yield
    for route in waiting:
        route.continue_()
    page.unroute(address)


def picture(person: Person, name: str) -> None:
    """Keep what is seen as a small PNG, where pictures are wanted."""
    taken = person.page.screenshot()
    image = Image.open(BytesIO(taken)).convert("RGB")
    assert len(image.getcolors(1 << 24) or []) > 20, "there is something to be seen"
    if IMAGES:
        folder = Path(IMAGES)
        folder.mkdir(parents=True, exist_ok=True)
        image.quantize(96, dither=Image.Dither.NONE).save(folder / f"ranking-{name}.png", optimize=True)
