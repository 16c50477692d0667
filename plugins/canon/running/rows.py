"""The row of a run's result in MLflow: named in the summary, made where nothing made it, and given its commit once there is one."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from canon.dvc.track_stage import result_path
from canon.git import clean_urls, head_commit
from canon.model.declaration import TRACK
from canon.model.errors import CanonError
from canon.model.graph import stage_key
from canon.model.project import Pipeline, Project
from canon.model.stage import Stage
from canon.output.files import write_text
from canon.results.noted import noted_row
from canon.running.events import State
from canon.running.run import Ran, Say

NAMED = ".dvc/tmp/canon/named"
"""The commit that rows were last given, so that MLflow, which takes a second to be imported, is not asked again for that one."""
ENDED = {State.DONE: "done", State.FAILED: "failed", State.STOPPED: "stopped"}
"""How a stage ended that ran, in the words of a session."""


def outcome_of(ran: Ran) -> dict[str, str]:
    """How the stages ended that ran, in the words of a session."""
    return {event.stage: ENDED[event.state] for event in ran.events.values() if event.state in ENDED}


def settle_rows(project: Project, pipeline: Pipeline, ran: Ran, say: Say) -> str:
    """See to the rows after a run; return the address or the id of that of its result, or nothing. Fails for nothing: what a store does is said.

    `track` has made the row where it ran; where its outs were taken from the run-cache, nobody has.
    """
    from canon.results.track import SPOOL, project_home

    event = ran.events.get(stage_key(Stage(name=TRACK, cmd="", file=pipeline.declaration.dvc_file)))
    if ran.code:
        return ""
    try:
        if any(not each.name.startswith(".") for each in (project_home(project.root) / SPOOL).glob("*")):
            _send(project, say)  # of whatever pipeline
        if not pipeline.declaration.track or event is None:
            return ""
        _name(project, say)
        if (
            event.state is not State.DONE
            and noted_row(project.root, pipeline.name, _result(project.root, pipeline)) is None
        ):
            _log(project, pipeline, say)
    except (CanonError, OSError) as error:
        say(f"canon: {clean_urls(str(error))}; `canon log` makes up for it")
    return noted_row(project.root, pipeline.name, _result(project.root, pipeline)) or ""


def _result(root: Path, pipeline: Pipeline) -> str:
    """The hash that names the result which lies in the workspace."""
    try:
        return hashlib.sha256((root / result_path(pipeline.name)).read_bytes()).hexdigest()
    except OSError:
        return ""


def _send(project: Project, say: Say) -> None:
    from canon.results.track import send_spooled

    send_spooled(project, say)


def _name(project: Project, say: Say) -> None:
    """Give the rows of code that is committed by now its commit."""
    commit = head_commit(project.root)
    marker = project.root / NAMED
    with contextlib.suppress(OSError):
        if commit is None or marker.read_text() == commit:
            return
    from canon.results.log import settle

    settle(project, say)
    write_text(marker, str(commit))


def _log(project: Project, pipeline: Pipeline, say: Say) -> None:
    from canon.results.log import log_workspace
    from canon.results.noted import note_row
    from canon.results.settling import adopt_tracked

    for tracked in log_workspace(project, [pipeline], say, skip_unfinished=True):
        note_row(project.root, tracked)
        adopt_tracked(project, pipeline, tracked, say)
