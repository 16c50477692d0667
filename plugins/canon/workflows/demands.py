"""What a project must have, and what its stages must not do, to run in a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from canon.argo.checks import LONGEST_NAME
from canon.argo.containers import MOUNTED
from canon.git import clean_url
from canon.manifests.pods import volume_findings
from canon.manifests.text import KUSTOMIZATION
from canon.model.cluster import workflow_name
from canon.model.definition import ForeachDefinition
from canon.model.errors import Problem
from canon.model.fields import DNS_LABEL
from canon.model.graph import Graph, build_graph, stage_key
from canon.model.pod import Pod
from canon.model.problems import locate_toml
from canon.model.project import Pipeline, Project
from canon.model.root import SETTINGS_FILE
from canon.model.stage import Stage
from canon.output.files import load_text
from canon.workflows.sites import clustered, has_credentials

_PINNED = re.compile(r"@sha256:[0-9a-f]{64}$")
_Finding = tuple[tuple[str, ...], str, str]


def settings_problems(project: Project) -> Iterator[Problem]:
    """Yield what the settings lack, or say wrongly, for profiles with a namespace."""
    text = load_text(project.root / SETTINGS_FILE, SETTINGS_FILE) or ""
    for place, message, remedy in (*_common_findings(project), *_profile_findings(project)):
        whole = ("tool", "canon", *place)
        yield Problem(
            file=SETTINGS_FILE, line=locate_toml(text, whole), path=".".join(whole), message=message, remedy=remedy
        )


def _common_findings(project: Project) -> Iterator[_Finding]:
    settings, first = project.settings, next(iter(clustered(project)))
    tools = settings.tools_image
    if tools is None:
        message = f"is missing, and the pods of the profile `{first}` run it beside the stages"
        yield ("tools_image",), message, 'make it by `canon image tools`, and add tools_image = "IMAGE@sha256:…"'
    elif not _PINNED.search(tools):
        message = f"`{tools}` has no whole digest" if "@" in tools else f"`{tools}` is a tag"
        yield ("tools_image",), message, "pin it by digest: IMAGE@sha256:…"
    if settings.git is None:
        message = f"is missing, and the pods of the profile `{first}` fetch the code from there"
        yield ("git",), message, 'add git = {url = "https://HOST/PATH.git", branch = "main"}'
    elif clean_url(settings.git.url) != settings.git.url:
        yield ("git", "url"), "holds credentials, or a query", "take them out: pods have them by a Secret"


def _profile_findings(project: Project) -> Iterator[_Finding]:
    for name, profile in clustered(project).items():
        if not re.fullmatch(DNS_LABEL, name):
            message = f"`{name}` has a namespace, and names objects of the cluster"
            yield ("profiles", name), message, "rename it: small letters, digits and `-`, a letter first"
        if f"{name}.yaml" == KUSTOMIZATION:
            message = f"`{KUSTOMIZATION}` would be the name of its Workflow's file, and is Kustomize's own"
            yield ("profiles", name), message, "rename it"
        if profile.remote is None:
            message = "has a namespace and no remote, by which its pods have their data"
            yield ("profiles", name), message, "add remote = NAME, that of a remote in .dvc/config"
        if profile.registry is None:
            message = "has a namespace and no registry, from which its pods have the image of the code"
            yield ("profiles", name), message, "add registry = HOST/NAMESPACE"
        for key, value in (("mlflow", profile.mlflow), ("endpoint", profile.endpoint)):
            if value and has_credentials(value):
                yield ("profiles", name, key), "holds credentials", "take them out: pods have them by a Secret"


def declaration_problems(project: Project, pipeline: Pipeline) -> Iterator[Problem]:
    """Yield what a declaration lacks, or says wrongly, for profiles with a namespace."""
    declaration, profiles = pipeline.declaration, clustered(project)
    if declaration.environment is None or declaration.environment.image is None:
        yield Problem(
            file=pipeline.file,
            path="environment",
            message="declares no image, and stages run in one in a cluster",
            remedy="add `environment: {image: IMAGE@sha256:…}`",
        )
    for profile in profiles:
        name = workflow_name(pipeline.name, profile)
        if len(name) > LONGEST_NAME:
            yield Problem(
                file=pipeline.file,
                path="name",
                message=f"`{name}` would be the name of its Workflows, with {len(name)} characters; {LONGEST_NAME} leave room for a time",
                remedy="give the pipeline or the profile a shorter name",
            )
        if twin := _twin(project, pipeline, profile):
            yield Problem(
                file=pipeline.file,
                path="name",
                message=f"`{name}` would be the name of its Workflows in {profiles[profile].namespace}, and is that of those of {twin}, too",
                remedy="rename one of them, or give one of the profiles another namespace",
            )
    triggers = declaration.triggers
    started = [(f"triggers.push.{pattern}", profile) for pattern, profile in (triggers.push or {}).items()]
    started += [("triggers.sync", triggers.sync)] if triggers.sync else []
    started += [("triggers.schedule.profile", triggers.schedule.profile)] if triggers.schedule else []
    for path, profile in started:
        if profile not in profiles:
            yield Problem(
                file=pipeline.file,
                path=path,
                message=f"the profile `{profile}` has no namespace: nothing can be started there",
                remedy=f"name one of: {', '.join(profiles)}, or give it a namespace in {SETTINGS_FILE}",
            )
    for name, stage in declaration.stages.items():
        definition = stage.do if isinstance(stage, ForeachDefinition) else stage
        yield from _volume_problems(pipeline.file, name, definition.pod)


def _twin(project: Project, pipeline: Pipeline, profile: str) -> str | None:
    """Another pipeline and profile of the same namespace whose names join to the same one: `a` in `b-c` and `a-b` in `c`."""
    profiles = clustered(project)
    name, namespace = workflow_name(pipeline.name, profile), profiles[profile].namespace
    for other in project.pipelines:
        for each, settings in profiles.items():
            same = workflow_name(other.name, each) == name and settings.namespace == namespace
            if same and (other.name, each) != (pipeline.name, profile):
                return f"the pipeline `{other.name}` in the profile `{each}`"
    return None


def _volume_problems(file: str, stage: str, pod: Pod | None) -> Iterator[Problem]:
    for index, message, remedy in volume_findings(pod, MOUNTED):
        yield Problem(file=file, path=f"stages.{stage}.pod.volumes[{index}]", message=message, remedy=remedy)


def foreign_problems(pipeline: Pipeline, stages: Mapping[str, Sequence[Stage]]) -> Iterator[Problem]:
    """Yield the stages that read what another pipeline makes: its Workflow does not run that."""
    others = [stage for name, of_pipeline in stages.items() if name != pipeline.name for stage in of_pipeline]
    if not others:
        return
    own = {stage_key(stage) for stage in stages[pipeline.name]}
    graph = build_graph([*others, *stages[pipeline.name]])
    for stage in stages[pipeline.name]:
        for parent in graph.parents[stage_key(stage)]:
            if parent not in own:
                yield Problem(
                    file=pipeline.file,
                    path=f"stages.{stage.name.partition('@')[0]}",
                    message=f"cannot run in a cluster: it reads {_read(stage, graph, parent)}, which another pipeline makes (`{parent}`)",
                    remedy="declare that as a dataset under `data:`, or bring both stages into one pipeline",
                )


def _read(stage: Stage, graph: Graph, parent: str) -> str:
    def overlap(one: str, other: str) -> bool:
        return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")

    made = graph.stages[parent].out_paths
    read: Iterable[str] = (*stage.dep_paths, *(file for file, _ in stage.param_paths))
    return ", ".join(path for path in read if any(overlap(path, out) for out in made))
