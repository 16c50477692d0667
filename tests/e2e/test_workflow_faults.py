"""Servers that fail, stages that fail, two workflows at once, one that is terminated: in the pod harness, with a shell alone in the stages' image."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest

from tests.e2e.shells import FILES, Cluster, hold, said
from tests.harness.pod import Running
from tests.harness.report import Report
from tests.proxies import Call, Verdict, answer

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("quick")]
CHAIN = "stages.prepare"
NOISE = "cat /proc/sys/kernel/random/uuid > data/prepared/noise\n"


def succeeded(report: Report) -> Report:
    assert report.phase == "Succeeded", said(report)
    return report


def while_running(
    cluster: Cluster, container: str, number: int, verdict: Callable[[Call], Verdict]
) -> Callable[[Call], Verdict]:
    """A script for as long as a container runs, in the attempt of that number, from 0."""
    running = threading.Event()

    def tell(phase: str, each: Running) -> None:
        if (
            each.name == container
            and each.node.endswith(f"({number})")
            and "data-raw" not in each.node
            and "plan" not in each.node
        ):
            running.set() if phase == "started" else running.clear()

    cluster.harness.on_container = tell
    return lambda call: verdict(call) if running.is_set() else "pass"


def test_a_chain_is_one_pod_and_its_stages_are_saved_one_by_one(shells: Cluster) -> None:
    """The exit code is the failing stage's own; the next workflow starts there; what comes out as before is not followed by anything."""
    shells.push(report_DOT_sh="exit 5\n")
    report = shells.run()
    assert (report.phase, report.pods) == ("Failed", 3)
    failed = report.node(f"{CHAIN}(0)")
    assert (failed.exit_code, failed.message) == (5, "main: Error (exit code 5)")
    assert report.node(CHAIN).message == "retryStrategy.expression evaluated to false"
    assert report.log(f"{CHAIN}(0)") == "prepare runs\nfit runs\n"
    assert len(shells.objects("runs")) == 3
    shells.push(report_DOT_sh=FILES["report.sh"])
    again = succeeded(shells.run())
    assert (again.pods, again.log(f"{CHAIN}(0)")) == (3, "report runs\n")
    shells.push(fit_DOT_sh=f"# in other words\n{FILES['fit.sh']}")
    third = succeeded(shells.run())
    assert third.log(f"{CHAIN}(0)") == "fit runs\n"
    assert "report: nothing to run" in third.log(f"{CHAIN}(0)", "push")
    shells.check(results=2)


def test_a_retry_of_a_chain_starts_where_it_stopped(shells: Cluster) -> None:
    numbers = itertools.count(1)

    def fail(call: Call) -> Verdict:
        refused = call.method == "PUT" and "/runs/" in call.path and next(numbers) > 1
        return answer(call, 403) if refused else "pass"

    shells.s3.script = while_running(shells, "push", 0, fail)
    report = succeeded(shells.run())
    assert report.node(f"{CHAIN}(0)").codes["push"] == 1
    assert "does not let us write runs/" in report.log(f"{CHAIN}(0)", "push")
    assert report.log(f"{CHAIN}(1)") == "fit runs\nreport runs\n"
    shells.check()


def test_a_stage_that_fails_with_3_is_visible_as_3(shells: Cluster) -> None:
    shells.push(prepare_DOT_sh="exit 3\n")
    report = shells.run()
    assert (report.phase, report.pods) == ("Failed", 3)
    assert (report.node(f"{CHAIN}(0)").exit_code, report.node("deliver").phase) == (3, "Omitted")
    assert shells.delivered() == []
    assert shells.experiments() == set()


def test_s3_that_fails_now_and_then(shells: Cluster) -> None:
    """It answers 500, breaks off in the middle, and loses answers."""
    numbers = itertools.count(1)

    def fail(call: Call) -> Verdict:
        number = next(numbers)
        if number % 7 == 0:
            return answer(call, 500)
        return "cut" if number % 11 == 0 and call.method == "GET" else "lose" if number % 13 == 0 else "pass"

    shells.s3.script = fail
    succeeded(shells.run())
    shells.s3.script = lambda _: "pass"
    assert next(numbers) > 60
    shells.check()


