from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from canon.git import commit_source_tree
from tests.conftest import Run, git
from tests.tracking import Store, copy_clone, local_store, ran_clone, stages_run

pytestmark = pytest.mark.usefixtures("quick")

PLOTS = {"plots/results/co2/forecast.csv", "plots/results/co2/residuals.csv"}


@pytest.fixture
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ran_clone(tmp_path_factory)


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_clone(tmp_path_factory, tmp_path / "clone")


def set_alpha(root: Path, value: str) -> None:
    file = root / "params/co2.yaml"
    file.write_text(file.read_text().replace("alpha: 1.0e-06", f"alpha: {value}"))


def params_of(root: Path, name: str = "co2") -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((root / f"params/{name}.yaml").read_text())
    return found


def test_repro_in_a_fresh_clone_gives_the_committed_lock_and_one_complete_row(ran: Path) -> None:
    assert git(ran, "status", "--porcelain") == ""  # dvc.lock byte for byte, and nothing that nobody ignores
    store = local_store(ran)
    run = store.row()
    head = git(ran, "rev-parse", "HEAD")
    assert run.info.status == "FINISHED"
    tags = run.data.tags
    assert tags["mlflow.source.git.commit"] == head
    assert tags["mlflow.source.git.branch"] == git(ran, "symbolic-ref", "--short", "HEAD")
    assert tags["mlflow.source.git.repoURL"] == git(ran, "remote", "get-url", "origin")
    assert (tags["canon.dirty"], tags["canon.pipeline"], tags["canon.profile"]) == ("false", "co2", "local")
    assert tags["canon.tree"] == commit_source_tree(ran, head)
    assert tags["canon.result"].startswith(run.info.run_name.removeprefix("co2-local-"))
    pin = yaml.safe_load((ran / "pipelines/co2.pins.yaml").read_text())["raw"]
    (dataset,) = [found.dataset for found in run.inputs.dataset_inputs]  # type: ignore[union-attr]
    assert dataset.name == "raw"
    assert pin["sha256"].startswith(dataset.digest)
    assert json.loads(dataset.source) == {"uri": "data/samples/co2_recent.csv"}
    assert json.loads(str(dataset.profile)) == {"digest": pin["sha256"], "bytes": pin["size"]}
    assert len(tags["canon.data_hash"]) == 64
    assert run.data.metrics == json.loads((ran / "results/co2/metrics.json").read_text())
    assert {key: run.data.params[key] for key in ("train.alpha", "train.knots", "evaluate.digits")} == {
        "train.alpha": "1e-06",
        "train.knots": "12",
        "evaluate.digits": "4",
    }
    artifacts = store.artifacts(run)
    assert artifacts["dvc.lock"] == (ran / "dvc.lock").read_bytes()
    assert artifacts.keys() >= {*PLOTS, "result.json"}
    assert "canon.patch" not in artifacts


def test_the_model_is_registered_with_its_metrics(ran: Path) -> None:
    row = local_store(ran).row()
    client = local_store(ran).client
    (version,) = client.search_model_versions("name = 'co2'")
    assert version.run_id == row.info.run_id
    assert version.tags["canon.result"] == row.data.tags["canon.result"]
    (output,) = row.outputs.model_outputs  # type: ignore[union-attr]
    model = client.get_logged_model(output.model_id)
    assert model.status == "READY"
    assert {metric.key: metric.value for metric in model.metrics or ()} == row.data.metrics


@pytest.mark.soak
def test_the_model_predicts_from_the_store(ran: Path, run: Run) -> None:
    code = (
        "import mlflow, pandas; "
        f"mlflow.set_tracking_uri('sqlite:///{ran}/mlflow.db'); "
        "print(float(mlflow.pyfunc.load_model('models:/co2/1').predict(pandas.DataFrame({'date': ['2001-01-06']})).iloc[0, 0]))"
    )
    printed = run(ran, "python", "-W", "ignore", "-c", code).stdout
    assert 360 < float(printed.split()[-1]) < 380


def test_the_description_says_what_ran_on_what_and_how_to_run_it_again(ran: Path) -> None:
    note = local_store(ran).row().data.tags["mlflow.note.content"]
    assert note.startswith("Forecast atmospheric CO2")
    assert f"    git checkout {git(ran, 'rev-parse', 'HEAD')[:12]} && dvc repro\n" in note
    assert "| train | `python -m pipelines.co2.train` |" in note
    assert "| raw | 8883 | `75be30c3e98e` |" in note


def test_a_second_repro_runs_nothing_and_makes_no_row(clone: Path, run: Run) -> None:
    done = run(clone, "dvc", "repro")
    assert stages_run(done.stdout) == []
    assert "up to date" in done.stdout
    assert len(local_store(clone).rows()) == 1


def test_a_changed_hyperparameter_gives_a_second_row_and_the_earlier_value_none(clone: Path, run: Run) -> None:
    set_alpha(clone, "1.0e-03")
    assert stages_run(run(clone, "dvc", "repro").stdout) == ["train", "evaluate", "track"]
    store = local_store(clone)
    first, second = store.rows()
    assert (first.data.params["train.alpha"], second.data.params["train.alpha"]) == ("1e-06", "0.001")
    assert second.data.tags["canon.dirty"] == "true"
    assert second.data.metrics == json.loads((clone / "results/co2/metrics.json").read_text())
    git(clone, "checkout", "-q", "params/co2.yaml")
    assert stages_run(run(clone, "dvc", "repro").stdout) == []
    assert git(clone, "status", "--porcelain") == ""
    assert len(store.rows()) == 2


@pytest.mark.soak
def test_exp_run_gives_a_row_that_canon_log_gives_the_experiments_commit(clone: Path, team: Store, run: Run) -> None:
    done = run(clone, "dvc", "exp", "run", "-n", "stiff", "-S", "params/co2.yaml:train.alpha=0.001")
    assert stages_run(done.stdout) == ["train", "evaluate", "track"]
    store = local_store(clone)
    row = store.rows()[1]
    assert (row.data.params["train.alpha"], row.info.run_name) == ("0.001", "stiff")
    assert row.data.tags["canon.dvc.experiment"] == "stiff"
    assert row.data.tags["canon.dvc.baseline"] == git(clone, "rev-parse", "HEAD")
    assert row.data.tags["canon.dirty"] == "true"
    head = git(clone, "rev-parse", "HEAD")
    experiment = git(clone, "rev-parse", f"refs/exps/{head[:2]}/{head[2:]}/stiff")
    git(clone, "checkout", "-q", ".")
    # The workspace's own result is the first row's again; the experiment's is found by its tree.
    assert "1 row names its commit now" in run(clone, "canon", "log").stderr
    row = store.rows()[1]
    assert (row.data.tags["mlflow.source.git.commit"], row.data.tags["canon.dirty"]) == (experiment, "false")
    # The earlier value again: from the run-cache, without a row.
    assert stages_run(run(clone, "dvc", "exp", "run", "-S", "params/co2.yaml:train.alpha=0.001").stdout) == []
    assert len(store.rows()) == 2
    # A store that never saw it gets it by the experiment's name.
    assert "logged" in run(clone, "canon", "log", "stiff", env={"MLFLOW_TRACKING_URI": team.uri}).stdout
    again = team.row()
    assert (again.info.run_name, again.data.tags["canon.dvc.baseline"]) == ("stiff", head)
    assert again.data.tags["canon.result"] == row.data.tags["canon.result"]
    assert again.data.tags["mlflow.source.git.commit"] == experiment
