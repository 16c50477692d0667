"""`canon log`: results are logged again where their rows are missing, and rows are given their commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from canon.dvc.lockfile import load_lockfile
from canon.dvc.objects import cache_folder
from canon.dvc.track_stage import result_path
from canon.git import (
    clean_urls,
    commit_source_tree,
    commit_text,
    head_commit,
    remote_url,
)
from canon.mlflow.record import RunRecord
from canon.model.declaration import TRACK
from canon.model.errors import CanonError, DataMissingError, listed
from canon.model.pins import Pins, load_pins
from canon.model.project import Pipeline, Project, load_declaration, pins_file_of
from canon.model.result import Result, result_from_text
from canon.model.root import SETTINGS_FILE
from canon.results.changes import changed_inputs
from canon.results.collect import collect_result
from canon.results.locks import Lock, check_newest, declared_stages, load_lock, load_result_of_lock, lock_path
from canon.results.revisions import commits_since, experiment_of
from canon.results.rows import record_of, tell_left_out
from canon.results.track import Say, Tracked, log_result, origin_of, send, tracking_store
from canon.source_state import SourceState
from canon.workspaces.profiles import applied_profile


def log_workspace(
    project: Project, pipelines: Iterable[Pipeline], say: Say, *, skip_unfinished: bool = False
) -> Iterator[Tracked]:
    """Log what dvc.lock holds now, where its row is missing.

    ``skip_unfinished``: pipelines that have no result, or whose result is not on this machine, are named only.
    """
    cache = cache_folder(project.root)
    for pipeline in pipelines:
        if skip_unfinished and not _has_result(project.root, pipeline):
            say(f"canon: {pipeline.name} has no result yet")
            continue
        try:
            tracked = _log_here(project, pipeline, cache, say)
        except DataMissingError as error:
            if not skip_unfinished:
                raise
            say(f"canon: {pipeline.name} is not logged: {error}")
        else:
            if tracked is not None:
                yield tracked


def _log_here(project: Project, pipeline: Pipeline, cache: Path, say: Say) -> Tracked | None:
    lock = load_lock(project.root, pipeline)
    result = workspace_result(project, pipeline, lock, cache)
    changed = changed_inputs(project.root, declared_stages(project, pipeline), result.entries)
    if not changed:
        return log_result(project, pipeline, result, lock, cache, say)
    # The code at hand did not make this result: its row must not carry this code's patch.
    commit = head_commit(project.root)
    what = f"{pipeline.name}: {listed(changed)} changed since its result was made"
    if commit is not None and commit_text(project.root, commit, lock.path) == lock.text:
        say(f"canon: {what}; logging it as the result of {commit[:12]}, whose {lock.path} has it")
        return next(log_revision(project, commit, say, [pipeline.name]))
    say(f"canon: {what}: not logged; run `dvc repro`")
    return None


def _has_result(root: Path, pipeline: Pipeline) -> bool:
    return (root / lock_path(pipeline)).exists() and (
        not pipeline.declaration.track or TRACK in load_lock(root, pipeline).entries
    )


def workspace_result(project: Project, pipeline: Pipeline, lock: Lock, cache: Path) -> Result:
    """The result that dvc.lock and the workspace hold. Raises CanonError when not every stage has run, or one ran since `track`."""
    if not pipeline.declaration.track:
        return collect_result(project, pipeline, cache)
    content, _ = load_result_of_lock(pipeline, lock, cache, project.root)
    result = result_from_text(content, result_path(pipeline.name))
    check_newest(pipeline, lock, result)
    return result


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit's declared state, read without a checkout."""

    commit: str
    project: Project
    locks: Mapping[str, Lock]


def load_revision(project: Project, commit: str) -> Revision:
    """Read the project of a commit. The settings at hand stay: where to log is decided here and now."""
    root = project.root
    settings_text = commit_text(root, commit, SETTINGS_FILE)
    if settings_text is None or "tool.canon" not in settings_text:
        raise CanonError(f"the commit {commit[:12]} has no {SETTINGS_FILE} with [tool.canon]")
    pipelines: list[Pipeline] = []
    locks: dict[str, Lock] = {}
    for pipeline in project.pipelines:
        text = commit_text(root, commit, pipeline.file)
        if text is None:
            continue
        declaration, raw = load_declaration(text, pipeline.file, project.settings)
        pins_text = commit_text(root, commit, pins_file_of(declaration.name))
        then = Pipeline(
            file=pipeline.file,
            declaration=declaration,
            raw=raw,
            pins=Pins() if pins_text is None else load_pins(pins_text, pipeline.pins_file),
        )
        pipelines.append(then)
        path = lock_path(then)
        lock_text = commit_text(root, commit, path)
        if lock_text is not None:
            locks[then.name] = Lock(path=path, text=lock_text, entries=load_lockfile(lock_text, path))
    return Revision(commit=commit, project=replace(project, pipelines=tuple(pipelines)), locks=locks)


