"""A sweep's own run in MLflow: one, complete, whoever makes it at the same moment, and the parent of its rows."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from canon.mlflow.sweeps import TAG_PARENT, TAG_SWEEP, SweepRecord, join_sweep
from tests.tracking import Store

RECORD = SweepRecord("p", "a" * 64, {"fit.rate": "0.5,0.25", "x|y`": "1"}, {"canon.pipeline": "p"})


def rows(store: Store, *names: str) -> list[str]:
    client = store.client
    found = client.get_experiment_by_name("p")
    experiment = found.experiment_id if found else client.create_experiment("p")
    made = []
    for name in names:
        run = client.create_run(experiment, tags={"canon.result": name})
        client.log_param(run.info.run_id, "fit.rate", name)
        client.set_terminated(run.info.run_id)
        made.append(str(run.info.run_id))
    return made


def parents(store: Store) -> list[Any]:
    return [run for run in store.rows("p") if TAG_SWEEP in run.data.tags]


def test_rows_join_once_and_the_newest_sweep_has_them(team: Store, tmp_path: Path) -> None:
    one, two = rows(team, "0.5", "0.25")
    first = join_sweep(RECORD, {one: "p-1"}, team.uri, tmp_path)
    assert join_sweep(RECORD, {one: "p-1", two: "p-2"}, team.uri, tmp_path) == first
    (parent,) = parents(team)
    assert (parent.info.run_id, parent.info.status, parent.data.metrics) == (first, "FINISHED", {})
    assert parent.data.params == {"fit.rate": "0.5,0.25", "x_y_": "1"}
    assert "| `p-1` | 0.5 |  |\n| `p-2` | 0.25 |  |" in parent.data.tags["mlflow.note.content"]
    assert "| experiment | fit.rate | x\\|y' |" in parent.data.tags["mlflow.note.content"]
    other = join_sweep(SweepRecord("p", "b" * 64, {}, {}), {two: "p-2"}, team.uri, tmp_path)
    found = {run.info.run_id: run.data.tags.get(TAG_PARENT) for run in team.rows("p")}
    assert found == {one: first, two: other, first: None, other: None}


def test_of_two_made_at_the_same_moment_the_older_stands(
    team: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    one, two = rows(team, "0.5", "0.25")
    create = MlflowClient.create_run
    theirs: list[str] = []

    def racing(client: MlflowClient, experiment: str, *, tags: dict[str, str], run_name: str) -> Any:
        made = create(client, experiment, tags=tags, run_name=run_name)
        other = create(client, experiment, start_time=made.info.start_time - 1, tags=tags, run_name=run_name)
        theirs.append(other.info.run_id)  # it was killed before it went on, by another clock
        return made

    monkeypatch.setattr(MlflowClient, "create_run", racing)
    assert join_sweep(RECORD, {one: "p-1"}, team.uri, tmp_path) == theirs[0]
    monkeypatch.undo()
    (parent,) = parents(team)
    assert (parent.info.run_id, parent.info.status) == (theirs[0], "FINISHED")
    assert parent.data.params["fit.rate"] == "0.5,0.25"

    # A third one, older still, which appears while a row is given the second: what is below that goes to it.
    set_tag = MlflowClient.set_tag

    def late(client: MlflowClient, run_id: str, key: str, value: Any) -> None:
        set_tag(client, run_id, key, value)
        if (run_id, key) == (two, TAG_PARENT) and len(theirs) == 1:
            start = parent.info.start_time - 1
            found = create(client, parent.info.experiment_id, start_time=start, tags={TAG_SWEEP: RECORD.sweep})
            theirs.append(found.info.run_id)

    monkeypatch.setattr(MlflowClient, "set_tag", late)
    third = join_sweep(RECORD, {two: "p-2"}, team.uri, tmp_path)
    client = team.client
    assert third == theirs[1]
    assert [run.info.run_id for run in parents(team)] == [third]
    assert {client.get_run(each).data.tags[TAG_PARENT] for each in (one, two)} == {third}


def test_many_at_once_make_one(team: Store, tmp_path: Path) -> None:
    made = rows(team, *map(str, range(4)))
    threads = [threading.Thread(target=join_sweep, args=(RECORD, {row: row}, team.uri, tmp_path)) for row in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    (parent,) = parents(team)
    assert {run.data.tags.get(TAG_PARENT) for run in team.rows("p")} == {None, parent.info.run_id}
    assert all(f"| `{row}` |" in parent.data.tags["mlflow.note.content"] for row in made)
