"""Users' own runs inside stages, by the tag of the session that they began in: which are open, ending them, their parent.

A run that does not carry the session's very tag is nobody's here, whatever a server answers. What a session leaves without a row, because a later
stage failed, waits with the entry of its stage as a tag, for the row of a result that has this entry.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from canon.mlflow.log import find_run, run_url
from canon.mlflow.store import REFUSALS, explained, open_client, opened, sqlite_file
from canon.mlflow.sweeps import TAG_PARENT
from canon.model.errors import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG_SESSION = "canon.session"
TAG_STAGE = "canon.stage"
TAG_ENTRY = "canon.entry"
"""On a run that waits for its row: pipeline and sha256 of its stage's entry in dvc.lock."""
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
IDS_A_SEARCH = 500
"""Experiments that are named in one search: each is a variable of an SQL statement."""
LONGEST = 200
"""Characters of a tag that are said."""
MOST_PAGES = 100
"""Pages of an answer that are read: a server may name a next one for ever."""


class OwnRun(NamedTuple):
    """A user's own run that is open. ``url``: its page, on a server; else empty."""

    run_id: str
    stage: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How the runs of a session end: by the stage that they began in, else as ``other``.

    ``result``: hash of the result that they are of, where there is one; ``entries``: stage → sha256 of its entry in dvc.lock.
    """

    session: str
    pipeline: str
    stages: Mapping[str, str]
    other: str
    result: str | None = None
    entries: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settled:
    """What was found. ``ended``: how many runs by stage and status; ``open``: a run of the session still is; ``waiting``: runs of the pipeline wait for a row."""

    ended: Mapping[tuple[str, str], int]
    open: bool
    waiting: bool


def may_hold(uri: str, session: str) -> bool:
    """Tell, without MLflow, whether a store may hold runs of a session. Only of an SQLite file can it be known that it does not.

    The table `tags` is as mlflow/store/tracking/dbmodels/models.py has it since 1.0. A file without one is no store of MLflow's: it would make one of it.
    """
    file = sqlite_file(uri)
    if file is None:
        return True
    if not file.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as database:
            if (
                database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tags'").fetchone()
                is None
            ):
                return False
            query = "SELECT 1 FROM tags WHERE key = ? AND value = ? LIMIT 1"
            return database.execute(query, (TAG_SESSION, session)).fetchone() is not None
    except sqlite3.Error:
        return True


def list_open(uri: str, session: str, most: int) -> list[OwnRun]:
    """The first open runs of a session. Raises StoreUnavailableError. The store must have been used before: it is not locked."""
    with explained(uri):
        client = open_client(uri)
        found: list[OwnRun] = []
        for run in _search(client, f"tags.`{TAG_SESSION}` = '{session}' and attributes.status = '{RUNNING}'"):
            if run.info.status == RUNNING and run.data.tags.get(TAG_SESSION) == session:
                found.append(_own_run(run, uri))
            if len(found) == most:
                break
        return found


def settle_runs(uri: str, root: Path, ending: Ending) -> Settled:
    """End the open runs of a session, and make all of them children of their result's row, or let them wait for it where it is not there.

    ``root``: the folder of a local store. The variables of this process stay as they are. Raises StoreUnavailableError.
    """
    with opened(uri, root) as client:
        runs = _of_session(client, ending.session)
        ended: Counter[tuple[str, str]] = Counter()
        for run in runs:
            stage = run.data.tags.get(TAG_STAGE, "")
            status = ending.stages.get(stage, ending.other)
            if run.info.status == RUNNING and _takes(client.set_terminated, run.info.run_id, status):
                ended[printable(stage)[:LONGEST], status] += 1
        row = _row(client, ending.pipeline, ending.result) if ending.result else None
        if row:
            _adopt(client, runs, row)
            waiting = _adopt_waiting(client, row, ending.pipeline, ending.entries)
        else:
            waiting = _let_wait(client, runs, ending)
        return Settled(ended, open=False, waiting=waiting)


def adopt_runs(
    uri: str, root: Path, session: str | None, row: str, pipeline: str, entries: Mapping[str, str]
) -> Settled:
    """Make the runs of a session, where there is one, the children of a row, and those that wait for a row with these entries.

    Raises StoreUnavailableError.
    """
    with opened(uri, root) as client:
        runs = _of_session(client, session) if session else []
        _adopt(client, runs, row)
        waiting = _adopt_waiting(client, row, pipeline, entries)
        return Settled({}, open=any(run.info.status == RUNNING for run in runs), waiting=waiting)


def _search(client: MlflowClient, condition: str) -> Iterator[Run]:
    """Runs of all experiments: `set_experiment` is the user's business. The caller looks whether they are what was asked for."""
    found = _experiments(client)
    more = MOST_PAGES  # for all of them together
    for start in range(0, len(found), IDS_A_SEARCH):
        token = None
        while True:
            page = client.search_runs(found[start : start + IDS_A_SEARCH], condition, page_token=token)
            yield from page
            token, more = page.token, more - 1 if page.token else more
            if not token or more <= 0:
                break


