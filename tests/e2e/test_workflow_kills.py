"""Every container of a rendered Workflow killed at every phase, twice, in the pod harness: Argo tries the pod again, and all is as if nothing had been.

The stages run in an image of a shell alone, three of them in one pod. `test_kills.py` shows less, and is quick.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.e2e.shells import Cluster, hold, said
from tests.harness.pod import Running
from tests.proxies import Call, Proxy, Verdict

pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("quick")]
DATA = r"/files/md5/../[0-9a-f]{30}$"


@dataclass
class Killer:
    """Kills a container at a phase, first by KILL, then by TERM; the third attempt lives. ``task``, ``container``: who is killed."""

    task: str
    container: str
    left: list[signal.Signals] = field(default_factory=lambda: [signal.SIGKILL, signal.SIGTERM])
    before: Callable[[Running], object] = lambda _: None
    running: dict[str, Running] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self, phase: str, each: Running) -> None:
        """What the harness says of its containers."""
        if not re.fullmatch(rf"[^.]*\.(stages\.)?{self.task}(\(\d+\))?", each.node):
            return
        if phase == "starting" and each.name == self.container:
            self.before(each)
        if phase == "started":
            self.running[each.name] = each
        if phase == "ended":
            del self.running[each.name]

    def kill(self) -> bool:
        """Kill it now, if it runs and any signal is left; tell whether that was so."""
        with self.lock:
            found = self.running.get(self.container)
            if found is None or not self.left:
                return False
            found.kill(self.left.pop(0))
            return True

    def at(self, proxy: Proxy, asked: str, *, after: bool = False, number: int = 1, by: str | None = None) -> None:
        """Kill when a request comes; ``by``: the container that sends it, where that is another one."""
        method, _, part = asked.partition(" ")
        seen: dict[str, int] = {}

        def script(call: Call) -> Verdict:
            sender = self.running.get(by or self.container)
            if sender is None or not self.left or call.method != method or not re.search(part, call.path):
                return "pass"
            with self.lock:
                seen[sender.node] = seen.get(sender.node, 0) + 1
                if seen[sender.node] != number:
                    return "pass"

            def end() -> None:
                assert self.kill()
                if by is None:
                    call.wait_for_end()

            if after:
                return end
            end()
            return "pass" if by else "drop"

        proxy.script = script


def run_killed(shells: Cluster, killer: Killer, *, attempts: int = 3) -> None:
    shells.harness.on_container = killer.told
    report = shells.run()
    assert report.phase == "Succeeded", said(report)
    assert killer.left == [], report
    names = [node.name for node in report.nodes if re.search(rf"\b{killer.task}\(\d+\)$", node.name)]
    assert len(names) == attempts, report
    shells.check()


@pytest.mark.parametrize("after", [False, True])
def test_plan(shells: Cluster, after: bool) -> None:  # noqa: FBT001
    """Before and after the plan is written."""
    killer = Killer("plan", "main")
    killer.at(shells.s3, "PUT /plan.json", after=after)
    run_killed(shells, killer)


def test_code(shells: Cluster) -> None:
    """The init container that copies the code."""
    killer = Killer("prepare", "code")
    shells.harness.on_container = killer.told
    told = killer.told

    def tell(phase: str, each: Running) -> None:
        told(phase, each)
        if phase == "started" and each.name == "code":
            killer.kill()

    killer.told = tell  # type: ignore[method-assign]
    run_killed(shells, killer)


@pytest.mark.parametrize(("asked", "number"), [("GET /plan.json", 1), (f"GET {DATA}", 2), ("PUT /tasks/", 1)])
def test_fetch(shells: Cluster, asked: str, number: int) -> None:
    """Before it knows anything, after a part of the inputs has come, before it says what it found."""
    killer = Killer("prepare", "fetch")
    killer.at(shells.s3, asked, number=number)
    run_killed(shells, killer)


def test_fetch_with_a_hit_in_hand(shells: Cluster) -> None:
    """What `plan` did not know yet is found by the pod: nothing has run, whenever it was killed."""
    assert shells.run().phase == "Succeeded"
    entries = shells.objects("runs")
    kept = {path: content for path, content in entries.items() if b"prepare.sh" in content}
    top = f"{shells.bucket.bucket}"
    for path in kept:
        shells.bucket.client.delete_object(Bucket=top, Key=f"dvc/runs/{path}")
    killer = Killer("prepare", "fetch")
    killer.before = lambda _: [shells.bucket.put(f"dvc/runs/{path}", content) for path, content in kept.items()]
    killer.at(shells.s3, "PUT /tasks/")
    shells.harness.on_container = killer.told
    report = shells.run()
    assert report.phase == "Succeeded", report
    assert (killer.left, report.log("stages.prepare(2)")) == ([], "")
    shells.check()


def test_main_that_runs(shells: Cluster) -> None:
    killer = Killer("prepare", "main")
    told = killer.told

    def tell(phase: str, each: Running) -> None:
        if (phase, each.name) == ("starting", "main") and killer.left and "prepare" in each.node:
            hold(each)
        told(phase, each)
        if (phase, each.name) == ("started", "main") and killer.left and "prepare" in each.node:
            each.wait_for_file("work", "src/began")
            killer.kill()

    killer.told = tell  # type: ignore[method-assign]
    run_killed(shells, killer)


@pytest.mark.parametrize("asked", [f"PUT {DATA}", "PUT /runs/"])
def test_main_while_push_saves(shells: Cluster, asked: str) -> None:
    """The command has ended, and `main` waits for the word for the next stage."""
    killer = Killer("prepare", "main")
    killer.at(shells.s3, asked, by="push")
    run_killed(shells, killer)


@pytest.mark.parametrize(
    ("asked", "after"),
    [(f"PUT {DATA}", False), (f"PUT {DATA}", True), ("PUT /canon/made/", False), ("PUT /runs/", False), ("PUT /tasks/", False), ("PUT /tasks/", True)],
)  # fmt: skip
def test_push(shells: Cluster, asked: str, after: bool) -> None:  # noqa: FBT001
    """Amid the data, before and after the entry, before and after others know of it."""
    killer = Killer("prepare", "push")
    killer.at(shells.s3, asked, after=after)
    run_killed(shells, killer)


@pytest.mark.parametrize("server_name", ["registry", "mlflow", "row", "note"])
def test_deliver(shells: Cluster, server_name: str) -> None:
    """After the experiment, after the image, after the row, and when all is done but Argo does not know it."""
    killer = Killer("deliver", "main")
    if server_name == "registry":
        killer.at(shells.registry, "GET /manifests/")
    elif server_name == "mlflow":
        killer.at(shells.mlflow, "GET /experiments/")
    else:
        killer.at(shells.s3, "PUT /canon/delivered/", after=server_name == "note")
    run_killed(shells, killer)


def test_deliver_amid_the_row(shells: Cluster) -> None:
    """A row that is half sent is finished by the next attempt."""
    killer = Killer("deliver", "main")
    killer.at(shells.mlflow, "POST /runs/log-batch", after=True)
    run_killed(shells, killer)
