"""What a row holds, with a small project that has all that MLflow finds hard."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.mlflow.record import flat_params
from canon.model.pins import data_hash
from tests.conftest import Run, git
from tests.tracking import Store, local_store

pytestmark = pytest.mark.usefixtures("quick")


def test_hard_metrics_and_params_arrive(small: Path, run: Run) -> None:
    many = "".join(f"    p{number}: {number}\n" for number in range(300))
    long, wide = "v" * 7000, "ü" * 6000
    strange = f'    "a@b": 1\n    "a#b": 2\n    "../up": 3\n    long: {long}\n' + "".join(
        f"    wide{number}: {wide}\n" for number in range(60)
    )
    (small / "params.yaml").write_text(f"fit:\n    rate: 0.5\n{many}{strange}other: [1, two]\n", encoding="utf-8")
    run(small, "dvc", "repro")
    row = local_store(small).row("main")
    metrics, params = row.data.metrics, row.data.params
    assert {key: metrics[key] for key in ("plain", "nested.deep.er", "flag", "größe", "__/up")} == {
        "plain": 1, "nested.deep.er": 0.25, "flag": 1, "größe": 3, "__/up": 4}  # fmt: skip
    assert math.isnan(metrics["nan"])
    assert metrics["inf"] > 1e300
    assert {"text", "list", "none"}.isdisjoint(metrics)
    assert sorted(value for key, value in metrics.items() if key.startswith("a_b")) == [1, 2]
    assert metrics["k" * 250] == 6
    assert [params[f"fit.p{number}"] for number in range(300)] == [str(number) for number in range(300)]
    assert params["fit.long"] == "v" * 5999 + "…"
    assert params["fit.wide59"] == wide
    assert sorted(value for key, value in params.items() if key.startswith("fit.a_b")) == ["1", "2"]
    assert params["other"] == '[1, "two"]'
    note = row.data.tags["mlflow.note.content"]
    assert note.startswith("**A small pipeline**")
    assert len(note) <= 5000
    artifacts = local_store(small).artifacts(row)
    assert artifacts["models/net/model.txt"] == b"weights"  # not in MLflow's format: kept as it is
    assert artifacts["plots/loss.csv"].startswith(b"step,loss")
    assert json.loads(artifacts["result.json"])["metrics"]["metrics.json"]["text"] == "good"


@given(st.text(), st.text())
def test_mlflow_takes_every_key_and_two_keys_stay_two(key: str, other: str) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    found = flat_params({"p.yaml": {key: 1, other: 2}})
    assert len(found) == len({key, other})
    for name in found:
        _validate_param_name(name)  # type: ignore[no-untyped-call]
        _validate_metric_name(name)  # type: ignore[no-untyped-call]
        assert len(name) <= 250


def test_every_input_counts_and_a_pipeline_without_track_is_logged_by_canon_log(small: Path, run: Run) -> None:
    run(small, "dvc", "repro", "-P")
    store = local_store(small)
    row = store.row("main")
    datasets = {found.dataset.name: found.dataset for found in row.inputs.dataset_inputs}  # type: ignore[union-attr]
    assert datasets.keys() == {"raw", "data/extra.csv"}
    pinned = json.loads(str(datasets["raw"].profile))["digest"]
    tracked = json.loads(str(datasets["data/extra.csv"].profile))["digest"]
    assert row.data.tags["canon.data_hash"] == data_hash(
        [("raw", "file", f"sha256:{pinned}"), ("data/extra.csv", "dvc", f"md5:{tracked}")]
    )
    assert store.rows("side") == []
    git(small, "add", "--all")
    git(small, "commit", "-qm", "ran")
    out = run(small, "canon", "log", "--json").stdout
    assert [(item["pipeline"], item["created"]) for item in json.loads(out)["results"]] == [
        ("main", False),
        ("side", True),
    ]
    side = store.row("side")
    assert side.data.metrics == {"score": 2}
    assert side.data.tags["mlflow.source.git.commit"] == git(small, "rev-parse", "HEAD")
    assert "| score |" in side.data.tags["mlflow.note.content"]
    assert "dvc repro side/dvc.yaml" in side.data.tags["mlflow.note.content"]
    assert json.loads(run(small, "canon", "log", "--json").stdout)["results"][1]["created"] is False


@pytest.mark.soak
def test_a_notebooks_run_names_its_commit_and_a_broken_project_fails_it_never(
    small: Path, team: Store, run: Run
) -> None:
    (small / "pipelines/side.yaml").unlink()
    (small / "notebooks").mkdir()
    code = """
import mlflow, pathlib
with mlflow.start_run(): mlflow.log_metric("x", 1)
pathlib.Path("../pipelines/main.yaml").write_text("name: [unclosed")
with mlflow.start_run(): mlflow.log_metric("x", 2)
"""
    run(small / "notebooks", "python", "-c", code, env={"MLFLOW_TRACKING_URI": team.uri})
    sound, broken = (row.data.tags for row in team.rows("Default"))
    assert sound["mlflow.source.git.commit"] == broken["mlflow.source.git.commit"] == git(small, "rev-parse", "HEAD")
    assert (sound.get("canon.pipeline"), broken.get("canon.pipeline")) == ("main", None)
    assert ("canon.data_hash" in sound, "canon.data_hash" in broken) == (True, False)
