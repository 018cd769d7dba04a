"""How well scores order answers as people did: accuracy and where it comes from, calibration, what length explains.

    accuracy      share of decided pairs whose better answer scores higher, equal scores half; each prompt counted once
    calibration   p = σ(scale · |gap|) is how sure the scores are of a pair; Σ_b w_b |right_b - p_b| over bins of p
    length share  R² of score on length, both less their mean over the answers to a prompt

Expected calibration error as Naeini et al. 2015 and Guo et al. 2017 have it, with ten bins from ½ to 1.

Axes: P decided pairs, K answers of one ranking (ragged), B bins.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.errors import ConfigError
from burnish.evaluation.intervals import Interval, proportion, weighted_proportion

BINS = 10
EXPLAINED = 0.5
"""From this length share on a warning is due: half of what tells answers apart could be read off a ruler."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One ranking with the scores of its answers. `place`: 0 is best, -1 unknown. `others`: scores of answers to other
    prompts, under this one. `prompt`: rankings that share it are one observation."""

    prompt: str
    score: tuple[float, ...]
    place: tuple[int, ...]
    length: tuple[int, ...]
    source: tuple[str | None, ...] = ()
    margin: float | None = None
    others: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """A share of pairs by prompt, its 95 % interval, and what it rests on."""

    mean: float
    low: float
    high: float
    prompts: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs of which the scores are as sure as `low` to `high`: the mean of that, and how often they are right, with
    its 95 % interval by prompt."""

    low: float
    high: float
    sure: float
    right: float
    right_low: float
    right_high: float
    share: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Ordering:
    """`by_*`: the accuracy over a part of the pairs. `length_share` is NaN where lengths or scores never differ."""

    accuracy: Share
    by_places_apart: Mapping[str, Share]
    by_margin: Mapping[str, Share]
    by_length: Mapping[str, Share]
    by_source: Mapping[str, Share]
    calibration_error: float
    reliability: tuple[Bin, ...]
    length_share: float
    own_above_other: Share | None

    def figures(self, prefix: str = "") -> dict[str, float]:
        """The few that a summary has room for."""
        told = {f"{prefix}calibration_error": self.calibration_error}
        if math.isfinite(self.length_share):
            told[f"{prefix}length_share"] = self.length_share
        if self.own_above_other is not None:
            told |= shown("own_above_other", self.own_above_other)
        return told

    def record(self) -> dict[str, Any]:
        """Everything, as JSON has it: null where there is no number."""
        told = asdict(self)
        told["length_share"] = self.length_share if math.isfinite(self.length_share) else None
        return told


def shown(name: str, share: Share) -> dict[str, float]:
    """A share and the ends of its interval as figures."""
    return {name: share.mean, f"{name}_low": share.low, f"{name}_high": share.high}


@dataclass(frozen=True, slots=True)
class _Pair:
    prompt: str
    gap: float
    apart: int
    longer: int
    sources: frozenset[str]
    margin: float

    @property
    def right(self) -> float:
        return 0.5 * (1 + float(np.sign(self.gap)))


def ordering(rankings: Sequence[Ranked], *, scale: float = 1.0) -> Ordering:
    """What the scores make of the rankings. `scale` brings a gap to log-odds: `score_deviation` of a saved model.

    Raises ConfigError where no ranking decides a pair.
    """
    pairs = [pair for one in rankings for pair in _pairs(one)]
    if not pairs:
        raise ConfigError(f"none of {len(rankings)} rankings decides a pair, so there is no order to hold scores to")
    error, reliability = _calibration(pairs, scale)
    sources = sorted({source for pair in pairs for source in pair.sources})
    return Ordering(
        accuracy=_share(pairs),
        by_places_apart=_parted(pairs, lambda pair: f"{pair.apart}" if pair.apart < 3 else "3 or more"),
        by_margin=_by_margin(pairs),
        by_length=_parted(pairs, lambda pair: ("equally long", "better is longer", "better is shorter")[pair.longer]),
        by_source={source: _share([pair for pair in pairs if source in pair.sources]) for source in sources},
        calibration_error=error,
        reliability=reliability,
        length_share=length_share(rankings),
        own_above_other=_above_others(rankings),
    )


def _pairs(one: Ranked) -> list[_Pair]:
    source = one.source or (None,) * len(one.score)
    found = []
    for i, j in combinations(range(len(one.score)), 2):
        if min(one.place[i], one.place[j]) < 0 or one.place[i] == one.place[j]:
            continue
        better, worse = (i, j) if one.place[i] < one.place[j] else (j, i)
        found.append(
            _Pair(
                prompt=one.prompt,
                gap=one.score[better] - one.score[worse],
                apart=one.place[worse] - one.place[better],
                longer=int(np.sign(one.length[better] - one.length[worse])),
                sources=frozenset(name for name in (source[i], source[j]) if name is not None),
                margin=math.nan if one.margin is None else one.margin,
            )
        )
    return found


