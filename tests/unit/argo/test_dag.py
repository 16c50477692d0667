"""Tasks as DAG templates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from canon.argo.dag import build_dags, cut_blocks
from canon.model.tasks import DEFAULT_POD, Task


def made(name: str, *parents: str) -> Task:
    return Task(name=name, stages=(name,), parents=parents, pod=DEFAULT_POD)


@pytest.mark.parametrize(("count", "names"), [(1, ["stages"]), (200, ["stages"]), (201, ["stages-1", "stages-2"]), (401, ["stages-1", "stages-2", "stages-3"])])  # fmt: skip
def test_a_dag_holds_at_most_200_tasks(count: int, names: list[str]) -> None:
    tasks = [made(f"t{number}") for number in range(count)]
    main, *nested = build_dags(tasks, {task.name: "stage" for task in tasks})
    assert [each["name"] for each in nested] == names
    assert sum(len(each["dag"]["tasks"]) for each in nested) == count
    assert max(len(each["dag"]["tasks"]) for each in nested) <= 200
    order = [(task["name"], task.get("depends")) for task in main["dag"]["tasks"]]
    before = ["plan", *names]
    assert order == [
        ("plan", None),
        *((name, f"{above}.Succeeded") for name, above in zip(names, before, strict=False)),
        ("deliver", f"{names[-1]}.Succeeded"),
    ]


def test_a_task_waits_for_its_parents_that_ran_or_were_skipped() -> None:
    tasks = [made("a"), made("b"), made("c", "a", "b")]
    _, stages = build_dags(tasks, dict.fromkeys("abc", "stage"))
    assert stages["dag"]["tasks"][2] == {
        "name": "c",
        "template": "stage",
        "when": "{{=jsonpath(inputs.parameters.run, \"$['c']\")}} == true",
        "depends": "(a.Succeeded || a.Skipped) && (b.Succeeded || b.Skipped)",
        "arguments": {
            "parameters": [{"name": "task", "value": "c"}, {"name": "image", "value": "{{inputs.parameters.image}}"}]
        },
    }
    assert "depends" not in stages["dag"]["tasks"][0]


@given(some.lists(some.lists(some.integers(0, 60), max_size=3), max_size=60), some.integers(1, 7))
def test_in_whatever_blocks_parents_come_before_their_children(reads: list[list[int]], most: int) -> None:
    tasks = [made(f"t{number}", *sorted({f"t{above % number}" for above in parents} if number else ())) for number, parents in enumerate(reads)]  # fmt: skip
    blocks = cut_blocks(tasks, most)
    assert all(len(block) <= most for block in blocks)
    place = {task.name: number for number, block in enumerate(blocks) for task in block}
    assert len(place) == len(tasks)
    assert all(place[parent] <= place[task.name] for task in tasks for parent in task.parents)


def test_levels_stay_together_where_they_fit() -> None:
    """A wide graph of three levels in three blocks, not a chain of halves."""
    tasks = [made("a1"), made("b1", "a1"), made("c1", "b1"), made("a2"), made("b2", "a2"), made("c2", "b2")]
    assert [[task.name for task in block] for block in cut_blocks(tasks, 2)] == [["a1", "a2"], ["b1", "b2"], ["c1", "c2"]]  # fmt: skip
