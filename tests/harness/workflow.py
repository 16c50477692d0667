"""One workflow while it runs: its templates, pods and DAGs, in threads."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.harness.admission import check_pod
from tests.harness.dag import run_dag
from tests.harness.errors import NodeError
from tests.harness.expressions import format_value
from tests.harness.graph import FAILED
from tests.harness.outcome import Outcome
from tests.harness.pod import Pod, World
from tests.harness.report import Node
from tests.harness.resolve import Scope, bound_inputs, parameters
from tests.harness.retry import backoff, decide, is_too_long

STOP, TERMINATE = "Stop", "Terminate"
NUMBERS = itertools.count(1)


class Workflow:
    """A workflow of a resolved spec. ``speed``: what part of a backoff is waited for."""

    def __init__(self, world: World, name: str, spec: Mapping[str, Any], scope: Scope, speed: float) -> None:
        self.world, self.name, self.scope = world, name, scope
        self.spec = {
            **spec,
            **{key: scope.tree(spec.get(key)) for key in ("volumes", "securityContext", "podSpecPatch", "podMetadata")},
        }
        self.templates: Mapping[str, Mapping[str, Any]] = {each["name"]: each for each in spec["templates"]}
        self.nodes: list[Node] = []
        self.pods = 0
        self.shutdown: str | None = None
        self.failure: BaseException | None = None
        self._speed = speed
        self._changed = threading.Condition()
        self._running: dict[Pod, bool] = {}
        self._slots = Slots(spec.get("parallelism"))

    def run(self) -> tuple[str, str]:
        """Run it with its exit handler; return phase and message. Raises what no cluster would have made a phase of."""
        entry = self.execute(self.spec["entrypoint"], self.name, self._arguments(), on_exit=False)
        phase = entry.phase if entry.phase in FAILED else "Succeeded"
        message = entry.message
        if self.shutdown is not None and phase in FAILED:
            message = f"Stopped with strategy '{self.shutdown}'"
        if "onExit" in self.spec and self.shutdown != TERMINATE and self.failure is None:
            failures = [{"displayName": node.name.rpartition(".")[2], "message": node.message, "templateName": node.template, "phase": node.phase} for node in self.nodes if node.phase in FAILED]  # fmt: skip
            ended = {"status": phase, "failures": json.dumps(failures), "duration": str(time.time() - entry.start)}
            self.scope = self.scope.with_values(workflow={**self.scope.values["workflow"], **ended})
            last = self.execute(self.spec["onExit"], f"{self.name}.onExit", self._arguments(), on_exit=True)
            if phase == "Succeeded" and last.phase in FAILED:
                phase, message = last.phase, last.message
        if self.failure is not None:
            raise self.failure
        return phase, message

    def _arguments(self) -> dict[str, str]:
        return {each["name"]: format_value(each["value"]) for each in parameters(self.spec.get("arguments"))}

    def begin(self, name: str, kind: str, template: str, phase: str = "Running", message: str = "") -> Node:
        """A new node; one that does not run has its phase at once."""
        now = time.time()
        node = Node(name, kind, template, now, None if phase == "Running" else now, phase, message)
        with self._changed:
            self.nodes.append(node)
        return node

    def execute(self, template_name: str, name: str, arguments: Mapping[str, str], *, on_exit: bool) -> Node:
        """Run a template to its end; an error that is no node's ends the whole workflow, and is raised by `run`."""
        template = self.templates[template_name]
        kind = "DAG" if "dag" in template else "Retry" if "retryStrategy" in template else "Pod"
        node = self.begin(name, kind, template_name)
        try:
            scope = self.scope.with_values(inputs={"parameters": bound_inputs(template, arguments)})
            if kind == "DAG":
                node.phase, node.message = run_dag(self, template, name, scope, on_exit=on_exit)
            elif kind == "Retry":
                self._retry(node, template, scope, on_exit=on_exit)
            else:
                self._run_pod(node, template, scope, on_exit=on_exit)
        except NodeError as error:
            node.phase, node.message = "Error", str(error)
        except BaseException as error:  # noqa: BLE001  raised in the workflow's own thread
            node.phase, node.message = "Error", f"{type(error).__name__}: {error}"
            self.abort(error)
        node.end = time.time()
        return node

    def _retry(self, node: Node, template: Mapping[str, Any], scope: Scope, *, on_exit: bool) -> None:
        strategy = scope.tree(template["retryStrategy"])
        for attempt in itertools.count():
            child = self.begin(f"{node.name}({attempt})", "Pod", node.template)
            try:
                last = self._run_pod(child, template, scope.with_values(retries=str(attempt)), on_exit=on_exit)
            except NodeError as error:
                last = Outcome("Error", str(error))
                child.phase, child.message = last.phase, last.message
            child.end = time.time()
            if last.phase == "Succeeded":
                node.phase, node.outputs, node.exit_code = last.phase, last.outputs, last.exit_code
                return
            stopped = f"Stopped with strategy '{self.shutdown}'" if self.is_ended(on_exit=on_exit) else None
            # As if all that was not waited for had been.
            elapsed = child.end - node.start + sum(node.waits) * (1 - self._speed)
            too_long = (
                "Backoff would exceed max duration limit" if is_too_long(strategy, attempt + 1, elapsed) else None
            )
            message = stopped or too_long or decide(strategy, attempt + 1, last, child.end - child.start)
            if message is not None:
                node.phase, node.message = last.phase, message
                return
            node.waits.append(backoff(strategy, attempt + 1))
            with self._changed:
                self._changed.wait_for(lambda: self.shutdown is not None, node.waits[-1] * self._speed)

    def _run_pod(self, node: Node, template: Mapping[str, Any], scope: Scope, *, on_exit: bool) -> Outcome:
        name = f"{self.name}-{template['name']}-{next(NUMBERS)}"
        inner = scope.with_values(pod={"name": name}, node={"name": node.name})
        resolved = inner.tree({key: value for key, value in template.items() if key not in ("inputs", "retryStrategy")})
        check_pod(self.world.rules, name, {**resolved, "inputs": inner.values["inputs"]}, self.spec)
        with self._slots.taken(lambda: self.is_ended(on_exit=on_exit)):
            if self.is_ended(on_exit=on_exit):
                last = Outcome("Failed", f"workflow shutdown with strategy:  {self.shutdown}")
            else:
                last = self._started(node, name, resolved, on_exit=on_exit)
        node.phase, node.message, node.exit_code = last.phase, last.message, last.exit_code
        node.outputs, node.codes = last.outputs, last.codes
        return last

    def _started(self, node: Node, name: str, template: Mapping[str, Any], *, on_exit: bool) -> Outcome:
        pod = Pod(self.world, self.name, node.name, name, template, self.spec)
        with self._changed:
            self._running[pod] = on_exit
            self.pods += 1
            if self.is_ended(on_exit=on_exit):
                self._end_pod(pod)
        try:
            outcome = pod.run()
            node.progress = pod.progress()
        finally:
            with self._changed:
                del self._running[pod]
            pod.volumes.remove()
        return outcome

    def end(self, how: str) -> None:
        """Stop: TERM to all pods but the exit handler's, which runs. Terminate: TERM to all, and no exit handler."""
        with self._changed:
            self.shutdown = TERMINATE if self.shutdown == TERMINATE else how
            for pod, on_exit in self._running.items():
                if self.is_ended(on_exit=on_exit):
                    self._end_pod(pod)
            self._changed.notify_all()

    def abort(self, error: BaseException) -> None:
        """End all because of an error that `run` raises."""
        self.failure = self.failure or error
        self.end(TERMINATE)

    def is_ended(self, *, on_exit: bool) -> bool:
        """Whether nothing more may start."""
        return self.shutdown == TERMINATE or (self.shutdown == STOP and not on_exit)

    def _end_pod(self, pod: Pod) -> None:
        how = signal.SIGTERM if self.failure is None else signal.SIGKILL
        pod.end(how, f"workflow shutdown with strategy:  {self.shutdown}")


class Slots:
    """At most so many at once; None: any number."""

    def __init__(self, most: int | None) -> None:
        self._slots = threading.Semaphore(most) if most else None

    @contextlib.contextmanager
    def taken(self, is_ended: Callable[[], bool]) -> Iterator[None]:
        """One of them, or none when all has ended."""
        got = False
        while self._slots is not None and not got and not is_ended():
            got = self._slots.acquire(timeout=0.1)
        try:
            yield
        finally:
            if got and self._slots is not None:
                self._slots.release()
