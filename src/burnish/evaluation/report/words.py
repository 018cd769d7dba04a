"""The report's words in one language, what figures it knows, and how numbers are written.

Every text of the page stands in english.py and chinese.py under one key; what it names is filled in by `str.format`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from burnish.evaluation import aims
from burnish.evaluation.language import Language
from burnish.evaluation.report import chinese, english

Figures = Mapping[str, float | None]
NARROW = english.NARROW
TEXTS: Mapping[Language, Mapping[str, str]] = {"en": english.TEXTS, "zh": chinese.TEXTS}


class Words:
    """`say(key, name=…)` is the text of that key in `language`, as plain text: whoever puts it on a page escapes it."""

    def __init__(self, language: Language = "en") -> None:
        self.language: Language = language
        self._texts = TEXTS[language]

    def __call__(self, key: str, **named: object) -> str:
        return self._texts[key].format(**named)

    def known(self, key: str, otherwise: str) -> str:
        """The text of a key, or what stands in its place where there is none: a name that came from the run."""
        return self._texts.get(key, otherwise)

    def listing(self, names: Sequence[str]) -> str:
        """a, b and c."""
        if len(names) < 2:
            return "".join(names)
        return f"{self._texts['list.comma'].join(names[:-1])}{self._texts['list.and']}{names[-1]}"

    def percent(self, value: float | None, digits: int = 0) -> str:
        return number(value) if value is None else number(100 * value, digits) + self._texts["percent"]

    def duration(self, seconds: float) -> str:
        """12 s, 3 min 05 s, 2 h 10 min."""
        whole = round(seconds)
        if whole < 60:
            return self("time.seconds", seconds=whole or f"{seconds:.1f}")
        if whole < 3600:
            return self("time.minutes", minutes=whole // 60, seconds=f"{whole % 60:02d}")
        return self("time.hours", hours=whole // 3600, minutes=f"{whole % 3600 // 60:02d}")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of verdicts: `row.NAME` and `row.NAME.means` in the words. `watch` says that a model's figure,
    beside the one to beat, asks for a look. `of`: the one judge, or set of prompts, whose figure it is: `NAME/of`."""

    name: str
    digits: int = 2
    percent: bool = False
    watch: Callable[[float, float], bool] = lambda value, base: False
    of: str = ""

    def title(self, say: Words) -> str:
        title = say.known(f"row.{self.name}", self.name.replace("_", " "))
        return f"{title} · {self.of}" if self.of else title

    def meaning(self, say: Words) -> str:
        return say.known(f"row.{self.name}.means", "")

    def figure(self, end: str = "") -> str:
        """What a verdict calls the figure, or with `_low` and `_high` the ends of its interval."""
        return f"{self.name}{end}/{self.of}" if self.of else f"{self.name}{end}"

    def value(self, figures: Figures, say: Words) -> str:
        value = figures.get(self.figure())
        return say.percent(value, self.digits) if self.percent else number(value, self.digits)

    def between(self, figures: Figures) -> str:
        """The figure's interval, written as it is itself; empty where it has none."""
        low, high = (figures.get(self.figure(end)) for end in ("_low", "_high"))
        return "" if low is None or high is None else between(self.scale * low, self.scale * high, self.digits)

    def difference(self, figures: Figures, say: Words) -> str:
        """How much it is above the first model's, paired by prompt, with its interval; empty where nobody took it."""
        ends = [figures.get(self.figure(f"_difference{end}")) for end in ("", "_low", "_high")]
        told = [signed(self.scale * end, self.digits) for end in ends if end is not None]
        return say("row.difference", difference=told[0], low=told[1], high=told[2]) if len(told) == 3 else ""

    @property
    def scale(self) -> int:
        return 100 if self.percent else 1


