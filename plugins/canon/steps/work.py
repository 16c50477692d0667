"""A task of a workflow in its pod: its plan, its stages, which results are believed, and what of its inputs is brought."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from canon.dvc.runcache import run_cache_path
from canon.model.errors import CanonError
from canon.model.paths import leaves_repository
from canon.model.stage import Stage
from canon.output.files import write_bytes
from canon.planning.known import Known
from canon.planning.lookup import Belief, Hit, Lookup
from canon.remotes.objects import Objects
from canon.remotes.opening import Remote, remote_of_environment
from canon.steps.documents import PlannedTask, Recorded, TaskRecord, WorkflowPlan, load_plan, load_record, write_record
from canon.steps.inputs import Inputs
from canon.steps.own import opened_parent, remove
from canon.steps.places import Places, Pod
from canon.steps.store import Store


@dataclass(frozen=True, slots=True)
class Work:
    """What a pod works on. ``stages``: those of its task by key, in their order; ``outs``: what all stages of the workflow make."""

    pod: Pod
    remote: Remote
    objects: Objects
    lookup: Lookup
    plan: WorkflowPlan
    task: PlannedTask
    stages: Mapping[str, Stage]
    outs: frozenset[str]

    @property
    def places(self) -> Places:
        """The pod's folders."""
        return self.pod.places

    def find(self, inputs: Inputs, key: str) -> Hit | None:
        """The entry that stands for a stage, with all its data; None when it has to run. Raises CanonError."""
        hit = self.lookup.find_whole(inputs.run_key(key, self.stages[key]))
        if hit is not None:
            self.settle(hit)
        return hit

    def settle(self, hit: Hit) -> None:
        """Take away what lost against an entry, since plain DVC would take any. Raises CanonError.

        That is what this task has written, also in an attempt that was killed; and with `fresh` all others.
        """
        mine = {"workflow": self.pod.workflow, "task": self.pod.task}
        for value in hit.others:
            if self.plan.fresh or mine.items() <= self.lookup.made(value).items():
                self.objects.remove(run_cache_path(hit.key, value))

    def record(self, hits: Mapping[str, Hit]) -> None:
        """Tell the tasks that read from this one which entries stand for its stages."""
        record = TaskRecord(stages={key: Recorded(key=hit.key, value=hit.value) for key, hit in hits.items()})
        write_record(self.objects, self.pod.workflow, self.pod.task, record)


def open_work(pod: Pod) -> Work:
    """Open what a pod works on. Raises CanonError for a task that the plan does not have."""
    remote = remote_of_environment(pod.environ)
    objects = remote.objects()
    plan = load_plan(objects, pod.workflow)
    task = plan.tasks.get(pod.task)
    if task is None:
        raise CanonError(
            f"the plan of the workflow {pod.workflow} has no task {pod.task!r}: the template was rendered from another declaration"
        )
    stages = {key: plan.stage(key) for key in task.stages}
    outs = frozenset(path for key in plan.stages for path in plan.stage(key).out_paths)
    belief = Belief(plan.accept, plan.declared, pod.workflow if plan.fresh else "")
    return Work(pod, remote, objects, Lookup(objects, belief), plan, task, stages, outs)


def add_parents(work: Work, known: Known) -> None:
    """Take what the tasks before this one made, by the entries that they recorded. Raises CanonError where one is missing, or not what it is called."""
    for parent in work.task.parents:
        for key, hit in recorded_hits(work.objects, work.lookup, work.plan, work.pod.workflow, parent).items():
            known.add(work.plan.stage(key), hit.entry)


def recorded_hits(objects: Objects, lookup: Lookup, plan: WorkflowPlan, workflow: str, task: str) -> dict[str, Hit]:
    """The entries that a task recorded, by the keys of its stages. Raises CanonError where one is missing, or not what it is called."""
    record = load_record(objects, plan.shared.get(task, workflow), task)
    hits: dict[str, Hit] = {}
    for key in plan.tasks[task].stages:
        found = record.stages.get(key) if record is not None else None
        hit = lookup.read(found.key, found.value) if found is not None else None
        if hit is None:
            raise CanonError(
                f"the remote {objects.name} has no entry of `{key}`, which this task reads from, or it is not what it is called:"
                " somebody removed or changed it; run the workflow anew"
            )
        hits[key] = hit
    return hits


def apply_files(plan: WorkflowPlan, code: Path) -> None:
    """Write params and pins as the plan applied them. Raises CanonError for a path outside of the code."""
    for path, text in plan.applied.items():
        place = code / path
        if leaves_repository(path) or not place.parent.resolve().is_relative_to(code.resolve()):
            raise CanonError(f"the plan wants to write {path!r}, outside of the code")
        write_bytes(place, text.encode("utf-8", "surrogateescape"))


def bring(work: Work, inputs: Inputs, key: str, store: Store) -> None:
    """Put what a stage reads of others into the workspace, and take its own outs away, as DVC does. Raises CanonError."""
    stage, code = work.stages[key], work.places.code
    wanted = inputs.known.placements(stage)
    store.fetch(made.md5 for _, made in wanted)
    for path, made in wanted:
        store.put(made, code, path)
    for out, path in zip(stage.outs, stage.out_paths, strict=True):
        with contextlib.suppress(FileNotFoundError), opened_parent(code, path) as folder:
            if not out.persist:
                remove(folder, posixpath.basename(path))
