"""A workflow's tasks out of its status: attempts together, exit codes that are the stage's own, text that is nobody's but the stage's."""

from __future__ import annotations

from typing import Any

import pytest

from canon.argo.status import ERROR, FAILED, RUNNING, SKIPPED, SUCCEEDED, WAITING, pod_name, snapshot_from_status

WORKFLOW = "toy-x"


def node(path: str, phase: str = "Succeeded", kind: str = "Pod", **more: Any) -> dict[str, Any]:
    template = path.rpartition(".")[2].partition("(")[0]
    return {
        "name": f"{WORKFLOW}.{path}" if path else WORKFLOW,
        "type": kind,
        "phase": phase,
        "templateName": template,
        **more,
    }


def status(*nodes: dict[str, Any], phase: str = "Running") -> dict[str, Any]:
    return {"phase": phase, "nodes": {str(number): each for number, each in enumerate(nodes)}}


def test_attempts_are_one_task() -> None:
    found = snapshot_from_status(
        WORKFLOW,
        status(
            node("", "Running", "DAG"),
            node("plan", "Succeeded", "Retry", progress="16/16"),
            node("plan(0)", "Succeeded", progress="16/16"),
            node("stages", "Running", "DAG"),
            node("stages.train", "Running", "Retry", startedAt="2026-01-01T00:00:00Z"),
            node("stages.train(0)", "Failed", message="fetch: Error (exit code 4)", outputs={"exitCode": "64"}),
            node("stages.train(10)", "Running", progress="3/10"),
            node("stages.train(2)", "Error", message="pod deleted"),
            node("stages.train(10).main", "Running", "Container"),
            node("stages.prepare", "Skipped", "Skipped", message="when 'false == true' evaluated false"),
            node("stages.judge", "Pending", "Pod", message="Unschedulable"),
        ),
    )
    assert {name: task.phase for name, task in found.tasks.items()} == {
        "plan": SUCCEEDED, "stages.train": RUNNING, "stages.prepare": SKIPPED, "stages.judge": WAITING,
    }  # fmt: skip
    train = found.tasks["stages.train"]
    assert (train.attempt, train.progress, train.message, train.code) == (10, "3/10", "", None)
    assert train.started is not None
    assert train.pod == pod_name(WORKFLOW, node("stages.train(10)"))
    assert found.tasks["plan"].progress == ""
    assert not found.is_over


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([], (WAITING, "")),
        ([("Pending", "PodInitializing")], (WAITING, "PodInitializing")),
        ([("Running", "")], (RUNNING, "")),
        ([("Succeeded", "")], (RUNNING, "")),
        ([("Failed", "fetch: Error (exit code 4)")], (WAITING, "fetch: Error (exit code 4)")),
        ([("Error", "pod deleted"), ("Pending", "Unschedulable")], (WAITING, "Unschedulable")),
    ],
)
def test_a_task_waits_while_no_attempt_is_at_work(attempts: list[tuple[str, str]], expected: tuple[str, str]) -> None:
    nodes = [node(f"plan({number})", phase, message=message) for number, (phase, message) in enumerate(attempts)]
    task = snapshot_from_status(WORKFLOW, status(node("plan", "Running", "Retry"), *nodes)).tasks["plan"]
    assert (task.phase, task.message) == expected


def test_tasks_of_cut_dags_have_one_name_and_a_stage_may_be_called_plan() -> None:
    found = snapshot_from_status(
        WORKFLOW, status(node("stages-2.plan"), node("plan"), node("stages-1.a"), node("deliver"))
    )
    assert sorted(found.tasks) == ["deliver", "plan", "stages.a", "stages.plan"]


@pytest.mark.parametrize(
    ("message", "code", "expected"),
    [
        ("main: Error (exit code 3)", "3", 3),
        ("main: Error (exit code 64)", "64", 64),
        ("fetch: Error (exit code 4)", "64", 1),
        ("push: Error (exit code 5)", "0", 1),
        ("Pod was active on the node longer than the specified deadline", "143", 1),
        ("main: Error (exit code 3)", "3000", 1),
        ("main: Error (exit code 3)", "-3", 1),
        ("main: Error", "", 1),
    ],
)
def test_the_exit_code_is_the_stages_own(message: str, code: str, expected: int) -> None:
    failed = node("stages.a", "Failed", message=message, outputs={"exitCode": code})
    assert snapshot_from_status(WORKFLOW, status(failed, phase="Failed")).exit_code == expected


def test_the_stage_that_failed_first_decides() -> None:
    late = node(
        "stages.b", "Failed", message="main: Error", outputs={"exitCode": "9"}, finishedAt="2026-01-02T00:00:00Z"
    )
    early = node(
        "stages.a", "Failed", message="main: Error", outputs={"exitCode": "4"}, finishedAt="2026-01-01T00:00:00Z"
    )
    assert snapshot_from_status(WORKFLOW, status(late, early, phase="Failed")).exit_code == 4
    assert snapshot_from_status(WORKFLOW, status(late, phase="Succeeded")).exit_code == 0
    assert snapshot_from_status(WORKFLOW, status(phase="Error")).exit_code == 1


@pytest.mark.parametrize("given", [{}, {"nodes": None}, {"phase": None, "nodes": {}}])
def test_a_workflow_that_nobody_has_looked_at_waits(given: dict[str, Any]) -> None:
    found = snapshot_from_status(WORKFLOW, given)
    assert (found.phase, found.tasks, found.is_over) == ("", {}, False)


def test_texts_are_made_printable_and_short() -> None:
    failed = node(
        "stages.a", "Error", message="\x1b[2J\nhello\r" + "x" * 10_000, progress="\x1b1/2", startedAt="yesterday"
    )
    found = snapshot_from_status(WORKFLOW, {**status(failed), "message": "\x9b31m"})
    task = found.tasks["stages.a"]
    assert task.message.startswith("\ufffd[2J hello x")
    assert len(task.message) <= 2000
    assert (task.progress, task.started, task.phase, found.message) == ("", None, ERROR, "\ufffd31m")


def test_pods_have_the_names_that_argo_gives_them() -> None:
    # the numbers are those of Go's hash/fnv, New32a
    assert pod_name("wfname", {"name": "nodename", "templateName": ""}) == "wfname-1454367246"
    assert pod_name("wfname", {"name": "nodename", "templateName": "templatename"}) == "wfname-templatename-1454367246"
    assert pod_name("wfname", {"name": "wfname", "templateName": "main"}) == "wfname"
    assert len(pod_name("w" * 250, {"name": "n", "templateName": "t"})) <= 253


def test_a_phase_of_another_version_waits() -> None:
    assert snapshot_from_status(WORKFLOW, status(node("stages.a", "Pondering"))).tasks["stages.a"].phase == WAITING
    assert snapshot_from_status(WORKFLOW, status(node("stages.a", "Failed"))).tasks["stages.a"].phase == FAILED
