"""Where the nodes of a graph stand: in layers from left to right, by the way that is known for Sugiyama, Tagawa and Toda (1981).

Layers are by the longest way from a node that reads nothing; within them, nodes are put by the mean place of their neighbours, to and fro, and
then as near to it as there is room (pool adjacent violators). Long edges get a place in each layer that they cross, as long as these are not too
many. One input gives one layout.

Not grandalf, which DVC has for `dvc dag`: alpha, unchanged since 2023, GPL or EPL, minutes where this takes a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Size = tuple[float, float]
Point = tuple[float, float]
MOST_BENDS = 20_000
"""Places of long edges; the longest ones go without where there would be more."""
ROUNDS = 6
GAP_X, GAP_Y, BEND = 56.0, 16.0, 6.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Upper left corners by node, the points that an edge goes through between its ends, and the size of it all."""

    places: Mapping[str, Point]
    ways: Mapping[tuple[str, str], tuple[Point, ...]]
    width: float
    height: float


@dataclass
class _Layers:
    """Items, nodes and bends of edges, by number; ``before`` and ``after``: their neighbours in the layers beside."""

    heights: list[float] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)
    before: list[list[int]] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)

    def add(self, layer: int, height: float) -> int:
        self.heights.append(height)
        self.layer.append(layer)
        self.before.append([])
        self.after.append([])
        return len(self.layer) - 1

    def join(self, left: int, right: int) -> None:
        self.after[left].append(right)
        self.before[right].append(left)


def build_layout(sizes: Mapping[str, Size], edges: Sequence[tuple[str, str]]) -> Layout:
    """Place nodes of these sizes. Edges of a circle go backwards somewhere."""
    names = list(sizes)
    number = {name: index for index, name in enumerate(names)}
    forward, backward = _forward([(number[a], number[b]) for a, b in edges], len(names))
    levels = _levels(forward, len(names))
    layers = _Layers()
    for name, level in zip(names, levels, strict=True):
        layers.add(level, sizes[name][1])
    bends = _bend(layers, forward)
    rows: list[list[int]] = [[] for _ in range(max(layers.layer, default=-1) + 1)]
    for item, layer in enumerate(layers.layer):
        rows[layer].append(item)
    _order(layers, rows)
    middle = _heights(layers, rows)
    return _placed(names, sizes, levels, middle, bends, {*forward, *backward})


