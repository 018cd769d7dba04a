"""Rankings as verdicts on pairs: the first answer is better, they tie, or the second is better.

A unit is one pair of answers of one item, in the item's own order; an annotator who ranked the item gives it one
verdict. First, tie and second are 0, 1 and 2.

Axes: V verdicts, U units, I items, G prompts, A annotators, K answers of one item.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import get_args

import numpy as np

from burnish.errors import UsageError
from burnish.feedback.agreement.bootstrap import Floats, Ints
from burnish.feedback.records import ANNOTATED, DRAWN, ORDERED, Kind, Layer, Ranking
from burnish.types import Group

FIRST, TIE, SECOND = 0, 1, 2

Readings = Mapping[str, Mapping[str, Ranking]]
"""item → annotator → the ranking: one reading of an item by each annotator."""


def readings(
    rankings: Iterable[Ranking], layers: Collection[Layer] = ANNOTATED, kinds: Collection[Kind] = DRAWN
) -> dict[str, dict[str, Ranking]]:
    """One ranking of each item by each annotator, the earliest. Picks of one answer are left out: they order no pair.

    An answer that was not picked is not thereby equal to the others that were not.
    """
    by_item: dict[str, dict[str, Ranking]] = {}
    for one in sorted(rankings, key=lambda ranking: ranking.saved):
        if one.task in ORDERED and one.layer in layers and one.kind in kinds:
            by_item.setdefault(one.item, {}).setdefault(one.annotator, one)
    return by_item


def known_layers(names: Collection[str]) -> tuple[Layer, ...]:
    """The layers of these names. Raises UsageError for another name, practice among them: it enters no figure."""
    layers: tuple[Layer, ...] = tuple(layer for layer in get_args(Layer) if layer != "calibration")
    wrong = [name for name in names if name not in layers]
    if wrong:
        raise UsageError(f"there is no layer {', '.join(wrong)}; choose of {', '.join(layers)}")
    return tuple(layer for layer in layers if layer in names)


def verdict(place_K: Sequence[int], first: int, second: int) -> int:
    """FIRST, TIE or SECOND for two answers of a ranking; place 0 is best."""
    return TIE + (place_K[first] > place_K[second]) - (place_K[first] < place_K[second])


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All verdicts, as arrays. `weight_I` is 1 / propensity of the item's draw: 1 where all were equally likely."""

    items: tuple[str, ...]
    prompts: tuple[str, ...]
    annotators: tuple[str, ...]
    item_U: Ints
    first_U: Ints
    second_U: Ints
    prompt_I: Ints
    weight_I: Floats
    unit_V: Ints
    annotator_V: Ints
    value_V: Ints

    def counts(self) -> Floats:
        """How many annotators gave each unit each verdict, (U, 3)."""
        flat = np.bincount(self.unit_V * 3 + self.value_V, minlength=3 * len(self.item_U))
        return flat.reshape(-1, 3).astype(np.float64)

    def unit_prompts(self) -> Ints:
        """The prompt of each unit, (U,)."""
        return self.prompt_I[self.item_U]

    def prompt_weights(self) -> Floats:
        """The mean weight of each prompt's items: a prompt counts once, as often as its draw calls for."""
        total_G = np.bincount(self.prompt_I, self.weight_I, minlength=len(self.prompts))
        items_G = np.bincount(self.prompt_I, minlength=len(self.prompts))
        weight_G: Floats = total_G / np.maximum(items_G, 1)
        return weight_G


def verdicts(by_item: Readings) -> Verdicts:
    """Every pair of every item, with each annotator's verdict on it."""
    given: dict[str, Placed] = {}
    for item, by_annotator in by_item.items():
        some = next(iter(by_annotator.values()))
        given[item] = (some.prompt, some.propensity, {name: one.place_K for name, one in by_annotator.items()})
    return verdicts_of(given)


Placed = tuple[str, float, Mapping[str, tuple[int, ...]]]
"""An item: its prompt, the propensity of its draw, and annotator → place of each answer."""


def verdicts_of(by_item: Mapping[str, Placed]) -> Verdicts:
    """The same from places alone."""
    prompts: dict[str, int] = {}
    annotators: dict[str, int] = {}
    prompt_I, weight_I = [], []
    units: list[tuple[int, int, int]] = []
    given: list[tuple[int, int, int]] = []
    for item, (prompt, propensity, by_annotator) in enumerate(by_item.values()):
        prompt_I.append(prompts.setdefault(prompt, len(prompts)))
        weight_I.append(1 / propensity)
        places = [(annotators.setdefault(name, len(annotators)), place_K) for name, place_K in by_annotator.items()]
        for first, second in combinations(range(len(places[0][1])), 2):
            given += [(len(units), who, verdict(place_K, first, second)) for who, place_K in places]
            units.append((item, first, second))
    unit_U3 = np.array(units, dtype=np.int64).reshape(-1, 3)
    given_V3 = np.array(given, dtype=np.int64).reshape(-1, 3)
    return Verdicts(
        items=tuple(by_item),
        prompts=tuple(prompts),
        annotators=tuple(annotators),
        item_U=unit_U3[:, 0],
        first_U=unit_U3[:, 1],
        second_U=unit_U3[:, 2],
        prompt_I=np.array(prompt_I, dtype=np.int64),
        weight_I=np.array(weight_I, dtype=np.float64),
        unit_V=given_V3[:, 0],
        annotator_V=given_V3[:, 1],
        value_V=given_V3[:, 2],
    )


# ---- rankings that lie in a file, not in a store


def annotator(group: Group) -> str | None:
    """Who ranked it, as rows of `burnish rank export` and files of votes say it; None where they do not."""
    name = group.extra.get("annotator")
    return None if name is None else str(name)


def verdicts_of_groups(groups: Iterable[Group]) -> Verdicts:
    """The verdicts of the first ranking of each item by each named annotator.

    Groups with one prompt and the same answers, in whatever order, are one item.
    """
    places: dict[tuple[object, tuple[str, ...]], dict[str, tuple[int, ...]]] = {}
    for group in groups:
        name = annotator(group)
        if name is None or group.order is None:
            continue
        asked = group.prompt if isinstance(group.prompt, str) else tuple((m.role, m.content) for m in group.prompt)
        texts = tuple(answer.text for answer in group.answers)
        order = sorted(range(len(texts)), key=texts.__getitem__)  # the answers may stand in another order elsewhere
        place = {index: place for place, tied in enumerate(group.order) for index in tied}
        item = places.setdefault((asked, tuple(texts[index] for index in order)), {})
        item.setdefault(name, tuple(place[index] for index in order))
    prompts = {asked: str(number) for number, (asked, _) in enumerate(places)}
    return verdicts_of({str(i): (prompts[asked], 1.0, given) for i, ((asked, _), given) in enumerate(places.items())})
