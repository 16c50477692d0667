"""What names the graph that a Workflow was rendered from: `plan` holds a revision's against it."""

from __future__ import annotations

from collections.abc import Iterable

from canon.model.canonical import sha256_of
from canon.model.tasks import Task


def dag_hash(tasks: Iterable[Task]) -> str:
    """The sha256, 64 hex digits, of the tasks' names, stages and parents, and of which bring data; no setting of a pod is in it."""
    return sha256_of(sorted([task.name, list(task.stages), list(task.parents), task.is_data] for task in tasks))