@pytest.mark.parametrize("container", ["fetch", "push"])
def test_s3_that_is_down_for_an_attempt(shells: Cluster, container: str) -> None:
    shells.s3.script = while_running(shells, container, 0, lambda call: answer(call, 500))
    report = succeeded(shells.run())
    assert report.node(f"{CHAIN}(0)").codes[container] == 1
    assert "HTTP 500" in report.log(f"{CHAIN}(0)", container)
    assert "Traceback" not in said(report)
    shells.check()


def test_s3_that_is_down(shells: Cluster) -> None:
    """`plan` says so; the next workflow makes up for it."""
    shells.s3.script = lambda call: answer(call, 500)
    report = shells.run()
    assert (report.phase, report.pods) == ("Failed", 1)
    assert "HTTP 500" in report.log("plan(0)")
    shells.s3.script = lambda _: "pass"
    succeeded(shells.run())
    shells.check()


def test_mlflow_that_is_down(shells: Cluster) -> None:
    """First for all attempts, so that the workflow fails; then for one of the next workflow, which runs no stage."""
    shells.mlflow.script = lambda call: answer(call, 503)
    report = shells.run()
    assert (report.phase, report.node("deliver").phase) == ("Failed", "Failed")
    assert len([node for node in report.nodes if "deliver(" in node.name]) == 3
    assert "MLflow" in report.log("deliver(2)")
    assert shells.delivered() == []
    again = iter(["lose"])
    shells.mlflow.script = lambda _: next(again, "pass")
    report = succeeded(shells.run())
    assert report.node(CHAIN).phase == "Skipped"
    shells.check()


def test_two_workflows_at_once(shells: Cluster) -> None:
    """One waits for the other, and has nothing left to do."""
    first, second = shells.submit(), shells.submit()
    reports = [succeeded(each.wait(600)) for each in (first, second)]
    assert sorted(report.pods for report in reports) == [1, 4]
    shells.check()


def test_two_workflows_of_a_stage_that_is_not_deterministic(shells: Cluster) -> None:
    """Of two profiles, which do not wait for one another: it runs twice at once. One of its results stands, for both."""
    shells.push(prepare_DOT_sh=FILES["prepare.sh"] + NOISE)
    both = threading.Barrier(2)

    def tell(phase: str, each: Running) -> None:
        if each.name == "main" and "prepare" in each.node and phase == "starting":
            hold(each)
        if each.name == "main" and "prepare" in each.node and phase == "started":
            each.wait_for_file("work", "src/began")
            both.wait(120)
            (each.pod.volumes["work"] / "src/hold").unlink()

    shells.harness.on_container = tell
    reports = [succeeded(each.wait(600)) for each in [shells.submit("local"), shells.submit("cluster")]]
    shells.harness.on_container = lambda _phase, _each: None
    assert [report.log(f"{CHAIN}(0)").splitlines()[0] for report in reports] == ["prepare runs"] * 2
    noted = shells.delivered()
    assert len(noted) == 2
    assert noted[0]["result"] == noted[1]["result"]
    shells.check(results=2)


@pytest.mark.parametrize("phase", ["main", "push"])
def test_a_workflow_that_is_terminated(shells: Cluster, phase: str) -> None:
    """While a stage runs, and while it is saved; the next one finishes what is left."""
    reached, gone, pushing = threading.Event(), threading.Event(), threading.Event()

    def tell(moment: str, each: Running) -> None:
        if "prepare" not in each.node:
            return
        if each.name == "push" and moment == "started":
            pushing.set()
        if each.name == phase == "main" and moment == "starting":
            hold(each)
        if each.name == phase == "main" and moment == "started":
            each.wait_for_file("work", "src/began")
            reached.set()

    def script(call: Call) -> Verdict:
        if phase == "push" and pushing.is_set() and call.method == "PUT" and "/tasks/prepare" in call.path:
            reached.set()
            assert gone.wait(60)
            return "drop"
        return "pass"

    shells.harness.on_container, shells.s3.script = tell, script
    submitted = shells.submit()
    assert reached.wait(300)
    submitted.terminate()
    gone.set()
    report = submitted.wait(60)
    assert (report.phase, report.message) == ("Failed", "Stopped with strategy 'Terminate'")
    assert shells.delivered() == []
    shells.harness.on_container, shells.s3.script = lambda _phase, _each: None, lambda _: "pass"
    report = succeeded(shells.run())
    expected = ("" if phase == "push" else "prepare runs\n") + "fit runs\nreport runs\n"
    assert report.log(f"{CHAIN}(0)") == expected
    shells.check()
