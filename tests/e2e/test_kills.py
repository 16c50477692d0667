"""A container of Canon's that is killed at any phase, or whose S3 server fails, and the next attempt: nothing is lost or wrong in the end.

The containers are processes here, really killed, with a pod's folders in a temporary one. What that does not show is in
`test_workflow_kills.py`, which `make soak` runs: the pods themselves, their user and read-only roots, and that Argo tries them again.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from canon.dvc.hashes import hash_path
from canon.dvc.runcache import run_cache_value
from canon.model import cluster
from canon.steps import rivals
from canon.steps.documents import load_record, plan_path
from canon.steps.inputs import load_inputs
from canon.steps.places import Places, Pod
from canon.steps.planner import delivered_path
from canon.steps.push import push_task
from canon.steps.work import open_work
from tests.conftest import S3, git, once
from tests.e2e.delivered import Delivered
from tests.e2e.killed import KILL, TERM, killed_at, started
from tests.e2e.planned import add_remote, write_project
from tests.e2e.test_deliver_image import delivered, planned
from tests.e2e.test_step_plan import Planned
from tests.e2e.test_steps import Workflow, entries
from tests.proxies import Call, Proxy, Verdict, answer, proxy_to
from tests.tracking import Store

__all__ = ["planned"]
"""A fixture of another file."""
pytestmark = pytest.mark.usefixtures("quick")
DATA = r"/files/md5/../[0-9a-f]{30}$"
NOISE = '(out / "noise.txt").write_text(__import__("uuid").uuid4().hex)\n'
Begin = Callable[..., Workflow]


@pytest.fixture
def proxy(s3: S3) -> Iterator[Proxy]:
    with proxy_to(s3.endpoint) as found:
        yield found


@pytest.fixture
def registry(planned: Planned) -> Iterator[Proxy]:
    planned.registry.relative = True
    with proxy_to(f"http://{planned.registry.host}") as found:
        yield found


@pytest.fixture
def begin(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, proxy: Proxy) -> Begin:
    """Workflows of one project, whose pods reach S3 by way of the proxy. A stage of it is not deterministic."""
    root = shutil.copytree(once(tmp_path_factory, "planned", write_project), tmp_path / "planned", symlinks=True)
    (root / "prepare.py").write_text((root / "prepare.py").read_text() + NOISE)
    add_remote(root, s3)

    def make(uid: str, **plan: Any) -> Workflow:
        workflow = Workflow(root, tmp_path / "pods", s3, uid, **plan)
        workflow.environ[cluster.REMOTE_ENDPOINT_VARIABLE] = proxy.url
        return workflow

    return make


def known(workflow: Workflow, task: str) -> list[str]:
    """The values that a task has told the others."""
    record = load_record(workflow.remote.objects(), workflow.uid, task)
    return [each.value for each in record.stages.values()] if record else []


def values_beside(s3: S3, value: str) -> list[str]:
    """The values under the key that a value has."""
    (key,) = {name.rpartition("/")[0] for name in entries(s3) if name.endswith(value)}
    return [name.rpartition("/")[2] for name in entries(s3) if name.startswith(key)]


def ready_to_push(workflow: Workflow, task: str, attempt: int) -> Pod:
    pod = workflow.pod(task, attempt)
    workflow.pull(pod)
    assert workflow.main(pod) == 0
    return pod


@pytest.mark.soak
def test_pull(begin: Begin, proxy: Proxy) -> None:
    """After a part of its inputs has come; and with a hit in hand, before others know of it."""
    workflow = begin("one")
    workflow.run("data-raw")
    workflow.run("prepare")
    killed_at(proxy, f"GET {DATA}", workflow.pod("fit--40a"), "pull", number=2)
    assert workflow.run("fit--40a", attempt=2) == 0
    other = begin("two")
    killed_at(proxy, "PUT /tasks/data-raw", other.pod("data-raw"), "pull", TERM)
    assert known(other, "data-raw") == []
    assert other.run("data-raw", attempt=2) == 0
    assert known(other, "data-raw") == known(workflow, "data-raw") != []


def test_main_and_what_waits_for_it(begin: Begin) -> None:
    """While the command runs; and its pod dies after the command has ended, before anything is saved."""
    workflow = begin("one")
    workflow.run("data-raw")
    pod = workflow.pod("prepare")
    workflow.pull(pod)
    (pod.places.code / "prepare.py").write_text("import time; open('runs', 'w'); time.sleep(60)")
    with subprocess.Popen(["/bin/sh", pod.places.script], start_new_session=True) as main, started(pod, "push") as push:
        while not (pod.places.code / "runs").exists():
            time.sleep(0.02)
        os.killpg(main.pid, signal.SIGKILL)
        (pod.places.emissary / "main").mkdir(parents=True)
        (pod.places.emissary / "main/exitcode").write_text("137")  # by the executor, in a pod
        assert "ended without a word; nothing is saved" in push.communicate(timeout=60)[1]
        assert push.returncode == 0
    ready_to_push(workflow, "prepare", 2)
    assert known(workflow, "prepare") == []
    assert workflow.run("prepare", attempt=3) == 0
    assert len(known(workflow, "prepare")) == 1


def test_push(begin: Begin, proxy: Proxy, s3: S3) -> None:
    """Before all data is sent; after that, before the entry; after the entry, before others know of it."""
    workflow = begin("one")
    workflow.run("data-raw")
    for attempt, (asked, how) in enumerate([(f"PUT {DATA}", KILL), ("PUT /runs/", TERM), ("PUT /tasks/", KILL)], 1):
        assert len(entries(s3)) == 1
        killed_at(proxy, asked, ready_to_push(workflow, "prepare", attempt), "push", how)
        assert known(workflow, "prepare") == []
    assert len(entries(s3)) == 2  # what the last one has saved is not made again
    assert workflow.run("prepare", attempt=4) == 0
    assert "prepare: nothing to run" in workflow.said[-1]
    assert values_beside(s3, *known(workflow, "prepare")) == known(workflow, "prepare")


@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.soak), True])
@pytest.mark.soak
def test_push_of_a_result_that_loses(begin: Begin, proxy: Proxy, s3: S3, after: bool) -> None:  # noqa: FBT001
    """Another workflow was first by a moment. Before and after the entry is taken away again: the retry uses the winner's, and one entry stays."""
    workflow, rival = begin("one"), begin("rival")
    rival.environ[cluster.REMOTE_ENDPOINT_VARIABLE] = s3.endpoint
    for each in (workflow, rival):
        each.run("data-raw")
    pod, other = ready_to_push(workflow, "prepare", 1), ready_to_push(rival, "prepare", 1)
    gate: list[Call] = []

    def overtake(call: Call) -> str:
        if call.method == "PUT" and "/runs/" in call.path:
            gate.append(call)
            with started(other, "push") as process:
                assert process.wait(60) == 0
            time.sleep(1.1)  # S3 tells seconds apart
        return "pass"

    killed_at(proxy, "DELETE /runs/", pod, "push", after=after, beside=overtake)
    assert len(gate) == 1
    (value,) = known(rival, "prepare")
    assert len(values_beside(s3, value)) == (1 if after else 2)
    assert workflow.run("prepare", attempt=2) == 0
    assert known(workflow, "prepare") == values_beside(s3, value) == [value]


