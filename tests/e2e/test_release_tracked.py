"""A release names the run of its result in MLflow, and the version of its model, where a tracking server is declared and answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from canon.model.project import load_project
from canon.releases.tracked import find_tracked
from tests.tracking import copy_clone, local_store

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_clone(tmp_path_factory, tmp_path / "clone")


def test_the_run_and_the_version_of_the_model(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = load_project(clone)
    result = hashlib.sha256((clone / "results/co2.json").read_bytes()).hexdigest()
    said: list[str] = []
    row = local_store(clone).row().info.run_id
    assert find_tracked(project, "local", "co2", result, "co2", said.append) == (None, None)
    assert "the profile `local` declares no `mlflow`" in said.pop()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{clone}/mlflow.db")
    assert find_tracked(project, "local", "co2", result, "co2", said.append) == (row, "co2/1")
    assert find_tracked(project, "local", "co2", result, "other", said.append) == (row, None)
    assert said == []
    assert find_tracked(project, "local", "co2", "0" * 64, "co2", said.append) == (None, None)
    assert "MLflow has no row of this result; `canon log` makes it" in said.pop()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert find_tracked(project, "local", "co2", result, "co2", said.append) == (None, None)
    assert "does not answer" in said[0]
    assert "secret" not in said[0]