ROWS = (
    Row("win_rate", 0, True),
    Row("win_rate_controlled", 0, True),
    Row("strength", 2),
    Row("kl", 2, watch=lambda v, b: v > 8),
    Row("judge_mean", 2),
    Row("fluency", 2, watch=lambda v, b: v < b - 0.4),
    Row("distinct_2", 2, watch=lambda v, b: v < 0.7 * b),
    Row("unique_answers", 0, True, lambda v, b: v < 0.7 * b),
    Row("answer_length", 1, watch=lambda v, b: not 0.6 * b <= v <= 1.6 * b),
    Row("ended", 0, True, lambda v, b: v < b - 0.1),
    Row("perplexity", 1, watch=lambda v, b: v > 1.15 * b),
    Row("told_apart_by_people", 0, True),
    Row("told_apart_by_length", 0, True),
    Row("told_apart_prompts", 0),
    Row("refused_harmful", 0, True),
    Row("refused_safe", 0, True),
    Row("degenerate", 0, True),
    Row("in_chinese", 0, True),
    Row("truthful", 0, True),
    Row("truthful_mass", 0, True),
    Row("bbq_ambiguous", 0, True),
    Row("bbq_disambiguated", 0, True),
    Row("bias_ambiguous", 2),
    Row("bias_disambiguated", 2),
    Row("suite_prompts", 0),
)
AIMS = {aim: Row(figure, 0, True) for aim, figure in aims.AIMS.items()}
"""What post-training is for: answers like people's, useful answers, safe ones."""
BESIDE = ("_low", "_high", "_se", "_difference")
"""Ends of names of figures that stand in another figure's cell."""


def rows_of(verdicts: Mapping[str, Figures], left_out: Sequence[str] = ()) -> list[Row]:
    """Rows for all figures of the verdicts but those in another's cell: known ones first, as ROWS has them, each with
    what single judges or sets say of it."""
    there = dict.fromkeys(name for figures in verdicts.values() for name in figures)
    known = {row.name: row for row in (ROWS[0], *AIMS.values(), *ROWS)}
    order = {name: place for place, name in enumerate(known)}
    found = []
    for name in there:
        stem, _, of = name.partition("/")
        if stem in left_out or any(name.replace(end, "", 1) in there for end in BESIDE if stem.endswith(end)):
            continue
        found.append(replace(known[stem], of=of) if stem in known else Row(name, 3))
    return sorted(found, key=lambda row: (order.get(row.name, len(order)), bool(row.of)))


CURVES = (
    ("loss", "heldout_loss"),
    ("accuracy",),
    ("margin",),
    ("gain_chosen", "gain_rejected"),
    ("logp_chosen", "logp_rejected"),
    ("reward",),
    ("kl_k1",),
    ("entropy",),
    ("clip_fraction",),
    ("value_loss",),
    ("explained_variance",),
    ("score_mean", "score_kept"),
    ("answer_length",),
    ("ended",),
    ("grad_norm",),
)
"""Pictures of one figure over steps, or of two that belong together: `curve.FIRST`, its `.means` and each line's name
`curve.FIRST.KEY` in the words."""

FACTS = (
    "loss",
    "heldout_loss",
    "heldout_accuracy",
    "heldout_reward",
    "heldout_judge",
    "heldout_kl",
    "best_step",
    "skipped",
    "heldout_pairs",
    "own_above_other",
    "heldout_calibration_error",
    "heldout_length_share",
    "reward",
    "kl_k1",
    "accuracy",
    "margin",
    "answers",
    "rankings",
    "with_ties",
    "score_mean",
    "score_kept",
    "prompts",
    "ratio_first",
    "sampler_gap",
    "ended",
    "answer_length",
)
"""A stage's final figures that the report shows, `fact.NAME` in the words."""

SHARES = {
    "heldout_accuracy",
    "own_above_other",
    "heldout_calibration_error",
    "heldout_length_share",
    "accuracy",
    "ended",
}
"""Facts that are written in percent."""


def number(value: float | None, digits: int = 2) -> str:
    """A number as text, with a minus sign and thousands apart; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and (abs(value) >= 1e7 or abs(value) < 1e-4):
        return f"{value:.1e}".replace("-", "−")
    if value and abs(value) < 0.5 * 10**-digits:
        digits = math.ceil(-math.log10(abs(value)))
    return f"{value:,.{digits}f}".replace(",", NARROW).replace("-", "−")


def between(low: float, high: float, digits: int) -> str:
    """The two ends of an interval; a dash would not stand beside a minus."""
    return f"{number(low, digits)}{' … ' if low < 0 else '–'}{number(high, digits)}"


def signed(value: float, digits: int = 1) -> str:
    """A change: with its sign, plus or minus."""
    return ("+" if value > 0 else "") + number(value, digits)


def figure(value: float | None) -> str:
    """A number of unknown kind: whole numbers without digits, others with three that count."""
    if value is None or not math.isfinite(value):
        return number(value)
    if value == int(value) and abs(value) < 1e7:
        return number(value, 0)
    return number(value, max(0, min(4, 2 - math.floor(math.log10(abs(value))))))
