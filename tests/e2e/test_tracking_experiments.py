"""Experiments that DVC runs in copies of the project: their rows, what they ran with, and users' own runs in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run, git
from tests.tracking import Store, local_store

SECRET = "bait-2retnuh"


@pytest.mark.soak
def test_experiments_of_temporary_copies_and_of_the_queue_arrive_in_the_projects_own_store(
    small: Path, team: Store, run: Run
) -> None:
    git(small, "remote", "add", "origin", f"https://me:{SECRET}@example.com/x.git")
    fluent = {"FLUENT": team.uri}
    run(small, "dvc", "exp", "run", "--temp", "-S", "fit.rate=0.25", env=fluent)
    run(small, "dvc", "exp", "run", "--queue", "-n", "later", "-S", "fit.rate=0.125")
    run(small, "dvc", "queue", "start")
    run(small, "dvc", "queue", "logs", "--follow", "later")
    rows = local_store(small).rows("main")
    assert [row.data.params["fit.rate"] for row in rows] == ["0.25", "0.125"]
    # What the command got through `${fit.rate}`.
    assert [row.data.metrics["rate"] for row in rows] == [0.25, 0.125]
    assert rows[1].data.tags["canon.dvc.experiment"] == "later"

    run(small, "dvc", "repro", env=fluent)
    expected = {
        "mlflow.source.git.commit": git(small, "rev-parse", "HEAD"),
        "mlflow.source.git.repoURL": "https://example.com/x.git",
        "canon.pipeline": "main",
        "canon.stage": "fit",
        "canon.data_hash": rows[0].data.tags["canon.data_hash"],
    }
    for own in team.rows("Default"):  # one in the temporary copy, one here
        assert {key: own.data.tags.get(key) for key in expected} == expected
        assert SECRET not in json.dumps(own.data.tags)
    assert len(team.rows("Default")) == 2
