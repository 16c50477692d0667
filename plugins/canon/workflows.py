"""From the declared project to its Workflows: stages by DVC's resolver, the remote by DVC's settings, manifests by `canon.argo`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from canon.argo.render import render_argo
from canon.argo.site import Remote, Site
from canon.checks.stages import pod_problems
from canon.git import clean_url
from canon.kept import kept_manifests
from canon.model.dag import dag_hash
from canon.model.definition import ForeachDefinition
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.fields import DNS_LABEL
from canon.model.graph import Graph, build_graph, stage_key
from canon.model.pod import Pod
from canon.model.problems import locate_toml
from canon.model.project import SETTINGS_FILE, Pipeline, Project
from canon.model.settings import Profile
from canon.model.stage import Stage
from canon.model.tasks import Task, build_tasks
from canon.output.files import RenderedFile, load_text
from canon.results.locks import declared_stages

CONFIG = ".dvc/config"


def render_workflows(project: Project) -> tuple[RenderedFile, ...]:
    """The files of `argo/`, for each pipeline and each profile with a namespace; none without one.

    Raises ProblemsError for what is missing, and for what cannot run in a cluster.
    """
    profiles = clustered(project)
    if not profiles:
        return ()
    stages = {pipeline.name: declared_stages(project, pipeline) for pipeline in project.pipelines}
    problems = [*_settings_problems(project), *pod_problems(project, stages)]
    for pipeline in project.pipelines:
        problems += [*_declaration_problems(project, pipeline), *foreign_problems(pipeline, stages)]
    if problems:
        raise ProblemsError(project.placed(problems))
    remotes = {name: load_remote(project.root, str(profile.remote)) for name, profile in profiles.items()}
    files: list[RenderedFile] = []
    for pipeline in project.pipelines:
        tasks = tasks_of(pipeline, stages[pipeline.name])
        dag = dag_hash(tasks)
        sites = [build_site(project, pipeline, name, remotes[name], dag) for name in profiles]
        try:
            files += render_argo(pipeline, sites, tasks, partial(kept_manifests, project.root))
        except ProblemsError as error:
            problems += error.problems
    if problems:
        raise ProblemsError(problems)
    return tuple(files)


def clustered(project: Project) -> dict[str, Profile]:
    """The profiles whose pipelines run in a cluster."""
    return {name: profile for name, profile in project.settings.profiles.items() if profile.namespace}


def tasks_of(pipeline: Pipeline, stages: Sequence[Stage]) -> tuple[Task, ...]:
    """The tasks of a pipeline's stages, parents first; ``stages``: resolved, without `track`."""
    return build_tasks(pipeline.declaration, build_graph(stages))


def build_site(project: Project, pipeline: Pipeline, profile: str, remote: Remote, dag: str) -> Site:
    """Where a pipeline runs in a profile. Raises CanonError where the settings lack what that needs."""
    settings = project.settings
    chosen = settings.profiles[profile]
    if chosen.namespace is None or settings.tools_image is None or settings.git is None:
        raise CanonError(f"{SETTINGS_FILE}: the profile `{profile}` runs in no cluster; give it a namespace, and run `canon check`")  # fmt: skip
    pushes = pipeline.declaration.triggers.push or {}
    patterns = [settings.git.branch, *(pattern for pattern, name in pushes.items() if name == profile)]
    return Site(
        pipeline=pipeline.name,
        profile=profile,
        namespace=chosen.namespace,
        tools_image=settings.tools_image,
        executor=settings.executor,
        git_url=settings.git.url,
        branches=tuple(dict.fromkeys(patterns)),
        remote=remote,
        dag=dag,
        endpoint=chosen.endpoint,
        mlflow=chosen.mlflow,
        registry=chosen.registry,
    )


def load_remote(root: Path, name: str) -> Remote:
    """A remote's address from the committed `.dvc/config`: what a machine says for itself is no pod's business.

    Raises CanonError where it is not there, cannot be read, or holds credentials.
    """
    from configobj import ConfigObj, ConfigObjError  # DVC reads it by this, too

    text = load_text(root / CONFIG, CONFIG)
    try:
        config = ConfigObj((text or "").splitlines(), interpolation=False)
    except ConfigObjError as error:
        raise CanonError(f"{CONFIG} cannot be read ({str(error).splitlines()[0]}); mend it") from None
    section = config.get(f'remote "{name}"') or config.get(f"'remote \"{name}\"'")
    url = section.get("url") if isinstance(section, dict) else None
    if not isinstance(url, str) or not url:
        raise CanonError(
            f"{CONFIG} has no remote `{name}` with a url, which {SETTINGS_FILE} names; run `dvc remote add {name} URL`, and commit"
        )
    endpoint = section.get("endpointurl")
    for key, value in (("url", url), ("endpointurl", endpoint)):
        if value and _has_credentials(value):
            raise CanonError(
                f"{CONFIG}: {key} of the remote `{name}` holds credentials, and would be committed once more; take them out: "
                "pods have them by a Secret (see argo/NAME/platform/README.md)"
            )
        if value and "{{" in value:
            raise CanonError(f"{CONFIG}: {key} of the remote `{name}`: `{{{{` would be expanded by Argo; remove it")
    if not urlsplit(url).scheme:
        raise CanonError(f"{CONFIG}: the remote `{name}` is {url}, a folder that no pod has; name one by URL, as s3://BUCKET/PATH")  # fmt: skip
    return Remote(url=url, endpoint=endpoint or None)


