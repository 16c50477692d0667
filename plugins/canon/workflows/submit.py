"""`canon submit`: a commit of the repository that the cluster reads, as the Workflow that runs it.

What is believed is what the declared branch says at the remote: where a pipeline runs, by which accounts, and which branches may start it. The
commit says what runs: stages, params, pods. Neither the workspace nor the commit widens its own rights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from canon.argo.render import build_checked_template
from canon.argo.server import ArgoServer
from canon.argo.site import Site
from canon.argo.submission import build_own, build_reference, check_parameters, dag_of_template
from canon.checks.stages import pod_problems
from canon.git import head_commit
from canon.model import cluster
from canon.model.dag import dag_hash
from canon.model.errors import CanonError, ProblemsError, UsageError, listed
from canon.model.graph import Graph, build_graph
from canon.model.project import Pipeline, Project, load_project
from canon.model.root import SETTINGS_FILE
from canon.model.tasks import Task, build_tasks
from canon.planning.pipelines import pipeline_graph
from canon.results.locks import declared_stages
from canon.results.revisions import resolve_revision
from canon.source_state import changed_files
from canon.steps.options import settings_from_options
from canon.steps.settings import Values, apply_settings, format_settings
from canon.workflows.demands import declaration_problems, foreign_problems, settings_problems
from canon.workflows.kept import kept_manifests
from canon.workflows.origin import Origin, check_remote, opened_origin
from canon.workflows.overlaid import profile_stages
from canon.workflows.rights import granted_problems
from canon.workflows.sites import build_site, clustered, load_remote
from canon.workspaces.profiles import apply

Say = Callable[[str], None]
MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. ``rev``: None for HEAD; ``options``: as after `-S`."""

    pipeline: str
    profile: str | None = None
    rev: str | None = None
    options: Sequence[str] = ()
    fresh: bool = False
    allow_dirty: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """What the declared branch says at the remote. ``server``: `argo` of the profile."""

    project: Project
    pipeline: Pipeline
    site: Site
    branch: str
    server: str | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A commit that may run. ``project``: its checkout with profile and params applied, there while the context lasts; ``root``: the user's."""

    root: Path
    declared: Declared
    commit: str
    project: Project
    pipeline: Pipeline
    graph: Graph
    tasks: tuple[Task, ...]
    values: Values
    fresh: bool

    @property
    def description(self) -> str:
        """What the commit says that the pipeline is."""
        return self.pipeline.declaration.description or ""

    @property
    def parameters(self) -> dict[str, str]:
        """The workflow's parameters that are not its template's defaults."""
        found = {cluster.REVISION: self.commit}
        if self.values:
            found[cluster.SET] = format_settings(self.values)
        if self.fresh:
            found[cluster.FRESH] = "true"
        return found


@dataclass(frozen=True, slots=True)
class Submission:
    """A manifest to be submitted. ``is_own``: it refers to no template in the cluster."""

    manifest: Mapping[str, Any]
    is_own: bool
    site: Site
    commit: str
    tasks: tuple[Task, ...]


def chosen_profile(project: Project, profile: str | None) -> str:
    """The profile that is meant: the named one, or the only one with a namespace. Raises CanonError, UsageError."""
    known = clustered(project)
    if profile is not None:
        if profile not in known:
            what = "has no namespace" if profile in project.settings.profiles else "is not declared"
            raise CanonError(
                f"{SETTINGS_FILE}: the profile `{profile}` {what}; those that run in a cluster: {', '.join(known) or 'none'}"
            )
        return profile
    if not known:
        raise CanonError(
            f"{SETTINGS_FILE}: no profile has a namespace: nothing runs in a cluster; add `namespace` to one"
        )
    if len(known) > 1:
        raise UsageError(f"several profiles run in a cluster: {', '.join(known)}; say which by --profile")
    return next(iter(known))


@contextmanager
def prepared(root: Path, order: Order, say: Say) -> Iterator[Prepared]:
    """All that is known of a commit before Argo is asked. Raises CanonError, ProblemsError and UsageError for what is in its way."""
    project = load_project(root)
    project.pipeline(order.pipeline)
    profile = chosen_profile(project, order.profile)
    if project.settings.git is None:
        raise CanonError(
            f'{SETTINGS_FILE}: tool.canon.git is missing, from where the cluster has the code; add git = {{url = "…"}}'
        )
    check_remote(root, project.settings.git.url)
    commit = _commit(project, order, say)
    with opened_origin(root, project.settings.git.url) as origin:
        declared = _declared(origin, project, order.pipeline, profile, say)
        _check_branch(origin, declared, commit)
        folder = origin.checkout(commit, "commit")
        yield _prepared(project.root, declared, commit, folder, order)


def build_submission(
    ready: Prepared, server: ArgoServer | None, say: Say, build: Callable[[], Mapping[str, Any]] | None = None
) -> Submission:
    """The manifest: of the template in the cluster where that has the commit's graph, else one of its own.

    Without a server the template is taken for what the declared branch has. ``build`` makes the template of an own Workflow.
    """
    site, parameters = ready.declared.site, ready.parameters
    check_parameters(parameters)
    dag = dag_hash(ready.tasks)
    if server is None:
        trusted = ready.declared
        stages = profile_stages(trusted.project, trusted.pipeline, site.profile)
        known: str | None = dag_hash(build_tasks(trusted.pipeline.declaration, build_graph(stages)))
        say(f"canon: no Argo Server is named: the template in the cluster is taken for that of {ready.declared.branch}")
    else:
        template = server.template(site.namespace, site.name)
        known = dag_of_template(template) if template else None
    if known == dag:
        return Submission(build_reference(site, parameters, ready.description), False, site, ready.commit, ready.tasks)
    why = (
        f"the template {site.name} in {site.namespace} has other stages"
        if known
        else f"{site.namespace} has no template {site.name} of Canon's"
    )
    say(f"canon: {why}: the workflow brings its own")
    manifest = build_own(site, (build or partial(build_own_template, ready))(), parameters, ready.description)
    return Submission(manifest, True, site, ready.commit, ready.tasks)


