"""Workspaces of their own: made from a checkout, and their results kept in Git as DVC experiments."""

from __future__ import annotations

import posixpath
from pathlib import Path

from canon.dvc.experiments import Experiment, save_experiment
from canon.dvc.objects import cache_folder
from canon.dvc.track_stage import result_path
from canon.dvc.worktrees import new_worktree
from canon.git import check_repository, untracked_files
from canon.model.errors import CanonError
from canon.model.project import Pipeline, Project, load_project
from canon.results.locks import declared_stages, load_lock, lock_path
from canon.results.log import workspace_result
from canon.source_state import changed_files
from canon.workspaces.profiles import Applied, applied_profile, apply, params_files


def add_workspace(project: Project, target: Path, profile: str) -> tuple[Applied, tuple[str, ...]]:
    """Make ``target`` a workspace with a profile; return what that changed there, and what is changed here and not in it.

    What is committed counts: declarations, pins and overlays of HEAD. Raises CanonError, and leaves nothing behind then.
    """
    check_repository(project.root)
    with new_worktree(project.root, target, project.settings.profiles[profile].remote):
        applied = apply(load_project(target), profile)
    return applied, tuple(changed_files(project.root))


def save_workspace(
    project: Project, pipeline: str | None, name: str | None, *, force: bool, dry_run: bool
) -> tuple[Experiment, tuple[str, ...]]:
    """Save the workspace as a DVC experiment named by a pipeline's result; return it and the files it leaves out."""
    check_repository(project.root)
    root = project.root
    chosen = _chosen(project, pipeline)
    result = workspace_result(project, chosen, load_lock(root, chosen), cache_folder(root))
    profile = applied_profile(project)
    generated: list[str] = []
    for each in project.pipelines:
        generated += [lock_path(each), each.declaration.dvc_file, each.pins_file, *params_files(each)]
        for stage in declared_stages(project, each):
            for out, path in zip(stage.outs, stage.out_paths, strict=True):
                generated.append(posixpath.join(posixpath.dirname(path), ".gitignore"))
                if not out.cache:
                    generated.append(path)
        generated.append(posixpath.join(posixpath.dirname(result_path(each.name)), ".gitignore"))
    saved = save_experiment(
        root,
        name if name is not None else f"{chosen.name}-{profile}-{result.digest[:8]}",
        result=result.digest,
        generated=generated,
        force=force,
        dry_run=dry_run,
    )
    return saved, tuple(path for path in untracked_files(root, ["."]) if path not in set(generated))


def _chosen(project: Project, pipeline: str | None) -> Pipeline:
    if pipeline is not None:
        return project.pipeline(pipeline)
    with_result = [
        each for each in project.pipelines if each.declaration.track and (project.root / lock_path(each)).exists()
    ]
    if len(with_result) == 1:
        return with_result[0]
    names = ", ".join(each.name for each in with_result)
    raise CanonError(
        f"which pipeline's result is it? give one of: {names}"
        if names
        else "no pipeline has a result yet; run `dvc repro`"
    )
