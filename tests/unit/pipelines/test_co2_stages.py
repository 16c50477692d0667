"""The stages of co2 as the processes that they are: what they make, and what they say of data that are of no use."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.co2.model import COEFFICIENTS, fit, format_model, load_model
from pipelines.co2.record import load_rows
from tests.conftest import ROOT

SAMPLES = ROOT / "data" / "samples"


def run_stage(folder: Path, stage: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"pipelines.co2.{stage}"],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def copy_of_the_pipeline(folder: Path, record: str) -> Path:
    for name in ("pipelines/__init__.py", "params/co2.yaml", "requirements.lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "pipelines/co2", folder / "pipelines/co2", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").mkdir()
    shutil.copy(SAMPLES / record, folder / "data/raw.csv")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline, run on the sample by its stages' own commands."""
    folder = copy_of_the_pipeline(tmp_path_factory.mktemp("trained"), "co2_recent.csv")
    for stage in ("prepare", "train", "evaluate"):
        done = run_stage(folder, stage)
        assert done.returncode == 0, done.stderr
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.soak  # a fresh clone gives the committed dvc.lock, and with it the model's bytes, in tests/e2e
def test_training_again_elsewhere_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    """In another folder, time zone, locale and umask, with other hashes of texts, on one processor."""
    folder = copy_of_the_pipeline(tmp_path / "another folder", "co2_recent.csv")
    shutil.copytree(trained / "data/prepared", folder / "data/prepared")
    former = os.umask(0o077)
    try:
        done = run_stage(
            folder,
            "train",
            TZ="Pacific/Auckland",
            PYTHONHASHSEED="7",
            LC_ALL="C",
            OMP_NUM_THREADS="1",
            TMPDIR=str(tmp_path),
            PYTHONDONTWRITEBYTECODE="1",
        )
        assert done.returncode == 0, done.stderr
    finally:
        os.umask(former)
    assert digests(folder / "models/co2") == digests(trained / "models/co2")


def test_the_committed_lock_names_what_the_stages_make_here(trained: Path) -> None:
    """By the interpreter of .python-version; another one's model differs in its Python version alone."""
    from canon.output.yaml import load_yaml

    entries = load_yaml((ROOT / "dvc.lock").read_text(), "dvc.lock")["stages"]
    outs = {out["path"]: out["md5"] for entry in entries.values() for out in entry.get("outs", ())}
    for path in ("results/co2/metrics.json", "results/co2/forecast.csv", "results/co2/residuals.csv"):
        assert hashlib.md5((trained / path).read_bytes(), usedforsecurity=False).hexdigest() == outs[path], path


def test_no_trace_of_the_machine_is_in_the_model(trained: Path) -> None:
    for path in (trained / "models/co2").rglob("*"):
        assert path.name != "__pycache__"
        if path.is_file():
            text = path.read_text()
            assert str(trained) not in text
            assert "/tmp" not in text  # noqa: S108
            assert not re.search(
                rf"{sys.version_info.major}\.{sys.version_info.minor}\.{sys.version_info.micro}\b", text
            ), path
    assert sorted(path.name for path in (trained / "models").iterdir()) == ["co2"]


LOADED = """
import json, sys, warnings
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(pandas.DataFrame({"date": json.loads(sys.argv[2])}))["co2"].tolist()))
"""


def test_mlflow_loads_the_model_anywhere_and_it_predicts_the_same(trained: Path, tmp_path: Path) -> None:
    """The folder alone is enough: the code that it was trained with travels with it."""
    shutil.copytree(trained / "models/co2", tmp_path / "moved")
    dates = ["1990-06-01", "2002-02-28", "2004-02-29", "2010-12-31", "2050-01-01"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED, "moved", json.dumps(dates)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    model = load_model(trained / "models/co2" / COEFFICIENTS)
    assert json.loads(done.stdout) == [model.predict(dt.date.fromisoformat(date)) for date in dates]


def metrics_of(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((folder / "results/co2/metrics.json").read_text())
    return metrics


def check_metrics(folder: Path) -> None:
    """The metrics are those of the forecasts in the plot's file, to the digits that are written."""
    with (folder / "results/co2/forecast.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items() if key != "date"} for row in csv.DictReader(file)]
    metrics = metrics_of(folder)
    errors = [row["forecast"] - row["truth"] for row in rows]
    naive = [row["naive"] - row["truth"] for row in rows]
    assert metrics["n"] == len(rows)
    assert metrics["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors), abs=2e-4)
    assert metrics["rmse"] == pytest.approx((sum(error**2 for error in errors) / len(errors)) ** 0.5, abs=2e-4)
    assert metrics["skill"] == pytest.approx(
        1 - (sum(e**2 for e in errors) / sum(e**2 for e in naive)) ** 0.5, abs=2e-4
    )
    assert metrics["skill"] > 0, "the seasonal naive forecast is better"


def test_the_model_beats_the_seasonal_naive_forecast_on_the_sample(trained: Path) -> None:
    check_metrics(trained)


def test_the_model_beats_the_seasonal_naive_forecast_on_the_full_record(tmp_path: Path) -> None:
    """With the parameters of the profile `cluster`; the model's own format is left out, it takes most of the time."""
    import yaml

    folder = copy_of_the_pipeline(tmp_path / "full", "co2_weekly.csv")
    overlay = yaml.safe_load((ROOT / "params/co2.cluster.yaml").read_text())
    params = yaml.safe_load((folder / "params/co2.yaml").read_text())
    for stage, values in overlay.items():
        params[stage].update(values)
    (folder / "params/co2.yaml").write_text(yaml.safe_dump(params))
    assert run_stage(folder, "prepare").returncode == 0
    rows = load_rows(folder / "data/prepared/train.csv")
    model = fit(
        [day for day, _ in rows],
        [value for _, value in rows],
        degree=params["train"]["degree"],
        knots=params["train"]["knots"],
        alpha=float(params["train"]["alpha"]),
    )
    (folder / "models/co2/artifacts").mkdir(parents=True)
    (folder / "models/co2" / COEFFICIENTS).write_text(format_model(model))
    assert run_stage(folder, "evaluate").returncode == 0
    check_metrics(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [("date,co2\n2000-01-01,a\n", "line 2: 'a' is no number"), ("date,co2\n", "has no measurement"), ("date,co2\n2000-01-01,350\n", "too few to train on")],
)  # fmt: skip
def test_a_record_that_is_of_no_use_is_said_without_a_traceback(tmp_path: Path, text: str, said: str) -> None:
    folder = copy_of_the_pipeline(tmp_path / "bad", "co2_recent.csv")
    (folder / "data/raw.csv").write_text(text)
    done = run_stage(folder, "prepare")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "data/prepared").exists()