def _of_session(client: MlflowClient, session: str) -> list[Run]:
    found = _search(client, f"tags.`{TAG_SESSION}` = '{session}'")
    return list({run.info.run_id: run for run in found if run.data.tags.get(TAG_SESSION) == session}.values())


def _adopt_waiting(client: MlflowClient, row: str, pipeline: str, entries: Mapping[str, str]) -> bool:
    """Give the row to those that wait for a result with one of these entries; tell whether others of the pipeline wait still."""
    wanted = {f"{pipeline}/{entry}" for entry in entries.values()}
    found = [
        run
        for run in _search(client, f"tags.`{TAG_ENTRY}` LIKE '{pipeline}/%'")
        if run.data.tags.get(TAG_ENTRY, "").startswith(f"{pipeline}/") and run.info.status != RUNNING
    ]
    own = [run for run in found if run.data.tags[TAG_ENTRY] in wanted]
    _adopt(client, own, row)
    return len(own) < len(found)


def _let_wait(client: MlflowClient, runs: Iterable[Run], ending: Ending) -> bool:
    """Tag the runs of stages that passed: the next run of the pipeline does not run these again. Tell whether there are such."""
    waiting = False
    for run in runs:
        stage = run.data.tags.get(TAG_STAGE, "")
        if ending.stages.get(stage) == FINISHED and stage in ending.entries and not run.data.tags.get(TAG_PARENT):
            entry = f"{ending.pipeline}/{ending.entries[stage]}"
            waiting |= _takes(client.set_tag, run.info.run_id, TAG_ENTRY, entry)
    return waiting


def _experiments(client: MlflowClient) -> list[str]:
    found: list[str] = []
    token = None
    for _ in range(MOST_PAGES):
        page = client.search_experiments(page_token=token)
        found += [str(experiment.experiment_id) for experiment in page]
        token = page.token
        if not token:
            break
    return found


def _own_run(run: Run, uri: str) -> OwnRun:
    tags = run.data.tags
    url = run_url(uri, str(run.info.experiment_id), str(run.info.run_id)) or ""
    name = run.info.run_name or tags.get("mlflow.runName", "")
    run_id, stage, own = (printable(text)[:LONGEST] for text in (run.info.run_id, tags.get(TAG_STAGE, ""), name))
    return OwnRun(run_id, stage, own, printable(url))


def _row(client: MlflowClient, name: str, result: str) -> str | None:
    found = client.get_experiment_by_name(name)
    run = find_run(client, str(found.experiment_id), result) if found is not None else None
    return str(run.info.run_id) if run is not None else None


def _adopt(client: MlflowClient, runs: Iterable[Run], row: str) -> None:
    """Give runs without a parent this one; one that the user's code gave, as `nested=True` does, stays."""
    for run in runs:
        run_id, tags = run.info.run_id, run.data.tags
        if (
            not tags.get(TAG_PARENT)
            and run_id != row
            and _takes(client.set_tag, run_id, TAG_PARENT, row)
            and TAG_ENTRY in tags
        ):
            _takes(client.delete_tag, run_id, TAG_ENTRY)


def _takes(call: Callable[..., object], *arguments: str) -> bool:
    """Tell whether the store takes a change of one run: another process may just have deleted it."""
    from mlflow.exceptions import MlflowException

    try:
        call(*arguments)
    except MlflowException as error:
        if error.error_code not in REFUSALS:
            raise
        return False
    return True
