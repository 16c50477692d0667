"""From a pipeline's tasks to the files of `argo/<name>/`: Workflows and what starts them, and the platform below them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from canon.argo.checks import check_workflow, schedule_problems
from canon.argo.dag import build_dags, fill_in_hash
from canon.argo.handbook import format_handbook
from canon.argo.platform import build_platform
from canon.argo.site import Site
from canon.argo.triggers import build_push, build_schedule, build_sync
from canon.argo.workflow import Frame, build_frame, build_workflow_template
from canon.manifests.text import KUSTOMIZATION, build_kustomization, format_manifests
from canon.model.dag import dag_hash
from canon.model.declaration import Declaration
from canon.model.delivery import Triggers
from canon.model.errors import Problem, ProblemsError
from canon.model.project import Pipeline
from canon.model.tasks import Task
from canon.output.files import RenderedFile

FOLDER = "argo"


Manifests: TypeAlias = dict[str, dict[str, Any]]
"""Names of files in `workflow/` and the manifests in them."""


def build_manifests(frame: Frame) -> Manifests:
    """What Hera builds for a site: the WorkflowTemplate, without its DAG templates, and what starts it."""
    # A profile's name holds no dot: these names are nobody else's.
    site, triggers = frame.site, frame.triggers
    found = {f"{site.profile}.yaml": build_workflow_template(frame)}
    if triggers.schedule and frame.is_scheduled:
        found[f"{site.profile}.schedule.yaml"] = build_schedule(site, triggers.schedule, frame.description)
    if triggers.sync == site.profile:
        found[f"{site.profile}.sync.yaml"] = build_sync(site, frame.description)
    patterns = _pushes(triggers, site)
    if patterns:
        found[f"{site.profile}.push.yaml"] = build_push(site, patterns, frame.description)
    return found


def render_argo(
    pipeline: Pipeline,
    sites: Sequence[Site],
    tasks: Mapping[str, Sequence[Task]],
    build: Callable[[Frame], Manifests] = build_manifests,
) -> tuple[RenderedFile, ...]:
    """All files of a pipeline that runs in these places; ``tasks``: by the profile, parents first; ``build``: where Hera's part comes from.

    Raises ProblemsError for what neither Hera nor an API server would find.
    """
    folder = f"{FOLDER}/{pipeline.name}"
    problems: list[Problem] = [*schedule_problems(pipeline)]
    files: list[RenderedFile] = []
    for site in sites:
        own = tasks[site.profile]
        for name, manifest in _site_manifests(site, pipeline.declaration, own, dag_hash(own), build).items():
            path = f"{folder}/workflow/{name}"
            try:
                check_workflow(manifest, path, pipeline.file)
            except ProblemsError as error:
                problems += error.problems
            files.append(RenderedFile(path=path, text=format_manifests(pipeline.file, manifest)))
    if problems:
        raise ProblemsError(pipeline.placed(problems))
    names = [file.path.rpartition("/")[2] for file in files]
    text = format_manifests(pipeline.file, build_kustomization(names))
    files.append(RenderedFile(path=f"{folder}/workflow/{KUSTOMIZATION}", text=text))
    return (*files, *_render_platform(pipeline, folder, sites))


def build_checked_template(
    pipeline: Pipeline, site: Site, tasks: Sequence[Task], build: Callable[[Frame], Manifests] = build_manifests
) -> dict[str, Any]:
    """The manifest of the site's WorkflowTemplate alone, as `render_argo` writes it. Raises ProblemsError."""
    name = f"{site.profile}.yaml"
    manifest = _site_manifests(site, pipeline.declaration, tasks, dag_hash(tasks), build)[name]
    try:
        check_workflow(manifest, f"{FOLDER}/{pipeline.name}/workflow/{name}", pipeline.file)
    except ProblemsError as error:
        raise ProblemsError(pipeline.placed(error.problems)) from None
    return manifest


def _site_manifests(
    site: Site, declaration: Declaration, tasks: Sequence[Task], dag: str, build: Callable[[Frame], Manifests]
) -> Manifests:
    """A site's manifests, the WorkflowTemplate's complete."""
    frame, shapes = build_frame(site, declaration, tasks)
    manifests = build(frame)
    template = manifests[f"{site.profile}.yaml"]["spec"]
    fill_in_hash(template["templates"], dag)
    template["templates"] = [*build_dags(tasks, shapes, scheduled=frame.is_scheduled), *template["templates"]]
    return manifests


def _pushes(triggers: Triggers, site: Site) -> list[str]:
    return [pattern for pattern, profile in (triggers.push or {}).items() if profile == site.profile]


def _render_platform(pipeline: Pipeline, folder: str, sites: Sequence[Site]) -> list[RenderedFile]:
    pushed = [site for site in sites if _pushes(pipeline.declaration.triggers, site)]
    files: list[RenderedFile] = []
    for namespace, site in {site.namespace: site for site in reversed(sites)}.items():
        events = [each.name for each in pushed if each.namespace == namespace]
        text = format_manifests(pipeline.file, *build_platform(site, events=events))
        files.append(RenderedFile(path=f"{folder}/platform/{namespace}.yaml", text=text))
    schedule = pipeline.declaration.triggers.schedule
    scheduled = [site for site in sites if schedule and schedule.profile == site.profile]
    text = format_handbook(pipeline.file, sites, pushed, scheduled)
    return [*files, RenderedFile(path=f"{folder}/platform/README.md", text=text)]
