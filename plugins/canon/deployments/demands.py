"""What a project must have to be deployed by Argo CD, and what its environments must not say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from canon.argocd.service import merged_pod
from canon.git import clean_url
from canon.manifests.pods import volume_findings
from canon.model.cluster import IMAGE_CODE, TMP
from canon.model.delivery import Environment, Serving
from canon.model.errors import Problem
from canon.model.pod import Pod
from canon.model.problems import locate_toml
from canon.model.project import Pipeline, Project
from canon.model.release import REMEDY, Release, release_path
from canon.model.releasing import releasing_problems
from canon.model.root import SETTINGS_FILE
from canon.output.files import load_text

MOUNTED = (IMAGE_CODE.rpartition("/")[0], TMP, "/dev")
"""Where a user's volume would cover the code and the model of the image, or what Canon or the kernel mount."""
FOR_STAGES = ("retries", "timeout")
"""Keys of `pod` that a service does not have."""
LONGEST_NAME = 63
"""Of an Application: Argo CD may write it into a label."""
_IMAGE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[\w][\w.-]{0,127})?@sha256:[0-9a-f]{64}", re.ASCII)  # fmt: skip


def demand_problems(project: Project) -> Iterator[Problem]:
    """Yield what settings and declarations lack, or say wrongly, for Argo CD."""
    yield from _settings_problems(project)
    yield from _name_problems(project)
    for pipeline in project.pipelines:
        yield from _namespace_problems(project, pipeline)
        yield from _pod_problems(pipeline)
        found = releasing_problems(pipeline, project.settings)
        yield from (problem for problem in found if problem.severity == "error")


def _settings_problems(project: Project) -> Iterator[Problem]:
    settings = project.settings
    text = load_text(project.root / SETTINGS_FILE, SETTINGS_FILE) or ""

    def problem(place: tuple[str, ...], message: str, remedy: str) -> Problem:
        whole = ("tool", "canon", *place)
        line = locate_toml(text, whole)
        return Problem(file=SETTINGS_FILE, line=line, path=".".join(whole), message=message, remedy=remedy)

    trained = [name for name, profile in settings.profiles.items() if profile.namespace]
    deployed = next((each for each in project.pipelines if each.declaration.deploy), None)
    if settings.git is None:
        if deployed and not trained:  # the adapter `argo` says it of those
            message = f"is missing, and Argo CD reads from there what {deployed.file} deploys"
            yield problem(("git",), message, 'add git = {url = "https://HOST/PATH.git", branch = "main"}')
    else:
        if not trained and clean_url(settings.git.url) != settings.git.url:
            remedy = "take them out: Argo CD has them by a Secret"
            yield problem(("git", "url"), "holds credentials, or a query", remedy)
        if re.search(r"[*?\[\]{}\\!]", settings.git.url):
            message = "holds a character that an AppProject of Argo CD takes for a pattern"
            yield problem(("git", "url"), message, "write the address without any of * ? [ ] { } \\ !")
    for name in trained:
        if settings.profiles[name].namespace == settings.argocd.namespace:
            message = "is Argo CD's own namespace: a stage would run beside what may do anything in the cluster"
            yield problem(("profiles", name, "namespace"), message, "name another one")


def _namespace_problems(project: Project, pipeline: Pipeline) -> Iterator[Problem]:
    settings = project.settings
    trained = {profile.namespace: name for name, profile in settings.profiles.items() if profile.namespace}
    seen: dict[str, str] = {}
    for name, environment in pipeline.declaration.deploy.items():
        namespace, message = environment.namespace, ""
        if namespace in trained:
            message = f"`{namespace}` is where the profile `{trained[namespace]}` trains: its pods would reach the service's Secrets"
        elif namespace == settings.argocd.namespace:
            message = f"`{namespace}` is Argo CD's own"
        elif namespace in seen:
            message = f"`{namespace}` is that of `{seen[namespace]}`, too, and both would have the Deployment `{pipeline.name}` there"
        if message:
            remedy = "give the environment a namespace of its own"
            yield Problem(file=pipeline.file, path=f"deploy.{name}.namespace", message=message, remedy=remedy)
        seen.setdefault(namespace, name)


def _name_problems(project: Project) -> Iterator[Problem]:
    """Names that two objects of Argo CD would have, and names that are too long."""
    trained = any(profile.namespace for profile in project.settings.profiles.values())
    owners: dict[tuple[str, str], str] = {}
    for pipeline in project.pipelines:
        name, deploy = pipeline.name, pipeline.declaration.deploy
        own = [("Application", f"{name}-{word}") for word in ("root", "releases", "workflow")]
        own += [("AppProject", f"{name}{suffix}") for suffix in ("", "-root", "-training")]
        taken = [(*each, "name") for each in own if trained or deploy]
        taken += [("Application", f"{name}-{environment}", f"deploy.{environment}") for environment in deploy]
        for kind, called, path in taken:
            if (kind, called) in owners:
                owner = "Canon itself" if owners[kind, called] == pipeline.file else owners[kind, called]
                message = f"the {kind} `{called}` would be there twice: {owner} has it already"
                yield Problem(file=pipeline.file, path=path, message=message, remedy="rename the one or the other")
            elif len(called) > LONGEST_NAME:
                message = f"`{called}` would be the name of its {kind}, with {len(called)} characters, and {LONGEST_NAME} are most"
                yield Problem(file=pipeline.file, path=path, message=message, remedy="give one of both a shorter name")
            owners.setdefault((kind, called), pipeline.file)


def _pod_problems(pipeline: Pipeline) -> Iterator[Problem]:
    declaration = pipeline.declaration
    pods: list[tuple[str, Pod | None]] = [("serving.pod", declaration.serving.pod if declaration.serving else None)]
    pods += [(f"deploy.{name}.pod", environment.pod) for name, environment in declaration.deploy.items()]
    for path, pod in pods if declaration.deploy else ():
        for key in FOR_STAGES:
            if getattr(pod, key, None) is not None:
                message = "is of stages: a service is started again as often as it ends, and has no end"
                yield Problem(file=pipeline.file, path=f"{path}.{key}", message=message, remedy="remove it")
        for index, message, remedy in volume_findings(pod, MOUNTED):
            yield Problem(file=pipeline.file, path=f"{path}.volumes[{index}]", message=message, remedy=remedy)
    if declaration.serving:
        yield from _claim_problems(pipeline.file, declaration.serving, declaration.deploy)


def _claim_problems(file: str, serving: Serving, deploy: Mapping[str, Environment]) -> Iterator[Problem]:
    """Shared memory of the one, and a volume of the other at its place: each alone has nothing wrong with it."""
    for name, environment in deploy.items():
        alone = [*volume_findings(environment.pod, MOUNTED), *volume_findings(serving.pod, MOUNTED)]
        for index, message, remedy in volume_findings(merged_pod(serving, environment), MOUNTED):
            if not alone:
                path = f"deploy.{name}.pod.volumes[{index}]"
                yield Problem(file=file, path=path, message=message, remedy=remedy)


def release_problems(release: Release) -> Iterator[Problem]:
    """Yield what is wrong with a release that no schema finds: a cluster pulls images from registries alone."""
    if not _IMAGE.fullmatch(release.image):
        message = f"`{release.image}` is no image of a registry, by its digest"
        file = release_path(release.pipeline, release.environment)
        yield Problem(file=file, path="image", message=message, remedy=REMEDY)
