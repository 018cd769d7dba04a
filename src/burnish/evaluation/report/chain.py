"""The run's chain as a picture: stages as boxes, results as lines, sources before what is made of them.

A layered drawing (Sugiyama, Tagawa and Toda 1981): each stage stands one layer after the last of those that it takes
from; a line that passes a layer gets a lane there, shared by all lines of one source; order within a layer is by the
mean place of the neighbours; places are then drawn towards the neighbours without changing the order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from burnish.evaluation.report.run import Edge
from burnish.evaluation.report.svg import escaped

SWEEPS = 12


@dataclass(frozen=True, slots=True)
class Box:
    """A stage: its name, and two lines under it."""

    name: str
    kind: str
    figure: str
    hue: str = ""


@dataclass(frozen=True, slots=True)
class Direction:
    """`along`, `across`: a box's size in the direction of the chain and across it; `lane`: a passing line's share."""

    across_page: bool
    along: float
    across: float
    gap: float
    lane: float


ACROSS = Direction(across_page=True, along=118, across=64, gap=44, lane=16)
DOWN = Direction(across_page=False, along=64, across=112, gap=34, lane=14)

Item = tuple[str, int]
"""A stage's name and its layer: its box, or the lane of its lines where the layer is a later one."""


def chain(boxes: Sequence[Box], edges: Sequence[Edge], direction: Direction, *, label: str) -> str:
    """The chain as inline SVG. Edges between unknown names are left out, and so are those that lead in a circle."""
    by_name = {box.name: box for box in boxes}
    edges = [edge for edge in edges if edge.source in by_name and edge.target in by_name]
    layer = layers(list(by_name), edges)
    edges = [edge for edge in edges if layer[edge.source] < layer[edge.target]]
    links = _links(edges, layer)
    rows = _ordered(layer, links)
    place = _places(rows, links, layer, direction)
    body = "".join(_line(source, target, weights, layer, place, direction) for source, target, weights in links)
    body += "".join(_box(box, layer[box.name], place[box.name, layer[box.name]], direction) for box in boxes)
    depth = max(layer.values(), default=0) + 1
    along = depth * (direction.along + direction.gap) - direction.gap + 2
    size = _size(layer, direction)
    across = max((place[i] + size(i) / 2 for row in rows for i in row), default=0) + 1
    width, height = (along, across) if direction.across_page else (across, along)
    kind = "across" if direction.across_page else "down"
    return (
        f'<svg class="chain {kind}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{escaped(label)}">{body}</svg>'
    )


