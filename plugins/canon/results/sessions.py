"""A session is one `canon run` of a pipeline: what users' own MLflow runs inside its stages are told, and that none is left open by it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canon.dvc.objects import cache_folder
from canon.git import clean_urls
from canon.mlflow.own_runs import FAILED, FINISHED, KILLED, TAG_SESSION, TAG_STAGE, OwnRun
from canon.mlflow.stage_store import StageCode, make_stores, stage_addresses
from canon.mlflow.store import clean, sqlite_file, tracking_uri
from canon.model.canonical import sha256_of
from canon.model.errors import CanonError, StoreUnavailableError
from canon.model.project import Pipeline, Project
from canon.results.context import data_tags, source_tags
from canon.results.locks import declared_stages, load_lock
from canon.results.log import workspace_result
from canon.results.session_files import Kept, SessionFile, create_file, done_note, write_note
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
    """A session; `close_session` ends it. Where no command is to run, nothing is written, looked up or asked."""

    def __init__(self, project: Project, pipeline: Pipeline, say: Say) -> None:
        self.id = uuid.uuid4().hex
        self.pipeline = pipeline
        self.begun: Begun | None = None
        self._project = project
        self._say = say
        self._opened = time.monotonic()
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None
        self._unwatched = False

    def environment(self, stage: str) -> Mapping[str, str]:
        """What a stage's command gets on top of the user's environment. ``stage``: as DVC addresses it.

        Tags that the user gives his runs by MLFLOW_RUN_CONTEXT go before ours; a text there that is no JSON object, MLflow says what it says of it.
        """
        with self._lock:
            if self.begun is None:
                self.begun = _begin(self, self._project, self._say)
        begun, name = self.begun, _short(stage)
        found = {SESSION_VARIABLE: self.id}
        if begun.theirs is not None:
            tags = {**begun.ours, TAG_STAGE: name, **begun.theirs, TAG_SESSION: self.id}
            found[CONTEXT] = json.dumps(tags, sort_keys=True)
        if name in begun.addresses:
            found["MLFLOW_TRACKING_URI"] = begun.addresses[name]
        return found

    def ended(self, stage: str, how: str, entry: Mapping[str, Any] | None = None) -> None:
        """Let it be known what became of a stage, whatever becomes of this process. ``how``: as for `close_session`; ``entry``: what dvc.lock gets."""
        if self.begun is None or self.begun.file is None or how not in STATUS:
            return
        found = None
        with contextlib.suppress(TypeError, ValueError):  # a date among params
            found = None if entry is None else sha256_of(entry)
        self.begun.file.add(_short(stage), STATUS[how], found)

    def running(self) -> tuple[OwnRun, ...]:
        """The user's own runs that are open now, as far as it is known. Returns at once, and never raises for what a store does."""
        if self._unwatched or self.begun is None or time.monotonic() - self._opened < QUICK:
            return ()
        with self._lock:
            try:
                if self._watcher is None and not self._unwatched:
                    self._watcher = _watch(self.begun, self.id)
            except OSError:
                self._watcher = None
            self._unwatched = self._watcher is None
            return self._watcher.known() if self._watcher else ()

    def stop(self) -> None:
        """Let nobody look any more."""
        with self._lock:
            self._unwatched = True
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None


@dataclass(frozen=True, slots=True)
class Begun:
    """What is found out before the first command runs.

    ``uri``: the store that the stages' runs go to; ``home``: the folder of a local one; ``addresses``: stage → MLFLOW_TRACKING_URI where it needs it;
    ``ours``, ``theirs``: tags; ``watchable``: whether the store can be opened beside the stages.
    """

    uri: str
    home: Path
    code: StageCode
    addresses: Mapping[str, str]
    ours: Mapping[str, str]
    theirs: Mapping[str, Any] | None
    file: SessionFile | None
    watchable: bool


def _begin(session: Session, project: Project, say: Say) -> Begun:
    """Open the file of a session, and see that its stages find a store. What cannot be had is said, and fails nothing."""
    pipeline = session.pipeline
    uri, home = tracking_store(project, applied_profile(project))
    code = StageCode(project.root, declared_stages(project, pipeline))
    try:
        addresses = stage_addresses(uri, code.stages, project.root)
    except StoreUnavailableError as error:
        uri = tracking_uri(home, None, {})
        addresses = stage_addresses(uri, code.stages, project.root)
        say(f"canon: {clean_urls(str(error))}; MLflow runs inside stages go to {uri} this time")
    try:
        make_stores(code, uri, home, addresses)
    except StoreUnavailableError as error:
        say(f"canon: {clean_urls(str(error))}")
    store = sqlite_file(uri)  # one that a stage is just making must not be opened by a second process
    file = None
    try:
        file = create_file(home, _kept(session, uri, {}, KILLED))
    except CanonError as error:
        say(f"canon: {error}; should this be killed, MLflow runs of its stages stay open")
    return Begun(
        uri, home, code, addresses, _tags(project, pipeline), _context(os.environ.get(CONTEXT)), file,
        watchable=store is None or store.exists(),
    )  # fmt: skip


def _watch(begun: Begun, session: str) -> Watcher | None:
    from canon.mlflow.watching import Watcher

    if not begun.watchable or not any(begun.code.uses_mlflow(stage) for stage in begun.code.stages):
        return None
    return Watcher(begun.uri, session, begun.home)


def _kept(
    session: Session,
    uri: str,
    stages: Mapping[str, str],
    other: str,
    result: str | None = None,
    entries: Mapping[str, str] | None = None,
) -> Kept:
    return Kept(session.id, session.pipeline.name, clean(uri), stages, other, result, entries or {}, os.getpid())


def open_session(project: Project, pipeline: Pipeline, say: Say = lambda _: None) -> Session:
    """Open the session of a pipeline; it begins with the first stage whose environment is asked for."""
    return Session(project, pipeline, say)


def close_session(
    project: Project, session: Session, outcome: Mapping[str, str], say: Say, result: str | None = None
) -> None:
    """Close a session: end the runs that it left open, and make its runs the children of its result's row.

    ``outcome``: stage → `done`, `failed` or `stopped` (others ran nothing); ``result``: the hash of the result that was logged, where it was not
    logged by the stage `track`. Where the store does not answer that is said, and the next command does it. Fails for nothing.
    """
    session.stop()
    if (begun := session.begun) is None:
        return
    ended = {_short(stage): STATUS[how] for stage, how in outcome.items() if how in STATUS}
    passed = not {FAILED, KILLED} & set(ended.values())
    done = done_note(begun.home, session.id)
    if not (passed and done.exists()):
        other = KILLED if KILLED in ended.values() else FINISHED if passed else FAILED
        found, entries = _made(project, session.pipeline)
        kept = _kept(session, begun.uri, ended, other, result or (found if passed else None), entries)
        if begun.file is not None:
            with contextlib.suppress(CanonError):  # a full disk: the lines of its stages stand
                begun.file.replace(kept)
        if not settle(project, kept, say):
            return
    write_note(done, there=False)
    if begun.file is not None:
        begun.file.remove()


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
