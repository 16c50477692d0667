"""Users' own MLflow runs after a session: those that it left open are ended, and all become children of the result's row.

By the session itself at its end; where it was killed, or its store did not answer, by the next command.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from canon.git import clean_urls
from canon.mlflow.credentials import drop_credentials, is_server
from canon.mlflow.own_runs import Ending, adopt_runs, may_hold, settle_runs
from canon.mlflow.stage_store import check_server
from canon.mlflow.store import clean, tracking_uri
from canon.model.canonical import sha256_of
from canon.model.errors import CanonError, StoreRefusedError, printable
from canon.model.project import Pipeline, Project
from canon.processes import kept_environment
from canon.results.left import is_ours
from canon.results.locks import Lock, declared_stages, load_lock
from canon.results.session_files import ID, SESSIONS, Kept, done_note, load_kept, over_files, waiting_note, write_note
from canon.results.track import Say, Tracked, is_meant, project_home, tracking_store
from canon.workspaces.profiles import applied_profile

SESSION_VARIABLE = "CANON_SESSION"
MOST_LINES = 50
LONGEST = 14
"""Days in which a store is asked for the runs of a session."""


def settle_sessions(project: Project, say: Say) -> None:
    """Settle what sessions left that are over. Fails for nothing, and costs one look into a folder where there is none.

    A store that does not answer is asked once, and for some days.
    """
    home = project_home(project.root)
    if not is_ours(home, SESSIONS, say):
        return
    down: set[str] = set()
    for file, kept in over_files(home):
        if kept.store not in down:
            if settle(project, kept, say):
                write_note(done_note(home, kept.session), there=False)
                file.remove()
                continue
            down.add(kept.store)
        if file.days > LONGEST:  # nobody waits for a server that was somebody's for an hour
            say(
                f"canon: MLflow at {printable(kept.store)} has not answered for {LONGEST} days: it is not asked any more for runs that may be open"
            )
            write_note(done_note(home, kept.session), there=False)
            file.remove()


def settle(project: Project, kept: Kept, say: Say) -> bool:
    """Settle the runs of one session, and say what was done; False where it has to be tried again, as the store does not answer."""
    home = project_home(project.root)
    with kept_environment():
        try:
            uri = _store_of(project, kept.store)
            if not may_hold(uri, kept.session):
                return True
            if not is_meant(project, uri):
                drop_credentials(uri)
            if is_server(uri):
                check_server(uri)  # a second, where MLflow's own client takes ten
            ending = Ending(kept.session, kept.pipeline, kept.stages, kept.other, kept.result, kept.entries)
            settled = settle_runs(uri, home, ending)
        except StoreRefusedError as error:
            say(f"canon: MLflow runs of stages may be open still, and are left so: {clean_urls(str(error))}")
            return True
        except CanonError as error:  # it does not answer, mostly
            say(f"canon: {clean_urls(str(error))}")
            say(
                "canon: MLflow runs of stages may be open still; the next `canon run`, `canon log` or `canon track` closes them"
            )
            return False
    _say_ended(settled.ended, say)
    if settled.waiting:
        write_note(waiting_note(home, kept.pipeline))
    return True


def _say_ended(ended: Mapping[tuple[str, str], int], say: Say) -> None:
    for (stage, status), number in sorted(ended.items())[:MOST_LINES]:
        runs = "an MLflow run" if number == 1 else f"{number} MLflow runs"
        say(
            f"canon: {runs} that {f'`{stage}`' if stage else 'a stage'} left open {'is' if number == 1 else 'are'} {status} now"
        )
    if len(ended) > MOST_LINES:  # the names of stages are a server's
        say(f"canon: and {sum(ended.values())} in all")


def _store_of(project: Project, store: str) -> str:
    """The tracking URI of a session's store, with the credentials that are declared in that very one."""
    current, home = tracking_store(project, applied_profile(project))
    declared = (tracking_uri(home, profile.mlflow, {}) for profile in project.settings.profiles.values())
    return next((uri for uri in (current, *declared) if clean(uri) == store), store)


def adopt_tracked(
    project: Project, pipeline: Pipeline, tracked: Tracked, say: Say, environ: Mapping[str, str] = os.environ
) -> None:
    """Make runs the children of the row of the workspace's result: those of the session that this is a stage of, and those that wait for it.

    Fails for nothing. Where it leaves nothing to do, the session is told; a stage without outs may be running beside `track`, which does not wait for it.
    """
    if tracked.run_id is None:
        return
    uri, home = tracking_store(project, applied_profile(project))
    named = environ.get(SESSION_VARIABLE, "")
    session = named if _is_open(home, named, clean(uri)) and may_hold(uri, named) else None
    if session is None and not waiting_note(home, pipeline.name).exists():
        return
    try:
        entries = entry_hashes(load_lock(project.root, pipeline))
        found = adopt_runs(uri, home, session, tracked.run_id, pipeline.name, entries)
        write_note(waiting_note(home, pipeline.name), there=found.waiting)
        if session and not found.open and all(stage.outs for stage in declared_stages(project, pipeline)):
            write_note(done_note(home, session))
    except CanonError as error:
        say(f"canon: the MLflow runs of the stages are not below the result's row yet: {clean_urls(str(error))}")


def entry_hashes(lock: Lock) -> dict[str, str]:
    """Stage → sha256 of its entry."""
    return {stage: sha256_of(entry) for stage, entry in lock.entries.items()}


def _is_open(home: Path, session: str, store: str) -> bool:
    """Tell whether there is such a session, and its stages' runs are in that store."""
    try:
        return (
            bool(ID.fullmatch(session))
            and load_kept((home / SESSIONS / f"{session}.json").read_bytes(), session).store == store
        )
    except (OSError, ValueError):
        return False
