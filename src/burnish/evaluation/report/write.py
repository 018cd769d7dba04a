"""The report: one HTML file about a run, or several, that opens anywhere without a network and runs nothing.

Everything from the run is escaped text. The page's own policy allows its one style sheet and nothing else. Where a part
cannot be made, the page says so in its place and the rest stands.
"""

import base64
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from burnish.errors import UsageError
from burnish.evaluation.language import HTML, Language
from burnish.evaluation.report import agreement, answers, course, heldout, result, side_by_side, stages, took
from burnish.evaluation.report.parts import Page, failed
from burnish.evaluation.report.run import Run, read_run
from burnish.evaluation.report.side_by_side import Runs
from burnish.evaluation.report.style import CSS
from burnish.evaluation.report.svg import Sheet, escaped
from burnish.evaluation.report.words import Words
from burnish.training.checkpoint import write_durably

Subject = TypeVar("Subject")
Section = Callable[[Subject, Page], str]

OF_ONE: tuple[tuple[str, Section[Run]], ...] = (
    ("section.result", result.opening),
    ("section.chain", course.the_chain),
    ("section.verdicts", result.verdicts),
    ("section.answers", answers.answers),
    ("section.heldout", heldout.on_the_way),
    ("section.people", agreement.people),
    ("section.stages", stages.stages),
    ("section.took", took.took),
    ("section.again", course.again),
)
OF_SEVERAL: tuple[tuple[str, Section[Runs]], ...] = (
    ("section.result", side_by_side.opening),
    ("section.verdicts", side_by_side.verdicts),
    ("section.settings", side_by_side.settings),
    ("section.stages", side_by_side.curves),
    ("section.took", side_by_side.took),
)
"""Each section with the key of its name."""


def write_report(
    run_folder: Path, *, out: Path | None = None, language: Language | None = None, price: float | None = None
) -> Path:
    """Write the report of a run and return its path: `report.html` in the run's folder, or `out`.

    `language`: of the page, by default the recipe's. `price`: what an hour of the machine costs, which then stands
    beside each stage. The same run gives the same bytes. Raises MissingInput for a folder without a run, DataError
    where its lock or summary is damaged.
    """
    run = read_run(run_folder)
    path = out or run_folder / "report.html"
    _make_room(path)
    write_durably(path, page(run.name, OF_ONE, run, language or run.language, price))
    return path


def write_side_by_side(
    run_folders: Sequence[Path], out: Path, *, language: Language | None = None, price: float | None = None
) -> Path:
    """Write one page with several runs beside each other; arguments and errors as of `write_report`. The language is by
    default that of the first run."""
    _make_room(out)
    runs = side_by_side.side_by_side([read_run(folder) for folder in run_folders])
    write_durably(out, page(" · ".join(runs.names), OF_SEVERAL, runs, language or runs.runs[0].language, price))
    return out


def _make_room(path: Path) -> None:
    """Make the folder that `path` is to lie in. Raises UsageError where no file can be put there."""
    if path.is_dir():
        raise UsageError(f"--out {path}: is a folder; name the file, such as {path / 'report.html'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"--out {path}: what stands above it is a file, and no folder") from None


def page(
    title: str,
    sections: Sequence[tuple[str, Section[Subject]]],
    subject: Subject,
    language: Language,
    price: float | None = None,
) -> str:
    """The whole page."""
    of = Page(Sheet(), Words(language), price)
    body = "".join(_made(name, section, subject, of) for name, section in sections)
    style = CSS + of.sheet.css  # after the body: pictures add their classes while they are drawn
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="{HTML[language]}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title)} · burnish</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _made(name: str, section: Section[Subject], subject: Subject, page: Page) -> str:
    try:
        return section(subject, page)
    except Exception as error:  # whatever it is: hours of training must not be left without their report
        what = page.say(name)
        print(f"report: {what} could not be made: {type(error).__name__}: {error}", file=sys.stderr)
        return f"<section>{failed(what, error, page.say)}</section>"
