"""The tasks of a DAG template: who waits for whom, and what the whole makes of their phases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.harness.conditions import check_depends, tasks_in
from tests.harness.errors import InvalidSpecError

FAILED = ("Failed", "Error")
COMPLETED = ("Succeeded", *FAILED)


def depends_of(task: Mapping[str, Any]) -> str:
    """The condition of a task on others, as text."""
    return str(task.get("depends") or " && ".join(task.get("dependencies") or ()))


def parents_of(tasks: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Task → those that it names, in the order of the manifest."""
    return {task["name"]: tasks_in(depends_of(task)) for task in tasks}


def ordered(where: str, tasks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tasks, parents first. Raises InvalidSpecError: a name that is there twice, a parent that is not, a cycle."""
    by_name = {task["name"]: task for task in tasks}
    if len(by_name) < len(tasks):
        raise InvalidSpecError(f"{where} tasks: names are not unique")
    parents = parents_of(tasks)
    for name, task in by_name.items():
        for parent in parents[name]:
            if parent not in by_name:
                raise InvalidSpecError(f"{where}.tasks.{name} dependency '{parent}' not defined")
        if parents[name]:
            check_depends(name, depends_of(task))
    done: dict[str, Mapping[str, Any]] = {}
    waiting = list(tasks)
    while waiting:
        ready = [task for task in waiting if all(parent in done for parent in parents[task["name"]])]
        if not ready:
            raise InvalidSpecError(f"{where}.tasks graph with cycle: {', '.join(task['name'] for task in waiting)}")
        done.update((task["name"], task) for task in ready)
        waiting = [task for task in waiting if task["name"] not in done]
    return list(done.values())


def ancestors(parents: Mapping[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """Task → all that it waits for; ``parents`` lists parents first."""
    found: dict[str, set[str]] = {}
    for name, above in parents.items():
        found[name] = {*above, *(each for parent in above for each in found[parent])}
    return found


def phase_of(tasks: Sequence[Mapping[str, Any]], phases: Mapping[str, str]) -> str:
    """The phase of a DAG whose tasks have ended: that of its last tasks, and a task that did not run has its parents'.

    ``tasks``: parents first.
    """
    parents = parents_of(tasks)
    branches: dict[str, str] = {}
    for name, above in parents.items():
        inherited = [branches[parent] for parent in above]
        failed = [phase for phase in inherited if phase in FAILED]
        branches[name] = phases[name] if phases[name] in COMPLETED else (failed or ["Succeeded"])[0]
    followed = {parent for above in parents.values() for parent in above}
    ends = [branches[task["name"]] for task in tasks if task["name"] not in followed]
    return next((phase for phase in ends if phase in FAILED), "Succeeded")
