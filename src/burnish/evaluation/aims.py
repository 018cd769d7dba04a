"""The three aims of learning from people, as three columns: is a model human-like, useful, and safe?

human-like   told_apart   how often a classifier tells its answers from people's; 0.5 is never
useful       win_rate     how often it answers better than the first model
safe         safe         how often it does right by prompts to refuse and prompts to answer
"""

from collections.abc import Mapping

Figures = Mapping[str, float | None]

AIMS: Mapping[str, str] = {"human-like": "told_apart", "useful": "win_rate", "safe": "safe"}
"""Each aim and the figure that stands for it; its interval is that figure with `_low` and `_high`."""


def measured(verdicts: Mapping[str, Figures]) -> list[str]:
    """The aims that are known of some model; none where that is one alone, which the other figures tell as well."""
    found = [aim for aim, name in AIMS.items() if any(figures.get(name) is not None for figures in verdicts.values())]
    return found if len(found) > 1 else []


def as_lines(verdicts: Mapping[str, Figures]) -> list[str]:
    """A table, a row a model and a column an aim that was `measured`."""
    found = measured(verdicts)
    if not found:
        return []
    heads = ["", *(f"{aim} ({AIMS[aim]})" for aim in found)]
    rows = [heads, *([model, *(_cell(figures, AIMS[aim]) for aim in found)] for model, figures in verdicts.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(figures: Figures, name: str) -> str:
    value, low, high = (figures.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return "–"
    return f"{value:.2f} [{low:.2f}–{high:.2f}]"
