"""`canon track`: the result of what has just run is written and logged, or kept until its store takes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from canon.dvc.objects import cache_folder
from canon.dvc.track_stage import definition_hash, result_path
from canon.git import clean_urls, store_root
from canon.mlflow.record import Origin, RunRecord
from canon.model.errors import CanonError, StoreUnavailableError
from canon.model.project import Pipeline, Project
from canon.model.result import Result, format_result
from canon.output.files import write_bytes
from canon.results.collect import collect_result
from canon.results.left import is_ours
from canon.results.locks import Lock, declared_stages, load_lock
from canon.results.rows import record_of, tell_left_out
from canon.source_state import SourceState, load_source_state
from canon.workspaces.profiles import applied_profile

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


def own_checkout(root: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The checkout that a workspace is a temporary copy of (DVC names it by DVC_ROOT), else the workspace itself.

    DVC_ROOT is believed only when the workspace lies inside it.
    """
    named = environ.get("DVC_ROOT")
    return Path(named).resolve() if named and root.resolve().is_relative_to(Path(named).resolve()) else root


def project_home(root: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The checkout that holds a workspace's store: of a temporary copy and of a worktree, the main one."""
    return store_root(own_checkout(root, environ))


def tracking_store(project: Project, profile: str, environ: Mapping[str, str] = os.environ) -> tuple[str, Path]:
    """The tracking URI of a profile, and the folder that a local store lies in."""
    from canon.mlflow.store import tracking_uri

    home = project_home(project.root)
    declared = project.settings.profiles[profile].mlflow if profile in project.settings.profiles else None
    return tracking_uri(home, declared, environ), home


def is_meant(project: Project, uri: str) -> bool:
    """Tell whether the environment's credentials are meant for a store that an earlier command names, whose profile may be another one.

    They are for the store that rows go to now; where that is no server, for the only one that is declared.
    """
    from canon.mlflow.credentials import is_server
    from canon.mlflow.store import clean

    def address(text: str) -> str:
        return clean(text).rstrip("/")

    current, _ = tracking_store(project, applied_profile(project))
    if is_server(current) or address(uri) == address(current):
        return address(uri) == address(current)
    declared = [profile.mlflow for profile in project.settings.profiles.values() if profile.mlflow]
    return {address(each) for each in declared if is_server(each)} == {address(uri)}


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
    if (root / ".git").exists():
        state = load_source_state(root, _made_paths(project, pipeline), names_from=own_checkout(root))
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
    tell_left_out(pipeline, result, say)
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
            f"canon: the result {record.result[:8]} is kept in {folder}; the next `canon log --spooled` or `canon track` sends it"
        )
        return Tracked(
            record.experiment, record.result, None, created=False, spooled=True, url=None, metrics=record.metrics
        )
    if logged.named:
        say(f"canon: the row of {record.result[:8]} names its commit now")
    return Tracked(
        record.experiment,
        record.result,
        logged.run_id,
        created=logged.created,
        spooled=False,
        url=logged.url,
        metrics=record.metrics,
    )


def send_spooled(project: Project, say: Say) -> tuple[int, int]:
    """Send what an earlier command could not, each to its profile's store; return how many rows arrived, how many wait."""
    from canon.mlflow.spool import send_spooled as send_all

    home = project_home(project.root)
    if not is_ours(home, SPOOL, say):
        return 0, 0
    default = project.settings.default_profile

    def store_of(record: RunRecord) -> tuple[str, Path, bool]:
        uri, home = tracking_store(project, record.tags.get("canon.profile", default))
        return uri, home, is_meant(project, uri)

    report = send_all(home / SPOOL, store_of)
    for problem in report.problems:
        say(f"canon: {clean_urls(problem)}")
    if report.sent:
        say(f"canon: {report.sent} spooled {'result was' if report.sent == 1 else 'results were'} sent")
    return report.sent, report.left
