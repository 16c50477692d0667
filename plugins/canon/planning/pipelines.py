"""`canon plan`: a pipeline of a workspace or of a commit, looked up in the remote of a profile."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canon.git import head_commit, run_git, try_git
from canon.model.declaration import TRACK
from canon.model.errors import CanonError
from canon.model.graph import Graph, build_graph
from canon.model.project import Pipeline, Project, load_project
from canon.model.tasks import Task, build_tasks
from canon.planning.lookup import Belief, Lookup
from canon.planning.plan import Planned, plan_graph
from canon.remotes.opening import Remote
from canon.results.locks import declared_stages, load_lock
from canon.workspaces.profiles import applied_profile, apply, check_profile


@dataclass(frozen=True, slots=True)
class Plan:
    """What a workflow of a pipeline would do. ``stages``: key → what becomes of it, parents first; ``commit`` is None for a workspace as it is."""

    pipeline: str
    profile: str
    commit: str | None
    graph: Graph
    stages: Mapping[str, Planned]
    tasks: tuple[Task, ...]

    @property
    def runs(self) -> dict[str, bool]:
        """Task → whether it runs: what `when` asks."""
        return {task.name: any(self.stages[key].hit is None for key in task.stages) for task in self.tasks}


def pipeline_graph(project: Project, pipeline: Pipeline) -> Graph:
    """The stages of a pipeline but `track`, and those of others that it reads from, however far. Raises ProblemsError."""
    graph = build_graph([stage for each in project.pipelines for stage in declared_stages(project, each)])
    own = {
        key
        for key, stage in graph.stages.items()
        if stage.file == pipeline.declaration.dvc_file and stage.name != TRACK
    }
    wanted, waiting = set(own), list(own)
    while waiting:
        for parent in graph.parents[waiting.pop()]:
            if parent not in wanted:
                wanted.add(parent)
                waiting.append(parent)
    return Graph(
        stages={key: stage for key, stage in graph.stages.items() if key in wanted},
        parents={key: parents for key, parents in graph.parents.items() if key in wanted},
    )


def plan_pipeline(
    project: Project, pipeline: Pipeline, profile: str, commit: str | None, remote: Remote, belief: Belief
) -> Plan:
    """Plan a pipeline of the project as it lies there, which has the profile. Raises CanonError, ProblemsError."""
    objects = remote.objects()
    graph = pipeline_graph(project, pipeline)
    lookup = Lookup(objects, belief, len(graph.stages), recorded_entries(project))
    stages = plan_graph(project.root, graph, objects, lookup)
    return Plan(pipeline.name, profile, commit, graph, stages, build_tasks(pipeline.declaration, graph))


def recorded_entries(project: Project) -> Iterator[Mapping[str, Any]]:
    """What the dvc.lock files at hand say of their stages; a broken one says nothing."""
    for pipeline in project.pipelines:
        with contextlib.suppress(CanonError):
            yield from load_lock(project.root, pipeline).entries.values()


@contextlib.contextmanager
def planned_project(project: Project, profile: str, commit: str | None) -> Iterator[tuple[Project, str | None]]:
    """The project to be planned, with its commit: the workspace where it has the profile and no commit is asked for, else a checkout beside it.

    Raises CanonError.
    """
    check_profile(project, profile)
    if commit is None and applied_profile(project) == profile:
        yield project, None
        return
    commit = commit or head_commit(project.root)
    if commit is None:
        raise CanonError(f"{project.root} has no commit yet that could be given the profile `{profile}`; commit first")
    with commit_checkout(project.root, commit) as root:
        other = load_project(root)
        apply(other, profile)
        yield load_project(root), commit


@contextlib.contextmanager
def commit_checkout(root: Path, commit: str) -> Iterator[Path]:
    """A commit's files in a folder of their own, which is gone afterwards. No hook runs. Raises CanonError."""
    with tempfile.TemporaryDirectory(prefix="canon-plan-") as scratch:
        folder = Path(scratch).resolve() / "checkout"
        run_git(root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", str(folder), commit)
        try:
            yield folder
        finally:
            try_git(root, "worktree", "remove", "--force", str(folder))