def _share(pairs: Sequence[_Pair]) -> Share:
    return by_prompt([(pair.prompt, pair.right) for pair in pairs])


def by_prompt(values: Sequence[tuple[str, float]]) -> Share:
    """The mean of values in [0, 1], each prompt counted once. Raises ConfigError where there is none."""
    of_prompt: dict[str, list[float]] = {}
    for prompt, value in values:
        of_prompt.setdefault(prompt, []).append(value)
    told: Interval = proportion(list(of_prompt.values()))
    return Share(told.mean, told.low, told.high, told.prompts, len(values))


def _parted(pairs: Sequence[_Pair], part: Callable[[_Pair], str]) -> dict[str, Share]:
    parts: dict[str, list[_Pair]] = {}
    for pair in pairs:
        parts.setdefault(part(pair), []).append(pair)
    return {name: _share(parts[name]) for name in sorted(parts)}


def _by_margin(pairs: Sequence[_Pair]) -> dict[str, Share]:
    """By the margin that people gave, in thirds of the pairs that have one; by its values where those are few."""
    known = [pair for pair in pairs if math.isfinite(pair.margin)]
    if len({pair.margin for pair in known}) <= 4:
        return _parted(known, lambda pair: f"{pair.margin:g}")
    low, high = np.quantile([pair.margin for pair in known], [1 / 3, 2 / 3])
    names = (f"up to {low:.3g}", f"{low:.3g} to {high:.3g}", f"above {high:.3g}")
    return _parted(known, lambda pair: names[int(pair.margin > low) + int(pair.margin > high)])


def _calibration(pairs: Sequence[_Pair], scale: float) -> tuple[float, tuple[Bin, ...]]:
    """Expected calibration error and the reliability curve; each prompt weighs once, its pairs alike."""
    count = Counter(pair.prompt for pair in pairs)
    weight_P = np.array([1 / count[pair.prompt] / len(count) for pair in pairs])
    sure_P = 1 / (1 + np.exp(-scale * np.abs([pair.gap for pair in pairs])))
    bin_P = np.minimum(((sure_P - 0.5) * 2 * BINS).astype(int), BINS - 1)
    bins = []
    for b in np.unique(bin_P):
        inside_P = bin_P == b
        share = float(weight_P[inside_P].sum())
        right = _right([pair for pair, inside in zip(pairs, inside_P, strict=True) if inside], count)
        bins.append(
            Bin(
                low=0.5 + b / (2 * BINS),
                high=0.5 + (b + 1) / (2 * BINS),
                sure=float(weight_P[inside_P] @ sure_P[inside_P]) / share,
                right=right.mean,
                right_low=right.low,
                right_high=right.high,
                share=share,
                pairs=int(inside_P.sum()),
            )
        )
    return sum(one.share * abs(one.right - one.sure) for one in bins), tuple(bins)


def _right(pairs: Sequence[_Pair], count: Mapping[str, int]) -> Interval:
    """How often the pairs of a bin are right. A prompt weighs as much as the share of its pairs, `count`, that it has
    there."""
    of_prompt: dict[str, list[float]] = {}
    for pair in pairs:
        of_prompt.setdefault(pair.prompt, []).append(pair.right)
    weight_G = [len(values) / count[prompt] for prompt, values in of_prompt.items()]
    return weighted_proportion(list(of_prompt.values()), weight_G)


def length_share(rankings: Sequence[Ranked]) -> float:
    """R² of score on length within a ranking, over rankings of at least two answers; NaN where either never differs."""
    rows = [one for one in rankings if len(one.score) > 1]
    if not rows:
        return math.nan
    score = np.concatenate([_centred(one.score) for one in rows])
    length = np.concatenate([_centred(one.length) for one in rows])
    spread = float((score @ score) * (length @ length))
    return float(score @ length) ** 2 / spread if spread > 0 else math.nan


def _centred(values: Sequence[float]) -> Floats:
    row = np.asarray(values, dtype=np.float64) - values[0]  # equal values then give exact zeros
    centred: Floats = row - row.mean()
    return centred


def _above_others(rankings: Sequence[Ranked]) -> Share | None:
    """How often a ranking's own answer scores above an answer to another prompt; None where none was scored."""
    values = [
        (one.prompt, 0.5 * (1 + float(np.sign(own - other))))
        for one in rankings
        for own, place in zip(one.score, one.place, strict=True)
        if place >= 0
        for other in one.others
    ]
    return by_prompt(values) if values else None
