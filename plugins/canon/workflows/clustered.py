"""A project with a profile that runs in a cluster: all its Workflows, or all that is in their way."""

from __future__ import annotations

from functools import partial

from canon.argo.render import render_argo
from canon.checks.stages import pod_problems
from canon.model.errors import Problem, ProblemsError
from canon.model.graph import build_graph
from canon.model.project import Project
from canon.model.stage import Stage
from canon.model.tasks import build_tasks
from canon.output.files import RenderedFile
from canon.workflows.demands import declaration_problems, foreign_problems, settings_problems
from canon.workflows.kept import kept_manifests
from canon.workflows.overlaid import profile_stages
from canon.workflows.sites import build_site, clustered, load_remote


def render_clustered(project: Project) -> tuple[RenderedFile, ...]:
    """The files of `argo/`, for each pipeline and each profile with a namespace.

    Raises ProblemsError for what is missing, and for what cannot run in a cluster.
    """
    profiles = clustered(project)
    problems: list[Problem] = [*settings_problems(project)]
    stages: dict[str, dict[str, tuple[Stage, ...]]] = {}
    for profile in profiles:
        stages[profile] = {each.name: profile_stages(project, each, profile) for each in project.pipelines}
        problems += pod_problems(project, stages[profile])
        for pipeline in project.pipelines:
            problems += foreign_problems(pipeline, stages[profile])
    for pipeline in project.pipelines:
        problems += declaration_problems(project, pipeline)
    problems = list(dict.fromkeys(problems))  # what several profiles have in common is said once
    if problems:
        raise ProblemsError(project.placed(problems))
    remotes = {name: load_remote(project.root, str(profile.remote)) for name, profile in profiles.items()}
    files: list[RenderedFile] = []
    for pipeline in project.pipelines:
        tasks = {
            name: build_tasks(pipeline.declaration, build_graph(found[pipeline.name])) for name, found in stages.items()
        }
        sites = [build_site(project, pipeline, name, remotes[name]) for name in profiles]
        try:
            files += render_argo(pipeline, sites, tasks, partial(kept_manifests, project.root))
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(problems)
    return tuple(files)
