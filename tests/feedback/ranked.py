"""Rankings for tests: only what a test is about is given, the rest is unremarkable."""

from dataclasses import replace

from burnish.feedback.records import Ranking

PLAIN = Ranking(
    item="item",
    prompt="prompt",
    annotator="ann",
    layer="people",
    kind="uniform",
    task="rank",
    mode="place",
    place_K=(0, 1),
    shown_K=(),
    length_K=(),
    source_K=(),
    gold_K=(),
    flag_K=(),
    acceptable=None,
    confidence=None,
    seconds=None,
    propensity=1.0,
    comparisons=(),
    saved=0.0,
)


def ranking(item="item", annotator="ann", place_K=(0, 1), **known):
    """A ranking of an item whose prompt is its own, unless another one is given."""
    known.setdefault("prompt", item)
    known.setdefault("length_K", (100,) * len(place_K))
    known.setdefault("source_K", (None,) * len(place_K))
    known.setdefault("flag_K", ((),) * len(place_K))
    return replace(PLAIN, item=item, annotator=annotator, place_K=place_K, **known)
