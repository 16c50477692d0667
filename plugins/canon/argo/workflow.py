"""The WorkflowTemplate of a pipeline and profile: `plan`, the stages, `deliver`; all but three parameters stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from canon.argo.annotations import description_annotation, title_annotation
from canon.argo.containers import UID, WORK, empty_dir
from canon.argo.dag import MAIN
from canon.argo.pods import build_deliver, build_plan, build_stage, seconds_from_duration
from canon.argo.site import Site
from canon.manifests.pods import RESTRICTED, SCRATCH, pod_security
from canon.manifests.text import readable
from canon.model import cluster
from canon.model.canonical import sha256_of
from canon.model.declaration import Declaration
from canon.model.delivery import Triggers, Workflow
from canon.model.pod import Pod
from canon.model.tasks import Task
from canon.output.yaml import format_yaml


@dataclass(frozen=True, slots=True)
class Shape:
    """Stages whose pods are equal: the name of their template, their `pod`, and whether they bring a dataset."""

    name: str
    pod: Pod
    is_data: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """All that the part of a site's manifests depends on that Hera builds: everything but the tasks and the hash of their graph."""

    site: Site
    description: str
    workflow: Workflow
    triggers: Triggers
    shapes: tuple[Shape, ...]

    @property
    def is_scheduled(self) -> bool:
        """Whether the clock starts it."""
        schedule = self.triggers.schedule
        return schedule is not None and schedule.profile == self.site.profile

    @property
    def key(self) -> str:
        """A sha256 of it, 64 hex digits."""
        shapes = [[shape.name, shape.pod.model_dump(mode="json"), shape.is_data] for shape in self.shapes]
        declared = [self.workflow.model_dump(mode="json"), self.triggers.model_dump(mode="json")]
        return sha256_of([asdict(self.site), self.description, declared, shapes])


def build_frame(site: Site, declaration: Declaration, tasks: Sequence[Task]) -> tuple[Frame, dict[str, str]]:
    """The frame of a pipeline in a site, and for each task the template of its pod.

    Equal pods share one, `stage`, `stage-2` … in the order of the tasks.
    """
    shapes: dict[tuple[str, bool], Shape] = {}
    texts: dict[int, str] = {}  # a pod that several tasks share is written out once
    names: dict[str, str] = {}
    for task in tasks:
        text = texts.get(id(task.pod))
        if text is None:
            text = texts[id(task.pod)] = task.pod.model_dump_json()
        name = f"stage-{len(shapes) + 1}" if shapes else "stage"
        names[task.name] = shapes.setdefault((text, task.is_data), Shape(name, task.pod, task.is_data)).name
    frame = Frame(
        site=site,
        description=declaration.description or "",
        workflow=declaration.workflow,
        triggers=declaration.triggers,
        shapes=tuple(shapes.values()),
    )
    return frame, names


def build_workflow_template(frame: Frame) -> dict[str, Any]:
    """The manifest of a WorkflowTemplate, as a mapping, still without its DAG templates."""
    from hera import workflows as hera
    from hera.workflows import models as m

    site, workflow = frame.site, frame.workflow
    pull_secrets = dict.fromkeys(name for shape in frame.shapes for name in shape.pod.image_pull_secrets or ())
    title = title_annotation(site)
    labels = {cluster.PIPELINE_LABEL: site.pipeline, cluster.PROFILE_LABEL: site.profile}
    template = hera.WorkflowTemplate(
        name=site.name,
        namespace=site.namespace,
        labels=labels,
        annotations={**title, **description_annotation(site, frame.description)},
        entrypoint=MAIN,
        arguments=[
            hera.Parameter(name=cluster.REVISION, value="", description="a commit; empty: the head of the branch"),
            hera.Parameter(name=cluster.SET, value="", description="params as base64 of JSON"),
            hera.Parameter(name=cluster.FRESH, value="false", description="true: run all stages anew"),
        ],
        service_account_name=site.account("stage"),
        automount_service_account_token=False,
        executor=m.ExecutorConfig(service_account_name=site.account("executor")),
        image_pull_secrets=[m.LocalObjectReference(name=name) for name in pull_secrets] or None,
        workflow_metadata=m.WorkflowMetadata(labels=labels, annotations=title),
        pod_metadata=m.Metadata(labels=labels),
        security_context=m.PodSecurityContext.model_validate(pod_security(UID)),
        pod_spec_patch=_pod_spec_patch(site),
        synchronization=m.Synchronization(mutexes=[m.Mutex(name=f"canon-{site.name}")]),
        parallelism=workflow.parallelism,
        priority=workflow.priority,
        archive_logs=workflow.archive_logs,
        ttl_strategy=m.TTLStrategy(seconds_after_completion=seconds_from_duration(workflow.ttl)),
        pod_gc=m.PodGC(strategy="OnWorkflowSuccess", delete_delay_duration="60s"),
        volumes=[empty_dir(WORK), empty_dir(SCRATCH)],
        templates=[
            build_plan(site, is_scheduled=frame.is_scheduled),
            *(build_stage(site, shape.name, shape.pod, is_data=shape.is_data) for shape in frame.shapes),
            build_deliver(site),
        ],
    )  # fmt: skip
    manifest: dict[str, Any] = template.to_dict()
    for shape, pod in zip(frame.shapes, manifest["spec"]["templates"][1:-1], strict=True):
        if shape.pod.affinity:  # as it is written: Hera would leave out what it does not know
            pod["affinity"] = shape.pod.affinity
    return manifest


def _pod_spec_patch(site: Site) -> str | None:
    """The executor's own containers have no security context, and a namespace that enforces "restricted" refuses them.

    By name: `init` and `wait`, or `supervisor` with a controller that has `initlessPod` enabled.
    """
    if site.executor == "none":
        return None
    if site.executor == "supervisor":
        return format_yaml(readable({"containers": [_patched("supervisor")]}))
    return format_yaml(readable({"initContainers": [_patched("init")], "containers": [_patched("wait")]}))


def _patched(container: str) -> dict[str, Any]:
    return {"name": container, "securityContext": RESTRICTED}
