"""What several sections of the report are made of."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.evaluation.report.svg import SERIES, Sheet, escaped, picture
from burnish.evaluation.report.words import Words


@dataclass(frozen=True, slots=True)
class Page:
    """What a section is written for: the sheet that its pictures leave their classes on, the words of the page's
    language, and what an hour of the machine costs, where that is known."""

    sheet: Sheet
    say: Words
    price: float | None = None


SIZE = (3.5, 2.25)
"""Inches of a picture of one figure over steps."""


def size_for(models: Sequence[str]) -> tuple[float, float]:
    """Inches of a picture with a row a model."""
    return 5.4, 1.5 + 0.5 * min(len(models), 12)


def failed(what: str, error: Exception, say: Words) -> str:
    """What stands where a part could not be made."""
    why = f"{type(error).__name__}: {str(error)[:300]}"
    return f'<p class="failed">{escaped(say("failed", what=what, why=why))}</p>'


def drawn(what: str, draw: Callable[[], str], say: Words) -> str:
    """A picture, or a note in its place: one that cannot be drawn must not cost the others."""
    try:
        return draw()
    except Exception as error:  # whatever it is, it is told on the page and on stderr
        print(f"report: {what} could not be drawn: {type(error).__name__}: {error}", file=sys.stderr)
        return failed(what, error, say)


def figure(
    title: str,
    meaning: str,
    draw: Callable[[], Callable[[Any], None]],
    page: Page,
    *,
    label: str,
    name: str,
    size: tuple[float, float],
) -> str:
    """A picture with its title and what it shows."""
    svg = drawn(label, lambda: picture(draw(), page.sheet, label=label, name=name, size=size), page.say)
    return f"<figure><figcaption>{escaped(title)}<span>{escaped(meaning)}</span></figcaption>{svg}</figure>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], label: str, *, texts: int = 1) -> str:
    """A table of cells that are HTML already; the first of a row heads it, `texts` columns hold text and not numbers.

    One that is wider than the page scrolls by itself, with the keyboard too.
    """

    def cell(tag: str, place: int, content: str, scope: str = "") -> str:
        kind = ' class="text"' if place < texts else ""
        return f"<{tag}{kind}{scope}>{content}</{tag}>"

    top = "".join(
        cell("th", place, content, ' scope="col"') if content else "<td></td>" for place, content in enumerate(head)
    )
    body = "".join(
        "<tr>"
        + cell("th", 0, first, ' scope="row"')
        + "".join(cell("td", place, content) for place, content in enumerate(rest, 1))
        + "</tr>"
        for first, *rest in rows
    )
    return scrolling(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>", label)


def scrolling(content: str, label: str) -> str:
    """What may be wider than the page, in a part that scrolls by itself, by keyboard too, so that the page does not."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escaped(label)}">{content}</div>'


def beside(value: str, under: str = "") -> str:
    """A cell's content: a figure, and what stands small under it."""
    return escaped(value) + (f"<small>{escaped(under)}</small>" if under else "")


def dot(models: Sequence[str], model: str) -> str:
    """The class that gives a model its colour, the same as in the pictures."""
    index = list(models).index(model)
    return "base" if index == 0 else f"hue-{(index - 1) % SERIES}"


def dotted(colour: str, name: str) -> str:
    """A name with the dot of its colour before it."""
    return f'<span class="dot {colour}"></span>{escaped(name)}'


def method_name(method: str, say: Words) -> str:
    return say.known(f"method.{method}", method)
