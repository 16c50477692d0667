"""What became of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Node:
    """A node of a workflow's status. ``name``: ``workflow.task.task(attempt)``; ``kind``: DAG, Pod, Retry or Skipped; times in seconds of the epoch.

    ``codes``: the exit codes of a pod's containers, init containers too. ``waits``: seconds that the controller would wait before each next attempt.
    """

    name: str
    kind: str
    template: str
    start: float
    end: float | None = None
    phase: str = "Running"
    message: str = ""
    exit_code: int | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    progress: str = ""


@dataclass(frozen=True)
class Report:
    """A workflow that has ended: its phase and message, its nodes in the order in which they began, and how many pods were started."""

    name: str
    uid: str
    phase: str
    message: str
    nodes: tuple[Node, ...]
    pods: int
    folder: Path

    def node(self, path: str) -> Node:
        """The node ``task.task``, without the workflow's name; the empty path is the workflow's own."""
        name = f"{self.name}.{path}" if path else self.name
        for node in self.nodes:
            if node.name == name:
                return node
        raise LookupError(f"no node {name}: there are {', '.join(node.name for node in self.nodes)}")

    def phases(self) -> dict[str, str]:
        """Path → phase of all nodes but the workflow's own."""
        return {node.name.removeprefix(f"{self.name}."): node.phase for node in self.nodes if node.name != self.name}

    def log(self, path: str, container: str = "main") -> str:
        """What a container of a pod has printed, on stdout and stderr; nothing if it did not run."""
        name = f"{self.name}.{path}" if path else self.name
        file = self.folder / "logs" / f"{name}.{container}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.phase} {self.message}"]
        lines += [f"  {node.kind:7} {node.name}: {node.phase} {node.exit_code} {node.message}" for node in self.nodes]
        return "\n".join(lines)
