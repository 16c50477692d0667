"""The stages of a picture have the edges that the graph of stages has, by way of their outs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from canon.drawing.picture import Kind, Picture, Sketch
from canon.drawing.stages import FOLD, draw_stages
from canon.model.graph import build_graph
from canon.model.project import Project
from canon.model.settings import Profile, Settings
from canon.model.stage import Out, Stage

PROJECT = Project(Path("/nowhere"), Settings(default_profile="local", profiles={"local": Profile()}), ())


@st.composite
def stages(draw: st.DrawFn) -> list[Stage]:
    """Each reads outs of those before it: themselves, what lies in them, or the folder that they lie in."""
    found: list[Stage] = []
    names = draw(st.lists(st.sampled_from(["fit", "plot", "s"]), min_size=1, max_size=12))
    for number, name in enumerate(names):
        outs = tuple(
            Out(f"o{number}/{each}", draw(st.sampled_from(["outs", "metrics"])))
            for each in range(draw(st.integers(0, 3)))
        )
        known = [out.path for stage in found for out in stage.outs]
        forms = [
            known,
            [f"{path}/part" for path in known],
            [path.rpartition("/")[0] for path in known],
            [f"code/{number}.py", "lib"],
        ]
        deps = draw(st.lists(st.sampled_from([path for form in forms for path in form]), max_size=4, unique=True))
        found.append(Stage(f"{name}@{number}", "x", deps=tuple(deps), outs=outs))
    return found


def drawn(listed: list[Stage], fold: int | None) -> Picture:
    graph = build_graph(listed)
    sketch = Sketch()
    draw_stages(sketch, PROJECT, graph, graph.stages, fold=fold)
    return sketch.picture("")


def parents(picture: Picture) -> set[tuple[str, str]]:
    """Stage and stage that it reads from, by the outs between them."""
    label = {node.id: node.label for node in picture.nodes}
    made = [(start, end) for start, end in picture.edges if start.startswith("stage_")]
    return {(label[reader], label[maker]) for maker, out in made for start, reader in picture.edges if start == out}


@given(stages())
def test_what_a_stage_reads_from_is_what_the_graph_says(listed: list[Stage]) -> None:
    graph = build_graph(listed)
    picture = drawn(listed, None)
    assert parents(picture) == {(key, parent) for key, found in graph.parents.items() for parent in found}
    assert {node.label for node in picture.nodes if node.kind is Kind.AUTOMATED} == set(graph.stages)
    files = {dep for stage in listed for dep in stage.deps if dep.startswith(("code", "lib"))}
    shown = [node for node in picture.nodes if node.what == "files"]
    assert {path for node in shown for path in node.members or (node.label,)} == files
    made = {path for stage in listed for path in stage.out_paths}
    outs = [node for node in picture.nodes if node.kind is Kind.ARTIFACT]
    assert sorted(path for node in outs for path in node.members or (node.label,)) == sorted(made)
    assert drawn(listed[::-1], None) == picture


@given(stages())
def test_members_of_a_group_are_one_node_where_they_are_many(listed: list[Stage]) -> None:
    groups: dict[str, list[str]] = {}
    for stage in listed:
        groups.setdefault(stage.name.partition("@")[0], []).append(stage.name)
    folded = {name: len(members) > FOLD for name, members in groups.items()}

    def shown(name: str) -> str:
        group = name.partition("@")[0]
        return f"{group} \u00d7 {len(groups[group])}" if folded[group] else name

    picture = drawn(listed, FOLD)
    expected = {(shown(key), shown(parent)) for key, found in build_graph(listed).parents.items() for parent in found}
    assert parents(picture) == expected