def layers(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Each name's longest way from a name without sources; a circle ends where it would close."""
    layer = dict.fromkeys(names, 0)
    for _ in names:
        for edge in edges:
            layer[edge.target] = max(layer[edge.target], min(layer[edge.source] + 1, len(names) - 1))
    return layer


def _links(edges: Sequence[Edge], layer: Mapping[str, int]) -> list[tuple[Item, Item, bool]]:
    """Lines from one layer to the next. A source has at most one lane for weights and data alike in each layer."""
    links: dict[tuple[Item, Item], bool] = {}
    for edge in edges:
        here: Item = (edge.source, layer[edge.source])
        for at in range(layer[edge.source] + 1, layer[edge.target] + 1):
            there: Item = (edge.target, at) if at == layer[edge.target] else (edge.source, at)
            links[here, there] = links.get((here, there), False) or edge.weights
            here = there
    return [(source, target, weights) for (source, target), weights in links.items()]


def _ordered(layer: Mapping[str, int], links: Sequence[tuple[Item, Item, bool]]) -> list[list[Item]]:
    items = dict.fromkeys((name, at) for name, at in layer.items())
    items |= dict.fromkeys(item for source, target, _ in links for item in (source, target))
    depth = max(layer.values(), default=-1) + 1
    rows = [[item for item in items if item[1] == at] for at in range(depth)]
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            ranks = {item: rank for some in rows for rank, item in enumerate(some)}
            near = {item: _neighbours(item, links, before=sweep % 2 == 0) for item in row}
            mean = {i: sum(ranks[n] for n in near[i]) / len(near[i]) if near[i] else float(ranks[i]) for i in row}
            row.sort(key=lambda item: (mean[item], ranks[item]))
    return rows


def _neighbours(item: Item, links: Sequence[tuple[Item, Item, bool]], *, before: bool) -> list[Item]:
    if before:
        return [source for source, target, _ in links if target == item]
    return [target for source, target, _ in links if source == item]


def _size(layer: Mapping[str, int], direction: Direction) -> Callable[[Item], float]:
    return lambda item: direction.across if layer[item[0]] == item[1] else direction.lane


def _places(
    rows: Sequence[list[Item]],
    links: Sequence[tuple[Item, Item, bool]],
    layer: Mapping[str, int],
    direction: Direction,
) -> dict[Item, float]:
    """Where each item's middle lies across the chain, from 0 on."""
    size = _size(layer, direction)
    place: dict[Item, float] = {}
    for row in rows:
        total, at = sum(map(size, row)), 0.0
        for item in row:
            place[item] = at + size(item) / 2 - total / 2
            at += size(item)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = []
            for item in row:
                near = _neighbours(item, links, before=True) + _neighbours(item, links, before=False)
                wanted.append(sum(place[n] for n in near) / len(near) if near else place[item])
            for item, at in zip(row, _apart(wanted, [size(item) for item in row]), strict=True):
                place[item] = at
    least = min((place[item] - size(item) / 2 for item in place), default=0.0)
    return {item: at - least + 1 for item, at in place.items()}


def _apart(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """The places nearest to `wanted`, in their order, that leave each its size: pooled adjacent violators."""
    offset, offsets = 0.0, []
    for index, size in enumerate(sizes):
        offset += size / 2 + (sizes[index - 1] / 2 if index else 0.0)
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for at, shift in zip(wanted, offsets, strict=True):
        mean, count = at - shift, 1
        while pools and pools[-1][0] > mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [mean + shift for mean, shift in zip(flat, offsets, strict=True)]


def _line(
    source: Item,
    target: Item,
    weights: bool,
    layer: Mapping[str, int],
    place: Mapping[Item, float],
    direction: Direction,
) -> str:
    step = direction.along + direction.gap
    start = source[1] * step + direction.along + 1
    # a lane runs straight through the length of its layer, then bends in the gap
    end = target[1] * step + 1
    middle = (start + end) / 2
    points = [(start, place[source]), (middle, place[source]), (middle, place[target]), (end, place[target])]
    path = _curve(points, direction)
    if layer[target[0]] != target[1]:
        path += _straight((end + direction.along, place[target]), direction)
    return f'<path class="{"weights" if weights else "data"}" d="{path}"/>'


def _curve(points: Sequence[tuple[float, float]], direction: Direction) -> str:
    turned = [(a, b) if direction.across_page else (b, a) for a, b in points]
    (x, y), *rest = turned
    return f"M{x:.1f} {y:.1f}C" + " ".join(f"{a:.1f} {b:.1f}" for a, b in rest)


def _straight(point: tuple[float, float], direction: Direction) -> str:
    a, b = point if direction.across_page else point[::-1]
    return f"L{a:.1f} {b:.1f}"


def _box(box: Box, layer: int, middle: float, direction: Direction) -> str:
    start = layer * (direction.along + direction.gap) + 1
    inset = 7 if direction.across_page else 5
    if direction.across_page:
        x, y, width, height = (
            start,
            middle - direction.across / 2 + inset,
            direction.along,
            direction.across - 2 * inset,
        )
    else:
        x, y, width, height = (
            middle - direction.across / 2 + inset,
            start,
            direction.across - 2 * inset,
            direction.along,
        )
    across = x + width / 2
    texts = [(kind, text) for kind, text in (("name", box.name), ("kind", box.kind), ("figure", box.figure)) if text]
    room = 15 if width > 105 else 14
    lines = [(kind, text, 17 + 14 * number) for number, (kind, text) in enumerate(texts)]
    shift = (height - (lines[-1][2] + 6)) / 2
    hue = f' class="{box.hue}"' if box.hue else ""
    body = "".join(
        f'<text class="{kind}" x="{across:.1f}" y="{y + down + shift:.1f}">{escaped(_short(text, room))}</text>'
        for kind, text, down in lines
    )
    frame = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="6"/>'
    return f"<g{hue}><title>{escaped(box.name)}</title>{frame}{body}</g>"


def _short(text: str, room: int) -> str:
    return text if len(text) <= room + 3 else text[: room + 2] + "…"
