"""How a workflow stands: its tasks out of the nodes of its status, attempts taken together. Pure.

A node's name is its way through the DAGs, `workflow.stages.train`; a task with retries is a node of the type Retry, and its attempts are the nodes
`workflow.stages.train(0)` …, pods each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from canon.model.cluster import FETCH, MAIN, PUSH, REFUSED, TOLD
from canon.model.errors import printable

SHOWN = frozenset({"Pod", "Retry", "Skipped"})
"""Types of nodes that are tasks, or attempts of one."""
WAITING, RUNNING, SUCCEEDED, SKIPPED, OMITTED, FAILED, ERROR = (
    "waiting", "running", "succeeded", "skipped", "omitted", "failed", "error",
)  # fmt: skip
_PHASES = {
    "Pending": WAITING,
    "Running": RUNNING,
    "Succeeded": SUCCEEDED,
    "Skipped": SKIPPED,
    "Omitted": OMITTED,
    "Failed": FAILED,
    "Error": ERROR,
}
_AT_WORK = frozenset({"Running", "Succeeded"})
_ATTEMPT = re.compile(r"(.*)\(([0-9]+)\)")
_BLOCK = re.compile(r"(stages)-[0-9]+(?=\.)")
"""Where many tasks are cut into nested DAGs (`canon.argo.dag`): which one a task is in says nothing."""
_PROGRESS = re.compile(r"[0-9]{1,15}/[0-9]{1,15}")
_PLAIN = frozenset({"0/1", "1/1"})
"""The progress of a pod that says nothing of it."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task. ``pod``: that of its newest attempt; ``attempt`` counts from 0; ``code``: the exit code of its own command, if that failed.

    ``told``: output parameters for people, those that say something; ``telling``: the containers of the pod whose logs tell why it failed.
    """

    name: str
    phase: str
    message: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    progress: str = ""
    pod: str | None = None
    attempt: int = 0
    code: int | None = None
    told: Mapping[str, str] = field(default_factory=dict)
    telling: tuple[str, ...] = (MAIN,)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A workflow: Argo's phase and message, and its tasks that have begun, by their way through the DAGs (`plan`, `stages.train`)."""

    phase: str
    message: str
    tasks: Mapping[str, TaskState]

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self.phase in {"Succeeded", "Failed", "Error"}

    @property
    def exit_code(self) -> int:
        """0 where it succeeded, the code of the stage that failed first, else 1."""
        if self.phase == "Succeeded":
            return 0
        failed = [task for task in self.tasks.values() if task.code and task.phase in {FAILED, ERROR}]
        first = min(failed, key=lambda task: (task.finished is None, str(task.finished)), default=None)
        return first.code if first and first.code and 0 < first.code <= 255 else 1  # noqa: PLR2004  what a process can end with


def snapshot_from_status(workflow: str, status: Mapping[str, Any]) -> Snapshot:
    """A workflow by its status; what it says is taken for text of somebody else's."""
    nodes: dict[str, list[tuple[int | None, Mapping[str, Any]]]] = {}
    for node in (status.get("nodes") or {}).values():
        place = _placed(workflow, node)
        if place is not None:
            nodes.setdefault(place[0], []).append((place[1], node))
    tasks = {name: _task(workflow, name, found) for name, found in nodes.items()}
    return Snapshot(_text(status, "phase"), _text(status, "message"), tasks)


def _placed(workflow: str, node: Mapping[str, Any]) -> tuple[str, int | None] | None:
    """A node's task, and which attempt it is; None for what is neither."""
    name = str(node.get("name", ""))
    if node.get("type") not in SHOWN or not name.startswith(f"{workflow}."):
        return None
    path = _BLOCK.sub(r"\1", name.removeprefix(f"{workflow}."))
    attempt = _ATTEMPT.fullmatch(path)
    return (attempt[1], int(attempt[2])) if attempt else (path, None)


def task_path(task: str) -> str:
    """Under which name a stage's task stands in a snapshot; `plan` and `deliver` stand there as they are."""
    return f"stages.{task}"


def _task(workflow: str, name: str, nodes: Sequence[tuple[int | None, Mapping[str, Any]]]) -> TaskState:
    attempts = sorted(((number, node) for number, node in nodes if number is not None), key=lambda each: each[0])
    whole = next((node for number, node in nodes if number is None), attempts[-1][1] if attempts else {})
    newest = attempts[-1][1] if attempts else {} if whole.get("type") == "Retry" else whole
    phase = _PHASES.get(str(whole.get("phase")), WAITING)
    if phase == RUNNING and whole.get("type") == "Retry" and str(newest.get("phase")) not in _AT_WORK:
        phase = WAITING  # for a node, for an image, for the next attempt
    message = _text(newest, "message") or _text(whole, "message")
    # That of another type of node, or of one that has ended, counts what comes after it, too.
    progress = _text(newest, "progress") if phase == RUNNING and newest.get("type") == "Pod" else ""
    return TaskState(
        name=name,
        phase=phase,
        message=message,
        started=_time(whole.get("startedAt")),
        finished=_time(whole.get("finishedAt")),
        progress=progress if _PROGRESS.fullmatch(progress) and progress not in _PLAIN else "",
        pod=pod_name(workflow, newest) if newest.get("type") == "Pod" else None,
        attempt=attempts[-1][0] if attempts else 0,
        code=_code(newest, message),
        told=dict(_told(whole)),
        telling=_telling(message),
    )


def pod_name(workflow: str, node: Mapping[str, Any]) -> str:
    """The name of a node's pod, as Argo makes it (workflow/util/pod_name.go, version 2): FNV-1a over the node's name."""
    name = str(node.get("name", ""))
    if name == workflow:
        return workflow
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    prefix = f"{workflow}-{node['templateName']}" if node.get("templateName") else workflow
    return f"{prefix[:242]}-{value}"


def _code(node: Mapping[str, Any], message: str) -> int | None:
    """The exit code of a stage's own command; those of the containers beside it are nobody's but ours."""
    code = str((node.get("outputs") or {}).get("exitCode", ""))
    return int(code) if message.startswith(f"{MAIN}: Error") and re.fullmatch("[0-9]{1,3}", code) else None


def _telling(message: str) -> tuple[str, ...]:
    """`push` ends a stage's command where it cannot save one of a chain, so that the message names `main` alone."""
    beside = next((name for name in (FETCH, PUSH) if message.startswith(f"{name}: Error")), None)
    if beside:
        return (beside,)
    by_push = re.match(rf"{MAIN}: Error \(exit code (143|{REFUSED})\)", message)
    return (MAIN, PUSH) if by_push else (MAIN,)


def _told(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for parameter in (node.get("outputs") or {}).get("parameters") or ():
        name, text = str(parameter.get("name")), _text(parameter, "value")
        if name in TOLD and text:
            yield name, text


def _text(holder: Mapping[str, Any], key: str) -> str:
    return printable(" ".join(str(holder.get(key) or "").split()))[:2000]


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
