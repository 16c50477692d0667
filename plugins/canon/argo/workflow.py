"""The WorkflowTemplate of a pipeline and profile: `plan`, the stages, `deliver`; all but three parameters stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canon.argo.containers import RESTRICTED, SCRATCH, UID, WORK, empty_dir
from canon.argo.dag import MAIN, build_dags
from canon.argo.manifests import readable
from canon.argo.pods import build_deliver, build_plan, build_stage, seconds_from_duration
from canon.argo.site import Site
from canon.model import cluster
from canon.model.declaration import Declaration
from canon.model.tasks import Task
from canon.output.yaml import format_yaml

TITLE = "workflows.argoproj.io/title"
DESCRIPTION = "workflows.argoproj.io/description"
"""Annotations that Argo's user interface shows, with Markdown in them."""


def build_workflow_template(site: Site, declaration: Declaration, tasks: Sequence[Task]) -> dict[str, Any]:
    """The manifest of a WorkflowTemplate, as a mapping; ``tasks``: parents first."""
    from hera import workflows as hera
    from hera.workflows import models as m

    shapes = _build_shapes(tasks)
    workflow = declaration.workflow
    pull_secrets = dict.fromkeys(name for task in tasks for name in task.pod.image_pull_secrets or ())
    annotations = _build_annotations(site, declaration)
    labels = {cluster.PIPELINE_LABEL: site.pipeline, cluster.PROFILE_LABEL: site.profile}
    firsts: dict[str, Task] = {}
    for task in tasks:
        firsts.setdefault(shapes[task.name], task)
    template = hera.WorkflowTemplate(
        name=site.name,
        namespace=site.namespace,
        labels=labels,
        annotations=annotations,
        entrypoint=MAIN,
        arguments=[
            hera.Parameter(name=cluster.REVISION, value="", description="a commit; empty: the head of the branch"),
            hera.Parameter(name=cluster.SET, value="", description="params as base64 of JSON"),
            hera.Parameter(name=cluster.FRESH, value="false", enum=["false", "true"], description="true: run all stages anew"),
        ],
        service_account_name=site.account("stage"),
        automount_service_account_token=False,
        executor=m.ExecutorConfig(service_account_name=site.account("executor")),
        image_pull_secrets=[m.LocalObjectReference(name=name) for name in pull_secrets] or None,
        workflow_metadata=m.WorkflowMetadata(labels=labels, annotations=annotations),
        pod_metadata=m.Metadata(labels=labels),
        security_context=m.PodSecurityContext(
            run_as_non_root=True, run_as_user=UID, run_as_group=UID, fs_group=UID, seccomp_profile=m.SeccompProfile(type="RuntimeDefault")
        ),
        pod_spec_patch=_pod_spec_patch(site),
        synchronization=m.Synchronization(mutexes=[m.Mutex(name=f"canon-{site.name}")]),
        parallelism=workflow.parallelism,
        priority=workflow.priority,
        archive_logs=workflow.archive_logs,
        ttl_strategy=m.TTLStrategy(seconds_after_completion=seconds_from_duration(workflow.ttl)),
        pod_gc=m.PodGC(strategy="OnWorkflowSuccess", delete_delay_duration="60s"),
        volumes=[empty_dir(WORK), empty_dir(SCRATCH)],
        templates=[
            build_plan(site),
            *(build_stage(site, name, task.pod, is_data=task.is_data) for name, task in firsts.items()),
            build_deliver(site),
        ],
    )  # fmt: skip
    manifest: dict[str, Any] = template.to_dict()
    plan, *pods, deliver = manifest["spec"]["templates"]
    for task, pod in zip(firsts.values(), pods, strict=True):
        if task.pod.affinity:  # as it is written: Hera would leave out what it does not know
            pod["affinity"] = task.pod.affinity
    manifest["spec"]["templates"] = [*build_dags(tasks, shapes), plan, *pods, deliver]
    return manifest


def _build_shapes(tasks: Sequence[Task]) -> dict[str, str]:
    """Task → template of its pod: equal pods share one, `stage`, `stage-2` … in the order of the tasks."""
    names: dict[tuple[str, bool], str] = {}
    texts: dict[int, str] = {}  # a pod that several tasks share is written out once
    found: dict[str, str] = {}
    for task in tasks:
        text = texts.get(id(task.pod))
        if text is None:
            text = texts[id(task.pod)] = task.pod.model_dump_json()
        name = f"stage-{len(names) + 1}" if names else "stage"
        found[task.name] = names.setdefault((text, task.is_data), name)
    return found


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


def _build_annotations(site: Site, declaration: Declaration) -> dict[str, str]:
    links = []
    if site.git_url.startswith(("http://", "https://")):
        links.append(f"[code]({site.git_url.removesuffix('.git')})")
    if site.mlflow and site.mlflow.startswith(("http://", "https://")):
        links.append(f"[MLflow]({site.mlflow})")
    text = " ".join((declaration.description or "").split())
    words = [each for each in (text, " · ".join(links)) if each]
    return {TITLE: f"{site.pipeline} ({site.profile})", **({DESCRIPTION: "\n".join(words)} if words else {})}
