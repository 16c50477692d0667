"""What the pods of a workflow tell one another by way of the remote: what was planned, and which entry each task ended with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from canon.model.canonical import format_canonical
from canon.model.cluster import PROTOCOL
from canon.model.errors import CanonError
from canon.model.fields import Declared
from canon.model.stage import Out, Stage
from canon.remotes.objects import Objects, all_of

FOLDER = "canon/workflows"
"""Folder of the remote that these lie in; `plan` removes what is older than 30 days."""
KEPT = 30 * 24 * 3600.0
"""Seconds that it is kept for."""
MOST = 100_000
"""Objects that are listed for that."""
UID = re.compile(r"[A-Za-z0-9-]{1,64}(\.[0-9]{1,6})?")
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class PlannedTask(Declared):
    """A pod: keys of its stages, in the order in which they run, and the tasks that it reads from."""

    stages: tuple[str, ...]
    parents: tuple[str, ...]


class SweptPoint(Declared):
    """The sweep that a plan is a point of: the hash that names it, and its space, param → values as they were written."""

    sweep: Sha256
    space: dict[str, str]


class WorkflowPlan(Declared):
    """What `plan` has found out, once for all pods. ``applied``: path from the root → text of a file that is not the commit's.

    ``shared``: task → the workflow that runs it, another point of the same sweep; ``tags``: for users' own MLflow runs. ``releases``: whether its result may be released. ``image``: the base image that the stages run in, by digest; ``declared``: the image that it was declared on.
    """

    protocol: Literal[1] = 1
    pipeline: str
    profile: str
    revision: str
    tree: str
    image: str
    declared: str
    fresh: bool = False
    releases: bool = False
    accept: Literal["pods", "any"] = "any"
    applied: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    stages: dict[str, dict[str, Any]]
    tasks: dict[str, PlannedTask]
    shared: dict[str, str] = Field(default_factory=dict)
    point: SweptPoint | None = None

    def stage(self, key: str) -> Stage:
        """A stage by its key. Raises CanonError."""
        return stage_from_document(self.stages[key], key)


class Recorded(Declared):
    """The entry that stands for a stage: its run-cache key and value."""

    key: Sha256
    value: Sha256


class TaskRecord(Declared):
    """What became of a task's stages so far, by their keys in the graph."""

    stages: dict[str, Recorded]


def stage_document(stage: Stage) -> dict[str, Any]:
    """A stage as JSON has it."""
    return asdict(stage)


def stage_from_document(document: Mapping[str, Any], name: str) -> Stage:
    """The stage that `stage_document` wrote. Raises CanonError for anything else."""
    try:
        fields = dict(document)
        fields["cmd"] = tuple(fields["cmd"]) if isinstance(fields["cmd"], list) else fields["cmd"]
        fields["deps"] = tuple(map(str, fields["deps"]))
        fields["params"] = tuple((str(file), tuple(map(str, keys))) for file, keys in fields["params"])
        fields["outs"] = tuple(Out(**out) for out in fields["outs"])
        return Stage(**fields)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CanonError(
            f"the plan of this workflow does not say what `{name}` is ({error}); run the workflow anew"
        ) from None


class SweptNode(Declared):
    """A pod of a sweep by its name in the workflow: of which block and point it is, its task and that one's stages (none: `deliver`)."""

    name: str
    block: int
    point: int
    task: str
    stages: tuple[str, ...]
    parents: tuple[str, ...]
    runs: bool


class SweepPlan(Declared):
    """What the plan of a sweep has found out for all its points: the pods, parents first."""

    nodes: tuple[SweptNode, ...]


def plan_path(workflow: str) -> str:
    """Where the plan of a workflow lies. Raises CanonError for a uid that is none."""
    return _path(workflow, "plan.json")


def record_path(workflow: str, task: str) -> str:
    """Where the record of a task lies."""
    return _path(workflow, f"tasks/{task}.json")


def _path(workflow: str, name: str) -> str:
    if not UID.fullmatch(workflow):
        raise CanonError(f"{workflow!r} is no uid of a workflow")
    return f"{FOLDER}/{workflow}/{name}"


def load_plan(objects: Objects, workflow: str) -> WorkflowPlan:
    """The plan of a workflow. Raises CanonError where there is none, or it is of another protocol."""
    content = objects.read(plan_path(workflow))
    if content is None:
        raise CanonError(
            f"the remote {objects.name} has no plan of the workflow {workflow}: was its task `plan` run with this remote?"
        )
    try:
        return WorkflowPlan.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise CanonError(
            f"the plan of the workflow {workflow} is not one of protocol {PROTOCOL}: {place}: {first['msg']}; template and tools"
            " image must be of one version: render anew with the Canon of the tools image"
        ) from None


def load_sweep_plan(objects: Objects, workflow: str) -> SweepPlan:
    """The plan of a sweep. Raises CanonError where there is none, or it is damaged."""
    content = objects.read(_path(workflow, "sweep.json"))
    try:
        return SweepPlan.model_validate_json(content or b"")
    except ValidationError:
        raise CanonError(
            f"the remote {objects.name} has no plan of the sweep {workflow}, or a damaged one; run the sweep anew"
        ) from None


def write_sweep_plan(objects: Objects, workflow: str, plan: SweepPlan) -> None:
    """Write the plan of a sweep."""
    objects.write(_path(workflow, "sweep.json"), format_canonical(plan.model_dump()))


def load_record(objects: Objects, workflow: str, task: str) -> TaskRecord | None:
    """The record of a task; None where there is none. Raises CanonError for one that is damaged."""
    content = objects.read(record_path(workflow, task))
    if content is None:
        return None
    try:
        return TaskRecord.model_validate_json(content)
    except ValidationError:
        raise CanonError(
            f"{record_path(workflow, task)} in the remote {objects.name} is damaged; run the workflow anew"
        ) from None


def write_plan(objects: Objects, workflow: str, plan: WorkflowPlan) -> None:
    """Write the plan of a workflow."""
    objects.write(plan_path(workflow), format_canonical(plan.model_dump()))


def remove_old(objects: Objects, now: float) -> int:
    """Remove what workflows of more than 30 days ago told their pods; return how many objects. ``now``: seconds since 1970."""
    old = [each for each in objects.below(FOLDER, MOST) or () if each.modified < now - KEPT]
    all_of(lambda each: objects.remove(f"{FOLDER}/{each.name}"), old)
    return len(old)


def write_record(objects: Objects, workflow: str, task: str, record: TaskRecord) -> None:
    """Write the record of a task."""
    objects.write(record_path(workflow, task), format_canonical(record.model_dump()))