def _forward(edges: list[tuple[int, int]], count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Edges without those that close a circle, and these, found depth first."""
    after: list[list[int]] = [[] for _ in range(count)]
    for start, end in edges:
        after[start].append(end)
    state = [0] * count
    back: set[tuple[int, int]] = set()
    for root in range(count):
        stack = [(root, iter(after[root]))] if not state[root] else []
        state[root] = state[root] or 1
        while stack:
            node, children = stack[-1]
            child = next(children, None)
            if child is None:
                state[node] = 2
                stack.pop()
            elif state[child] == 1:
                back.add((node, child))
            elif not state[child]:
                state[child] = 1
                stack.append((child, iter(after[child])))
    return [edge for edge in edges if edge not in back], sorted(back)


def _levels(edges: Sequence[tuple[int, int]], count: int) -> list[int]:
    """The layer of each node; one that reads nothing is moved to before what reads it."""
    after: list[list[int]] = [[] for _ in range(count)]
    left = [0] * count
    for start, end in edges:
        after[start].append(end)
        left[end] += 1
    reads = [bool(number) for number in left]
    level = [0] * count
    order = [node for node in range(count) if not left[node]]
    for node in order:
        for child in after[node]:
            level[child] = max(level[child], level[node] + 1)
            left[child] -= 1
            if not left[child]:
                order.append(child)
    for node in reversed(order):
        if not reads[node] and after[node]:
            level[node] = min(level[child] for child in after[node]) - 1
    return level


def _bend(layers: _Layers, edges: Sequence[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    """Join neighbours; an edge over several layers gets an item in each, the short ones first, until there are too many."""
    found: dict[tuple[int, int], list[int]] = {}
    room = MOST_BENDS
    for start, end in sorted(edges, key=lambda edge: layers.layer[edge[1]] - layers.layer[edge[0]]):
        first, last = layers.layer[start], layers.layer[end]
        if last - first - 1 > room:
            continue
        room -= last - first - 1
        items = [layers.add(level, BEND) for level in range(first + 1, last)]
        for left, right in zip([start, *items], [*items, end], strict=True):
            layers.join(left, right)
        found[start, end] = items
    return found


def _order(layers: _Layers, rows: list[list[int]]) -> None:
    """Sort each layer by the mean place of the neighbours in the one before, then in the one after, in turns."""
    place = [0.0] * len(layers.layer)
    for row in rows:
        for index, item in enumerate(row):
            place[item] = float(index)
    for turn in range(ROUNDS):
        neighbours = layers.after if turn % 2 else layers.before
        for row in reversed(rows) if turn % 2 else rows:
            wanted = {item: _mean(place, neighbours[item], place[item]) for item in row}
            row.sort(key=wanted.__getitem__)  # stable: equal ones stay as they are
            for index, item in enumerate(row):
                place[item] = float(index)


def _mean(place: Sequence[float], items: Sequence[int], default: float) -> float:
    return sum(place[item] for item in items) / len(items) if items else default


def _heights(layers: _Layers, rows: list[list[int]]) -> list[float]:
    """The middle of each item: near the mean of its neighbours, in the order of its layer."""
    middle = [0.0] * len(layers.layer)
    for row in rows:
        _spread(layers, row, middle, dict.fromkeys(row, 0.0))
    for turn in range(ROUNDS):
        neighbours = layers.after if turn % 2 else layers.before
        for row in reversed(rows) if turn % 2 else rows:
            _spread(layers, row, middle, {item: _mean(middle, neighbours[item], middle[item]) for item in row})
    top = min((middle[item] - layers.heights[item] / 2 for item in range(len(middle))), default=0.0)
    return [each - top for each in middle]


def _spread(layers: _Layers, row: Sequence[int], middle: list[float], wanted: Mapping[int, float]) -> None:
    """Put a layer's items where they want to be, by least squares, with room between them and in their order."""
    offsets: list[float] = []
    blocks: list[tuple[float, int]] = []  # sum of what is wanted, and how many want it
    under = 0.0
    for item in row:
        offsets.append(under + layers.heights[item] / 2)
        under += layers.heights[item] + GAP_Y
        total, count = wanted[item] - offsets[-1], 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            more, others = blocks.pop()
            total, count = total + more, count + others
        blocks.append((total, count))
    index = 0
    for total, count in blocks:
        for item in row[index : index + count]:
            middle[item] = total / count + offsets[index]
            index += 1


def _placed(
    names: Sequence[str],
    sizes: Mapping[str, Size],
    levels: Sequence[int],
    middle: Sequence[float],
    bends: Mapping[tuple[int, int], Sequence[int]],
    edges: set[tuple[int, int]],
) -> Layout:
    wide = [0.0] * (max(levels, default=-1) + 1)
    for name, level in zip(names, levels, strict=True):
        wide[level] = max(wide[level], sizes[name][0])
    left: list[float] = []
    under = 0.0
    for width in wide:
        left.append(under)
        under += width + GAP_X
    places = {
        name: (left[levels[index]] + (wide[levels[index]] - sizes[name][0]) / 2, middle[index] - sizes[name][1] / 2)
        for index, name in enumerate(names)
    }
    ways: dict[tuple[str, str], tuple[Point, ...]] = {}
    for start, end in edges:
        first, last = levels[start], levels[end]
        points = [(left[first] + wide[first], middle[start])]
        for level, item in enumerate(bends.get((start, end), ()), first + 1):
            points += [(left[level], middle[item]), (left[level] + wide[level], middle[item])]
        ways[names[start], names[end]] = (*points, (left[last], middle[end]))
    height = max((places[name][1] + sizes[name][1] for name in names), default=0.0)
    bottom = max((middle[item] + BEND for items in bends.values() for item in items), default=0.0)
    return Layout(places, ways, max(0.0, under - GAP_X), max(height, bottom))
