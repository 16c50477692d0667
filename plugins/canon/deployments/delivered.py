"""A project with deployments: all that Argo CD reads of it, or all that is in the way."""

from __future__ import annotations

from pathlib import Path

from canon.argocd.render import render_argocd
from canon.argocd.service import merged_pod
from canon.argocd.site import Site
from canon.deployments.demands import demand_problems, release_problems
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.project import Pipeline, Project
from canon.model.release import Release, release_from_text, release_path
from canon.model.root import SETTINGS_FILE
from canon.output.files import RenderedFile, load_text


def render_delivered(project: Project) -> tuple[RenderedFile, ...]:
    """The files of all pipelines. Raises ProblemsError."""
    problems = list(demand_problems(project))
    releases: dict[str, dict[str, Release]] = {}
    for pipeline in project.pipelines:
        try:
            found = load_releases(project.root, pipeline)
        except ProblemsError as error:
            problems += error.problems
            continue
        problems += (problem for release in found.values() for problem in release_problems(release))
        releases[pipeline.name] = found
    if problems:
        raise ProblemsError(project.placed(problems))
    if project.settings.git is None:  # the adapter `argo` says so, of the profiles that run in a cluster
        return ()
    files: list[RenderedFile] = []
    for pipeline in project.pipelines:
        site = build_site(project, pipeline)
        if site.training or site.environments:
            files += render_argocd(pipeline, site, releases[pipeline.name])
    return tuple(files)


def load_releases(root: Path, pipeline: Pipeline) -> dict[str, Release]:
    """The releases that a checkout has, by their environment. Raises ProblemsError with what is wrong in all of them.

    A file of an environment that is not declared is none of them: `canon check` names it.
    """
    found: dict[str, Release] = {}
    problems: list[Problem] = []
    for environment in pipeline.declaration.deploy:
        path = release_path(pipeline.name, environment)
        try:
            text = load_text(root / path, path)
            if text is not None:
                found[environment] = release_from_text(text, path)
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(problems)
    return found


def build_site(project: Project, pipeline: Pipeline) -> Site:
    """What Argo CD is told of a pipeline. Raises CanonError where the settings name no repository."""
    settings, declaration = project.settings, pipeline.declaration
    if settings.git is None:
        raise CanonError(
            f'{SETTINGS_FILE} names no repository that Argo CD could read; add git = {{url = "https://HOST/PATH.git"}}'
        )
    triggers = declaration.triggers
    training = tuple(dict.fromkeys(each.namespace for each in settings.profiles.values() if each.namespace))
    kinds = {
        "WorkflowTemplate": True,
        "Workflow": triggers.sync is not None,
        "CronWorkflow": triggers.schedule is not None,
        "WorkflowEventBinding": bool(triggers.push),
    }
    pods = {
        name: merged_pod(declaration.serving, each) for name, each in declaration.deploy.items() if declaration.serving
    }
    return Site(
        pipeline=pipeline.name,
        git_url=settings.git.url,
        branch=settings.git.branch,
        releases=settings.git.releases.branch if settings.git.releases else settings.git.branch,
        namespace=settings.argocd.namespace,
        training=training,
        kinds=tuple(kind for kind, there in kinds.items() if there),
        synced=triggers.sync is not None and bool(training),
        environments={name: each.namespace for name, each in declaration.deploy.items()},
        pull_secrets={name: pod.image_pull_secrets for name, pod in pods.items() if pod.image_pull_secrets},
    )
