"""How each annotator works: pace, ties, and what calls for a second look. Nothing is ever deleted for it.

active items/h = gaps between saved rankings that are at most two minutes / their sum
reading time   = characters / 6 / 400 words a minute       six characters a word, its space included
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median

from burnish.feedback.agreement.coefficients import gold_accuracy
from burnish.feedback.records import ORDERED, Ranking, Verdict

LONGEST_GAP = 120.0  # seconds; whoever saves nothing for longer was away


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a ranking or an annotator is flagged."""

    least_seconds: float = 3.0
    reading_share: float = 0.2
    words_a_minute: float = 400.0
    same_letter: float = 0.8
    rankings: int = 10
    gold_items: int = 3
    gold_accuracy: float = 0.7


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Conduct:
    """Figures of one annotator; NaN is what cannot be known.

    `tie_rate`: pairs of answers put level / pairs. `none_acceptable_rate`: rankings with the line above all answers /
    rankings. `median_seconds`: time with the page in sight. `transitivity`: see `transitivity`. `too_fast`: rankings
    saved in less than max(3 s, a fifth of the reading time). `flags`: what `Limits` were passed, in words.
    """

    rankings: int
    active_items_an_hour: float
    median_seconds: float
    tie_rate: float
    none_acceptable_rate: float
    transitivity: float
    redundant_questions: int
    too_fast: int
    flags: tuple[str, ...]


def conduct(rankings: Sequence[Ranking], limits: Limits = LIMITS) -> dict[str, Conduct]:
    """annotator → how they work, over all that they ranked: repeats and gold items are work too."""
    by_annotator: dict[str, list[Ranking]] = defaultdict(list)
    for one in rankings:
        by_annotator[one.annotator].append(one)
    return {name: _of_one(ranked, limits) for name, ranked in sorted(by_annotator.items())}


def _of_one(ranked: Sequence[Ranking], limits: Limits) -> Conduct:
    seconds = [one.seconds for one in ranked if one.seconds is not None]
    ordered = [one for one in ranked if one.task in ORDERED]
    pairs = [one.place_K[i] == one.place_K[j] for one in ordered for i, j in combinations(range(len(one.place_K)), 2)]
    agreed, asked = transitivity(ranked)
    return Conduct(
        rankings=len(ranked),
        active_items_an_hour=active_items_an_hour([one.saved for one in ranked if one.layer != "imported"]),
        median_seconds=median(seconds) if seconds else math.nan,
        tie_rate=sum(pairs) / len(pairs) if pairs else math.nan,
        none_acceptable_rate=sum(one.acceptable == 0 for one in ranked) / len(ranked),
        transitivity=agreed / asked if asked else math.nan,
        redundant_questions=asked,
        too_fast=sum(is_too_fast(one, limits) for one in ranked),
        flags=tuple(_flags(ranked, limits)),
    )


def active_items_an_hour(saved: Iterable[float]) -> float:
    """Items an hour between rankings that follow each other within two minutes; NaN where none do.

    Pauses are left out whole, with the item after them: when work on that one began is not known.
    """
    moments = sorted(saved)
    gaps = [after - before for before, after in pairwise(moments)]
    worked = [gap for gap in gaps if gap <= LONGEST_GAP]
    return 3600 * len(worked) / math.fsum(worked) if math.fsum(worked) > 0 else math.nan


def is_too_fast(ranking: Ranking, limits: Limits) -> bool:
    """Whether it was made in less time than reading can take. Unknown times are not."""
    reading = sum(ranking.length_K) / 6 / limits.words_a_minute * 60
    return ranking.seconds is not None and ranking.seconds < max(limits.least_seconds, limits.reading_share * reading)


def _flags(ranked: Sequence[Ranking], limits: Limits) -> Iterable[str]:
    fast = sum(is_too_fast(one, limits) for one in ranked)
    if fast:
        yield f"too fast: {fast} of {len(ranked)}"
    letter, times, of = constant_position(ranked)
    if of >= limits.rankings and times >= limits.same_letter * of:
        yield f"constant position: {letter} is best in {times} of {of}"
    for gold in gold_accuracy(ranked).values():
        if gold.items >= limits.gold_items and gold.accuracy < limits.gold_accuracy:
            yield f"gold: {gold.items - gold.right} of {gold.items} wrong"


def constant_position(ranked: Iterable[Ranking]) -> tuple[str, int, int]:
    """(the letter that was best most often, how often, rankings with one best answer and known positions)."""
    best = [letter for letter in map(winner, ranked) if letter is not None]
    if not best:
        return "", 0, 0
    most = max(sorted(set(best)), key=best.count)
    return chr(ord("A") + most), best.count(most), len(best)


def winner(ranking: Ranking) -> int | None:
    """The position, 0 is A, at which the one best answer was shown; None without one, or where it is not known."""
    best = [index for index, place in enumerate(ranking.place_K) if place == 0]
    return ranking.shown_K[best[0]] if len(best) == 1 and ranking.shown_K else None


# ---- insertion mode: does the annotator contradict themselves?


def transitivity(rankings: Iterable[Ranking]) -> tuple[int, int]:
    """(redundant questions answered as the answers before them imply, redundant questions).

    A question is redundant where the earlier answers about the same item already order its two answers: A > B and
    B = C imply A > C. Where they are contradicted the later answer is not taken in, so that one slip counts once.
    """
    agreed = asked = 0
    for ranking in rankings:
        if ranking.mode == "insertion":
            agreed_here, asked_here = _redundant(len(ranking.place_K), ranking.comparisons)
            agreed, asked = agreed + agreed_here, asked + asked_here
    return agreed, asked


def _redundant(answers: int, comparisons: Sequence[tuple[int, int, Verdict]]) -> tuple[int, int]:
    known: dict[tuple[int, int], Verdict] = {(index, index): "=" for index in range(answers)}
    agreed = asked = 0
    for first, second, said in comparisons:
        implied = known.get((first, second))
        if implied is not None:
            asked += 1
            agreed += implied == said
            continue
        known[first, second], known[second, first] = said, _turned(said)
        _close(known, answers)
    return agreed, asked


def _close(known: dict[tuple[int, int], Verdict], answers: int) -> None:
    """Add what follows: Floyd's and Warshall's closure, with = as the neutral step."""
    for middle in range(answers):
        for left in range(answers):
            for right in range(answers):
                steps = {known.get((left, middle)), known.get((middle, right))}
                if None in steps or {">", "<"} <= steps or (left, right) in known:
                    continue
                follows: Verdict = ">" if ">" in steps else "<" if "<" in steps else "="
                known[left, right] = follows


def _turned(said: Verdict) -> Verdict:
    turned: Mapping[Verdict, Verdict] = {">": "<", "<": ">", "=": "="}
    return turned[said]
