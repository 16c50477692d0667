"""What is wrong with inputs: pins that are missing or old, deps that are not there, files that Git does not hold."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from canon.dvc.ignore import IgnoreRules
from canon.git import tracked_paths, untracked_paths
from canon.model.errors import CanonError, Problem, ProblemsError, listed
from canon.model.paths import is_url, leaves_repository
from canon.model.pins import ProfilePins, has_credentials
from canon.model.project import Pipeline, Project
from canon.model.stage import Stage
from canon.workspaces.profiles import applied_profile, check_overlay

MAX_HASHED = 64 * 1024 * 1024
"""Local sources of at most this many bytes are hashed by a check; of larger ones only the size is compared."""


def pin_problems(project: Project) -> Iterator[Problem]:
    """Yield datasets that are not pinned, whose source was declared anew since, or whose local source has changed."""
    current = applied_profile(project)
    for pipeline in project.pipelines:
        for dataset, data in pipeline.declaration.data.items():
            for profile, uri in data.from_.items():
                yield from _pin_problems(project, pipeline, dataset, profile, uri, current)


def _pin_problems(
    project: Project, pipeline: Pipeline, dataset: str, profile: str, uri: str, current: str
) -> Iterator[Problem]:
    pins: ProfilePins = pipeline.pins if profile == current else pipeline.pins.profiles.get(profile, ProfilePins())
    pin, source = pins.datasets.get(dataset), pins.sources.get(dataset)
    again = f"run `canon data pin {pipeline.name}/{dataset}{'' if profile == current else f' --profile {profile}'}`, and commit"
    path = f"data.{dataset}.from.{profile}"
    if has_credentials(uri):
        yield Problem(
            file=pipeline.file,
            path=path,
            message="the URI carries credentials",
            remedy="take them out, and change them: they are in Git",
        )
        return
    if pin is None or source is None:
        yield Problem(file=pipeline.file, path=path, message=f"is not pinned in {pipeline.pins_file}", remedy=again)
    elif source.uri != uri:
        yield Problem(
            file=pipeline.file,
            path=path,
            message=f"{pipeline.pins_file} holds a pin of another source, {source.uri}",
            remedy=again,
        )
    elif not is_url(uri):
        yield from _local_problems(project.root, pipeline, path, uri, again, pin.size, pin.sha256)


def overlay_problems(project: Project) -> Iterator[Problem]:
    """Yield overlays of profiles that are not there, or that fit no params file."""
    for pipeline in project.pipelines:
        for profile, overlay in pipeline.declaration.params.items():
            try:
                check_overlay(project.root, pipeline, overlay)
            except ProblemsError as error:
                yield from error.problems
            except CanonError as error:
                yield Problem(file=pipeline.file, path=f"params.{profile}", message=str(error))


def _local_problems(
    root: Path, pipeline: Pipeline, path: str, uri: str, again: str, size: int, sha256: str
) -> Iterator[Problem]:
    from canon.data.pin import pin_source

    source = root / uri
    if not source.exists():
        yield Problem(
            file=pipeline.file,
            path=path,
            message=f"there is no {uri}",
            remedy="bring it back, or declare another source",
        )
        return
    found = (
        sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
        if source.is_dir()
        else source.stat().st_size
    )
    if found != size or (size <= MAX_HASHED and pin_source(uri, root=root)[0].sha256 != sha256):
        yield Problem(file=pipeline.file, path=path, message=f"{uri} changed since it was pinned", remedy=again)


def input_problems(
    project: Project, stages: Sequence[Stage], files: Mapping[str, str], *, in_git: bool
) -> Iterator[Problem]:
    """Yield deps that nothing makes and that are not there, and files under a dep that Git does not hold but DVC hashes."""
    root = project.root
    made = {path for stage in stages for path in stage.out_paths}
    own = {path for pipeline in project.pipelines for path in (pipeline.pins_file, pipeline.environment_file)}
    deps: dict[str, Stage] = {}
    for stage in stages:
        for path in (*stage.dep_paths, *(file for file, _ in stage.param_paths)):
            if not is_url(path) and path not in own:
                deps.setdefault(path, stage)
    brought = _dvc_files(root)
    sources = {uri for pipeline in project.pipelines for data in pipeline.declaration.data.values() for uri in data.from_.values()}  # fmt: skip
    for path, stage in deps.items():
        if path in sources:  # `pin_problems` says whether it is there
            continue
        if not _is_made(path, made) and not _is_made(path, brought) and not (root / path).exists():
            yield Problem(
                file=files.get(stage.file, stage.file), path=f"stages.{stage.name.partition('@')[0]}.deps",
                message=f"`{path}` is not there, and no stage makes it", remedy="write it, or name the stage's real input",
            )  # fmt: skip
    if in_git:
        yield from _untracked_problems(root, deps, files, made | brought)


def _dvc_files(root: Path) -> set[str]:
    from canon.results.collect import dvc_inputs

    return {path for path, _ in dvc_inputs(root)}


def _is_made(path: str, made: set[str]) -> bool:
    if path in made or not made.isdisjoint(_parents(path)):
        return True
    return any(out.startswith(f"{path}/") for out in made)


def _untracked_problems(
    root: Path, deps: Mapping[str, Stage], files: Mapping[str, str], made: set[str]
) -> Iterator[Problem]:
    folders = [path for path in deps if (root / path).is_dir() and not _is_made(path, made)]
    single = [
        path for path in deps if (root / path).is_file() and not _is_made(path, made) and not leaves_repository(path)
    ]
    if not folders and not single:
        return
    tracked = tracked_paths(root)
    held = {parent for path in tracked for parent in _parents(path)}
    rules = IgnoreRules(root)
    seen: set[str] = set()
    for path in untracked_paths(root, [*(folder for folder in folders if folder in held)]):
        if path in seen or _is_made(path, made) or rules.is_ignored(path):
            continue
        seen.add(path)
    by_folder: dict[str, list[str]] = {}
    for path in sorted(seen):
        folder = next((parent for parent in _parents(path) if parent in deps), path)
        by_folder.setdefault(folder, []).append(path)
    for folder, paths in by_folder.items():
        stage = deps[folder]
        named = listed(paths)
        yield Problem(
            file=files.get(stage.file, stage.file), path=f"stages.{stage.name.partition('@')[0]}.deps",
            message=f"under the dep `{folder}` lie files that Git does not hold, but DVC hashes: {named}",
            remedy="commit them, or list them in .dvcignore (as `__pycache__`): other machines get other hashes",
        )  # fmt: skip
    for path in single:
        if path not in tracked and not rules.is_ignored(path):
            stage = deps[path]
            yield Problem(
                file=files.get(stage.file, stage.file), path=f"stages.{stage.name.partition('@')[0]}.deps",
                message=f"Git does not hold the dep `{path}`", remedy="commit it, let DVC track it (`dvc add`), or declare it under `data:`",
                severity="warning",
            )  # fmt: skip


def _parents(path: str) -> Iterator[str]:
    folder = posixpath.dirname(path)
    while folder and folder != "/":
        yield folder
        folder = posixpath.dirname(folder)
