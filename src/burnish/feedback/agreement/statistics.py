"""All statistics of a store's rankings at once, for the terminal, the lead's page and the report.

Agreement, ceiling, length and systems rest on each annotator's first ranking of items that were drawn; pace, positions
and flags on everything that was ranked. Nothing is left out because it looks wrong: it is flagged.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from burnish.data.problems import RowError
from burnish.data.strict_json import value_at
from burnish.errors import DataError
from burnish.feedback.agreement.adjudication import Dispute, adjudication_queue, decided_items
from burnish.feedback.agreement.bias import LengthBias, PositionBias, length_bias, position_bias
from burnish.feedback.agreement.bootstrap import Bootstrap, Estimate
from burnish.feedback.agreement.ceiling import (
    Beside,
    LearningCurve,
    learning_curve,
    model_beside_people,
    people_ceiling,
)
from burnish.feedback.agreement.coefficients import (
    Block,
    Consistency,
    Gold,
    PairAgreement,
    TwoAnnotators,
    alpha_of_pairs,
    alpha_of_ranks,
    blocks,
    gold_accuracy,
    pair_agreement,
    self_consistency,
    tau_of_annotators,
)
from burnish.feedback.agreement.conduct import Conduct, conduct
from burnish.feedback.agreement.reliability import Reliability, reliability
from burnish.feedback.agreement.systems import Systems, strengths
from burnish.feedback.agreement.verdicts import readings, verdicts
from burnish.feedback.calibration import Calibration, calibration
from burnish.feedback.records import ANNOTATED, ORDERED, Layer, Ranking
from burnish.feedback.unsure import ask_next

Scores = Mapping[str, Sequence[float]]
"""item → score of each answer, in the item's own order; higher is better."""


@dataclass(frozen=True, slots=True)
class AnnotatorFigures:
    """What is known of one annotator; None where nothing was asked that would tell."""

    conduct: Conduct
    gold: Gold | None
    consistency: Consistency | None
    reliability: Reliability | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Every figure; docs/agreement.md explains each. `beside`, `curve` and `next_items` need a model's scores or runs.

    `alpha`: Krippendorff's α of pairs, ordinal (primary), `alpha_nominal` the same with three unordered verdicts,
    `alpha_ranks` by number of answers. `ceiling`: how often an annotator's verdict is foretold by another.
    `calibration`: how each annotator practised, which enters no other figure.
    """

    rankings: int
    items: int
    items_with_two: int
    layers: Mapping[str, int]
    alpha: Estimate
    alpha_nominal: Estimate
    alpha_ranks: Mapping[int, Estimate]
    pairs: PairAgreement
    ceiling: Estimate
    beside: Beside | None
    curve: LearningCurve | None
    annotators: Mapping[str, AnnotatorFigures]
    calibration: Mapping[str, Calibration]
    two_annotators: Sequence[TwoAnnotators]
    blocks: Sequence[Block]
    position: PositionBias
    length: LengthBias
    systems: Systems | None
    disputes: Sequence[Dispute]
    next_items: Sequence[tuple[str, float]]

    def line(self) -> str:
        """What matters most: the model beside people, and what more rankings would bring."""
        said = self.beside.line() if self.beside else f"annotator–annotator ceiling {self.ceiling.percent()}"
        if self.curve is not None:
            gain = self.curve.gain
            said += (
                f"; {self.curve.more} more rankings expected to give {100 * gain.value:+.1f} points "
                f"[{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
            )
        return said

    def figures(self) -> dict[str, Any]:
        """All of it as plain mappings and lists, with the line; NaN is what could not be estimated."""
        return {"line": self.line(), **asdict(self)}


def statistics(
    rankings: Iterable[Ranking],
    bootstrap: Bootstrap,
    *,
    layers: Collection[Layer] = ANNOTATED,
    scores: Scores | None = None,
    curve: LearningCurve | None = None,
) -> Statistics:
    """All figures of the rankings of `layers`. `scores`: a reward model's, for the line beside people.

    Raises DataError where no ranking is of these layers, and ConfigError where the scores fit none of them.
    """
    everything = list(rankings)
    ranked = [one for one in everything if one.layer in layers]
    if not ranked:
        found = ", ".join(sorted({one.layer for one in everything})) or "none at all"
        raise DataError(f"no rankings of {', '.join(sorted(layers))} to take statistics of; found {found}")
    by_item = readings(ranked, layers)
    table = verdicts(by_item)
    gold, consistency, reliable = gold_accuracy(ranked), self_consistency(ranked), reliability(table)
    return Statistics(
        rankings=len(ranked),
        items=len({one.item for one in ranked}),
        items_with_two=sum(len(by_annotator) > 1 for by_annotator in by_item.values()),
        layers={layer: sum(one.layer == layer for one in ranked) for layer in sorted({one.layer for one in ranked})},
        alpha=alpha_of_pairs(table, bootstrap, "ordinal"),
        alpha_nominal=alpha_of_pairs(table, bootstrap, "nominal"),
        alpha_ranks=alpha_of_ranks(by_item, bootstrap),
        pairs=pair_agreement(table, bootstrap),
        ceiling=people_ceiling(table, bootstrap),
        beside=None if scores is None else model_beside_people(table, scores, bootstrap),
        curve=curve,
        annotators={
            name: AnnotatorFigures(figures, gold.get(name), consistency.get(name), reliable.get(name))
            for name, figures in conduct(ranked).items()
        },
        calibration=calibration(everything),
        two_annotators=tau_of_annotators(by_item),
        blocks=blocks(by_item),
        position=position_bias(one for one in ranked if one.task in ORDERED),
        length=length_bias(by_item, bootstrap),
        systems=strengths(by_item, bootstrap),
        disputes=adjudication_queue(by_item, decided_items(everything)),
        next_items=ask_next(scores, (one.item for one in everything)) if scores else (),
    )


# ---- what comes from files


def curve_of(file: str | Path, bootstrap: Bootstrap, more: int = 200) -> LearningCurve:
    """The learning curve of a JSONL file with `rankings`, `accuracy`, `low` and `high` (95 %) in each row.

    They are what `burnish reward` reports as `heldout_accuracy` and its two ends after training on so many rankings.
    Raises DataError where a row has other fields, ConfigError where no curve can be fitted.
    """
    rows = []
    for number, text in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip():
            continue
        try:
            row, _ = value_at(text.strip(), 0)
            rows.append((int(row["rankings"]), float(row["accuracy"]), (row["high"] - row["low"]) / (2 * 1.959964)))
        except (RowError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{file}:{number}: expected {{"rankings": 800, "accuracy": 0.68, "low": 0.64, "high": 0.72}}; '
                f"found {text[:200]}"
            ) from error
    sizes, accuracies, errors = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return learning_curve(sizes, accuracies, errors, bootstrap, more)
