"""A namespace of a cluster on this machine: templates are applied, workflows submitted, their pods run here.

It takes manifests alone. What is not implemented is an error; what the real controller, executor, kubelet and API server do with the rest was tried or
read (Argo Workflows 4.1), and each such statement is held by a test here.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.harness.admission import Rules
from tests.harness.errors import InvalidSpecError, NodeError, NotFoundError
from tests.harness.expressions import format_value
from tests.harness.images import Images
from tests.harness.launch import Engine
from tests.harness.mutexes import Mutexes
from tests.harness.pod import Running, World
from tests.harness.report import Report
from tests.harness.resolve import Scope, parameters
from tests.harness.validate import check_applied, check_size, check_spec
from tests.harness.volumes import Content, Objects
from tests.harness.workflow import STOP, TERMINATE, Workflow

Hook = Callable[[str, Running], None]
"""Called at ``starting``, ``started`` and ``ended`` of each container, in a thread of its own; `started`: its command runs."""
MEMORY = "/dev/shm"  # noqa: S108  a folder of a new name there
SUFFIX = itertools.count(1)


class Harness:
    """A namespace. ``secrets``, ``config_maps``: name → key → value; ``claims``: name of a PersistentVolumeClaim → folder; ``notice``, ``grace``, ``by_name``, ``rules``: see World; ``speed``: the part of a backoff that is
    waited for. The hook ``on_container`` may be set at any time.
    """

    def __init__(
        self,
        engine: Engine,
        images: Images,
        folder: Path,
        *,
        namespace: str = "default",
        secrets: Content | None = None,
        config_maps: Content | None = None,
        claims: Mapping[str, Path] | None = None,
        notice: float = 1.0,
        grace: float = 30.0,
        by_name: bool = False,
        speed: float = 0.0,
        rules: Rules | None = None,
    ) -> None:
        self.images = images
        self.on_container: Hook = lambda _phase, _container: None
        self._memory = Path(tempfile.mkdtemp(prefix="canon-", dir=MEMORY))
        self._memory.chmod(0o755)
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        self._world = World(
            engine, images, folder, self._memory, Objects(namespace, secrets or {}, config_maps or {}, claims or {}),
            self._tell, notice, grace, by_name, rules or Rules(),
        )  # fmt: skip
        self._speed = speed
        self._templates: dict[str, Mapping[str, Any]] = {}
        self._mutexes = Mutexes()
        self._submitted: list[Submitted] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._submitted:
            each.terminate()
        for each in self._submitted:
            each.join()
        shutil.rmtree(self._memory, ignore_errors=True)

    def _tell(self, phase: str, container: Running) -> None:
        self.on_container(phase, container)

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply WorkflowTemplates. Raises UnknownFieldError and RefusedError as the API server does."""
        for each in manifests:
            check_applied(each)
            self._templates[each["metadata"]["name"]] = each

    def submit(self, workflow: Mapping[str, Any]) -> Submitted:
        """Start a Workflow that names a template, or holds its own. Raises UnknownFieldError and RefusedError as the API server does."""
        check_applied(workflow)
        name = workflow["metadata"].get("name") or f"{workflow['metadata']['generateName']}{next(SUFFIX):05}"
        submitted = Submitted(self._world, workflow, name, self._templates, self._mutexes, self._speed)
        self._submitted.append(submitted)
        return submitted

    def run(self, workflow: Mapping[str, Any], seconds: float = 120) -> Report:
        """Submit a workflow and wait for its end."""
        return self.submit(workflow).wait(seconds)


