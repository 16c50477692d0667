"""Tracking: the result of a pipeline is written, logged, logged again where it is missing, and given its commit."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from canon.dvc.lockfile import load_lockfile
from canon.dvc.objects import cache_folder
from canon.dvc.track_stage import definition_hash, result_path
from canon.git import (
    SourceState,
    clean_urls,
    commit_source_tree,
    commit_text,
    commits_since,
    head_commit,
    load_source_state,
    remote_url,
    store_root,
)
from canon.mlflow.record import Origin, RunRecord
from canon.model.declaration import TRACK
from canon.model.errors import CanonError, StoreUnavailableError
from canon.model.pins import Pins, load_pins
from canon.model.project import SETTINGS_FILE, Pipeline, Project, find_root, load_declaration, pins_file_of
from canon.model.result import Result, data_inputs, format_result, result_from_text
from canon.output.files import write_bytes
from canon.profiles import applied_profile
from canon.results import (
    Lock,
    check_newest,
    collect_pins,
    collect_result,
    declared_stages,
    load_lock,
    load_result_of_lock,
    lock_path,
    record_of,
)

SPOOL = ".dvc/tmp/canon/spool"
"""Where results wait for a tracking server that did not answer."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tracked:
    """What became of a result: its run, or None while it is spooled."""

    pipeline: str
    result: str
    run_id: str | None
    created: bool
    spooled: bool
    url: str | None
    metrics: Mapping[str, float]