def build_own_template(ready: Prepared) -> Mapping[str, Any]:
    """What the commit's own template would be, in the site and with the settings of the declared branch. Raises ProblemsError."""
    pipeline = own_pipeline(ready)
    return build_checked_template(pipeline, ready.declared.site, ready.tasks, partial(kept_manifests, ready.root))


def own_pipeline(ready: Prepared) -> Pipeline:
    """The commit's declaration with what the declared branch says of the workflow; its own are the stages and their pods. Raises ProblemsError."""
    trusted = ready.declared.pipeline
    declaration = ready.pipeline.declaration.model_copy(
        update={"workflow": trusted.declaration.workflow, "triggers": trusted.declaration.triggers}
    )
    pipeline = replace(ready.pipeline, declaration=declaration)
    project = replace(ready.project, settings=ready.declared.project.settings, pipelines=(pipeline,))
    others = {each.name: declared_stages(ready.project, each) for each in ready.project.pipelines}
    problems = [
        *pod_problems(project, {pipeline.name: others[pipeline.name]}),
        *declaration_problems(project, pipeline),
        *foreign_problems(pipeline, others),
        *granted_problems(pipeline, trusted, ready.declared.branch),
    ]
    if problems:
        raise ProblemsError(pipeline.placed(problems))
    return pipeline


def _commit(project: Project, order: Order, say: Say) -> str:
    """The commit that is meant. Raises CanonError for a workspace that is none."""
    if order.rev is not None:
        return resolve_revision(project.root, order.rev)
    commit = head_commit(project.root)
    if commit is None:
        raise CanonError(f"{project.root} has no commit yet; commit, and push")
    changed = changed_files(project.root)
    if changed and not order.allow_dirty:
        raise CanonError(
            f"these files are not as {commit[:12]} has them, and would be left out: {listed(changed)}; commit and push them, or submit "
            "without them by --allow-dirty"
        )
    if changed:
        say(f"canon: {commit[:12]} is submitted; left out is what is not committed: {listed(changed, MOST_LISTED)}")
    return commit


def _declared(origin: Origin, project: Project, name: str, profile: str, say: Say) -> Declared:
    """What the declared branch says. Raises CanonError where it does not say enough, ProblemsError."""
    git = project.settings.git
    assert git is not None  # noqa: S101  looked at before
    branch = origin.declared_branch(git.branch)
    if branch != git.branch:
        say(
            f"canon: here `git.branch` is {git.branch}, on {origin.default} of {origin.name} it is {branch}: that one is believed"
        )
    where = f"{branch} of {origin.name}"
    root = origin.checkout(origin.head(branch), "declared")
    try:
        trusted = load_project(root)
        pipeline = trusted.pipeline(name)
        problems = trusted.placed(settings_problems(trusted)) if clustered(trusted) else ()
        if problems:
            raise ProblemsError(problems)
    except CanonError as error:
        raise CanonError(
            f"{where}, which says where and for whom {name} runs, cannot be used; push what mends it there:\n{error}"
        ) from None
    if profile not in clustered(trusted):
        raise CanonError(f"{where} has no profile `{profile}` with a namespace; push it there first")
    if trusted.settings.git is None or trusted.settings.git.url != git.url:
        raise CanonError(f"{SETTINGS_FILE}: `git.url` is {origin.name} here, and another one on {where}; make them one")
    settings = trusted.settings.profiles[profile]
    site = build_site(trusted, pipeline, profile, load_remote(root, str(settings.remote)))
    return Declared(trusted, pipeline, site, branch, settings.argo)


def _check_branch(origin: Origin, declared: Declared, commit: str) -> None:
    """Raise CanonError for a commit that is not there, or on branches that may start nothing."""
    if origin.branches_with(commit, declared.site.branches):
        return
    others = origin.branches_with(commit)
    if not others:
        raise CanonError(
            f"{commit[:12]} is on no branch of {origin.name}, where the cluster looks for it; push it there"
        )
    profile = declared.site.profile
    raise CanonError(
        f"{commit[:12]} is on {listed(others)} of {origin.name}, and {profile} takes {', '.join(declared.site.branches)} alone, as "
        f"{declared.branch} says; push it to such a branch, or let {declared.branch} declare `triggers: {{push: {{{others[0]!r}: {profile}}}}}`"
    )


def _prepared(root: Path, declared: Declared, commit: str, folder: Path, order: Order) -> Prepared:
    """Do with the commit what `plan` will do: the profile, the params, the graph."""
    name = declared.pipeline.name
    project = load_project(folder)
    project.pipeline(name)
    apply(project, declared.site.profile)
    project = load_project(folder)
    pipeline = project.pipeline(name)
    values = settings_from_options(folder, pipeline, order.options)
    if values:
        apply_settings(folder, pipeline, pipeline_graph(project, pipeline), values)
        project = load_project(folder)
        pipeline = project.pipeline(name)
    graph = pipeline_graph(project, pipeline)
    tasks = build_tasks(pipeline.declaration, graph)
    return Prepared(root, declared, commit, project, pipeline, graph, tasks, values, order.fresh)