class Submitted:
    """A workflow that was submitted; it runs in threads."""

    def __init__(
        self,
        world: World,
        manifest: Mapping[str, Any],
        name: str,
        templates: Mapping[str, Mapping[str, Any]],
        mutexes: Mutexes,
        speed: float,
    ) -> None:
        self.name, self.uid = name, str(uuid.uuid4())
        self.phase, self.message = "Pending", ""
        self._world, self._manifest, self._templates, self._mutexes, self._speed = (
            world,
            manifest,
            dict(templates),
            mutexes,
            speed,
        )
        self._workflow: Workflow | None = None
        self._shutdown: str | None = None
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, seconds: float = 120) -> Report:
        """Wait for the end. Raises HangsError and the like where there would be none, TimeoutError when the time is over."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"workflow {self.name} still runs after {seconds} s\n{self.report()}")
        if self._failure is not None:
            raise self._failure
        return self.report()

    def join(self) -> None:
        """Wait for the end, whatever it is."""
        self._thread.join()

    def report(self) -> Report:
        """What is known now."""
        workflow = self._workflow
        nodes = tuple(workflow.nodes) if workflow else ()
        return Report(
            self.name, self.uid, self.phase, self.message, nodes, workflow.pods if workflow else 0, self._world.folder
        )

    def stop(self) -> None:
        """What `argo stop` does: TERM to what runs, then the exit handler."""
        self._end(STOP)

    def terminate(self) -> None:
        """What `argo terminate` does: no exit handler."""
        self._end(TERMINATE)

    def _end(self, how: str) -> None:
        with self._lock:
            self._shutdown = how
            if self._workflow is not None and self._thread.is_alive():
                self._workflow.end(how)

    def _run(self) -> None:
        try:
            spec, scope = self._resolved()
            check_size(spec)
            check_spec(spec, scope)
            self._run_locked(spec, scope)
        except (InvalidSpecError, NodeError) as error:
            self.phase, self.message = "Failed", f"invalid spec: {error}"
        except NotFoundError as error:
            self.phase, self.message = "Error", str(error)
        except BaseException as error:  # noqa: BLE001  raised by `wait`
            self.phase, self._failure = "Error", error

    def _run_locked(self, spec: Mapping[str, Any], scope: Scope) -> None:
        namespace = self._world.objects.namespace
        names = [
            f"{each.get('namespace', namespace)}/Mutex/{each['name']}"
            for each in spec.get("synchronization", {}).get("mutexes", ())
        ]
        self.message = "".join(f"Waiting for {name} lock. Lock status: 0/1 " for name in names).strip()
        with self._mutexes.held(names, self.uid, lambda: self._shutdown == TERMINATE) as held:
            self.message = ""
            if not held:
                self.phase, self.message = "Failed", f"Stopped with strategy '{TERMINATE}'"
                return
            with self._lock:
                self.phase = "Running"
                self._workflow = Workflow(self._world, self.name, spec, scope, self._speed)
                if self._shutdown is not None:
                    self._workflow.end(self._shutdown)
            self.phase, self.message = self._workflow.run()

    def _resolved(self) -> tuple[Mapping[str, Any], Scope]:
        """The template's spec, or its own, with the workflow's arguments, and the names that all its templates know."""
        spec = self._manifest["spec"]
        if "workflowTemplateRef" in spec:
            ref = spec["workflowTemplateRef"]["name"]
            if ref not in self._templates:
                raise NotFoundError(f'workflowtemplates.argoproj.io "{ref}" not found')
            spec = self._templates[ref]["spec"]
        metadata = self._manifest["metadata"]
        own = {
            "name": self.name,
            "uid": self.uid,
            "namespace": self._world.objects.namespace,
            "serviceAccountName": spec.get("serviceAccountName", "default"),
            "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "annotations": metadata.get("annotations") or {},
            "labels": metadata.get("labels") or {},
        }
        given = {
            each["name"]: each
            for each in (*parameters(spec.get("arguments")), *parameters(self._manifest["spec"].get("arguments")))
        }
        early = Scope({"workflow": own})
        values: dict[str, str] = {}
        for name, each in given.items():
            if each.get("value") is None:
                raise InvalidSpecError(f"spec.arguments.{name}.value or spec.arguments.{name}.valueFrom is required")
            values[name] = early.text(format_value(each["value"]))
        arguments = {"parameters": [{"name": name, "value": value} for name, value in values.items()]}
        entry = {name: self._manifest["spec"][name] for name in ("entrypoint",) if name in self._manifest["spec"]}
        return {**spec, **entry, "arguments": arguments}, Scope({"workflow": {**own, "parameters": values}})
