"""Where nodes stand: any graph, circles too."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from canon.drawing.layout import GAP_Y, Layout, build_layout

SIZES = st.lists(st.tuples(st.integers(20, 300), st.integers(20, 80)), max_size=14)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, tuple[float, float]], list[tuple[str, str]]]:
    sizes = {f"n{index}": (float(w), float(h)) for index, (w, h) in enumerate(draw(SIZES))}
    edges = st.tuples(st.sampled_from(sorted(sizes)), st.sampled_from(sorted(sizes))) if sizes else st.nothing()
    return sizes, draw(st.lists(edges, unique=True, max_size=30)) if sizes else []


def inside(layout: Layout, sizes: dict[str, tuple[float, float]]) -> bool:
    return all(
        x >= -0.01
        and y >= -0.01
        and x + sizes[name][0] <= layout.width + 0.01
        and y + sizes[name][1] <= layout.height + 0.01
        for name, (x, y) in layout.places.items()
    )


@given(graphs())
def test_no_two_nodes_overlap_and_all_are_on_the_page(
    graph: tuple[dict[str, tuple[float, float]], list[tuple[str, str]]],
) -> None:
    sizes, edges = graph
    layout = build_layout(sizes, edges)
    assert set(layout.places) == set(sizes)
    assert set(layout.ways) == set(edges)
    assert inside(layout, sizes)
    for a, b in itertools.combinations(sizes, 2):
        (ax, ay), (bx, by) = layout.places[a], layout.places[b]
        beside = ax + sizes[a][0] <= bx + 0.01 or bx + sizes[b][0] <= ax + 0.01
        under = ay + sizes[a][1] + GAP_Y <= by + 0.01 or by + sizes[b][1] + GAP_Y <= ay + 0.01
        assert beside or under, (a, b)
    assert build_layout(sizes, edges) == layout


def test_what_reads_stands_right_of_what_it_reads_and_an_input_just_before() -> None:
    sizes = dict.fromkeys("abcdx", (40.0, 20.0))
    layout = build_layout(sizes, [("a", "b"), ("b", "c"), ("c", "d"), ("x", "d"), ("a", "d")])
    left = {name: place[0] for name, place in layout.places.items()}
    assert left["a"] < left["b"] < left["c"] == left["x"] < left["d"]
    (start, *between, end) = layout.ways["a", "d"]
    assert start[0] < between[0][0] < end[0]
    for x, y in between:  # past the nodes that it goes by
        assert all(not (px < x < px + 40 and py <= y <= py + 20) for px, py in layout.places.values())


def test_crossings_that_need_not_be_are_gone() -> None:
    names = [f"{side}{number}" for side in "lr" for number in range(6)]
    edges = [(f"l{number}", f"r{5 - number}") for number in range(6)]
    places = build_layout(dict.fromkeys(names, (40.0, 20.0)), edges).places
    assert [places[a][1] for a, _ in edges] == [places[b][1] for _, b in edges]


def test_a_long_circle_and_one_node_that_reads_itself() -> None:
    names = [str(number) for number in range(2000)]
    edges = [*itertools.pairwise(names), ("1999", "0"), ("5", "5")]
    layout = build_layout(dict.fromkeys(names, (40.0, 20.0)), edges)
    assert layout.places["0"][0] < layout.places["1999"][0]
    assert build_layout({}, []) == Layout({}, {}, 0.0, 0.0)


def test_long_edges_of_a_large_graph_go_straight_where_there_would_be_too_many_bends() -> None:
    names = [str(number) for number in range(400)]
    edges = [*itertools.pairwise(names), *(("0", name) for name in names[2:])]
    layout = build_layout(dict.fromkeys(names, (40.0, 20.0)), edges)
    assert len(layout.ways["0", "399"]) == 2
    assert len(layout.ways["0", "100"]) == 2 + 2 * 99
