"""What is deployed: releases as the repository that the cluster reads has them, held against what the cluster runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from canon.argocd.live import look
from canon.argocd.live_connection import Connection, Reach, opened_connection
from canon.argocd.live_objects import Watched
from canon.argocd.live_server import Cluster
from canon.argocd.status import Declared, Row, compare
from canon.argocd.status_health import Finding, healthy_since
from canon.model.cluster import application_name, environment_path
from canon.model.errors import CanonError
from canon.model.project import Pipeline, Project
from canon.model.release import Release, release_from_text, release_path
from canon.model.root import SETTINGS_FILE
from canon.workflows.origin import check_remote, opened_origin


@dataclass(frozen=True, slots=True)
class Opened:
    """A cluster that can be asked for the environments of a project."""

    project: Project
    connection: Connection
    cluster: Cluster

    def row(self, declared: Declared) -> Row:
        """Look at an environment. Raises nothing for what cannot be read."""
        return compare(declared, look(self.cluster, declared, self.project.settings.argocd.namespace))


@contextmanager
def opened_cluster(project: Project, reach: Reach) -> Iterator[Opened]:
    """The cluster that is meant. Raises CanonError where nothing says how it is reached, or with which credentials."""
    with opened_connection(reach) as connection:
        yield Opened(project, connection, Cluster(connection))


def load_declared(project: Project, name: str, *, local: bool) -> tuple[Declared, ...]:
    """The environments of a pipeline with their releases: those at the head of the releases' branch of the remote, or of the checkout.

    A release that was edited into nonsense is said in its environment. Raises CanonError with git's own words.
    """
    pipeline = project.pipeline(name)
    if not pipeline.declaration.deploy:
        raise CanonError(f"{pipeline.file}: declares no environment; declare them by `deploy`")
    if local:
        return _declared(project, pipeline, lambda path: _file_text(project.root / path), None)
    git = project.settings.git
    if git is None:
        raise CanonError(
            f"{SETTINGS_FILE}: [tool.canon] has no `git`; say where releases are, or look at the checkout's by --local"
        )
    check_remote(project.root, git.url)
    with opened_origin(project.root, git.url) as origin:
        branch = _branch(project)
        if branch not in origin.heads and git.releases is not None:
            return _declared(project, pipeline, lambda _: None, None)  # the first release makes the branch
        head = origin.head(branch)
        return _declared(project, pipeline, lambda path: origin.text(head, path), head)


def healthy_for(
    project: Project,
    name: str,
    environment: str,
    seconds: float,
    *,
    release: Release | None = None,
    reach: Reach | None = None,
) -> Finding:
    """Whether what was released to an environment has been healthy for so long; what is missing is said. For the gate `healthy 24h`.

    ``release``: what must be running; by default what the remote has. Raises CanonError where it, or the way to the cluster, is not known.
    """
    if release is None:
        found = load_declared(project, name, local=False)
    else:
        text = {release_path(name, release.environment): release}
        found = _declared(project, project.pipeline(name), lambda _: None, None, text)
    declared = next((each for each in found if each.environment == environment), None)
    if declared is None:
        raise CanonError(
            f"{name} has no environment `{environment}`; declared are: {', '.join(e.environment for e in found)}"
        )
    with opened_cluster(project, reach or Reach()) as opened:
        row = opened.row(declared)
        return healthy_since(row, timedelta(seconds=seconds), opened.cluster.now)


def _branch(project: Project) -> str:
    """The branch that Argo CD follows; none where the project names no repository."""
    git = project.settings.git
    if git is None:
        return ""
    return git.releases.branch if git.releases else git.branch


def _declared(
    project: Project,
    pipeline: Pipeline,
    read: Callable[[str], str | None],
    head: str | None,
    known: dict[str, Release] | None = None,
) -> tuple[Declared, ...]:
    url = project.settings.git.url if project.settings.git else ""
    found: list[Declared] = []
    for name, environment in pipeline.declaration.deploy.items():
        path = release_path(pipeline.name, name)
        release, problem = (known or {}).get(path), ""
        try:
            text = None if release else read(path)
            release = release_from_text(text, path) if text is not None else release
        except CanonError as error:
            problem = " ".join(str(error).split())
        watches = Watched(url, _branch(project), environment_path(pipeline.name, name), environment.namespace, "")
        application = application_name(pipeline.name, name)
        found.append(Declared(pipeline.name, name, environment.replicas, application, watches, release, problem, head))
    return tuple(found)


def _file_text(file: Path) -> str | None:
    """A file of the checkout; None where it is none, or no text."""
    if not file.exists():
        return None
    try:
        return file.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        raise CanonError(f"{file} cannot be read; restore what Git has of it") from None
