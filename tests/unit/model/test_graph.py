from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from canon.model.graph import Graph, build_graph, graph_problems, stage_key
from canon.model.stage import Out, Stage

Edges = Mapping[str, Sequence[str]]


def stages_of(edges: Edges) -> list[Stage]:
    """A stage for each name, which writes `<name>.out` and reads those of its parents."""
    return [
        Stage(name=name, cmd="x", deps=tuple(f"{parent}.out" for parent in parents), outs=(Out(f"{name}.out"),))
        for name, parents in edges.items()
    ]


NAMES = [f"s{number}" for number in range(12)]


@st.composite
def acyclic(draw: st.DrawFn) -> Edges:
    """Each stage reads from some that stand before it in a hidden order."""
    order = draw(st.permutations(NAMES[: draw(st.integers(1, 12))]))
    return {
        name: draw(st.lists(st.sampled_from(order[:place]), unique=True)) if place else []
        for place, name in enumerate(order)
    }


ANY = st.integers(1, 8).flatmap(
    lambda count: st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES[:count]), unique=True, max_size=3) for name in NAMES[:count]})
)  # fmt: skip


def shuffled(edges: Edges, chance: random.Random) -> Edges:
    return {name: chance.sample(list(edges[name]), len(edges[name])) for name in chance.sample(list(edges), len(edges))}


def reaches(edges: Edges, start: str) -> set[str]:
    """What lies above a stage, by plain search: the oracle."""
    found: set[str] = set()
    waiting = list(edges[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += edges[name]
    return found


@settings(max_examples=50)
@given(acyclic(), st.randoms())
def test_the_order_is_topological_and_does_not_depend_on_the_order_of_declaration(
    edges: Edges, chance: random.Random
) -> None:
    graph = build_graph(stages_of(edges))
    order = graph.order()
    assert sorted(order) == sorted(edges)
    assert all(order.index(parent) < order.index(name) for name, parents in edges.items() for parent in parents)
    assert build_graph(stages_of(shuffled(edges, chance))).order() == order


@settings(max_examples=50)
@given(acyclic())
def test_the_order_is_the_least_of_all_topological_ones(edges: Edges) -> None:
    left, expected = dict(edges), []
    while left:
        name = min(name for name, parents in left.items() if not set(parents) & set(left))
        expected.append(name)
        del left[name]
    assert list(build_graph(stages_of(edges)).order()) == expected


@settings(max_examples=50)
@given(acyclic())
def test_a_level_is_the_length_of_the_longest_way_down_to_a_stage(edges: Edges) -> None:
    def longest(name: str) -> int:
        return 1 + max((longest(parent) for parent in edges[name]), default=-1)

    levels = build_graph(stages_of(edges)).levels()
    assert {name: level for level, names in enumerate(levels) for name in names} == {
        name: longest(name) for name in edges
    }
    assert all(level for level in levels)


@settings(max_examples=50)
@given(ANY)
def test_a_cycle_is_found_exactly_when_there_is_one(edges: Edges) -> None:
    graph = build_graph(stages_of(edges))
    circle = graph.cycle()
    assert bool(circle) == any(name in reaches(edges, name) for name in edges)
    for index, name in enumerate(circle):
        assert circle[index - 1] in edges[name]
    assert len(set(circle)) == len(circle)
    assert set(graph.order()) == {
        name for name in edges if not any(above in reaches(edges, above) for above in {name, *reaches(edges, name)})
    }


@settings(max_examples=50)
@given(ANY, st.randoms())
def test_every_graph_with_a_cycle_has_a_problem_that_names_it(edges: Edges, chance: random.Random) -> None:
    problems = graph_problems(build_graph(stages_of(shuffled(edges, chance))), {"dvc.yaml": "pipelines/co2.yaml"})
    assert bool(problems) == any(name in reaches(edges, name) for name in edges)
    for problem in problems:
        assert problem.file == "pipelines/co2.yaml"
        assert problem.path.startswith("stages.")
        assert problem.remedy


@settings(max_examples=50)
@given(acyclic(), st.data())
def test_descendants_are_all_that_lies_below(edges: Edges, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(sorted(edges)), unique=True))
    found = build_graph(stages_of(edges)).descendants(chosen)
    assert found == {name for name in edges if reaches(edges, name) & set(chosen)}


def edges_of(*stages: Stage) -> dict[str, set[str]]:
    return {name: set(parents) for name, parents in build_graph(stages).parents.items()}


def test_a_dep_that_is_lies_in_or_holds_an_out_is_an_edge() -> None:
    makes = Stage("makes", "x", outs=(Out("data/raw"), Out("model/a.bin"), Out("params/made.yaml")))
    assert edges_of(
        makes,
        Stage("reads", "x", deps=("data/raw",)),
        Stage("inside", "x", deps=("data/raw/part/a.csv",)),
        Stage("above", "x", deps=("model",)),
        Stage("params", "x", params=(("params/made.yaml", ("a",)),)),
        Stage("from folder", "x", wdir="sub/deep", deps=("../../data/raw",)),
        Stage("beside", "x", deps=("data/raw.csv", "model.bin", "data2/raw")),
        Stage("remote", "x", deps=("s3://data/raw", "/data/raw")),
    ) == {
        "makes": set(),
        **{name: {"makes"} for name in ("reads", "inside", "above", "params", "from folder")},
        "beside": set(),
        "remote": set(),
    }


def test_stages_of_several_files_are_kept_apart_by_their_address() -> None:
    one = Stage("prepare", "x", file="dvc.yaml", outs=(Out("a"),))
    two = Stage("prepare", "x", file="sub/dvc.yaml", wdir="..", deps=("a",), outs=(Out("b"),))
    assert [stage_key(one), stage_key(two)] == ["prepare", "sub/dvc.yaml:prepare"]
    assert build_graph([two, one]).order() == ("prepare", "sub/dvc.yaml:prepare")


def said(*stages: Stage) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in graph_problems(build_graph(stages), {})]


