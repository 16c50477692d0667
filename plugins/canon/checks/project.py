"""Everything that can be wrong with a project, found without running anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from canon.adapters import render_project
from canon.argo.sizes import size_problems
from canon.checks.inputs import input_problems, overlay_problems, pin_problems
from canon.checks.stages import code_problems, is_clustered, path_problems, pod_problems
from canon.dvc.ignore import IgnoreRules
from canon.dvc.refusals import refusals
from canon.dvc.render import declared_in, resolve_pipeline, untracked_in
from canon.git import check_repository, head_commit, is_ignored, tracked_files
from canon.model.declaration import TRACK, data_stage
from canon.model.errors import CanonError, Problem, ProblemsError
from canon.model.project import PIPELINES, Project, load_project
from canon.model.release import release_path
from canon.model.releasing import releasing_problems
from canon.model.root import SETTINGS_FILE
from canon.model.stage import Stage
from canon.output.files import MARK, changed_files, foreign_files, load_text

FOLDERS = ("workflow", "applications", "environments", "platform")
"""What is generated below `argo/<name>/`."""


def check_project(root: Path) -> tuple[Problem, ...]:
    """Return what is wrong or worth knowing, errors first. Raises nothing for what the user can mend."""
    try:
        project = load_project(root)
        with contextlib.suppress(OSError), (root / ".gitignore").open("rb"):
            pass  # git waits for a pipe of that name
    except ProblemsError as error:
        return error.problems
    except CanonError as error:
        return (Problem(file=SETTINGS_FILE, message=str(error)),)
    found = [*_repository_problems(root)]
    in_git = not any(problem.severity == "error" and problem.file == ".git" for problem in found)
    resolved: dict[str, list[Stage]] = {}
    for pipeline in project.pipelines:
        try:
            _, resolved[pipeline.name] = resolve_pipeline(project, pipeline)
        except CanonError as error:
            found += (
                error.problems
                if isinstance(error, ProblemsError)
                else [Problem(file=pipeline.file, message=str(error))]
            )
    with_track = [stage for of_pipeline in resolved.values() for stage in of_pipeline]
    stages = {name: [stage for stage in of_pipeline if stage.name != TRACK] for name, of_pipeline in resolved.items()}
    everything = [stage for of_pipeline in stages.values() for stage in of_pipeline]
    files, untracked = declared_in(project), untracked_in(project)
    checks: list[Callable[[], Iterator[Problem] | tuple[Problem, ...]]] = [
        lambda: refusals(root, with_track, files, untracked),
        lambda: path_problems(root, everything, files, () if is_clustered(project) else untracked),
        lambda: _stale_problems(project) if in_git and len(resolved) == len(project.pipelines) else (),
        lambda: pin_problems(project),
        lambda: overlay_problems(project),
        lambda: _image_problems(project),
        lambda: code_problems(root, everything, files, _generated(project)),
        lambda: input_problems(project, everything, files, in_git=in_git),
        lambda: pod_problems(project, stages),
        lambda: (each for pipeline in project.pipelines for each in releasing_problems(pipeline, project.settings)),
    ]
    for each in checks:
        try:
            found += each()
        except ProblemsError as error:
            found += error.problems
        except CanonError as error:
            found.append(Problem(file=SETTINGS_FILE, message=str(error)))
    return _sorted(project.placed(found))


def _generated(project: Project) -> frozenset[str]:
    return frozenset(
        {TRACK, *(data_stage(dataset) for pipeline in project.pipelines for dataset in pipeline.declaration.data)}
    )


def _sorted(found: Iterable[Problem]) -> tuple[Problem, ...]:
    ranks = {"error": 0, "warning": 1, "note": 2}
    return tuple(
        sorted(dict.fromkeys(found), key=lambda problem: (ranks[problem.severity], problem.file, problem.line))
    )


def _repository_problems(root: Path) -> Iterator[Problem]:
    try:
        check_repository(root)
    except CanonError as error:
        yield Problem(file=".git", message=str(error))
        return
    if head_commit(root) is None:
        yield Problem(
            file=".git", message="there is no commit yet: rows in MLflow name none", remedy="commit", severity="warning"
        )
    if not (root / ".dvc").is_dir():
        yield Problem(
            file=".dvc", message="this is no DVC repository", remedy="run `dvc init`, and commit what it makes"
        )
    for path in ("mlflow.db", "mlartifacts/x"):
        if not is_ignored(root, path):
            yield Problem(
                file=".gitignore", message=f"{path.removesuffix('/x')} is not ignored: MLflow's local store would be committed",
                remedy=f"add the line `{path.removesuffix('/x')}`", severity="warning",
            )  # fmt: skip


def _stale_problems(project: Project) -> Iterator[Problem]:
    rendered = render_project(project)
    foreign = foreign_files(project.root, rendered)
    for file in changed_files(project.root, rendered):
        missing = not (project.root / file.path).exists()
        if file.path in foreign:
            yield Problem(
                file=file.path,
                message="was not written by Canon, and a declaration generates a file of this name",
                remedy="move what it says into the declaration, then run `canon render --force`",
            )
        else:
            yield Problem(
                file=file.path,
                message="is not there" if missing else "is not what the declarations say: it is stale, or was edited",
                remedy="run `canon render`",
            )
    yield from size_problems(rendered)
    yield from _orphan_problems(project, {file.path for file in rendered})


def _orphan_problems(project: Project, rendered: Collection[str]) -> Iterator[Problem]:
    """Generated files that no declaration makes any more: DVC and Argo would go on running them."""
    rules = IgnoreRules(project.root)
    patterns = (
        "dvc.yaml",
        "*/dvc.yaml",
        f"{PIPELINES}/*.environment.yaml",
        *(f"argo/*/{folder}/*" for folder in FOLDERS),
    )
    yield from _release_problems(project)
    for pattern in patterns:
        for path in tracked_files(project.root, pattern):
            there = path not in rendered and (project.root / path).is_file() and not rules.is_ignored(path)
            if there and (load_text(project.root / path, path) or "").startswith(MARK):
                yield Problem(
                    file=path, message="is generated, but no declaration makes it any more", remedy="remove it"
                )


def _release_problems(project: Project) -> Iterator[Problem]:
    """Releases of environments that nothing declares any more: nothing follows from them."""
    known = {release_path(each.name, name) for each in project.pipelines for name in each.declaration.deploy}
    for path in tracked_files(project.root, "argo/*/releases/*.yaml"):
        if path not in known and (project.root / path).is_file():
            yield Problem(
                file=path,
                message="is the release of an environment that no declaration has any more",
                remedy="remove it (Git keeps what was released), or declare the environment",
            )


def _image_problems(project: Project) -> Iterator[Problem]:
    for pipeline in project.pipelines:
        environment = pipeline.declaration.environment
        if environment and environment.image and "@sha256:" not in environment.image:
            yield Problem(
                file=pipeline.file, path="environment.image", message=f"`{environment.image}` is a tag, which may mean another image tomorrow",
                remedy="pin it by digest: IMAGE@sha256:…",
            )  # fmt: skip
        if environment and environment.requirements and not (project.root / environment.requirements).is_file():
            yield Problem(
                file=pipeline.file, path="environment.requirements", message=f"there is no {environment.requirements}",
                remedy="write the lock file (for example `uv pip compile`), or name the right one",
            )  # fmt: skip
    tools = project.settings.tools_image
    if tools and "@sha256:" not in tools:
        yield Problem(
            file=SETTINGS_FILE,
            path="tool.canon.tools_image",
            message=f"`{tools}` is a tag",
            remedy="pin it by digest: IMAGE@sha256:…",
        )
