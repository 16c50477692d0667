"""What the tests of tracking share: a clone in which the reference pipeline has run, copies of it, and MLflow's view."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import ROOT, git, once

if TYPE_CHECKING:
    import pytest
    from mlflow import MlflowClient
    from mlflow.entities import Run

LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
"""Where MLflow's database holds absolute paths of artifacts."""


def ran_clone(factory: pytest.TempPathFactory) -> Path:
    """A clone in which `dvc repro` has run once; tests copy it and leave it as it is."""

    def make(folder: Path) -> None:
        git(folder, "clone", "-q", "--no-local", str(ROOT), "clone")  # one pack: it is copied often
        _run(folder / "clone", "dvc", "repro")

    return once(factory, "ran", make) / "clone"


def _run(folder: Path, *command: str) -> None:
    """Run a command for several tests: with a home beside its folder, where one test has its own."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
    env |= {
        "HOME": str(home),
        "DVC_SITE_CACHE_DIR": str(home / "site"),
    }
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def empty_store(factory: pytest.TempPathFactory) -> Path:
    """An SQLite store without a row; to make one takes MLflow two seconds."""

    def make(folder: Path) -> None:
        assert Store(f"sqlite:///{folder}/mlflow.db").client.search_experiments() is not None

    return once(factory, "store", make) / "mlflow.db"


def copy_clone(factory: pytest.TempPathFactory, target: Path, *, store: str = "full") -> Path:
    """A copy of that clone; its store is moved to where the copy lies (``full``), or is made ``empty``, or there is ``none``."""
    ran = ran_clone(factory)
    left_out = () if store == "full" else ("mlflow.db", "mlartifacts")
    shutil.copytree(ran, target, symlinks=True, ignore=lambda folder, _: left_out if Path(folder) == ran else ())
    if store == "empty":
        shutil.copyfile(empty_store(factory), target / "mlflow.db")
    if store == "full":
        with contextlib.closing(sqlite3.connect(target / "mlflow.db")) as database, database:
            for table, column in LOCATIONS:
                # Names of tables and columns are those above; only the paths are values.
                database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(ran), str(target)))  # noqa: S608
    return target


def stages_run(output: str) -> list[str]:
    """The stages that a `dvc repro` really ran, in order."""
    return re.findall(r"Running stage '(?:[^':]*:)?([^']*)'", output)


@dataclass(frozen=True)
class Store:
    """A store as MLflow's own client sees it."""

    uri: str

    @property
    def client(self) -> MlflowClient:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's mappings use what SQLAlchemy deprecates
            from mlflow import MlflowClient
            from sqlalchemy.orm import configure_mappers

            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            configure_mappers()
        return client

    def rows(self, experiment: str = "co2") -> list[Run]:
        """Runs of an experiment, the oldest first; none where there is no store yet."""
        if self.uri.startswith("sqlite:///") and not Path(self.uri.removeprefix("sqlite:///")).exists():
            return []
        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            return []
        return sorted(self.client.search_runs([found.experiment_id]), key=lambda run: run.info.start_time)

    def row(self, experiment: str = "co2") -> Run:
        """The only run of an experiment."""
        (run,) = self.rows(experiment)
        return run

    def artifacts(self, run: Run, path: str = "") -> dict[str, bytes]:
        """Every artifact of a run: path → content."""
        with tempfile.TemporaryDirectory() as folder:
            top = Path(self.client.download_artifacts(run.info.run_id, path, folder))
            files = [file for file in top.rglob("*") if file.is_file()] if top.is_dir() else [top]
            return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def local_store(root: Path) -> Store:
    return Store(f"sqlite:///{root}/mlflow.db")


def files_below(*folders: Path) -> Iterator[Path]:
    """Every file below folders but those of Git itself, which keeps the remote's URL as the user wrote it."""
    for folder in folders:
        yield from (
            path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts
        )


SMALL_FILES = {
    "pyproject.toml": '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n',
    ".gitignore": "mlflow.db*\n.mlflow.db.lock\nmlartifacts/\n__pycache__/\n",
    "samples/raw.csv": "x\n1\n2\n",
    "pipelines/main.yaml": """\
name: main
description: "**A small pipeline**, with all that MLflow finds hard."
data:
  raw: {path: data/raw.csv, from: {local: samples/raw.csv}}
stages:
  fit:
    cmd: python fit.py ${fit.rate}
    deps: [fit.py, data/raw.csv, data/extra.csv]
    params: [params.yaml: [fit, other]]
    outs: [model.txt]
    metrics: [metrics.json]
    plots: [loss.csv: {x: step, y: loss}]
artifacts: {net: {path: model.txt, type: model}}
""",
    "pipelines/side.yaml": """\
name: side
dvc_file: side/dvc.yaml
track: false
stages:
  score:
    cmd: python score.py
    deps: [score.py, samples/raw.csv]
    metrics: [side.json]
""",
    "params.yaml": "fit: {rate: 0.5}\nother: {seed: 1}\n",
    "score.py": "import json\nopen('side.json', 'w').write(json.dumps({'score': 2}))\n",
    "fit.py": """\
import json, os, sys
from pathlib import Path

if os.environ.get("FLUENT"):  # the store of a user's own runs
    import mlflow
    mlflow.set_tracking_uri(os.environ["FLUENT"])
    with mlflow.start_run():
        mlflow.log_metric("step", 1)
Path("model.txt").write_text("weights")
Path("loss.csv").write_text("step,loss\\n1,0.5\\n2,0.25\\n")
Path("metrics.json").write_text(json.dumps(METRICS))
""".replace(
        "METRICS",
        '{"rate": float(sys.argv[1]), "plain": 1, "nested": {"deep": {"er": 0.25}}, "nan": float("nan"), "inf": float("inf"), "text": "good", '
        '"list": [1, 2], "flag": True, "none": None, "a@b": 1, "a#b": 2, "größe": 3, "../up": 4, "x/": 5, "k" * 300: 6}',
    ),
}


def copy_small_project(factory: pytest.TempPathFactory, target: Path) -> Path:
    """A committed project of two small pipelines, one without `track`, and an input that a `.dvc` file tracks; its store is empty."""
    shutil.copytree(once(factory, "small", _make_small_project), target, symlinks=True)
    shutil.copyfile(empty_store(factory), target / "mlflow.db")
    return target


def _make_small_project(folder: Path) -> None:
    for path, text in SMALL_FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "data").mkdir()
    (folder / "data/extra.csv").write_text("extra\n")
    git(folder, "init", "-q")
    for command in ("dvc init -q", "dvc add -q data/extra.csv", "canon data pin", "canon render"):
        _run(folder, *command.split())
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "declared")