def test_what_makes_a_graph_no_pipeline_is_said() -> None:
    assert said(Stage("a", "x", outs=(Out("o"),)), Stage("b", "x", outs=(Out("o"),))) == [
        ("stages.b.outs", "`o` is an out of `a`, too")
    ]
    assert said(Stage("a", "x", outs=(Out("o"), Out("./o", kind="metrics")))) == [
        ("stages.a.outs", "`o` is an out of `itself`, too")
    ]
    assert said(Stage("a", "x", deps=("o",), outs=(Out("o"),))) == [
        ("stages.a.deps", "`o` is both a dep and an out of this stage")
    ]
    assert said(Stage("a", "x", outs=(Out("o"),)), Stage("b", "x", outs=(Out("o/in/a"),))) == [
        ("stages.b.outs", "`o/in/a` lies in `o`, an out of `a`")
    ]
    assert said(Stage("b", "x", deps=("a",), outs=(Out("b"),)), Stage("a", "x", deps=("b",), outs=(Out("a"),))) == [
        ("stages.a", "the stages form a cycle: a -> b -> a")
    ]
    assert said(Stage("a", "x", outs=(Out("o"),)), Stage("b", "x", deps=("o",), outs=(Out("p"),))) == []


def test_a_stage_that_reads_what_it_writes_is_refused_as_dvc_does() -> None:
    for deps, params, outs in (
        ("o/in/a", (), "o"),
        ("o", (), "o/in/a"),
        ("a", (("o", ()),), "o"),
        ("a", (("o/p.yaml", ("k",)),), "o"),
    ):
        (problem,) = said(Stage("a", "x", deps=(deps,), params=params, outs=(Out(outs),)))
        assert problem[0] == "stages.a.deps"
        assert "dep and an out of this stage" in problem[1]


def test_an_order_of_many_stages_is_quick() -> None:
    edges = {f"n{number}": [f"n{number - 1}"] if number else [] for number in range(5000)}
    graph: Graph = build_graph(stages_of(edges))
    assert graph.order() == tuple(edges)
    assert graph.cycle() == ()
    assert len(graph.levels()) == 5000
