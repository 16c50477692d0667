"""One pod: its volumes, init containers one after the other, then all others, each waiting for those that it depends on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.admission import Rules
from tests.harness.images import Images
from tests.harness.launch import EMISSARY_FAILED, Engine, Launch, Process
from tests.harness.outcome import DEADLINE, DELETED, Outcome, judge, read_outputs
from tests.harness.specify import PodContext, build_launch
from tests.harness.volumes import Objects, Volumes, pod_volumes

TICK = 0.02


@dataclass(frozen=True)
class World:
    """What all pods of a harness share.

    ``notice``: seconds after which the controller sees that a container failed, and ends the others; ``grace``: seconds between TERM and KILL;
    ``by_name``: a pod's status lists its containers by name, as a kubelet does, not in the order of the manifest.
    """

    engine: Engine
    images: Images
    folder: Path
    memory: Path
    objects: Objects
    on_container: Callable[[str, Running], None]
    notice: float = 1.0
    grace: float = 30.0
    by_name: bool = False
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Running:
    """A container, as a test's hook gets it: at ``starting``, ``started`` and ``ended``."""

    pod: Pod
    name: str
    log: Path

    @property
    def node(self) -> str:
        """The node of the pod: ``workflow.task(attempt)``."""
        return self.pod.node

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the container's command."""
        self.pod.kill(self.name, how)

    def wait_for_file(self, volume: str, path: str, seconds: float = 60) -> Path:
        """Wait for a file on a volume of the pod; return its path on this machine."""
        found = self.pod.volumes[volume] / path
        end = time.monotonic() + seconds
        while not found.exists():
            assert time.monotonic() < end, f"{self.node}: no file {path} on volume {volume} after {seconds} s"
            time.sleep(TICK)
        return found


