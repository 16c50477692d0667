"""From a pipeline's tasks to the files of `argo/<name>/`: Workflows and what starts them, and the platform below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canon.argo.checks import check_workflow, schedule_problems
from canon.argo.handbook import format_handbook
from canon.argo.manifests import format_manifests
from canon.argo.platform import build_platform
from canon.argo.site import Site
from canon.argo.triggers import build_push, build_schedule
from canon.argo.workflow import build_workflow_template
from canon.model.errors import Problem, ProblemsError
from canon.model.project import Pipeline
from canon.model.tasks import Task
from canon.output.files import RenderedFile

FOLDER = "argo"


def render_argo(pipeline: Pipeline, sites: Sequence[Site], tasks: Sequence[Task]) -> tuple[RenderedFile, ...]:
    """All files of a pipeline that runs in these places; ``tasks``: parents first.

    Raises ProblemsError for what neither Hera nor an API server would find.
    """
    folder = f"{FOLDER}/{pipeline.name}"
    manifests: dict[str, dict[str, Any]] = {}
    for site in sites:
        manifests[f"{site.profile}.yaml"] = build_workflow_template(site, pipeline.declaration, tasks)
        manifests.update(_build_triggers(pipeline, site))
    problems: list[Problem] = [*schedule_problems(pipeline)]
    for name, manifest in manifests.items():
        try:
            check_workflow(manifest, f"{folder}/workflow/{name}", pipeline.file)
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(pipeline.placed(problems))
    files = [
        RenderedFile(path=f"{folder}/workflow/{name}", text=format_manifests(pipeline.file, manifest))
        for name, manifest in manifests.items()
    ]
    return (*files, *_render_platform(pipeline, folder, sites))


def _build_triggers(pipeline: Pipeline, site: Site) -> Mapping[str, dict[str, Any]]:
    # A profile's name holds no dot: these names are nobody else's.
    triggers = pipeline.declaration.triggers
    found: dict[str, dict[str, Any]] = {}
    if triggers.schedule and triggers.schedule.profile == site.profile:
        found[f"{site.profile}.schedule.yaml"] = build_schedule(site, triggers.schedule)
    patterns = _pushes(pipeline, site)
    if patterns:
        found[f"{site.profile}.push.yaml"] = build_push(site, patterns)
    return found


def _pushes(pipeline: Pipeline, site: Site) -> list[str]:
    pushes = pipeline.declaration.triggers.push or {}
    return [pattern for pattern, profile in pushes.items() if profile == site.profile]


def _render_platform(pipeline: Pipeline, folder: str, sites: Sequence[Site]) -> list[RenderedFile]:
    pushed = [site for site in sites if _pushes(pipeline, site)]
    files: list[RenderedFile] = []
    for namespace, site in {site.namespace: site for site in reversed(sites)}.items():
        events = any(each.namespace == namespace for each in pushed)
        text = format_manifests(pipeline.file, *build_platform(site, events=events))
        files.append(RenderedFile(path=f"{folder}/platform/{namespace}.yaml", text=text))
    text = format_handbook(pipeline.file, sites, pushed)
    return [*files, RenderedFile(path=f"{folder}/platform/README.md", text=text)]
