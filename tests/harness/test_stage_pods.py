"""Pods of several containers: exit codes, messages and outputs as the real controller and executor gave them."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from tests.harness.fixtures import MakeHarness
from tests.harness.harness import Harness
from tests.harness.manifests import (
    PRIVATE,
    RETRY,
    USER,
    WORK,
    Manifest,
    container,
    single,
    stage_template,
    workflow,
    workflow_template,
)  # fmt: skip
from tests.harness.pod import Running
from tests.harness.report import Node, Report

RETRIED = {"limit": "1", "retryPolicy": "Always", "expression": RETRY, "backoff": {"duration": "30s"}}
WAIT = "while [ ! -e /work/run/exit ]; do sleep 0.05; done"


def stage(**settings: Any) -> Manifest:
    """A WorkflowTemplate of one stage, the keywords those of stage_template."""
    call = {
        "name": "stage", "template": "stage",
        "arguments": {"parameters": [{"name": "task", "value": "a"}, {"name": "image", "value": USER}]},
    }  # fmt: skip
    return workflow_template({"name": "main", "dag": {"tasks": [call]}}, stage_template(**settings))


def run(harness: Harness, manifest: Manifest) -> Node:
    """Run a workflow; return the node of its one pod."""
    harness.apply(manifest)
    return harness.run(workflow()).node("stage")


@pytest.mark.parametrize(
    ("scripts", "phase", "code", "message"),
    [
        ({"main": "echo 0 > /work/run/exit; exit 3"}, "Failed", 3, "main: Error (exit code 3)"),
        ({"main": "echo 0 > /work/run/exit; exit 64"}, "Failed", 64, "main: Error (exit code 64)"),
        ({"fetch": "exit 4"}, "Failed", 64, "fetch: Error (exit code 4)"),
        ({"push": f"{WAIT}; exit 5"}, "Failed", 0, "push: Error (exit code 5)"),
        ({"push": "exit 5", "main": "sleep 60"}, "Failed", 143, "main: Error (exit code 143)"),
        ({"code": "exit 7"}, "Failed", None, "code: Error (exit code 7)"),
        ({"main": "echo 0 > /work/run/exit; kill -9 $$$$"}, "Failed", 137, "main: Error (exit code 137)"),
        ({"main": "no-such-command"}, "Failed", 127, "main: Error (exit code 127)"),
    ],
)
def test_exit_codes_of_containers(
    harness: Harness, scripts: dict[str, str], phase: str, code: int | None, message: str
) -> None:
    node = run(harness, stage(**scripts))
    assert (node.phase, node.exit_code, node.message) == (phase, code, message)


def test_containers_after_a_failed_one_do_not_run(harness: Harness) -> None:
    seen: list[tuple[str, str]] = []
    harness.on_container = lambda phase, each: seen.append((phase, each.name))
    assert run(harness, stage(fetch="exit 4")).codes == {"code": 0, "fetch": 4, "main": 64, "push": 64}
    assert [name for phase, name in seen if phase == "started"] == ["code", "fetch"]


def test_a_kubelet_sorts_containers_by_name_and_the_first_that_failed_is_named(make_harness: MakeHarness) -> None:
    manifest = stage(fetch="exit 4", retryStrategy=RETRIED)
    harness = make_harness(by_name=True)
    harness.apply(manifest)
    report = harness.run(workflow())
    assert (report.pods, report.node("stage(0)").message) == (2, "fetch: Error (exit code 4)")
    pull, *others = manifest["spec"]["templates"][1]["containerSet"]["containers"]
    pull["name"] = "pull"
    for each in others:
        each["dependencies"] = ["pull"]
    harness.apply(manifest)
    report = harness.run(workflow())
    assert (report.pods, report.node("stage(0)").message) == (1, "main: Error (exit code 64)")


def test_a_command_that_is_not_there_is_the_executors_error(harness: Harness) -> None:
    manifest = stage()
    main = manifest["spec"]["templates"][1]["containerSet"]["containers"][1]
    main.update(command=["no-such-command"], args=[])
    node = run(harness, manifest)
    assert (node.exit_code, node.message) == (64, "main: Error (exit code 64)")
    assert "no-such-command" in harness.submit(workflow()).wait().log("stage")


def test_the_user_is_not_main(harness: Harness) -> None:
    containers = [container("run", "exit 3"), container("main", "true", dependencies=["run"])]
    node = run(
        harness,
        workflow_template(
            {"name": "main", "dag": {"tasks": [{"name": "stage", "template": "stage"}]}},
            {"name": "stage", "containerSet": {"containers": containers}},
        ),
    )
    assert (node.exit_code, node.message) == (64, "run: Error (exit code 3)")


OUTPUT = [{"name": "entry", "valueFrom": {"path": "/work/entry"}}]


def test_the_last_container_writes_the_output(harness: Harness) -> None:
    node = run(harness, stage(push=f"{WAIT}; echo made > /work/entry", outputs={"parameters": OUTPUT}))
    assert (node.phase, node.outputs) == ("Succeeded", {"entry": "made"})


def test_an_output_that_is_not_there(harness: Harness) -> None:
    node = run(harness, stage(outputs={"parameters": OUTPUT}))
    assert (node.phase, node.message) == (
        "Error",
        "wait: Error (exit code 64): open /work/entry: no such file or directory",
    )
    defaults = [{"name": "entry", "valueFrom": {"path": "/work/entry", "default": "{}"}}]
    node = run(harness, stage(main="echo 0 > /work/run/exit; exit 3", outputs={"parameters": defaults}))
    assert (node.phase, node.exit_code, node.outputs) == ("Failed", 3, {"entry": "{}"})


def test_outputs_of_a_failed_stage_are_kept(harness: Harness) -> None:
    script = "echo 0 > /work/run/exit; echo found > /work/entry; exit 3"
    node = run(harness, stage(main=script, outputs={"parameters": OUTPUT}))
    assert (node.exit_code, node.outputs) == (3, {"entry": "found"})


def retried(harness: Harness, **settings: Any) -> Report:
    harness.apply(stage(retryStrategy=RETRIED, **settings))
    return harness.run(workflow())


@pytest.mark.parametrize(
    "settings",
    [
        {"main": "echo 0 > /work/run/exit; exit 3"},
        {"main": "echo 0 > /work/run/exit; exit 64"},
        {"main": "sleep 60", "activeDeadlineSeconds": 1},
    ],
)
def test_what_is_not_run_again(harness: Harness, settings: dict[str, Any]) -> None:
    report = retried(harness, **settings)
    assert report.pods == 1
    assert report.node("stage").message == "retryStrategy.expression evaluated to false"


@pytest.mark.parametrize(
    "settings",
    [
        {"fetch": "exit 4"},
        {"push": f"{WAIT}; exit 5"},
        {"main": "echo 0 > /work/run/exit; kill -9 $$$$"},
        {"code": "exit 7"},
        {"outputs": {"parameters": OUTPUT}},
    ],
)
def test_what_is_run_again(harness: Harness, settings: dict[str, Any]) -> None:
    report = retried(harness, **settings)
    assert report.pods == 2
    assert report.node("stage").message == "No more retries left"
    assert report.node("stage").waits == [30.0]


def test_a_retry_that_would_be_too_late(harness: Harness) -> None:
    strategy = {**RETRIED, "limit": 9, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "1m"}}
    harness.apply(stage(fetch="exit 4", retryStrategy=strategy))
    report = harness.run(workflow())
    assert (report.pods, report.node("stage").waits) == (3, [10.0, 20.0])
    assert report.node("stage").message == "Backoff would exceed max duration limit"


def test_a_deadline(harness: Harness) -> None:
    node = run(harness, stage(main="sleep 60", activeDeadlineSeconds=1))
    assert (node.exit_code, node.message) == (143, "Pod was active on the node longer than the specified deadline")


def test_the_second_attempt_succeeds_and_is_not_repeated(harness: Harness) -> None:
    def kill_first(phase: str, each: Running) -> None:
        if (phase, each.name, each.node) == ("started", "main", "co2.stage(0)"):
            each.kill()

    harness.on_container = kill_first
    report = retried(harness, main="sleep 0.2; cat /work/run/said; echo 0 > /work/run/exit")
    assert report.phases() == {"stage": "Succeeded", "stage(0)": "Failed", "stage(1)": "Succeeded"}
    assert report.node("stage(0)").exit_code == 137
    assert report.log("stage(1)") == "running\n"


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("code", signal.SIGKILL), ("fetch", signal.SIGKILL), ("main", signal.SIGKILL), ("push", signal.SIGKILL), ("main", signal.SIGTERM),
    ],
)  # fmt: skip
def test_any_container_can_be_killed_at_a_moment(harness: Harness, name: str, how: signal.Signals) -> None:
    def kill(phase: str, each: Running) -> None:
        if (phase, each.name) == ("started", name):
            each.wait_for_file("work", f"{name}-runs")
            each.kill(how)

    harness.on_container = kill
    scripts = {
        each: f"echo running > /work/{each}-runs; mkdir -p /work/run; sleep 0.1; touch /work/run/exit"
        for each in ("code", "fetch", "main", "push")
    }
    node = run(harness, stage(**{**scripts, name: f"touch /work/{name}-runs; sleep 60"}))
    assert node.phase == ("Error" if name == "code" else "Failed")
    assert node.codes[name] == 128 + how


def test_stop_reaches_all_containers(harness: Harness) -> None:
    harness.apply(
        stage(
            main="trap 'exit 9' TERM; touch /work/runs; while true; do sleep 0.05; done", outputs={"parameters": OUTPUT}
        )
    )
    started = threading.Semaphore(0)

    def tell(phase: str, each: Running) -> None:
        if phase == "started" and each.name in {"main", "push"}:
            each.wait_for_file("work", "runs")
            started.release()

    harness.on_container = tell
    submitted = harness.submit(workflow())
    assert started.acquire(timeout=30)
    assert started.acquire(timeout=30)
    submitted.stop()
    node = submitted.wait().node("stage")
    assert (node.phase, node.exit_code, node.outputs) == ("Failed", 9, {})
    assert node.codes == {"code": 0, "fetch": 0, "main": 9, "push": 143}


def test_a_pod_that_is_deleted(harness: Harness) -> None:
    def delete(phase: str, each: Running) -> None:
        if (phase, each.name, each.node) == ("started", "main", "co2.stage(0)"):
            each.pod.delete()

    harness.on_container = delete
    report = retried(harness, main="sleep 0.2; echo 0 > /work/run/exit")
    assert report.node("stage(0)").phase == "Error"
    assert report.node("stage(0)").message == "pod deleted"
    assert report.phase == "Succeeded"


def test_the_private_volume_must_be_the_templates(harness: Harness) -> None:
    template = stage_template()
    del template["volumes"]
    volumes: list[Manifest] = [{"name": name, "emptyDir": {}} for name in ("work", "tmp", "private")]
    manifest = stage()
    manifest["spec"].update(templates=[manifest["spec"]["templates"][0], template], volumes=volumes)
    node = run(harness, manifest)
    assert node.phase == "Error"
    assert 'spec.containers[1].volumeMounts[0].name: Not found: "private"' in node.message


def test_a_volume_of_nobody(harness: Harness) -> None:
    manifest = workflow_template({"name": "main", "container": single("true", mounts=PRIVATE)})
    harness.apply(manifest)
    report = harness.run(workflow())
    assert (report.phase, report.message, report.pods) == ("Error", "volume 'private' not found in workflow spec", 0)


def test_the_exit_codes_of_others_can_be_read(harness: Harness) -> None:
    script = "cat /var/run/argo/ctr/fetch/exitcode; echo; echo 2/3 > $ARGO_PROGRESS_FILE; echo 0 > /work/run/exit"
    harness.apply(stage(main=script))
    report = harness.run(workflow())
    assert report.log("stage") == "0\n"
    assert report.node("stage").progress == "2/3"


def test_a_volume_of_the_workflow_is_each_pods_own(harness: Harness) -> None:
    calls = [{"name": name, "template": "touch"} for name in ("a", "b")]
    harness.apply(
        workflow_template(
            {"name": "main", "dag": {"tasks": calls}},
            {"name": "touch", "container": single("ls /work; touch /work/x", mounts=WORK)},
        )
    )
    report = harness.run(workflow())
    assert [report.log(name) for name in ("a", "b")] == ["", ""]
