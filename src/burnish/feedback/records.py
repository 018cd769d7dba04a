"""What the store of rankings takes and gives: plain frozen records.

Item        a prompt with the answers that are to be put in order
Assignment  an item as one annotator sees it: answers in an order of its own, under the letters A, B, C …
Submission  what an annotator decided, in those letters
Ranking     what was decided, by the item's own order of answers, with all that statistics and exports need

Axes: K answers of an item, in the item's own order (not the order in which anybody saw them). Moments are seconds
since 1970, UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from burnish.types import Group, Order, Prompt

LETTERS = "ABCDEFGHIJKLMNOP"
ANSWERS: Mapping[str, tuple[int, int]] = {"rank": (2, 9), "pick": (2, len(LETTERS)), "pair": (2, 2), "person": (2, 2)}
"""How many answers an item of each task may have."""

Task = Literal["rank", "pick", "pair", "person"]
ORDERED: tuple[Task, ...] = ("rank", "pair", "person")  # all are put in order; a pick says nothing of the others
Layer = Literal["people", "judge", "imported", "adjudicated", "calibration"]
Kind = Literal["uniform", "active", "overlap", "gold", "repeat", "live", "calibration", "adjudication", "imported"]
Mode = Literal["place", "insertion", "pick", "pair", "person"]
Verdict = Literal[">", "=", "<"]

ANNOTATED: tuple[Layer, ...] = ("people", "imported")
DRAWN: tuple[Kind, ...] = ("uniform", "active", "overlap", "live", "imported")
"""Rankings of items that were drawn, by a known propensity, or that their annotator typed. Gold items were chosen, a
repeat is no second opinion."""

UNKNOWN = "unknown"  # the annotator of rankings that came without a name
FLAGS = ("unsafe", "wrong language", "broken", "identity leak")
SKIP_REASONS = ("unclear", "offensive", "not my field", "language", "other")


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt with 2 to 9 answers to rank, with up to 16 of which one is picked, with two of which one is better, or
    with two of which one was written by a person.

    `group.id` names the item in the store; each answer's `source` and the group's `extra` are its lineage, which no
    annotator sees. `gold` is the order that is known to be right: such an item is asked to check annotators. `content`:
    the group's `content_hash`, where whoever made the item has taken it.
    """

    group: Group
    gold: Order | None = None
    task: Task = "rank"
    content: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Annotator:
    """Someone who ranks. `alias` stands for the name wherever the ranking leaves the store.

    `lead`: may see the statistics and decide what annotators dispute; those decisions are made as another annotator of
    the same name, see `Store.adjudicator`.
    """

    number: int
    name: str
    alias: str
    lead: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session. `secret` goes into its cookie, `csrf` into each request that changes something."""

    secret: str
    annotator: Annotator
    csrf: str


@dataclass(frozen=True, slots=True)
class Practice:
    """Which of the items that come before real work: the `number`-th, from 1, `of` so many."""

    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """An item as its annotator sees it. Nothing here tells which model wrote an answer, or in what order they came.

    `id` is random and means nothing elsewhere. `answers` stand under the letters A, B, C … in that order. `draft` is
    what the annotator last left of it, `submission` what was sent before an undo. `practice`: set where it counts for
    nothing, and the order known to be right is told afterwards.
    """

    id: str
    prompt: Prompt
    answers: tuple[str, ...]
    task: Task
    lease_end: float
    draft: Mapping[str, Any] | None = None
    submission: Mapping[str, Any] | None = None
    practice: Practice | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """What an annotator decided, in the letters of the assignment.

    `order`: places, best first, each the letters that tie there; every letter stands in it once. `acceptable`: how
    many of the places are acceptable, 0 for none, None where the line was not drawn. `confidence`: 1 to 3. `flags`:
    letter → what is wrong with that answer, of `FLAGS`. `seconds`: time spent with the page in sight. `comparisons`:
    the questions of insertion mode in the order asked: (letter, letter, ">" the first is better, "=" or "<").
    `client_ms`: the browser's clock, for the audit.
    """

    order: tuple[tuple[str, ...], ...]
    acceptable: int | None = None
    confidence: int | None = None
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seconds: float | None = None
    mode: Mode = "place"
    comparisons: tuple[tuple[str, str, Verdict], ...] = ()
    client_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """The order known to be right of a practice item, in the letters of who ranked it. `agree`: how many `of` the pairs
    that it decides they put the same way."""

    order: tuple[tuple[str, ...], ...]
    agree: int
    of: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """That a ranking is saved, and since when. `feedback`: of a practice item. `sources`: what wrote A, B, C …, if
    that is to be revealed, None where it is not known."""

    saved: float
    feedback: Feedback | None = None
    sources: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """What an annotator said of an item that is disputed, in the letters of the lead who looks at it."""

    annotator: str
    order: tuple[tuple[str, ...], ...]
    acceptable: int | None
    confidence: int | None
    seconds: float | None
    flags: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an annotator is. `left` counts what the store could still give them, a bound and not a promise."""

    annotator: Annotator
    rankings: int
    skipped: int
    open: int
    left: int
    last: float | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranking that stands, as statistics and exports read it.

    `place_K`: the place of each answer, 0 is best, equal places tie. `shown_K`: the position at which it was shown, 0
    is A; empty where that is not known. `length_K`: characters. `source_K`: what wrote it, None where unknown.
    `gold_K`: places that are known to be right, empty where none are.

    `kind`: why it was asked; `propensity`: how likely the draw of a fresh item was to take this one, times the number
    of items it drew from: 1 under uniform choice, so that 1/propensity weighs a ranking back to a uniform sample. An
    overlap or a repeat has the propensity of the first ranking's draw; gold, live and imported rankings have 1. `live`:
    the annotator typed the prompt, and nobody else is given it.
    `prompt`: a hash that is equal for items that ask the same. `flag_K`: the flags of each answer.
    """

    item: str
    prompt: str
    annotator: str
    layer: Layer
    kind: Kind
    task: Task
    mode: Mode
    place_K: tuple[int, ...]
    shown_K: tuple[int, ...]
    length_K: tuple[int, ...]
    source_K: tuple[str | None, ...]
    gold_K: tuple[int, ...]
    flag_K: tuple[tuple[str, ...], ...]
    acceptable: int | None
    confidence: int | None
    seconds: float | None
    propensity: float
    comparisons: tuple[tuple[int, int, Verdict], ...]
    saved: float


@dataclass(frozen=True, slots=True)
class Given:
    """A ranking that was made elsewhere, by a person or a judge, of an item in the store. `order` is by the item's own
    order of answers. `extra` holds what else its row says, and goes out with it again."""

    item: str
    order: Order
    annotator: str = UNKNOWN
    layer: Layer = "imported"
    acceptable: int | None = None
    confidence: int | None = None
    seconds: float | None = None
    flag_K: tuple[tuple[str, ...], ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
