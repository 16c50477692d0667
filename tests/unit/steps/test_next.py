"""Between the blocks of a large sweep: what can still run, and in the end which points have no result."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from canon.model import cluster
from canon.model.canonical import format_canonical
from canon.model.errors import CanonError
from canon.remotes.folder import FolderObjects
from canon.steps.documents import (
    PlannedTask,
    Recorded,
    SweepPlan,
    SweptNode,
    TaskRecord,
    WorkflowPlan,
    write_plan,
    write_record,
    write_sweep_plan,
)
from canon.steps.places import Places, Pod
from canon.steps.planner import delivered_path
from canon.steps.sweep import plan_next

STAGES = {"a": (), "b": ("a",), "c": ("b",)}
VALUE = "0" * 64


def node(point: int, task: str, block: int, *parents: str, runs: bool = True) -> SweptNode:
    name, stages = (f"p{point}-{task}", (task, f"{task}-2")) if task else (f"deliver-{point}", ())
    return SweptNode(name=name, block=block, point=point, task=task, stages=stages, parents=parents, runs=runs)


NODES = (
    node(0, "a", 1, runs=False),
    node(0, "b", 1, "p0-a"),
    node(0, "c", 2, "p0-b"),
    node(0, "", 3, "p0-c"),
    node(1, "b", 1, "p0-a"),
    node(1, "c", 2, "p1-b"),
    node(1, "", 3, "p1-c"),
)


class Sweep:
    """What the pods of a sweep of two points, which share `a`, have left in a remote."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()
        self.objects = FolderObjects(folder / "remote")
        write_sweep_plan(self.objects, "one", SweepPlan(nodes=NODES))
        self.plans = []
        for point in (0, 1):
            shared = {"a": "one.0"} if point else {}
            tasks = {task: PlannedTask(stages=(task, f"{task}-2"), parents=parents) for task, parents in STAGES.items()}
            plan = WorkflowPlan(pipeline="p", profile="x", revision="r", tree="t", image="i", declared="d", stages={}, tasks=tasks, shared=shared)  # fmt: skip
            write_plan(self.objects, f"one.{point}", plan)
            self.plans.append(plan)

    def record(self, point: int, task: str, *stages: str) -> None:
        found = TaskRecord(stages={stage: Recorded(key=VALUE, value=VALUE) for stage in stages or (task, f"{task}-2")})
        write_record(self.objects, f"one.{point}", task, found)

    def deliver(self, point: int) -> None:
        values = {stage: VALUE for task in STAGES for stage in (task, f"{task}-2")}
        self.objects.write(delivered_path(self.plans[point], values), format_canonical({}))

    def next(self, block: str) -> set[str]:
        """Run the pod after a block; return what runs of what comes after it."""
        environ = {cluster.REMOTE_URL_VARIABLE: str(self.folder / "remote"), cluster.BLOCK_VARIABLE: block}
        private = self.folder / "private"
        plan_next(Pod("one", "next", environ, Places(private=private)), self.said.append)
        runs = json.loads((private / "outputs/run").read_text())
        assert runs.keys() == {each.name for each in NODES}
        return {name for name, is_run in runs.items() if is_run and dict(_blocks())[name] > int(block)}


def _blocks() -> Collection[tuple[str, int]]:
    return [(each.name, each.block) for each in NODES]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    made = Sweep(tmp_path)
    made.record(0, "a")
    return made


def test_what_needs_what_was_not_made_does_not_run(sweep: Sweep) -> None:
    sweep.record(0, "b")
    sweep.record(1, "b", "b")  # the second stage of the group failed
    assert sweep.next("1") == {"p0-c", "deliver-0"}
    assert [line.partition(":")[0] for line in sweep.said] == ["p1-c", "deliver-1"]
    sweep.record(0, "c")
    assert sweep.next("2") == {"deliver-0"}
    sweep.deliver(0)
    with pytest.raises(CanonError, match=r"without a result: point 2; .* submitted again runs what is missing"):
        sweep.next("3")


def test_all_that_is_made_goes_on(sweep: Sweep) -> None:
    for point in (0, 1):
        sweep.record(point, "b")
    assert sweep.next("1") == {"p0-c", "deliver-0", "p1-c", "deliver-1"}
    for point in (0, 1):
        sweep.record(point, "c")
    assert sweep.next("2") == {"deliver-0", "deliver-1"}
    with pytest.raises(CanonError, match="points 1, 2"):
        sweep.next("3")
    sweep.deliver(0)
    sweep.deliver(1)
    assert sweep.next("3") == set()


@pytest.mark.parametrize("block", ["", "-1", "x"])
def test_a_pod_that_no_sweep_made_is_refused(sweep: Sweep, block: str) -> None:
    with pytest.raises(CanonError, match="is no number"):
        sweep.next(block)
    sweep.objects.write("canon/workflows/one/sweep.json", b"{}")
    with pytest.raises(CanonError, match="has no plan of the sweep one, or a damaged one"):
        sweep.next("1")