@pytest.mark.parametrize("is_published", [True, pytest.param(False, marks=pytest.mark.soak)])
@pytest.mark.soak
def test_two_entries_of_one_second(
    begin: Begin, proxy: Proxy, s3: S3, monkeypatch: pytest.MonkeyPatch, is_published: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """In the order of the list this workflow's is first, and the other one, which saw its own there alone, has told its children already; or is killed."""
    if "CANON_TEST_S3_ENDPOINT" in os.environ:
        pytest.skip("the time of another server cannot be set")
    import moto.s3.models

    monkeypatch.setattr(moto.s3.models, "utcnow", lambda: datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))
    monkeypatch.setattr(rivals, "PATIENCE", 1.0)
    one, other = begin("one"), begin("other")
    for each in (one, other):
        each.run("data-raw")
    pods = {each: ready_to_push(each, "prepare", 1) for each in (one, other)}
    values = {each: value_of(pod) for each, pod in pods.items()}
    first, second = sorted((one, other), key=lambda each: values[each])
    second.environ[cluster.REMOTE_ENDPOINT_VARIABLE] = s3.endpoint
    seen: list[Call] = []

    def overtake(call: Call) -> str:
        if call.method == "PUT" and "/made/" in call.path and not seen:
            seen.append(call)
            if is_published:
                push_task(pods[second], second.said.append)
            else:
                with proxy_to(s3.endpoint) as own:
                    second.environ[cluster.REMOTE_ENDPOINT_VARIABLE] = own.url
                    killed_at(own, "PUT /tasks/", pods[second], "push")
                second.environ[cluster.REMOTE_ENDPOINT_VARIABLE] = s3.endpoint
        return "pass"

    proxy.script = overtake
    push_task(pods[first], first.said.append)
    assert len(seen) == 1
    assert second.run("prepare", attempt=2) == 0
    stands = values[second if is_published else first]
    assert known(first, "prepare") == known(second, "prepare") == values_beside(s3, stands) == [stands]


def value_of(pod: Pod) -> str:
    """The value that the entry of the task `prepare` will have."""
    work = open_work(pod)
    outs = {"data/prepared": hash_path(pod.places.code, "data/prepared")}
    inputs = load_inputs(pod.places, work.outs, work.objects)
    return run_cache_value(inputs.entry("prepare", work.stages["prepare"], outs))