def project_home(root: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The checkout that a workspace belongs to: DVC's temporary copies name it by DVC_ROOT, a worktree by Git.

    DVC_ROOT is believed only when the workspace lies inside it.
    """
    named = environ.get("DVC_ROOT")
    if named and root.resolve().is_relative_to(Path(named).resolve()):
        return store_root(Path(named).resolve())
    return store_root(root)


def tracking_store(project: Project, profile: str) -> tuple[str, Path]:
    """The tracking URI of a profile, and the folder that a local store lies in."""
    from canon.mlflow.store import tracking_uri

    home = project_home(project.root)
    declared = project.settings.profiles[profile].mlflow if profile in project.settings.profiles else None
    return tracking_uri(home, declared, os.environ), home


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in pods
        return ""


def origin_of(state: SourceState, profile: str, environ: Mapping[str, str] = os.environ) -> Origin:
    """Where and how a result was made, for MLflow."""
    return Origin(
        commit=state.commit,
        branch=state.branch,
        url=state.url,
        tree=state.tree,
        dirty=state.dirty,
        patch=state.patch,
        profile=profile,
        user=_user(),
        experiment=environ.get("DVC_EXP_NAME", ""),
        baseline=environ.get("DVC_EXP_BASELINE_REV", ""),
    )


def _made_paths(project: Project, pipeline: Pipeline) -> tuple[str, ...]:
    return (
        *(path for stage in declared_stages(project, pipeline) for path in stage.out_paths),
        result_path(pipeline.name),
    )


def check_definition(pipeline: Pipeline, definition: str) -> None:
    """Raise CanonError when dvc.yaml was rendered from another declaration than the one at hand."""
    if definition and definition != definition_hash(pipeline):
        raise CanonError(
            f"{pipeline.declaration.dvc_file} was rendered from another {pipeline.file} than the one here; run `canon render`, then `dvc repro`"
        )


def track_pipeline(project: Project, pipeline: Pipeline, say: Say) -> Tracked:
    """Write the result of what has just run, and log it. A store that does not answer fails nothing: it is spooled."""
    cache = cache_folder(project.root)
    result = collect_result(project, pipeline, cache)
    write_bytes(project.root / result_path(pipeline.name), format_result(result))
    return log_result(project, pipeline, result, load_lock(project.root, pipeline), cache, say)


def log_result(project: Project, pipeline: Pipeline, result: Result, lock: Lock, cache: Path, say: Say) -> Tracked:
    """Log the workspace's result with the state of its checkout; spool it where the store does not answer."""
    root = project.root
    profile = applied_profile(project)
    home = project_home(root)
    if (root / ".git").exists():
        state = load_source_state(root, _made_paths(project, pipeline), names_from=home)
    else:
        state = SourceState(
            commit=None,
            branch=None,
            url=None,
            tree=None,
            dirty=False,
            patch=b"",
            note="there is no Git repository here: the row names no commit",
        )
    if state.note:
        say(f"canon: {state.note}")
    if state.commit is None and not state.note:
        say("canon: there is no commit yet: the row gets one by `canon log`, once there is")
    record = record_of(project, pipeline, result, origin_of(state, profile), lock, cache, root)
    return send(project, profile, record, say)


def send(project: Project, profile: str, record: RunRecord, say: Say) -> Tracked:
    """Log a record, or spool it and say so."""
    from canon.mlflow.log import log_record
    from canon.mlflow.spool import spool_record

    uri, home = tracking_store(project, profile)
    try:
        logged = log_record(record, uri, home)
    except StoreUnavailableError as error:
        folder = home / SPOOL
        spool_record(record, folder)
        say(f"canon: {clean_urls(str(error))}")
        say(
            f"canon: the result {record.result[:8]} is kept in {folder}; it is sent by the next `canon log` or `canon track`"
        )
        return Tracked(
            record.experiment, record.result, None, created=False, spooled=True, url=None, metrics=record.metrics
        )
    return Tracked(
        record.experiment,
        record.result,
        logged.run_id,
        created=logged.created,
        spooled=False,
        url=logged.url,
        metrics=record.metrics,
    )


def send_spooled(project: Project, say: Say) -> int:
    """Send what an earlier command could not; return how many rows arrived."""
    from canon.mlflow.spool import send_spooled as send_all

    profile = applied_profile(project)
    folder = project_home(project.root) / SPOOL
    if not folder.is_dir():
        return 0
    uri, home = tracking_store(project, profile)
    report = send_all(folder, uri, home)
    for problem in report.problems:
        say(f"canon: {clean_urls(problem)}")
    if report.sent:
        say(f"canon: {report.sent} spooled {'result was' if report.sent == 1 else 'results were'} sent")
    return int(report.sent)


def log_workspace(
    project: Project, pipelines: Iterable[Pipeline], say: Say, *, skip_unfinished: bool = False
) -> Iterator[Tracked]:
    """Log what dvc.lock holds now, where its row is missing. ``skip_unfinished``: pipelines without a result are named only."""
    cache = cache_folder(project.root)
    for pipeline in pipelines:
        if skip_unfinished and not _has_result(project.root, pipeline):
            say(f"canon: {pipeline.name} has no result yet")
            continue
        lock = load_lock(project.root, pipeline)
        result = _workspace_result(project, pipeline, lock, cache)
        yield log_result(project, pipeline, result, lock, cache, say)


def _has_result(root: Path, pipeline: Pipeline) -> bool:
    return (root / lock_path(pipeline)).exists() and (
        not pipeline.declaration.track or TRACK in load_lock(root, pipeline).entries
    )


def _workspace_result(project: Project, pipeline: Pipeline, lock: Lock, cache: Path) -> Result:
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
    """Log the results of a commit where their rows are missing; data that is not here is fetched by DVC."""
    revision = load_revision(project, commit)
    cache = cache_folder(project.root)
    wanted = set(names)
    found = False
    for pipeline in revision.project.pipelines:
        lock = revision.locks.get(pipeline.name)
        if lock is None or TRACK not in lock.entries or (wanted and pipeline.name not in wanted):
            continue
        found = True
        yield _log_then(revision, pipeline, lock, cache, say)
    if not found:
        raise CanonError(f"the commit {commit[:12]} holds no result: no dvc.lock there has a stage `{TRACK}`")


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
    origin = origin_of(state, project.settings.default_profile, {})

    def record() -> RunRecord:
        content, _ = load_result_of_lock(pipeline, lock, cache, None)
        result = result_from_text(content, f"{result_path(pipeline.name)} of {commit[:12]}")
        return record_of(
            project,
            pipeline,
            result,
            replace(origin, profile=pipeline.pins.profile or project.settings.default_profile),
            lock,
            cache,
            None,
        )

    try:
        built = record()
    except CanonError:
        say(f"canon: fetching what {pipeline.name} of {commit[:12]} left in the remote")
        _fetch(project.root, commit)
        built = record()
    return send(project, built.tags.get("canon.profile", project.settings.default_profile), built, say)


def _fetch(root: Path, commit: str) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            repo.fetch(revs=[commit])
    except DvcException as error:
        raise CanonError(
            f"DVC cannot fetch the data of {commit[:12]}: {clean_urls(str(error))}; is a remote configured, and were they pushed?"
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


def context_tags(cwd: Path, stage: str | None) -> dict[str, str]:
    """Tags for a user's own fluent run: commit, and pipeline, stage and data hash where DVC runs a stage of one."""
    root = find_root(cwd)
    tags: dict[str, str] = {}
    commit = head_commit(root)
    if commit:
        tags["mlflow.source.git.commit"] = commit
    if not stage:
        return tags
    file, _, name = stage.rpartition(":")
    from canon.model.project import load_project

    project = load_project(root)
    for pipeline in project.pipelines:
        if posixpath.normpath(pipeline.declaration.dvc_file) == posixpath.normpath(file or "dvc.yaml"):
            from canon.model.pins import data_hash

            tags["canon.pipeline"] = pipeline.name
            tags["canon.stage"] = name
            tags["canon.data_hash"] = data_hash(
                data_inputs(collect_pins(project, pipeline, declared_stages(project, pipeline)))
            )
    return tags
