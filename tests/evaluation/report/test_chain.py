"""The chain's picture: whatever the graph, every stage stands after its sources and no two boxes overlap."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.evaluation.report.chain import ACROSS, DOWN, Box, chain, layers
from burnish.evaluation.report.run import Edge


def edges(*pairs):
    return [Edge(source, target, weights=True) for source, target in pairs]


def rectangles(svg):
    found = re.findall(r'<title>(\w+)</title><rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    return {name: tuple(map(float, numbers)) for name, *numbers in found}


def test_a_stage_stands_one_layer_after_the_last_of_its_sources():
    found = layers(
        ["sft", "answers", "reward", "ppo"],
        edges(("sft", "answers"), ("answers", "reward"), ("sft", "ppo"), ("reward", "ppo")),
    )
    assert found == {"sft": 0, "answers": 1, "reward": 2, "ppo": 3}


def test_a_circle_ends():
    svg = chain([Box("a", "", ""), Box("b", "", "")], edges(("a", "b"), ("b", "a")), ACROSS, label="")
    assert set(rectangles(svg)) == {"a", "b"}


def test_an_empty_run_has_an_empty_picture():
    assert "<rect" not in chain([], [], DOWN, label="")


@pytest.mark.parametrize("direction", [ACROSS, DOWN])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_boxes_overlap_and_all_lie_inside(direction, data):
    names = [f"s{i}" for i in range(data.draw(st.integers(1, 9)))]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    svg = chain([Box(name, "kind", "1") for name in names], edges(*chosen), direction, label="")
    found = rectangles(svg)
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    along = 0 if direction.across_page else 1
    for source, target in chosen:
        assert found[source][along] < found[target][along]
    for name, (x, y, w, h) in found.items():
        assert 0 <= x <= x + w <= width + 1
        assert 0 <= y <= y + h <= height + 1
        for other, (x2, y2, w2, h2) in found.items():
            assert name == other or x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_lines_of_one_source_share_a_lane():
    """sft feeds the third and the fourth layer: one line passes the second, and splits after it."""
    boxes = [Box(name, "", "") for name in ("sft", "a", "b", "c")]
    svg = chain(boxes, edges(("sft", "a"), ("a", "b"), ("b", "c"), ("sft", "b"), ("sft", "c")), ACROSS, label="")
    assert svg.count("<path") == 3 + 2 + 2  # the chain's own; sft to a lane beside a, on to b; on beside b, on to c