class Pod:
    """The pod of a node. ``template``, ``spec``: manifests with all names in their place.

    Making one raises NodeError where the API server refuses it, HangsError where it would stay Pending.
    """

    def __init__(
        self, world: World, workflow: str, node: str, name: str, template: Mapping[str, Any], spec: Mapping[str, Any]
    ) -> None:
        self.world, self.node, self.template = world, node, template
        security = template.get("securityContext") or spec.get("securityContext") or {}
        self.context = PodContext(name, workflow, world.objects, security)
        self.volumes = Volumes(world.folder / name, world.memory / name, world.objects, security.get("fsGroup"))
        self._changed = threading.Condition()
        self._running: dict[str, Process] = {}
        self._codes: dict[str, int] = {}
        self._ending: signal.Signals | None = None
        self._why = ""
        self._over = False
        self._failure: BaseException | None = None
        for volume in pod_volumes(template, spec):
            self.volumes.add(volume)
        # All that can be refused is refused before anything starts.
        self._inits = [
            self._launch(each, f"spec.initContainers[{number}]")
            for number, each in enumerate(template.get("initContainers") or (), 1)
        ]
        self._launches = [
            self._launch(each, f"spec.containers[{number}]") for number, each in enumerate(self._containers(), 1)
        ]

    def _containers(self) -> list[Mapping[str, Any]]:
        if "container" in self.template:
            return [{**self.template["container"], "name": "main"}]
        found = self.template["containerSet"]
        return [
            {**each, "volumeMounts": [*each.get("volumeMounts", ()), *found.get("volumeMounts", ())]}
            for each in found["containers"]
        ]

    def _launch(self, container: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], Launch]:
        mounts = self.volumes.mounts(where, container.get("volumeMounts") or ())
        image = self.world.images.find(container["image"])
        return container, build_launch(container, image, mounts, self.context, self.log(container["name"]))

    def log(self, container: str) -> Path:
        """Where what a container prints is kept."""
        return self.world.folder / "logs" / f"{self.node}.{container}.log"

    def progress(self) -> str:
        """What a container wrote to $ARGO_PROGRESS_FILE: done and all, ``3/10``; nothing if none did.

        Argo's executor only warns of what it cannot parse (`2/1`, pkg/apis/workflow/v1alpha1/progress.go); here it is an error.
        """
        file = self.volumes.executor / "progress"
        text = file.read_text().strip() if file.is_file() else ""
        done, _, whole = text.partition("/")
        assert not text or 0 <= int(done) <= int(whole) > 0, f"{self.node} tells of progress {text!r}"
        return text

    def run(self) -> Outcome:
        """Run the pod to its end. Raises what a hook or an engine raised."""
        began = time.monotonic()
        watch = threading.Thread(target=self._watch, args=(began,), daemon=True)
        watch.start()
        try:
            inits: dict[str, int] = {}
            for container, launch in self._inits:
                inits[container["name"]] = self._run(launch, container["name"])
                if inits[container["name"]]:
                    break
            else:
                self._run_all()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            watch.join()
        if self._failure is not None:
            raise self._failure
        return self._outcome(inits)

    def _run_all(self) -> None:
        threads = [threading.Thread(target=self._follow, args=each, daemon=True) for each in self._launches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _follow(self, container: Mapping[str, Any], launch: Launch) -> None:
        """Wait for what a container depends on, run it, and leave its exit code where the executor does."""
        name = container["name"]
        try:
            failed = self._wait_for(container.get("dependencies") or ())
            code = self._run(launch, name) if failed == 0 else EMISSARY_FAILED
            # The executor's own exit code is 64; the file has the code of the container that failed.
            written = failed or code
        except BaseException as error:  # noqa: BLE001  raised in the pod's own thread
            self._failure = self._failure or error
            code = written = EMISSARY_FAILED
            self.end(signal.SIGKILL, "")
        place = self.volumes.executor / "ctr" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "exitcode").write_text(str(written))
        with self._changed:
            self._codes[name] = code
            self._changed.notify_all()

    def _wait_for(self, names: list[str] | tuple[str, ...]) -> int:
        """Wait until all have succeeded, or this pod ends: 0; else return the exit code of one that failed."""
        with self._changed:
            while True:
                for name in names:
                    if self._codes.get(name):
                        return self._codes[name]
                if self._ending is not None or all(name in self._codes for name in names):
                    return 0
                self._changed.wait()

    def _run(self, launch: Launch, name: str) -> int:
        handle = Running(self, name, launch.log)
        self.world.on_container("starting", handle)
        with self._changed:
            if self._ending is not None:
                return 128 + self._ending
        process = self.world.engine.start(launch)
        with self._changed:
            self._running[name] = process
            if self._ending is not None:
                process.kill(self._ending)
        try:
            self.world.on_container("started", handle)
        except BaseException:
            process.kill(signal.SIGKILL)
            process.wait()
            raise
        code = process.wait()
        with self._changed:
            del self._running[name]
        self.world.on_container("ended", handle)
        return code

    def kill(self, name: str, how: signal.Signals) -> None:
        """Send a signal to a container that runs; nothing happens to another."""
        with self._changed:
            if name in self._running:
                self._running[name].kill(how)

    def end(self, how: signal.Signals, why: str) -> None:
        """End all containers, and let none start; ``why``: the node's message, if the controller has one of its own."""
        with self._changed:
            if self._over:
                return
            self._why = self._why or why
            if self._ending == signal.SIGKILL:
                return
            self._ending = how
            for process in self._running.values():
                process.kill(how)
            self._changed.notify_all()

    def delete(self) -> None:
        """What deletes a pod outright; the node ends in Error."""
        self.end(signal.SIGKILL, DELETED)

    def _watch(self, began: float) -> None:
        """The kubelet and the controller beside the pod: a deadline, the end of all when one failed, KILL after TERM."""
        seconds = self.template.get("activeDeadlineSeconds")
        failed: float | None = None
        ended: float | None = None
        while not self._over:
            now = time.monotonic()
            with self._changed:
                if failed is None and any(self._codes.values()):
                    failed = now
            if self._ending is None and seconds is not None and now - began > float(seconds):
                self.end(signal.SIGTERM, DEADLINE)
            elif self._ending is None and failed is not None and now - failed > self.world.notice:
                self.end(signal.SIGTERM, "")
            if ended is None and self._ending == signal.SIGTERM:
                ended = now
            if ended is not None and now - ended > self.world.grace:
                self.end(signal.SIGKILL, "")
            with self._changed:
                self._changed.wait(TICK)

    def _outcome(self, inits: Mapping[str, int]) -> Outcome:
        names = [container["name"] for container, _ in self._launches]
        code = self._codes.get("main")
        codes = {**inits, **self._codes}
        if self._why == DELETED:
            return Outcome("Error", DELETED, code, codes=codes)
        if self._why:  # TERM has reached the executor, too: it saves no outputs
            return Outcome("Failed", self._why, code, codes=codes)
        shared = self.template.get("containerSet", self.template.get("container")).get("volumeMounts") or ()
        outputs, unread = (
            read_outputs(self.template, self.volumes.mounts("spec", shared)) if code is not None else ({}, "")
        )
        phase, message = judge(inits, self._codes, sorted(names) if self.world.by_name else names, unread)
        return Outcome(phase, message, code, outputs, codes)
