"""Experiments that DVC runs in copies of the project: their rows, and what they ran with."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run
from tests.tracking import local_store


def test_experiments_in_a_temporary_copy_and_of_the_queue_arrive_in_the_projects_own_store(
    small: Path, run: Run
) -> None:
    run(small, "dvc", "exp", "run", "--temp", "-S", "fit.rate=0.25")
    run(small, "dvc", "exp", "run", "--queue", "-n", "later", "-S", "fit.rate=0.125")
    run(small, "dvc", "queue", "start")
    run(small, "dvc", "queue", "logs", "--follow", "later")
    rows = local_store(small).rows("main")
    assert [row.data.params["fit.rate"] for row in rows] == ["0.25", "0.125"]
    # What the command got through `${fit.rate}`.
    assert [row.data.metrics["rate"] for row in rows] == [0.25, 0.125]
    assert rows[1].data.tags["canon.dvc.experiment"] == "later"
