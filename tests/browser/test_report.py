"""The report as a reader has it: from the disk, on a desk, a telephone and paper, light and dark, in both languages."""

import json
import os
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from browser.people import AXE
from evaluation.report.made_up import write_more, write_run
from PIL import Image
from playwright.sync_api import Browser, Page

from burnish.evaluation.report.write import write_report, write_side_by_side

IMAGES = os.environ.get("BURNISH_IMAGES")
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 812}}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run's report in both languages, and one of two runs; hostile text in prompts, answers and a model's name."""
    place = tmp_path_factory.mktemp("reports")
    folder, other = write_run(place / "demo"), write_run(place / "second", curves=False)
    write_more(folder)
    hostile = "<img src=https://example.org/x onerror=alert(1)><script>alert(2)</script>"
    rows = [json.loads(line) for line in (folder / "compare/samples.jsonl").read_text().splitlines()]
    rows[50]["answers"] = [hostile + "unbroken" * 60]
    (folder / "compare/samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "en": write_report(folder, price=2.5),
        "zh": write_report(folder, out=place / "zh.html", language="zh"),
        "both": write_side_by_side([folder, other], place / "both.html"),
    }


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Callable[..., tuple[Page, list[str]]]]:
    """`opened(path, **settings)`: the page from the disk, and what its console and the network saw."""
    contexts = []

    def open_(path: Path, **settings: Any) -> tuple[Page, list[str]]:
        context = chromium.new_context(**settings)
        contexts.append(context)
        page, seen = context.new_page(), list[str]()
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("console", lambda message: seen.append(message.text))
        page.on("request", lambda request: seen.append(request.url))
        page.goto(path.as_uri())
        return page, seen

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("which", ["en", "zh", "both"])
def test_it_opens_from_the_disk_asks_nobody_and_complains_of_nothing(reports, opened, which: str):
    _, seen = opened(reports[which])
    assert seen == [reports[which].as_uri()]


@pytest.mark.parametrize("which", ["en", "zh", "both"])
def test_axe_finds_nothing_serious_and_a_telephone_scrolls_one_way(reports, opened, which: str):
    """The policy of the page lets no script run; only for axe it is put aside."""
    for scheme in ("light", "dark"):
        page, _ = opened(reports[which], bypass_csp=True, color_scheme=scheme, **PHONE)
        assert page.evaluate(WIDE) == 0
        page.evaluate(AXE)
        found = page.evaluate("axe.run({resultTypes: ['violations']}).then((result) => result.violations)")
        assert [
            f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][:200]}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ] == []


def test_it_prints(reports, opened):
    page, _ = opened(reports["en"])
    assert page.pdf(format="A4").count(b"/Type /Page\n") in range(4, 16)


@pytest.mark.parametrize(
    "name, which, settings",
    [
        ("report", "en", {"viewport": {"width": 1180, "height": 1480}}),
        ("report-chinese", "zh", {"viewport": {"width": 1180, "height": 1480}, "color_scheme": "dark"}),
    ],
)
def test_it_as_it_looks(reports, opened, name: str, which: str, settings: dict[str, Any]):
    page, _ = opened(reports[which], **settings)
    image = Image.open(BytesIO(page.screenshot())).convert("RGB")
    assert len(image.getcolors(1 << 24) or []) > 100, "there is something to be seen"
    if IMAGES:
        image.quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            Path(IMAGES) / f"{name}.png", optimize=True
        )
