"""How far the annotators of a store agree, and what else their rankings show."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli.common import command

if TYPE_CHECKING:
    from burnish.feedback.agreement.bootstrap import Estimate
    from burnish.feedback.agreement.statistics import AnnotatorFigures, Statistics

app = typer.Typer()

MOST_LINES = 20  # of a table on the terminal; --json has all


@command(app)
def stats(
    store: Annotated[Path, typer.Option("--store", help="The store of rankings.", metavar="FILE")],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer", help="people, imported, judge; repeat it for several. Unset: people, imported.", metavar="LAYER"
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores", help="What `score` wrote of the store's answers: sets it beside people.", metavar="FILE"
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            "--curve", help="Rows of rankings, accuracy, low, high: foretells what more would bring.", metavar="FILE"
        ),
    ] = None,
    more: Annotated[int, typer.Option("--more", help="How many more rankings to foretell.", min=1, metavar="N")] = 200,
    resamples: Annotated[int, typer.Option("--resamples", help="Draws for each interval.", min=10, metavar="N")] = 1000,
    seed: int | None = None,
    as_json: bool = False,
) -> Any:
    """Agreement, pace, bias and reliability of a store's rankings, each with its interval.

    Example: burnish rank stats --store rankings.db
    """
    from burnish.feedback.agreement.bootstrap import Bootstrap
    from burnish.feedback.agreement.statistics import curve_of, statistics
    from burnish.feedback.agreement.verdicts import known_layers
    from burnish.feedback.records import ANNOTATED
    from burnish.feedback.scores import scores_of
    from burnish.feedback.store import Store

    bootstrap = Bootstrap(resamples=resamples, seed=seed or 0)
    foretold = curve_of(curve, bootstrap, more) if curve is not None else None
    with Store.open(store) as opened:
        given = scores_of(opened.items(), scores)[0] if scores is not None else None
        found = statistics(
            opened.rankings(),
            bootstrap,
            layers=known_layers(layer) if layer else ANNOTATED,
            scores=given,
            curve=foretold,
        )
        names = {one.annotator.alias: one.annotator.name for one in opened.progress_all()}
    return found.figures() if as_json else "\n".join(lines(found, names))


# ---- as text


def lines(found: "Statistics", names: Mapping[str, str]) -> Iterable[str]:
    """The tables, one under the other, the line that matters most last. `names`: alias → name, where it is known.

    Whoever has the store may know the names; what leaves it (`--json`, exports) has aliases.
    """
    yield (
        f"{found.rankings} rankings of {found.items} items by {len(found.annotators)} annotators, "
        f"{found.items_with_two} items by two or more"
    )
    yield from _section("agreement", _agreement(found))
    yield from _section("annotators", _annotators(found, names))
    yield from _section("practice beside the orders known to be right (in no other figure)", _practice(found, names))
    yield from _section("two annotators", _two(found, names))
    yield from _section("blocks that the same annotators ranked whole (Kendall's W)", _blocks(found, names))
    yield from _section("position and length", _bias(found))
    yield from _section("systems (log odds, mean 0)", _systems(found))
    yield from _section("to adjudicate (rank stats --json has all)", _disputes(found))
    yield from _section("to ask next", _next(found))
    yield from ("", found.line())


def _section(title: str, rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """A title and a table; the first column to the left, the others to the right. Nothing where there are no rows."""
    if len(rows) < 2:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield from ("", title)
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  " + "  ".join(cells).rstrip()


def _cut(rows: list[Sequence[str]]) -> list[Sequence[str]]:
    left = len(rows) - 1 - MOST_LINES
    if left <= 0:
        return rows
    return [*rows[: MOST_LINES + 1], (f"… {left} more", *[""] * (len(rows[0]) - 1))]


def _number(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None or not math.isfinite(value) else format(value, form)


def _interval(estimate: "Estimate", form: str = ".3f") -> tuple[str, str]:
    return _number(estimate.value, form), f"[{_number(estimate.low, form)}, {_number(estimate.high, form)}]"


def _agreement(found: "Statistics") -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("", "value", "95 %", "rests on")]
    rows += [
        ("Krippendorff's α of pairs, ordinal", *_interval(found.alpha), f"{found.alpha.clusters} items"),
        (
            "Krippendorff's α of pairs, nominal",
            *_interval(found.alpha_nominal),
            f"{found.alpha_nominal.clusters} items",
        ),
    ]
    for size, alpha in found.alpha_ranks.items():
        rows.append((f"Krippendorff's α of ranks, {size} answers", *_interval(alpha), f"{alpha.clusters} items"))
    for name, share in (
        ("pairs said alike, ties a verdict", found.pairs.with_ties),
        ("pairs said alike, without ties", found.pairs.without_ties),
        ("a verdict foretold by another annotator", found.ceiling),
    ):
        rows.append((name, *_interval(share), f"{share.clusters} prompts"))
    if found.beside is not None:
        for name, share in (
            ("a verdict foretold by the reward model", found.beside.model),
            ("by another annotator, on the same pairs", found.beside.people),
            ("reward model less annotator, paired", found.beside.difference),
        ):
            rows.append((name, *_interval(share), f"{share.clusters} prompts"))
    return rows


def _annotators(found: "Statistics", names: Mapping[str, str]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [
        (
            "",
            "n",
            "items/h",
            "median s",
            "ties",
            "none ok",
            "repeats",
            "gold",
            "transitive",
            "discerns",
            "weight",
            "flags",
        )
    ]
    return rows + [(names.get(name, name), *_annotator(one)) for name, one in found.annotators.items()]


def _annotator(one: "AnnotatorFigures") -> tuple[str, ...]:
    work, gold = one.conduct, one.gold
    told = "–" if gold is None else f"{gold.right}/{gold.items} [{gold.low:.2f}, {gold.high:.2f}]"
    return (
        str(work.rankings),
        _number(work.active_items_an_hour, ".0f"),
        _number(work.median_seconds, ".0f"),
        _number(work.tie_rate, ".2f"),
        _number(work.none_acceptable_rate, ".2f"),
        "–" if one.consistency is None else f"{_number(one.consistency.with_ties, '.2f')} ({one.consistency.items})",
        told,
        _number(work.transitivity, ".2f"),
        _number(one.reliability.discernment if one.reliability else None, ".2f"),
        _number(one.reliability.weight if one.reliability else None, ".2f"),
        "; ".join(work.flags) or "–",
    )


def _practice(found: "Statistics", names: Mapping[str, str]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("", "items", "pairs right")]
    for name, one in found.calibration.items():
        rows.append((names.get(name, name), str(one.items), f"{one.right}/{one.pairs}"))
    return rows


def _two(found: "Statistics", names: Mapping[str, str]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("", "mean τ-b", "items", "undefined")]
    for two in sorted(found.two_annotators, key=lambda two: (math.isnan(two.tau_b), two.tau_b)):
        pair = ", ".join(names.get(name, name) for name in (two.first, two.second))
        rows.append((pair, _number(two.tau_b), str(two.items), str(two.undefined)))
    return _cut(rows)


def _blocks(found: "Statistics", names: Mapping[str, str]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("", "answers", "items", "mean W")]
    for one in found.blocks:
        who = ", ".join(names.get(name, name) for name in one.annotators)
        rows.append((who, str(one.answers), str(one.items), _number(one.w)))
    return _cut(rows)


def _bias(found: "Statistics") -> list[Sequence[str]]:
    position, length = found.position, found.length
    rows: list[Sequence[str]] = [("", "value", "", "rests on")]
    if position.rankings:
        wins = " ".join(f"{letter} {count}" for letter, count in position.wins.items())
        told = f"p = {position.p:.3g}, {wins}"
        name = f"χ² of the best answer's letter, {position.degrees} df"
        rows.append((name, _number(position.chi_square, ".2f"), told, f"{position.rankings} rankings"))
    if length.pairs:
        rows.append(("the longer answer wins", *_interval(length.longer_wins), f"{length.pairs} pairs"))
        rows.append(("slope of log odds on log length", *_interval(length.slope, ".2f"), f"{length.pairs} pairs"))
    return rows


def _systems(found: "Statistics") -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("", "won", "tied", "lost", "Bradley–Terry", "95 %", "Davidson", "95 %")]
    if found.systems is not None:
        for name, one in found.systems.strengths.items():
            counts = (str(one.won), str(one.tied), str(one.lost))
            rows.append((name, *counts, *_interval(one.bradley_terry, "+.2f"), *_interval(one.davidson, "+.2f")))
    return _cut(rows)


def _disputes(found: "Statistics") -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [("item", "least τ-b", "other best")]
    return _cut(
        rows + [(one.item, _number(one.tau_b, ".2f"), "yes" if one.other_top else "") for one in found.disputes]
    )


def _next(found: "Statistics") -> list[Sequence[str]]:
    return _cut([("item", "bits"), *((item, f"{bits:.2f}") for item, bits in found.next_items)])