def _has_credentials(url: str) -> bool:
    parts = urlsplit(url)
    return "@" in parts.netloc and (":" in parts.netloc.rsplit("@", 1)[0] or parts.scheme.startswith("http"))


def _settings_problems(project: Project) -> Iterator[Problem]:
    settings = project.settings
    text = load_text(project.root / SETTINGS_FILE, SETTINGS_FILE) or ""

    def problem(place: tuple[str, ...], message: str, remedy: str) -> Problem:
        whole = ("tool", "canon", *place)
        return Problem(
            file=SETTINGS_FILE, line=locate_toml(text, whole), path=".".join(whole), message=message, remedy=remedy
        )

    profiles = clustered(project)
    if settings.tools_image is None:
        message = f"is missing, and the pods of the profile `{next(iter(profiles))}` run it beside the stages"
        yield problem(
            ("tools_image",), message, 'make it by `canon image tools`, and add tools_image = "IMAGE@sha256:…"'
        )
    elif not re.search(r"@sha256:[0-9a-f]{64}$", settings.tools_image):
        message = f"`{settings.tools_image}` is a tag" if "@" not in settings.tools_image else f"`{settings.tools_image}` has no whole digest"  # fmt: skip
        yield problem(("tools_image",), message, "pin it by digest: IMAGE@sha256:…")
    if settings.git is None:
        message = f"is missing, and the pods of the profile `{next(iter(profiles))}` fetch the code from there"
        yield problem(("git",), message, 'add git = {url = "https://HOST/PATH.git", branch = "main"}')
    elif clean_url(settings.git.url) != settings.git.url:
        yield problem(("git", "url"), "holds credentials, or a query", "take them out: pods have them by a Secret")
    for name, profile in profiles.items():
        if not re.fullmatch(DNS_LABEL, name):
            message = f"`{name}` has a namespace, and names objects of the cluster"
            yield problem(("profiles", name), message, "rename it: small letters, digits and `-`, a letter first")
        if profile.remote is None:
            message = "has a namespace and no remote, by which its pods have their data"
            yield problem(("profiles", name), message, "add remote = NAME, that of a remote in .dvc/config")
        for key, value in (("mlflow", profile.mlflow), ("endpoint", profile.endpoint)):
            if value and _has_credentials(value):
                yield problem(("profiles", name, key), "holds credentials", "take them out: pods have them by a Secret")


def _declaration_problems(project: Project, pipeline: Pipeline) -> Iterator[Problem]:
    declaration, profiles = pipeline.declaration, clustered(project)
    if declaration.environment is None or declaration.environment.image is None:
        yield Problem(
            file=pipeline.file,
            path="environment",
            message="declares no image, and stages run in one in a cluster",
            remedy="add `environment: {image: IMAGE@sha256:…}`",
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


def _volume_problems(file: str, stage: str, pod: Pod | None) -> Iterator[Problem]:
    from canon.argo.containers import MOUNTED

    seen: set[str] = {"/dev/shm"} if pod and pod.shared_memory else set()  # noqa: S108  where shared memory is
    for index, volume in enumerate((pod.volumes if pod else None) or ()):
        path = f"stages.{stage}.pod.volumes[{index}]"
        sources = [each for each in (volume.claim, volume.secret, volume.config_map, volume.empty_dir) if each]
        if len(sources) != 1:
            remedy = "name exactly one of claim, secret, config_map and empty_dir"
            yield Problem(file=file, path=path, message=f"has {len(sources)} sources", remedy=remedy)
        place = posixpath.normpath(volume.mount)
        if any(place == own or place.startswith(f"{own}/") for own in MOUNTED) or place in {"/", *seen}:
            message, remedy = f"something else lies at {place} in the pod", "mount it elsewhere, for example below /mnt"
            yield Problem(file=file, path=path, message=message, remedy=remedy)
        seen.add(place)


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
