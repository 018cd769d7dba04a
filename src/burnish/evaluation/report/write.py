"""The report: one HTML file about a run, that opens anywhere without a network and holds nothing that runs.

Everything from the run is escaped text. The page's own policy allows its one style sheet and nothing else. Where a part
cannot be made, the page says so in its place and the rest stands.
"""

import base64
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from burnish.evaluation.report import course, heldout, parts, result
from burnish.evaluation.report.run import Run, read_run
from burnish.evaluation.report.style import CSS
from burnish.evaluation.report.svg import Sheet, escaped
from burnish.training.checkpoint import write_durably

Section = Callable[[Run, Sheet], str]

SECTIONS: tuple[tuple[str, Section], ...] = (
    ("the result", result.opening),
    ("the chain", course.the_chain),
    ("the verdicts", result.verdicts),
    ("the answers side by side", result.answers),
    ("the held-out evaluations", heldout.on_the_way),
    ("the stages", course.stages),
    ("how to repeat it", course.again),
)


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run's folder and return its path. The same run gives the same bytes.

    Raises MissingInput for a folder without a run, DataError where its lock or summary is damaged.
    """
    path = run_folder / "report.html"
    write_durably(path, page(read_run(run_folder)))
    return path


def page(run: Run) -> str:
    """The whole page."""
    sheet = Sheet()
    body = "".join(_made(name, section, run, sheet) for name, section in SECTIONS)
    style = CSS + sheet.css  # after the body: pictures add their classes while they are drawn
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(run.name)} · burnish</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _made(name: str, section: Section, run: Run, sheet: Sheet) -> str:
    try:
        return section(run, sheet)
    except Exception as error:  # whatever it is: hours of training must not be left without their report
        print(f"report: {name} could not be made: {type(error).__name__}: {error}", file=sys.stderr)
        return f"<section>{parts.failed(name, error)}</section>"
