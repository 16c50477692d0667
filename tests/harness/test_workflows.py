"""Workflows as the real controller ran them: names, skipped tasks, stop and terminate, exit handlers, mutexes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.containers import wait_for
from tests.harness.errors import HangsError
from tests.harness.harness import Harness
from tests.harness.manifests import WORK, Manifest, one_pod, single, workflow, workflow_template
from tests.harness.pod import Running

ENTRY = {"parameters": [{"name": "entry", "valueFrom": {"path": "/work/entry"}}]}
PRINT = {
    "name": "print",
    "inputs": {"parameters": [{"name": "x", "value": "default"}]},
    "container": single("echo '{{inputs.parameters.x}}'"),
}


def dag(*tasks: Manifest, **spec: Any) -> Manifest:
    """A DAG of two templates: `make` gives an output, `print` shows its input."""
    make = {"name": "make", "container": single("echo made > /work/entry", mounts=WORK), "outputs": ENTRY}
    return workflow_template({"name": "main", "dag": {"tasks": list(tasks)}}, make, PRINT, **spec)


def call(name: str, template: str, x: str | None = None, **more: Any) -> Manifest:
    arguments = {"arguments": {"parameters": [{"name": "x", "value": x}]}} if x is not None else {}
    return {"name": name, "template": template, **arguments, **more}


PARENT = "(fit-b.Succeeded || fit-b.Skipped)"
OUTPUT = "tasks['fit-b'].outputs.parameters.entry"


@pytest.mark.parametrize(
    ("when", "x", "said"),
    [
        ("true == true", "{{tasks.fit-b.outputs.parameters.entry}}", "made"),
        ("false == true", "{{tasks.fit-b.outputs.parameters.entry}}", "default"),
        ("true == true", "{{=" + OUTPUT + " ?? 'none'}}", "made"),
        ("false == true", "{{=" + OUTPUT + " ?? 'none'}}", "none"),
    ],
)
def test_the_output_of_a_task_that_may_be_skipped(harness: Harness, when: str, x: str, said: str) -> None:
    harness.apply(dag(call("fit-b", "make", when=when), call("next", "print", x, depends=PARENT)))
    assert harness.run(workflow()).log("next") == f"{said}\n"


def test_without_skipped_in_depends_the_child_is_omitted(harness: Harness) -> None:
    harness.apply(dag(call("a", "make", when="false == true"), call("b", "print", depends="a.Succeeded")))
    report = harness.run(workflow())
    assert (report.phase, report.pods) == ("Succeeded", 0)
    assert report.phases() == {"a": "Skipped", "b": "Omitted"}


def test_tasks_beside_a_failed_one_run_to_their_end(harness: Harness) -> None:
    fail = {"name": "fail", "container": single("exit 3")}
    manifest = dag(
        call("a", "fail"), call("b", "make"), call("c", "print", depends="b"), call("d", "print", depends="a")
    )
    manifest["spec"]["templates"].append(fail)
    harness.apply(manifest)
    report = harness.run(workflow())
    assert report.phase == "Failed"
    assert report.phases() == {"a": "Failed", "b": "Succeeded", "c": "Succeeded", "d": "Omitted"}


@pytest.mark.parametrize(
    "task",
    [
        call("b", "print", depends="a", when="{{=jsonpath(tasks.a.outputs.parameters.nope, '$.x')}} == true"),
        call("b", "print", "{{=jsonpath(tasks['nope'].outputs.parameters.entry, '$.x')}}", depends="a"),
    ],
)
def test_a_wrong_name_in_an_expression_hangs_the_workflow(harness: Harness, task: Manifest) -> None:
    harness.apply(dag(call("a", "make"), task))
    submitted = harness.submit(workflow())
    with pytest.raises(HangsError, match="nope"):
        submitted.wait()


def test_a_missing_key_is_the_tasks_error(harness: Harness) -> None:
    harness.apply(
        dag(
            call("a", "make"), call("b", "print", "{{=jsonpath(tasks.a.outputs.parameters.entry, '$.x')}}", depends="a")
        )
    )
    report = harness.run(workflow())
    assert (report.phase, report.node("b").phase) == ("Error", "Error")
    assert "no JSON" in report.node("b").message


def test_arguments_and_annotations(harness: Harness) -> None:
    harness.apply(
        one_pod("echo '{{workflow.parameters.revision}} {{workflow.name}} {{workflow.uid}} {{workflow.namespace}}'")
    )
    one = workflow(revision="{{workflow.annotations.canon.dev/revision}}", unknown="extra")
    one["metadata"]["annotations"] = {"canon.dev/revision": "abc"}
    report = harness.run(one)
    assert report.node("").phase == report.phase == "Succeeded"
    del one["metadata"]["annotations"]
    failed = harness.run(one)
    assert (failed.phase, failed.pods) == ("Failed", 0)
    assert "failed to resolve {{workflow.annotations.canon.dev/revision}}" in failed.message


@pytest.mark.parametrize(("size", "phase"), [(120_000, "Succeeded"), (140_000, "Error")])
def test_a_large_argument_of_one_task(harness: Harness, size: int, phase: str) -> None:
    fill = f"head -c {size} /dev/zero | tr '\\0' x > /work/entry"
    make = {"name": "make", "container": single(fill, mounts=WORK), "outputs": ENTRY}
    take = {"name": "take", "inputs": {"parameters": [{"name": "x"}]}, "container": single("true")}
    tasks = [call("make", "make"), call("take", "take", "{{tasks.make.outputs.parameters.entry}}", depends="make")]
    harness.apply(workflow_template({"name": "main", "dag": {"tasks": tasks}}, make, take))
    report = harness.run(workflow())
    assert len(report.node("make").outputs["entry"]) == size
    assert report.node("take").phase == phase
    assert ("configmaps is forbidden" in report.node("take").message) == (phase == "Error")


def test_a_workflow_over_1_mib(harness: Harness) -> None:
    harness.apply(one_pod("true", annotations={"x": "a" * 1024 * 1024}))
    report = harness.run(workflow())
    assert (report.phase, report.pods) == ("Failed", 0)
    assert "longer than maximum allowed size" in report.message


def test_a_workflow_that_runs_keeps_its_template(harness: Harness) -> None:
    harness.apply(dag(call("a", "make"), call("b", "print", "old", depends="a")))
    harness.on_container = lambda phase, each: (
        harness.apply(one_pod("false")) if (phase, each.node) == ("started", "co2.a") else None
    )
    report = harness.run(workflow())
    assert (report.phase, report.log("b")) == ("Succeeded", "old\n")
    assert harness.run(workflow()).phase == "Failed"


def stopped(harness: Harness, how: str, **spec: Any) -> Any:
    """Run a stage with a trap and an exit handler; end the workflow when the stage runs."""
    script = "trap 'echo trapped; exit 9' TERM; touch /work/runs; while true; do sleep 0.05; done"
    stage = {"name": "stage", "container": single(script, mounts=WORK), "outputs": ENTRY, "retryStrategy": {"limit": 2}}
    last = {"name": "last", "container": single("echo {{workflow.status}}")}
    tasks = [call("stage", "stage"), call("next", "print", depends="stage.Failed")]
    harness.apply(
        workflow_template({"name": "main", "dag": {"tasks": tasks}}, stage, PRINT, last, onExit="last", **spec)
    )
    runs = threading.Event()

    def wait(phase: str, each: Running) -> None:
        if (phase, each.node) == ("started", "co2.stage(0)"):
            each.wait_for_file("work", "runs")
            runs.set()

    harness.on_container = wait
    submitted = harness.submit(workflow())
    assert runs.wait(30)
    getattr(submitted, how)()
    return submitted.wait()


def test_stop_sends_term_and_runs_the_exit_handler(harness: Harness) -> None:
    report = stopped(harness, "stop")
    assert (report.phase, report.message, report.pods) == ("Failed", "Stopped with strategy 'Stop'", 2)
    node = report.node("stage(0)")
    assert (node.phase, node.exit_code, node.outputs) == ("Failed", 9, {})
    assert node.message == "workflow shutdown with strategy:  Stop"
    assert report.node("stage").message == "Stopped with strategy 'Stop'"
    assert "trapped\n" in report.log("stage(0)")
    assert report.log("onExit") == "Failed\n"


def test_terminate_sends_term_too_and_runs_no_exit_handler(harness: Harness) -> None:
    report = stopped(harness, "terminate")
    assert (report.phase, report.message, report.pods) == ("Failed", "Stopped with strategy 'Terminate'", 1)
    assert (report.node("stage(0)").exit_code, report.node("stage(0)").message) == (
        9,
        "workflow shutdown with strategy:  Terminate",
    )
    assert "trapped\n" in report.log("stage(0)")
    assert "onExit" not in report.phases()


@pytest.mark.parametrize(("code", "phase", "said"), [(0, "Skipped", ""), (3, "Succeeded", "main: Error (exit code 3)")])
def test_an_exit_handler_that_looks_at_the_status(harness: Harness, code: int, phase: str, said: str) -> None:
    handler = {"name": "handler", "dag": {"tasks": [call("tell", "tell", when="'{{workflow.status}}' != 'Succeeded'")]}}
    env = [{"name": "FAILURES", "value": "{{workflow.failures}}"}]
    tell = {"name": "tell", "container": single("echo $FAILURES", env=env)}
    manifest = one_pod(f"exit {code}")
    manifest["spec"].update(templates=[*manifest["spec"]["templates"], handler, tell], onExit="handler")
    harness.apply(manifest)
    report = harness.run(workflow())
    assert report.node("onExit.tell").phase == phase
    assert said in report.log("onExit.tell")


def side_by_side(harness: Harness) -> tuple[Callable[[], int], list[str]]:
    """Count the pods that run at once; the most so far, and what began and ended."""
    lock = threading.Lock()
    running, most, log = 0, 0, list[str]()

    def count(phase: str, each: Running) -> None:
        nonlocal running, most
        if phase == "starting":
            with lock:
                running, most = running + 1, max(most, running + 1)
                log.append(each.node)
        if phase == "ended":
            with lock:
                running -= 1

    harness.on_container = count
    return lambda: most, log


def test_two_workflows_with_one_mutex_wait_for_each_other(harness: Harness) -> None:
    manifest = one_pod("sleep 0.3")
    manifest["spec"]["synchronization"] = {"mutexes": [{"name": "canon-co2-cluster"}]}
    harness.apply(manifest)
    most, log = side_by_side(harness)
    first = harness.submit(workflow("first"))
    wait_for(lambda: first.phase if first.phase != "Pending" else "")
    second = harness.submit(workflow("second"))
    wait_for(lambda: second.message)
    assert (second.phase, second.message) == (
        "Pending",
        "Waiting for default/Mutex/canon-co2-cluster lock. Lock status: 0/1",
    )
    assert [first.wait().phase, second.wait().phase] == ["Succeeded", "Succeeded"]
    assert (most(), log) == (1, ["first", "second"])


def test_a_workflow_that_waits_can_be_terminated(harness: Harness) -> None:
    manifest = one_pod("sleep 60")
    manifest["spec"]["synchronization"] = {"mutexes": [{"name": "m"}]}
    harness.apply(manifest)
    first = harness.submit(workflow("first"))
    wait_for(lambda: first.phase if first.phase != "Pending" else "")
    second = harness.submit(workflow("second"))
    second.terminate()
    assert (second.wait().phase, second.report().pods) == ("Failed", 0)
    first.terminate()
    assert first.wait().phase == "Failed"


@pytest.mark.parametrize("where", ["workflow", "template"])
def test_parallelism(harness: Harness, where: str) -> None:
    sleep = {"name": "sleep", "container": single("sleep 0.2")}
    main: Manifest = {"name": "main", "dag": {"tasks": [call(name, "sleep") for name in "abcd"]}}
    if where == "template":
        main["parallelism"] = 2
    harness.apply(workflow_template(main, sleep, **({"parallelism": 2} if where == "workflow" else {})))
    most, log = side_by_side(harness)
    assert harness.run(workflow()).phase == "Succeeded"
    assert (most(), len(log)) == (2, 4)
