"""A session is one `canon run` of a pipeline: what users' own MLflow runs inside its stages are told, and that none is left open by it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.dvc.objects import cache_folder
from canon.git import clean_urls
from canon.mlflow.own_runs import FAILED, FINISHED, KILLED, TAG_SESSION, TAG_STAGE, OwnRun
from canon.mlflow.stage_store import make_store, may_use_mlflow, means_own_store, stage_addresses
from canon.mlflow.store import SQLITE, clean, sqlite_file, tracking_uri
from canon.model.errors import CanonError, StoreUnavailableError
from canon.model.project import Pipeline, Project
from canon.model.stage import Stage
from canon.results.context import data_tags, source_tags
from canon.results.locks import declared_stages, load_lock
from canon.results.log import workspace_result
from canon.results.session_files import SESSIONS, Kept, SessionFile, create_file, done_file
from canon.results.settling import SESSION_VARIABLE, entry_hashes, settle, settle_sessions
from canon.results.track import Say, tracking_store
from canon.workspaces.profiles import applied_profile

if TYPE_CHECKING:
    from canon.mlflow.watching import Watcher

__all__ = ["Session", "close_session", "open_session", "settle_sessions"]
CONTEXT = "MLFLOW_RUN_CONTEXT"
QUICK = 5.0
"""Seconds that a session lasts before anybody looks for open runs: MLflow takes a second of processor time to be imported."""
STATUS = {"done": FINISHED, "failed": FAILED, "stopped": KILLED}
"""How a run ends that a stage left open, by how the stage ended. One that passed says so by its exit code; what it left behind may log on."""


class Session:
    """An open session. `close_session` ends it."""

    def __init__(
        self,
        project: Project,
        pipeline: Pipeline,
        stages: Iterable[Stage],
        uri: str,
        home: Path,
        addresses: Mapping[str, str],
    ) -> None:
        self.id = uuid.uuid4().hex
        self.pipeline = pipeline
        self.uri, self.home = uri, home
        self.file: SessionFile | None = None
        self.addresses = addresses
        self.stages = tuple(stages)
        self.root = project.root
        self._made = {path for stage in self.stages for path in stage.out_paths}
        self._ours = _tags(project, pipeline)
        self._theirs = _context(os.environ.get(CONTEXT))
        self._opened = time.monotonic()
        self._watcher: Watcher | None = None
        self._watched = threading.Lock()
        self.watchable = False

    def environment(self, stage: str) -> Mapping[str, str]:
        """What a stage's command gets on top of the user's environment. ``stage``: as DVC addresses it.

        Tags that the user gives his runs by MLFLOW_RUN_CONTEXT go before ours; a text there that is no JSON object, MLflow says what it says of it.
        """
        name = _short(stage)
        found = {SESSION_VARIABLE: self.id}
        if self._theirs is not None:
            tags = {**self._ours, TAG_STAGE: name, **self._theirs, TAG_SESSION: self.id}
            found[CONTEXT] = json.dumps(tags, sort_keys=True)
        if name in self.addresses:
            found["MLFLOW_TRACKING_URI"] = self.addresses[name]
        return found

    def running(self) -> tuple[OwnRun, ...]:
        """The user's own runs that are open now, as far as it is known. Returns at once, and never raises for what a store does."""
        with self._watched:
            if not self.watchable or time.monotonic() - self._opened < QUICK:
                return ()
            try:
                if self._watcher is None:
                    self._watcher = self._start_watcher()
                return self._watcher.known() if self._watcher else ()
            except (OSError, ValueError, TypeError):
                self.watchable = False
                return ()

    def _start_watcher(self) -> Watcher | None:
        from canon.mlflow.watching import Watcher

        self.watchable = any(self.uses(stage) for stage in self.stages)
        return Watcher(self.uri, self.id, self.home) if self.watchable else None

    def uses(self, stage: Stage) -> bool:
        """Tell whether MLflow's name is in what a stage runs, or in the code and the requirements that it declares."""
        commands = [stage.cmd] if isinstance(stage.cmd, str) else stage.cmd
        return may_use_mlflow(self.root, commands, set(stage.dep_paths) - self._made)

    def stop(self) -> None:
        """Let nobody look any more."""
        with self._watched:
            self.watchable = False
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None

    def kept(self, stages: Mapping[str, str], other: str, result: str | None, entries: Mapping[str, str]) -> Kept:
        """What its file says."""
        return Kept(self.id, self.pipeline.name, clean(self.uri), stages, other, result, entries, os.getpid())


