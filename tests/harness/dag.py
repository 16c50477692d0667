"""A DAG template: its tasks, each as soon as those that it depends on have ended."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.harness.conditions import evaluate_depends, evaluate_when
from tests.harness.errors import NodeError
from tests.harness.graph import ancestors, depends_of, ordered, parents_of, phase_of
from tests.harness.report import Node
from tests.harness.resolve import Scope, parameters, task_arguments

if TYPE_CHECKING:
    from tests.harness.workflow import Workflow


def run_dag(
    workflow: Workflow, template: Mapping[str, Any], name: str, scope: Scope, *, on_exit: bool
) -> tuple[str, str]:
    """Run all tasks that may run; return phase and message. One that fails keeps those from running that depend on its success, no others."""
    tasks = ordered(f"templates.{template['name']}", template["dag"]["tasks"])
    dag = Dag(workflow, template, name, scope, tasks, on_exit=on_exit)
    dag.run()
    if workflow.is_ended(on_exit=on_exit):
        return "Failed", f"Stopped with strategy '{workflow.shutdown}'"
    return phase_of(tasks, {task: node.phase for task, node in dag.nodes.items()}), ""


class Dag:
    """The tasks of one DAG while they run. ``nodes``: of tasks that have ended."""

    def __init__(
        self,
        workflow: Workflow,
        template: Mapping[str, Any],
        name: str,
        scope: Scope,
        tasks: list[Mapping[str, Any]],
        *,
        on_exit: bool,
    ) -> None:
        self._workflow, self._name, self._scope, self._on_exit = workflow, name, scope, on_exit
        self._most = template.get("parallelism") or len(tasks)
        self._waiting = {task["name"]: task for task in tasks}
        self._parents = parents_of(tasks)
        self._above = ancestors(self._parents)
        self._called = {task["name"]: task["template"] for task in tasks}
        self._ended: queue.Queue[tuple[str, Node]] = queue.Queue()
        self._running = 0
        self.nodes: dict[str, Node] = {}

    def run(self) -> None:
        """Run until nothing runs and nothing can."""
        while True:
            if not self._workflow.is_ended(on_exit=self._on_exit):
                self._start_ready()
            if not self._running:
                return
            name, node = self._ended.get()
            self.nodes[name] = node
            self._running -= 1

    def _start_ready(self) -> None:
        # Parents stand first, so that one round takes a whole chain of tasks that do not run.
        for name in list(self._waiting):
            if self._running >= self._most:
                return
            if all(parent in self.nodes for parent in self._parents[name]):
                self._start(name, self._waiting.pop(name))

    def _start(self, name: str, task: Mapping[str, Any]) -> None:
        path = f"{self._name}.{name}"
        phases = {parent: self.nodes[parent].phase for parent in self._parents[name]}
        begin = self._workflow.begin
        if phases and not evaluate_depends(depends_of(task), phases):
            self.nodes[name] = begin(path, "Skipped", task["template"], "Omitted", "omitted: depends condition not met")
            return
        try:
            scope = self._scope.with_values(tasks={above: self._results(above) for above in self._above[name]})
            arguments = task_arguments(task, scope)
            when = scope.text(task.get("when", ""))
            if not evaluate_when(when):
                self.nodes[name] = begin(path, "Skipped", task["template"], "Skipped", f"when '{when}' evaluated false")
                return
        except NodeError as error:
            self.nodes[name] = begin(path, "Skipped", task["template"], "Error", str(error))
            return

        def execute() -> None:
            self._ended.put((name, self._workflow.execute(task["template"], path, arguments, on_exit=self._on_exit)))

        self._running += 1
        threading.Thread(target=execute, daemon=True).start()

    def _results(self, name: str) -> Mapping[str, Any]:
        """What later tasks know of one: its phase, and its outputs, None where it gave none."""
        node = self.nodes[name]
        declared = parameters(self._workflow.templates[self._called[name]].get("outputs"))
        outputs = {each["name"]: node.outputs.get(each["name"]) for each in declared}
        code = None if node.exit_code is None else str(node.exit_code)
        return {"status": node.phase, "outputs": {"parameters": outputs, "exitCode": code}}
