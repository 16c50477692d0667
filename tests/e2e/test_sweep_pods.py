"""A sweep in the cluster, from its plan to its rows: each point a workflow of its own, what they share made once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.steps.documents import load_plan, load_record
from canon.steps.settings import format_settings
from canon.sweeps.points import Sweep, format_sweep
from tests.conftest import S3, once
from tests.e2e.swept import executions
from tests.e2e.swept_pods import SweptPods, sweep_over, write_project
from tests.registry import Registry
from tests.tracking import Store

pytestmark = pytest.mark.usefixtures("quick")
SPACE = "fit.rate=0.5,0.25 prepare.scale=1,2"
GRID = sweep_over(prepare__scale=(1, 2), fit__rate=(0.5, 0.25))
SWEEP = Sweep(GRID.space, GRID.points[:3])


@pytest.fixture
def pods(s3: S3, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, team: Store) -> Iterator[SweptPods]:
    root = shutil.copytree(once(tmp_path_factory, "swept-pods", write_project), tmp_path / "project", symlinks=True)
    with Registry() as registry:
        yield SweptPods(root, tmp_path, s3, registry, team)


@pytest.mark.soak
def test_points_share_what_is_the_same_and_each_is_delivered_whatever_becomes_of_others(pods: SweptPods) -> None:
    _check_refusals(pods)
    runs = pods.plan_points("one", SWEEP)
    names = {
        "p0-data-raw",
        "p0-prepare",
        "p0-fit",
        "p1-fit",
        "p2-prepare",
        "p2-fit",
        *(f"deliver-{n}" for n in range(3)),
    }
    assert runs == dict.fromkeys(names, True)
    objects = pods.remote.objects()
    second, third = load_plan(objects, "one.1"), load_plan(objects, "one.2")
    assert second.shared == {"data-raw": "one.0", "prepare": "one.0"}
    assert third.shared == {"data-raw": "one.0"}
    assert third.point is not None
    assert third.point.space == SWEEP.space
    assert third.applied["params/p.yaml"].startswith("prepare:\n  scale: 2\nfit:\n  rate: 0.5 ")
    assert third.tags["canon.session"] == "one.2"
    assert pods.run_points("one", SWEEP, runs, BREAK="0.25") == {"p1-fit", "deliver-1"}
    assert executions(pods.log) == ["fit 1 0.25", "fit 1 0.5", "fit 2 0.5", "prepare 1 0.5", "prepare 2 0.5"]
    assert len(pods.experiments()) == 2

    left = pods.plan_points("two", SWEEP)
    assert {name for name, is_run in left.items() if is_run} == {"p1-fit", "deliver-1"}
    assert load_record(objects, "two.0", "prepare") is not None
    assert load_record(objects, "two.1", "prepare") is None  # its readers look at the point that has it
    assert pods.run_points("two", SWEEP, left) == set()
    assert pods.families() == {SPACE: 3}
    rows = [row for row in pods.store.rows("p") if "canon.sweep" not in row.data.tags]
    assert sorted(row.data.metrics["value"] for row in rows) == [1.5, 3.0, 6.0]
    assert {row.data.tags["canon.dvc.experiment"] for row in rows} == pods.experiments()
    (parent,) = (row for row in pods.store.rows("p") if "canon.sweep" in row.data.tags)
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {})
    assert all(name in parent.data.tags["mlflow.note.content"] for name in pods.experiments())
    assert pods.plan_points("three", SWEEP) == dict.fromkeys(names, False)

    # One point as a workflow of its own: nothing to run, and what a sweep never makes is still to be made.
    _, outputs = pods.plan("four", CANON_SET=format_settings(SWEEP.points[1]))
    assert ("true" in outputs["run"], outputs["deliver"]) == (False, "true")

    other = sweep_over(fit__rate=(0.25, 0.75))
    more = pods.plan_points("five", other)
    assert {name for name, is_run in more.items() if is_run} == {"p1-fit", "deliver-0", "deliver-1"}
    assert pods.run_points("five", other, more) == set()
    assert pods.families() == {SPACE: 2, "fit.rate=0.25,0.75": 2}
    assert len(pods.experiments()) == 4
    assert len(pods.store.rows("p")) == 6


def _check_refusals(pods: SweptPods) -> None:
    with pytest.raises(CanonError, match="declares other stages than the template"):
        pods.plan_points("no", SWEEP, CANON_DAG=pods.layout(sweep_over(fit__rate=(1, 2))).dag)
    with pytest.raises(CanonError, match="`points` is not base64 of JSON"):
        pods.plan_points("nor", SWEEP, CANON_POINTS="x")
    hostile = format_sweep(Sweep({}, ({"pipelines/p.yaml": {"name": "q"}},)))
    with pytest.raises(CanonError, match="is no params file"):
        pods.plan_points("either", SWEEP, CANON_POINTS=hostile)
