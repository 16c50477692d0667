"""Which stages share a pod, and which pods wait for which."""

from __future__ import annotations

import pytest

from canon.model.declaration import Declaration
from canon.model.graph import build_graph
from canon.model.stage import Out, Stage
from canon.model.tasks import build_tasks


def tasks_of(
    edges: dict[str, str], group: str | None = None, **pods: dict[str, object]
) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Task → its stages and its parents, of stages and the names of those that they read from."""
    stages = [Stage(name, "run", deps=tuple(parents.split()), outs=(Out(name),)) for name, parents in edges.items()]
    declaration = Declaration.model_validate(
        {
            "name": "p",
            "stages": {
                name.partition("@")[0]: {"cmd": "run", **({"pod": pods[name]} if name in pods else {})}
                for name in edges
            },
            "data": {"raw": {"path": "raw", "from": {"local": "x"}}},
            "workflow": {"group": group},
        }
    )
    return {task.name: (task.stages, task.parents) for task in build_tasks(declaration, build_graph(stages))}


def test_each_stage_is_a_task_of_a_name_that_the_cluster_takes() -> None:
    assert tasks_of({"fit@gb": "data-raw", "data-raw": "", "see": "fit@gb data-raw"}) == {
        "data-raw": (("data-raw",), ()),
        "fit--40gb": (("fit@gb",), ("data-raw",)),
        "see": (("see",), ("data-raw", "fit--40gb")),
    }


@pytest.mark.parametrize(
    ("edges", "chains"),
    [
        ({"a": "", "b": "a", "c": "b"}, ["a b c"]),
        ({"a": "", "b": "a", "c": "a b"}, ["a b c"]),
        ({"a": "", "b": "a", "c": "a"}, ["a", "b", "c"]),
        ({"a": "", "b": "a", "c": "a", "d": "b c", "e": "d"}, ["a", "b", "c", "d e"]),
        ({"data-raw": "", "a": "data-raw", "b": "a data-raw"}, ["a b", "data-raw"]),
        ({"x": "", "y": "", "a": "x", "b": "a y"}, ["b", "x a", "y"]),
    ],
)
def test_a_chain_shares_a_pod(edges: dict[str, str], chains: list[str]) -> None:
    found = tasks_of(edges, "chain")
    assert sorted(" ".join(stages) for stages, _ in found.values()) == chains
    assert {name: stages for name, (stages, _) in tasks_of(dict(reversed(edges.items())), "chain").items()} == {
        name: stages for name, (stages, _) in found.items()
    }


def test_a_chain_waits_for_all_that_its_stages_read() -> None:
    assert tasks_of({"x": "", "y": "x", "z": "x", "a": "y z", "b": "a x"}, "chain")["a"] == (
        ("a", "b"),
        ("x", "y", "z"),
    )


def test_another_pod_ends_a_chain() -> None:
    assert set(tasks_of({"a": "", "b": "a", "c": "b"}, "chain", c={"memory": "1Gi"})) == {"a", "c"}
