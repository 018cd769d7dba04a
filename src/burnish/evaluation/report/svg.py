"""Pictures as SVG inside the page: matplotlib draws, the page's style sheet gives colours and type.

Colours in a drawing are stand-ins that become the page's variables, so that one picture serves light, dark and paper.
The page's policy forbids style attributes; each distinct one becomes a class.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from burnish.data.problems import for_terminal

SERIES = 8
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
HUES = tuple(f"#05050{number}" for number in range(SERIES))
VARIABLES: Mapping[str, str] = {INK: "ink", MUTED: "muted", GRID: "line", PAPER: "paper"} | {
    hue: f"hue-{number}" for number, hue in enumerate(HUES)
}
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "burnish",
    "text.parse_math": False,
    "font.size": 11.0,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 1.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 1.0,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "text.color": INK,
    "lines.solid_capstyle": "round",
}

_TAG = re.compile(r"<[^<>]*>")
_STYLE = re.compile(r' style="([^"]*)"')
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_FONT = re.compile(r"font: ([^;]*?)(\d+(?:\.\d+)?px) [^;]*")
_ID = re.compile(r'(\bid="|href="#|url\(#)')


class Sheet:
    """The classes that stand for style attributes, shared by all pictures of a page."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}

    def class_of(self, style: str) -> str:
        style = _COLOUR.sub(lambda found: _variable(found.group()), style)
        style = _FONT.sub(r"font: \1\2 var(--sans)", style)
        return self._classes.setdefault(style, f"v{len(self._classes)}")

    @property
    def css(self) -> str:
        return "".join(f".{name}{{{style}}}" for style, name in self._classes.items())


def picture(
    draw: Callable[[Any], None], sheet: Sheet, *, label: str, name: str, size: tuple[float, float] = (5.0, 3.0)
) -> str:
    """What `draw` puts on the axes it is given, as inline SVG of `size` inches of 72 units; the same for the same data.

    `label` is what a screen reader says; `name` keeps ids of different pictures apart.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    settings: Any = {
        **matplotlib.rcParamsDefault,
        "backend": "svg",
        **SETTINGS,
    }  # what a user's matplotlibrc says aside
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing"
        )  # only its width is guessed; the reader's browser draws it
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02))
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return inline(file.getvalue(), sheet, label=label, name=name)


def inline(drawn: str, sheet: Sheet, *, label: str, name: str) -> str:
    """A drawn file's <svg> element for the page: no prolog, no style of its own, ids under `name`."""
    found = re.search(r'viewBox="([^"]*)"', drawn)
    body = drawn[drawn.index(">", drawn.index("<svg")) + 1 :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", body, flags=re.DOTALL
    )
    body = _TAG.sub(lambda tag: _themed(tag.group(), sheet, name), body)
    body = re.sub(r">\s+<", "><", body)
    viewbox = found.group(1) if found else "0 0 360 216"
    return f'<svg viewBox="{viewbox}" role="img" aria-label="{escaped(label)}">{body.strip()}'


def _themed(tag: str, sheet: Sheet, name: str) -> str:
    """A tag with its style as a class. Only tags are changed: a label may hold anything, style="…" too."""
    tag = _STYLE.sub(lambda style: f' class="{sheet.class_of(style.group(1))}"', tag)
    return _ID.sub(rf"\g<1>{name}-", tag)


def escaped(text: str) -> str:
    """Text for the page, in an element or an attribute: nothing in it is markup, and nothing drives or disguises it."""
    return escape(for_terminal(text), quote=True)


def _variable(colour: str) -> str:
    return f"var(--{VARIABLES[colour]})" if colour in VARIABLES else colour
