"""A sweep's run in MLflow: the parent of the rows of its points, made once, complete, and again without harm.

As with rows there are no unique keys: the sweep's hash is a tag from the creation on, of several the oldest stands, and what the others
had goes to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from canon.mlflow.log import FINISHED, batches, experiment_id
from canon.mlflow.record import MAX_PARAM, MAX_TAG, format_cell, format_table, valid_key, valid_keys
from canon.mlflow.store import opened

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG_SWEEP = "canon.sweep"
TAG_PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
EXPERIMENT = "canon.dvc.experiment"
MOST = 10_000
"""Rows of a sweep that are looked at."""


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """What the parent says. ``sweep``: the hash that names it; ``space``: param → its values as they were written."""

    experiment: str
    sweep: str
    space: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def run_name(self) -> str:
        """A short name."""
        return f"{self.experiment}-sweep-{self.sweep[:8]}"


def join_sweep(record: SweepRecord, rows: Mapping[str, str], uri: str, root: Path) -> str:
    """Make rows (run id → experiment that keeps its result) the children of a sweep's run, which is made where it is missing; return its id.

    A row that was another sweep's is this one's then. ``root``: the folder of a local store. Raises StoreUnavailableError.
    """
    with opened(uri, root) as client:
        experiment = experiment_id(client, record.experiment, uri)
        if not _runs(client, experiment, TAG_SWEEP, record.sweep):
            tags = {**record.tags, TAG_SWEEP: record.sweep, NOTE: _note(record, ())}
            client.create_run(experiment, tags=tags, run_name=record.run_name)
        parent = _settle(client, experiment, record)
        for run_id, name in rows.items():
            tags = client.get_run(run_id).data.tags
            if tags.get(TAG_PARENT) != parent:
                client.set_tag(run_id, TAG_PARENT, parent)
            if EXPERIMENT not in tags:
                client.set_tag(run_id, EXPERIMENT, name)
        parent = _settle(client, experiment, record)  # another machine may have made one at the same moment
        _write_note(client, experiment, record, parent)
        return parent


def _runs(client: MlflowClient, experiment: str, tag: str, value: str) -> list[Run]:
    return list(client.search_runs([experiment], filter_string=f"tags.`{tag}` = '{value}'", max_results=MOST))


def _settle(client: MlflowClient, experiment: str, record: SweepRecord) -> str:
    """The oldest run of the sweep, finished; what others are the parents of gets it, and they go."""
    from mlflow.entities import Param

    first, *others = sorted(
        _runs(client, experiment, TAG_SWEEP, record.sweep), key=lambda run: (run.info.start_time, run.info.run_id)
    )
    parent = str(first.info.run_id)
    for other in others:
        for child in _runs(client, experiment, TAG_PARENT, other.info.run_id):
            client.set_tag(child.info.run_id, TAG_PARENT, parent)
        client.delete_run(other.info.run_id)
    if first.info.status != FINISHED:
        params = valid_keys((name, text[:MAX_PARAM]) for name, text in record.space.items())
        for batch in batches([(key, value) for key, value in params.items() if key not in first.data.params]):
            client.log_batch(parent, params=[Param(key, value) for key, value in batch])
        client.set_terminated(parent, FINISHED)
    return parent


def _write_note(client: MlflowClient, experiment: str, record: SweepRecord, parent: str) -> None:
    """Let the description name the experiments of all its rows: whoever writes last has looked after writing."""
    written = client.get_run(parent).data.tags.get(NOTE)
    while (note := _note(record, _runs(client, experiment, TAG_PARENT, parent))) != written:
        client.set_tag(parent, NOTE, note)
        written = note


def _note(record: SweepRecord, children: Iterable[Run]) -> str:
    """The parent's description in Markdown: each row's experiment, and its values of what is swept."""
    names = list(record.space)
    rows = sorted(
        "| "
        + " | ".join(
            [f"`{format_cell(run.data.tags.get(EXPERIMENT) or run.info.run_id)}`"]
            + [format_cell(run.data.params.get(valid_key(name), "")) for name in names]
        )
        + " |"
        for run in children
    )
    lines = ["`dvc exp apply NAME` takes a point's result, `dvc exp show` compares them.", ""]
    head = ["| experiment | " + " | ".join(map(format_cell, names)) + " |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*lines, *format_table(head, rows, MAX_TAG - 200, "`dvc exp list`")])[:MAX_TAG]