def open_session(project: Project, pipeline: Pipeline, say: Say = lambda _: None) -> Session:
    """Open the session of a pipeline, before the first of its commands runs. What cannot be had is said, and fails nothing."""
    uri, home = tracking_store(project, applied_profile(project))
    stages = declared_stages(project, pipeline)
    try:
        addresses = stage_addresses(uri, stages, project.root)
    except StoreUnavailableError as error:
        uri = tracking_uri(home, None, {})
        addresses = stage_addresses(uri, stages, project.root)
        say(f"canon: {clean_urls(str(error))}; MLflow runs inside stages go to {uri} this time")
    session = Session(project, pipeline, stages, uri, home, addresses)
    _make_stores(session, say)
    file = sqlite_file(uri)  # one that a stage is just making must not be opened by a second process
    session.watchable = file is None or file.exists()
    try:
        session.file = create_file(home / SESSIONS, session.kept({}, KILLED, None, {}))
    except CanonError as error:
        say(f"canon: {error}; should this be killed, MLflow runs of its stages stay open")
    return session


def _make_stores(session: Session, say: Say) -> None:
    """Make the SQLite stores that two stages may be the first to use: at the same moment both would fail."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    users: dict[Path, list[Stage]] = {}
    if not means_own_store(session.stages):
        for stage in session.stages:
            uri = (
                session.uri
                if given
                else session.addresses.get(stage.name, f"{SQLITE}{session.root / stage.folder}/mlflow.db")
            )
            file = sqlite_file(uri)
            if file is not None and not file.exists() and session.uses(stage):
                users.setdefault(file, []).append(stage)
    for file, stages in users.items():
        if len(stages) > 1:
            in_copy = file.parent == session.home
            try:
                make_store(file, session.home if in_copy else session.root / stages[0].folder)
            except StoreUnavailableError as error:
                say(f"canon: {error}")


def close_session(
    project: Project, session: Session, outcome: Mapping[str, str], say: Say, result: str | None = None
) -> None:
    """Close a session: end the runs that it left open, and make its runs the children of its result's row.

    ``outcome``: stage → `done`, `failed` or `stopped` (others ran nothing); ``result``: the hash of the result that was logged, where it was not
    logged by the stage `track`. Where the store does not answer that is said, and the next command does it. Fails for nothing.
    """
    session.stop()
    ended = {_short(stage): STATUS[how] for stage, how in outcome.items() if how in STATUS}
    passed = not {FAILED, KILLED} & set(ended.values())
    if not (passed and done_file(session.home / SESSIONS, session.id).exists()):
        other = KILLED if KILLED in ended.values() else FINISHED if passed else FAILED
        found, entries = _made(project, session.pipeline)
        kept = session.kept(ended, other, result or (found if passed else None), entries)
        if session.file is not None:
            with contextlib.suppress(CanonError):  # a full disk: it says KILLED of all
                session.file.replace(kept)
        if not settle(project, kept, say):
            return
    if session.file is not None:
        session.file.remove()


def _made(project: Project, pipeline: Pipeline) -> tuple[str | None, dict[str, str]]:
    """The result that the workspace holds now, where `track` wrote it, and the hashes of the entries in dvc.lock."""
    entries: dict[str, str] = {}
    try:
        lock = load_lock(project.root, pipeline)
        entries = entry_hashes(lock)
        if not pipeline.declaration.track:
            return None, entries
        return workspace_result(project, pipeline, lock, cache_folder(project.root)).digest, entries
    except CanonError:  # nothing has run, or not all of it
        return None, entries


def _short(stage: str) -> str:
    """The name of a stage, without the file that DVC puts before it."""
    return stage.rpartition(":")[2]


def _tags(project: Project, pipeline: Pipeline) -> dict[str, str]:
    found = {"canon.pipeline": pipeline.name}
    with contextlib.suppress(CanonError):  # a stage must not fail of a tag
        found |= source_tags(project.root)
    with contextlib.suppress(CanonError):
        found |= data_tags(project, pipeline)
    return found


def _context(text: str | None) -> dict[str, Any] | None:
    """The tags that the user gives; None for a text that is none of ours to mend. Of a `canon run` around this one, its tags are left out."""
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return {key: value for key, value in found.items() if TAG_SESSION not in found or not key.startswith("canon.")}
