"""`canon submit --watch`: what is shown of a workflow, when it ends, and with which exit code."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from canon.argo.submission import dag_of_template
from canon.argo.transport import ArgoMissingError, ArgoUnavailableError
from canon.workflows import watch
from tests.argo_server import ArgoServer, error, page, pod_name
from tests.e2e.faults import canon
from tests.e2e.submitted import template
from tests.harness.fixtures import MakeHarness
from tests.harness.manifests import level, plan_template, single, stage_template, task, workflow_template

NAME = "toy-cluster-00000"
OVER = "2026-01-01T00:10:00Z"


def status(phase: str, message: str = "", **nodes: Mapping[str, Any]) -> dict[str, Any]:
    """A workflow's status; a node's name is its task's, `stages.` is put before those of stages."""
    found = {}
    for name, node in nodes.items():
        path = name if name in {"plan", "deliver"} else f"stages.{name}"
        found[name] = {
            "id": name, "name": f"{NAME}.{path}", "displayName": name, "type": "Pod", "templateName": "stage",
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": None, **node,
        }  # fmt: skip
    return {"phase": phase, "message": message, "nodes": found, "startedAt": None, "finishedAt": None}


DONE = {"phase": "Succeeded", "finishedAt": OVER}
RUNNING = {"phase": "Running", "progress": "3/10"}
FAILED = {"phase": "Failed", "message": "main: Error (exit code 3)", "outputs": {"exitCode": "3"}, "finishedAt": OVER}


def test_in_a_pipe_each_event_is_a_line(pushed: Path, argo: ArgoServer) -> None:
    values = {"experiment": "toy-cluster-12345678", "image": "", "row": "http://mlflow/#/\x1b[1mruns/1", "other": "x"}
    told = {"parameters": [{"name": name, "value": value} for name, value in values.items()]}
    argo.statuses = [
        status("", "Waiting for ml/Mutex/canon-toy-cluster lock. Lock status: 0/1"),
        status("Running", plan={"phase": "Running"}),
        status("Running", plan=DONE, prepare={"type": "Skipped", "phase": "Skipped", "message": "when 'false == true'"}, train=RUNNING),
        status("Running", plan=DONE, prepare={"type": "Skipped", "phase": "Skipped"}, train=RUNNING),
        status("Succeeded", plan=DONE, prepare={"type": "Skipped", "phase": "Skipped"}, train=DONE, deliver={**DONE, "outputs": told}),
    ]  # fmt: skip
    done = canon(pushed, "submit", "toy", "--watch")
    assert done.stdout == f"{NAME}\n"
    assert done.stderr.splitlines()[1:] == [
        "workflow: waiting: Waiting for ml/Mutex/canon-toy-cluster lock. Lock status: 0/1", "workflow: running", "plan: running", "plan: succeeded",
        "prepare: known already", "train: running", "workflow: succeeded", "train: succeeded", "deliver: succeeded",
        "experiment: toy-cluster-12345678", "row: http://mlflow/#/\ufffd[1mruns/1",
    ]  # fmt: skip


def test_a_stage_that_fails_gives_its_exit_code_and_its_last_words(pushed: Path, argo: ArgoServer) -> None:
    omitted = {"type": "Skipped", "phase": "Omitted", "message": "omitted: depends condition not met"}
    argo.statuses = [
        status("Running", train=RUNNING),
        status("Failed", "child failed", plan=DONE, train=FAILED, deliver=omitted),
    ]
    argo.logs[pod_name(NAME, f"{NAME}.stages.train", "stage")] = "epoch 1\n\x1b[31mno memory\n"
    said = canon(pushed, "submit", "toy", "-w", "--json", code=3)
    assert said.stdout.startswith("{")
    assert "train: failed: main: Error (exit code 3)\ntrain | epoch 1\ntrain | \ufffd[31mno memory\n" in said.stderr
    assert "deliver: left out\n" in said.stderr
    assert f"{NAME} has ended: failed: child failed" in said.stderr
    argo.statuses = [status("Error", "plan: \x1b]0;x\x07broken")]
    assert "has ended: error: plan: \ufffd]0;x\ufffdbroken" in canon(pushed, "submit", "toy", "-w", code=1).stderr


@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        ("push: Error (exit code 1)", 1, ["push: canon: data/environ: a link"]),
        ("fetch: Error (exit code 1)", 1, ["fetch: canon: no data"]),
        ("main: Error (exit code 143)", 143, ["epoch 1", "push: canon: data/environ: a link"]),
    ],
)
def test_what_fails_beside_the_stage_says_why(pushed: Path, argo: ArgoServer, message: str, code: int, says: list[str]) -> None:  # fmt: skip
    """In a chain `push` ends the command where it refuses what a stage left, and Argo tells of the command alone."""
    argo.statuses = [status("Failed", train={**FAILED, "message": message, "outputs": {"exitCode": str(code)}})]
    pod = pod_name(NAME, f"{NAME}.stages.train", "stage")
    argo.logs |= {pod: "epoch 1\n", f"{pod}/push": "canon: data/environ: a link\n", f"{pod}/fetch": "canon: no data\n"}
    said = canon(pushed, "submit", "toy", "--watch", code=code).stderr.splitlines()
    assert [line for line in said if line.startswith("train")] == [
        f"train: failed: {message}",
        *(f"train | {line}" for line in says),
    ]