@pytest.mark.soak
def test_push_of_a_result_that_replaces_others(begin: Begin, proxy: Proxy, s3: S3) -> None:
    """`fresh`: what was there before goes, also when the pod is killed in between."""
    first = begin("one")
    for task in ("data-raw", "prepare"):
        first.run(task)
    fresh = begin("fresh", fresh=True)
    fresh.run("data-raw")
    killed_at(proxy, "DELETE /runs/", ready_to_push(fresh, "prepare", 1), "push")
    assert fresh.run("prepare", attempt=2) == 0
    assert known(fresh, "prepare") == values_beside(s3, *known(fresh, "prepare")) != known(first, "prepare")


@pytest.mark.soak
def test_an_entry_without_its_data_hides_no_other(begin: Begin, s3: S3) -> None:
    """It is passed over: else the stage would run at each workflow."""
    first = begin("one")
    for task in ("data-raw", "prepare"):
        first.run(task)
    (value,) = known(first, "prepare")
    noise = max((first.pod("prepare").places.code / "data/prepared").rglob("noise.txt")).read_bytes()
    for item in s3.client.list_objects_v2(Bucket=s3.bucket, Prefix="dvc/files/")["Contents"]:
        if s3.client.get_object(Bucket=s3.bucket, Key=item["Key"])["Body"].read() == noise:
            s3.client.delete_object(Bucket=s3.bucket, Key=item["Key"])
    second, third = begin("two"), begin("three")
    for workflow in (second, third):
        workflow.run("data-raw")
        assert workflow.run("prepare") == 0
    assert known(third, "prepare") == known(second, "prepare") != [value]
    assert "prepare: nothing to run" in third.said[-1]


@pytest.mark.soak
def test_s3_that_fails_once_at_each(begin: Begin, proxy: Proxy) -> None:
    """It answers 500, breaks off in the middle of an object, loses the answer to an entry: nobody has to try again, and nothing is different."""
    workflow = begin("one")
    workflow.run("data-raw")
    workflow.run("prepare")
    left: dict[str, Callable[[Call], Verdict]] = {
        f"GET {DATA}": lambda _: "cut",
        f"PUT {DATA}": lambda call: answer(call, 500),
        "PUT /runs/": lambda _: "lose",
        "HEAD /files/": lambda _: "drop",
        "GET /plan.json": lambda _: "cut",
    }

    def script(call: Call) -> Verdict:
        for asked in list(left):
            method, _, part = asked.partition(" ")
            if call.method == method and re.search(part, call.path):
                return left.pop(asked)(call)
        return "pass"

    proxy.script = script
    assert workflow.run("fit--40a") == 0
    other = begin("two")
    assert other.run("data-raw") == other.run("prepare") == other.run("fit--40a") == 0
    assert left == {}
    assert known(other, "fit--40a") == known(workflow, "fit--40a") != []


@pytest.mark.soak
def test_plan_and_deliver(planned: Planned, s3: S3, team: Store, proxy: Proxy, registry: Proxy) -> None:
    """`plan` before and after it has written the plan; `deliver` after the experiment, the image, the row and the note."""

    def pod(name: str, attempt: int, environ: dict[str, str]) -> Pod:
        top = planned.folder / "pods" / f"{name}-{attempt}"
        places = Places(top / "src", top / "run", top / "private")
        places.private.mkdir(parents=True)
        return Pod("one", name, environ, places)

    places = {
        cluster.REMOTE_ENDPOINT_VARIABLE: proxy.url,
        cluster.REGISTRY_VARIABLE: f"{registry.url.removeprefix('http://')}/ml",
    }
    planned.environ |= places
    environ = planned.environ | {cluster.WORKFLOW_VARIABLE: "one"}
    killed_at(proxy, "PUT /plan.json", pod("plan", 1, environ), "plan")
    assert Delivered(planned.root, planned.folder, s3, "x", team).remote.objects().read(plan_path("one")) is None
    killed_at(proxy, "PUT /plan.json", pod("plan", 2, environ), "plan", TERM, after=True)
    plan, outputs = planned.plan("one")
    assert outputs["deliver"] == "true"
    workflow = delivered(planned, s3, team, "one", plan)
    workflow.environ |= places
    note = delivered_path(plan, workflow.values())
    deliveries: list[tuple[Proxy, str, bool, signal.Signals]] = [
        (registry, "GET /manifests/", False, KILL),
        (registry, "PUT /manifests/", True, TERM),
        (proxy, f"PUT {note}", False, KILL),
        (proxy, f"PUT {note}", True, TERM),
    ]
    for attempt, (by, asked, after, how) in enumerate(deliveries, 1):
        assert workflow.remote.objects().read(note) is None
        killed_at(by, asked, pod("deliver", attempt, workflow.environ), "deliver", how, after=after)
        assert len(workflow.experiments()) == 1
    noted = workflow.deliver(attempt=9)
    assert workflow.experiments().keys() == {noted["experiment"]}
    assert team.row("p").info.status == "FINISHED"
    assert noted["image"].rpartition("@")[2] in planned.registry.repositories["ml/p"].tags.values()
    assert git(workflow.code, "fsck", "--no-dangling") == ""
