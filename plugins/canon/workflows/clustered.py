"""A project with a profile that runs in a cluster: all its Workflows, or all that is in their way."""

from __future__ import annotations

from functools import partial

from canon.argo.render import render_argo
from canon.checks.stages import pod_problems
from canon.model.errors import ProblemsError
from canon.model.graph import build_graph
from canon.model.project import Project
from canon.model.tasks import build_tasks
from canon.output.files import RenderedFile
from canon.results.locks import declared_stages
from canon.workflows.demands import declaration_problems, foreign_problems, settings_problems
from canon.workflows.kept import kept_manifests
from canon.workflows.sites import build_site, clustered, load_remote


def render_clustered(project: Project) -> tuple[RenderedFile, ...]:
    """The files of `argo/`, for each pipeline and each profile with a namespace.

    Raises ProblemsError for what is missing, and for what cannot run in a cluster.
    """
    profiles = clustered(project)
    stages = {pipeline.name: declared_stages(project, pipeline) for pipeline in project.pipelines}
    problems = [*settings_problems(project), *pod_problems(project, stages)]
    for pipeline in project.pipelines:
        problems += [*declaration_problems(project, pipeline), *foreign_problems(pipeline, stages)]
    if problems:
        raise ProblemsError(project.placed(problems))
    remotes = {name: load_remote(project.root, str(profile.remote)) for name, profile in profiles.items()}
    files: list[RenderedFile] = []
    for pipeline in project.pipelines:
        tasks = build_tasks(pipeline.declaration, build_graph(stages[pipeline.name]))
        sites = [build_site(project, pipeline, name, remotes[name]) for name in profiles]
        try:
            files += render_argo(pipeline, sites, tasks, partial(kept_manifests, project.root))
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(problems)
    return tuple(files)