@pytest.mark.soak
def test_a_connection_that_breaks_is_tried_again_and_a_workflow_that_is_gone_is_said(
    pushed: Path, argo: ArgoServer
) -> None:
    argo.statuses = [status("Running", train=RUNNING), status("Succeeded", train=DONE)]
    process = subprocess.Popen(
        ["canon", "submit", "toy", "-w"], cwd=pushed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(argo.workflows))
    argo.faults += [None, error(503, "restarting"), page(502)]
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "workflow: succeeded" in said
    argo.statuses = [status("Running", train=RUNNING)]
    process = subprocess.Popen(
        ["canon", "submit", "toy", "-w"], cwd=pushed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: len(argo.workflows) > 1 and argo.workflows["toy-cluster-00001"].asked > 1)
    del argo.workflows["toy-cluster-00001"]
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the workflow toy-cluster-00001 has disappeared from ml" in said


def test_ctrl_c_ends_the_watching_and_not_the_workflow(pushed: Path, argo: ArgoServer) -> None:
    argo.statuses = [status("Running", train=RUNNING)]
    process = subprocess.Popen(
        ["canon", "submit", "toy", "-w"], cwd=pushed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    wait_for(lambda: bool(argo.workflows) and argo.workflows[NAME].asked > 0)
    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, f"{NAME}\n")
    assert f"{NAME} goes on; `argo watch -n ml {NAME}` shows it, `argo stop -n ml {NAME}` ends it" in said
    assert {method for method, _, _ in argo.requests} == {"GET", "POST"}


def test_a_terminal_gets_a_table_with_the_logs_tails(pushed: Path, argo: ArgoServer) -> None:
    argo.logs[pod_name(NAME, f"{NAME}.stages.train", "stage")] = "epoch 1\nepoch 2\n\x1b[2Jepoch 3\n"
    argo.statuses = [*[status("Running", plan=DONE, train=RUNNING)] * 5, status("Succeeded", plan=DONE, train=DONE)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["canon", "submit", "toy", "-w"], cwd=pushed, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    ) as process:  # fmt: skip
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the terminal is closed when the command has ended
            while piece := os.read(ours, 65536):
                said += piece
        assert process.stdout is not None
        assert process.stdout.read() == f"{NAME}\n".encode()
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    assert re.search(r"prepare +waiting", text)
    assert re.search(r"train +running +[0-9:]+ +3/10\s+epoch 2\s+\ufffd\[2Jepoch 3", text)
    assert re.search(r"train +succeeded +10:00", text)
    assert "\x1b[2Jepoch" not in said.decode()


def test_what_really_runs_is_shown_as_it_runs(pushed: Path, argo: ArgoServer, make_harness: MakeHarness) -> None:
    """The pod harness behind the server: the phases, messages and codes are those of containers."""
    plan = plan_template({"prepare": True, "train": True}, deliver=True)
    plan["container"]["env"] = [{"name": "CANON_DAG", "value": dag_of_template(template(pushed))}]
    given = {
        "parameters": [
            {"name": name, "value": f"{{{{tasks.plan.outputs.parameters.{name}}}}}"} for name in ("run", "image")
        ]
    }
    failing = 'cd /work; echo "at work on $(cat code.txt)"; echo 0 > run/exit; [ ! -e run/fails ] || exit 7'
    stage = stage_template(main=failing, fetch="test $CANON_TASK != train || touch /work/run/fails")
    tasks = [
        {"name": "plan", "template": "plan"},
        {"name": "stages", "template": "stages", "depends": "plan.Succeeded", "arguments": given},
    ]  # fmt: skip
    manifest = workflow_template(
        {"name": "main", "dag": {"tasks": tasks}}, level("stages", [task("prepare"), task("train", ["prepare"])]), plan, stage,
        {"name": "deliver", "container": single("true")},
    )  # fmt: skip
    manifest["metadata"] |= {"name": "toy-cluster", "namespace": "ml"}
    harness = make_harness(namespace="ml")
    harness.apply(manifest)
    argo.harness, argo.templates["toy-cluster"] = harness, manifest
    said = canon(pushed, "submit", "toy", "--watch", code=7).stderr.splitlines()
    for line in (
        "plan: succeeded",
        "prepare: succeeded",
        "train: failed: main: Error (exit code 7)",
        "train | at work on code",
    ):
        assert line in said


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Silent:
    """A server that answers as it is told, and then not at all."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def snapshot(self, *_: str) -> Any:
        answer = self.answers.pop(0) if self.answers else ArgoUnavailableError("nobody is there")
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_server_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from canon.argo.server import Created
    from canon.argo.status import Snapshot
    from canon.model.errors import CanonError

    waits: list[float] = []
    monkeypatch.setattr(watch, "pause", waits.append)
    created, running = Created(NAME, "u", "ml", ""), Snapshot("Running", "", {})
    server: Any = Silent(*[ArgoUnavailableError("x")] * (watch.MOST_FAILURES - 1), running)
    seen: list[Snapshot] = []
    with pytest.raises(
        CanonError, match=f"nobody is there, {watch.MOST_FAILURES} times in a row; the workflow goes on"
    ):
        seen.extend(watch.watched(server, created))
    assert len(waits) == 2 * (watch.MOST_FAILURES - 1) + 1
    assert max(waits) == watch.LONGEST_PAUSE
    with pytest.raises(CanonError, match="has disappeared from ml"):
        list(watch.watched(Silent(running, ArgoMissingError("no")), created))  # type: ignore[arg-type]
