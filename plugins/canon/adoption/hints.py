"""What of an adopted project could not run in a cluster as it is, with the remedy: to know, not to mend now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from canon.checks.stages import path_problems, pod_problems
from canon.dvc.render import declared_in, resolve_pipeline, untracked_in
from canon.git import ignored_paths, is_checkout, try_git
from canon.model.errors import Problem
from canon.model.project import Project
from canon.model.stage import Stage


def adoption_hints(project: Project, names: Sequence[str]) -> tuple[Problem, ...]:
    """What `canon check` would say of these pipelines in a cluster, and declarations that Git ignores."""
    stages: dict[str, list[Stage]] = {
        pipeline.name: resolve_pipeline(project, pipeline)[1]
        for pipeline in project.pipelines
        if pipeline.name in names
    }
    files = {pipeline.file for pipeline in project.pipelines if pipeline.name in names}
    of_all = [stage for of_pipeline in stages.values() for stage in of_pipeline]
    found = [
        *pod_problems(project, stages),
        *path_problems(project.root, of_all, declared_in(project), untracked_in(project)),
    ]
    of_files = [problem for problem in found if problem.file in files]
    return tuple(dict.fromkeys(project.placed([*of_files, *_of_git(project, files)])))


def _of_git(project: Project, files: set[str]) -> Iterator[Problem]:
    if not is_checkout(project.root):
        return
    top = try_git(project.root, "rev-parse", "--show-toplevel")
    if top is not None and Path(top).resolve() != project.root.resolve():
        message = f"the project is a part of the Git repository {top}: `canon render` works here, as DVC does; `canon check`, `canon log` and the cluster want it at the top"
        yield Problem(
            file=".git", message=message, remedy="move it there, or into a repository of its own, when you want them"
        )
    for file in sorted(ignored_paths(project.root, files)):
        yield Problem(file=file, message="Git ignores it", remedy="take the pattern out of .gitignore, and commit it")