def log_revision(project: Project, commit: str, say: Say, names: Iterable[str] = ()) -> Iterator[Tracked]:
    """Log the results of a commit where their rows are missing; data that is not here is fetched by DVC.

    Raises DataMissingError where that fails for a pipeline that was named, or for all; of others it is said only.
    """
    revision = load_revision(project, commit)
    cache = cache_folder(project.root)
    wanted = set(names)
    found = [
        (pipeline, lock)
        for pipeline in revision.project.pipelines
        if (not wanted or pipeline.name in wanted)
        and (lock := revision.locks.get(pipeline.name)) is not None
        and TRACK in lock.entries
    ]
    if not found:
        raise CanonError(f"the commit {commit[:12]} holds no result: no dvc.lock there has a stage `{TRACK}`")
    missing: list[DataMissingError] = []
    for pipeline, lock in found:
        try:
            yield _log_then(revision, pipeline, lock, cache, say)
        except DataMissingError as error:  # the others are logged all the same
            missing.append(error)
            say(f"canon: {pipeline.name} of {commit[:12]} is not logged: {error}")
    if missing and (wanted or len(missing) == len(found)):
        raise missing[0]


def _log_then(revision: Revision, pipeline: Pipeline, lock: Lock, cache: Path, say: Say) -> Tracked:
    project, commit = revision.project, revision.commit
    state = SourceState(
        commit=commit,
        branch=None,
        url=remote_url(project.root),
        tree=commit_source_tree(project.root, commit),
        dirty=False,
        patch=b"",
    )
    name, baseline = experiment_of(project.root, commit)
    origin = replace(origin_of(state, project.settings.default_profile, {}), experiment=name, baseline=baseline)

    def record() -> tuple[RunRecord, Result]:
        content, _ = load_result_of_lock(pipeline, lock, cache, None)
        result = result_from_text(content, f"{result_path(pipeline.name)} of {commit[:12]}")
        built = record_of(
            project,
            pipeline,
            result,
            replace(origin, profile=pipeline.pins.profile or project.settings.default_profile),
            lock,
            cache,
            None,
        )
        return built, result

    try:
        built, result = record()
    except DataMissingError:
        say(f"canon: fetching what {pipeline.name} of {commit[:12]} left in the remote")
        fetch_data(project.root, commit)
        built, result = record()
    tell_left_out(pipeline, result, say)
    return send(project, built.tags.get("canon.profile", project.settings.default_profile), built, say)


def fetch_data(root: Path, commit: str | None = None, remote: str | None = None, targets: Iterable[str] = ()) -> None:
    """Let DVC bring the data of a commit, or of the workspace, into its cache. Raises DataMissingError with DVC's own words."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            repo.fetch(targets=list(targets) or None, revs=[commit] if commit else None, remote=remote)
    except DvcException as error:
        of = commit[:12] if commit else "this checkout"
        raise DataMissingError(
            f"DVC cannot fetch the data of {of}: {clean_urls(str(error))}; is a remote configured, and were they pushed?"
        ) from None


def settle(project: Project, say: Say) -> int:
    """Give dirty runs the commit that by now has their source tree; return how many got one."""
    from canon.mlflow.log import assign_commits

    uri, home = tracking_store(project, applied_profile(project))
    root = project.root
    if head_commit(root) is None:
        return 0
    trees: dict[str, str] = {}

    def commit_of_tree(tree: str, base: str | None) -> str | None:
        for commit in commits_since(root, base):
            if commit not in trees:
                trees[commit] = commit_source_tree(root, commit)
            if trees[commit] == tree:
                return commit
        return None

    count = 0
    for pipeline in project.pipelines:
        count += assign_commits(uri, home, pipeline.name, commit_of_tree)
    if count:
        say(f"canon: {count} {'row names its' if count == 1 else 'rows name their'} commit now")
    return count
