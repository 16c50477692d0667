"""What is wrong with single stages: paths that leave the repository, code that is not declared, no way to run as a pod."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from canon.dvc.runcache import reasons_without_entry
from canon.model.errors import Problem, listed
from canon.model.names import check_names
from canon.model.paths import is_url, path_finding
from canon.model.project import Project
from canon.model.stage import Stage
from canon.output.files import stays_below


def _problem(
    stage: Stage, files: Mapping[str, str], path: str, message: str, remedy: str, severity: str = "error"
) -> Problem:
    # A generated stage's name is not in the declaration; a member of a matrix stands under its group.
    name = stage.name.partition("@")[0]
    return Problem(
        file=files.get(stage.file, stage.file),
        path=f"stages.{name}{path}",
        message=message,
        remedy=remedy,
        severity=severity,
    )


def path_problems(
    root: Path, stages: Iterable[Stage], files: Mapping[str, str], untracked: Collection[str] = ()
) -> Iterator[Problem]:
    """Yield deps, outs and params files that lie outside of the repository, by ``..``, absolute or through a link.

    In a dvc.yaml of ``untracked`` they are warnings, where DVC takes them: not an out that it would have to cache.
    """
    top = root.resolve()
    known: dict[str, bool] = {}
    for stage in stages:
        cached = {
            path for path, out in zip(stage.out_paths, stage.outs, strict=True) if out.cache
        }  # DVC would not save it
        for kind, paths in (
            ("deps", stage.dep_paths),
            ("outs", stage.out_paths),
            ("params", tuple(file for file, _ in stage.param_paths)),
        ):
            for path in paths:
                if is_url(path):
                    continue
                finding = path_finding(path)
                if finding:
                    legal = stage.file in untracked and path not in cached and not path_finding(path, outside=True)
                    yield _problem(stage, files, f".{kind}", *finding, "warning" if legal else "error")
                    continue
                # An out that is a link itself is replaced by the stage; what lies above it is not.
                followed = path if kind != "outs" or not (root / path).is_symlink() else posixpath.dirname(path)
                if followed not in known:
                    known[followed] = stays_below(top, root / followed)
                if not known[followed]:
                    yield _problem(
                        stage,
                        files,
                        f".{kind}",
                        f"`{path}` leaves the repository through a link, or links go in a circle",
                        "replace the link by what it points to",
                    )


def code_problems(
    root: Path, stages: Sequence[Stage], files: Mapping[str, str], generated: frozenset[str]
) -> Iterator[Problem]:
    """Yield modules of the repository that a stage's command imports and its deps do not hold; and what cannot be read.

    Stages that Canon generates are left out: they run Canon itself.
    """
    from canon.checks.imports import ImportScanner  # `render` needs no other of these checks

    scanner = ImportScanner(root)
    unread: dict[tuple[str, str], Problem] = {}
    for stage in stages:
        if stage.name in generated:
            continue
        scan = scanner.scan(stage.cmd, stage.folder)
        covered = set(stage.dep_paths) | {file for file, _ in stage.param_paths}
        missing = sorted(file for file in scan.files if not _covered(file, covered))
        if missing:
            named = listed(missing, 8)
            yield _problem(
                stage,
                files,
                ".deps",
                f"the command runs or imports {named}, which the stage does not list",
                "add it to `deps`: a change there must run the stage again",
            )
        for sentence in sorted(scan.unread):
            problem = _problem(stage, files, ".cmd", sentence, "", "note")
            unread.setdefault((problem.path, sentence), problem)
    yield from unread.values()


def _covered(file: str, deps: set[str]) -> bool:
    path = file
    while path:
        if path in deps:
            return True
        path = posixpath.dirname(path)
    return "." in deps


def is_clustered(project: Project) -> bool:
    """Tell whether a profile runs in a cluster."""
    return any(profile.namespace for profile in project.settings.profiles.values())


def pod_problems(project: Project, stages: Mapping[str, Sequence[Stage]]) -> Iterator[Problem]:
    """Yield stages that could not run as a pod: errors where a profile has a namespace, else warnings."""
    clustered = is_clustered(project)
    for pipeline in project.pipelines:
        files = {pipeline.declaration.dvc_file: pipeline.file}
        of_pipeline = stages.get(pipeline.name, ())
        read = {file for stage in of_pipeline for file, _ in stage.param_paths}
        made = _made(read, {path for stage in of_pipeline for path in stage.out_paths})
        for stage in of_pipeline:
            for reason in (*reasons_without_entry(stage), *_made_params(stage, made)):
                yield _problem(
                    stage, files, "", f"cannot run as a pod: {reason}", "", "error" if clustered else "warning"
                )
        for problem in check_names(tuple(stage.name for stage in of_pipeline)):
            yield Problem(
                file=pipeline.file, path=problem.path.partition("@")[0], message=problem.message, remedy=problem.remedy
            )


def _made(files: Collection[str], outs: Collection[str]) -> frozenset[str]:
    """Those of the files that are outs, or lie in one."""
    return frozenset(
        file for file in files if any(str(each) in outs for each in (PurePosixPath(file), *PurePosixPath(file).parents))
    )


def _made_params(stage: Stage, made: Collection[str]) -> Iterator[str]:
    """Values of params are taken from the commit: a stage that is planned before anything runs cannot know others."""
    for file, _ in stage.param_paths:
        if file in made:
            yield f"its params file `{file}` is made by a stage; make it a dep, and let the command read it"
