"""Declarations and the files that they yield, committed side by side, so that a change shows in review.

`make golden` writes the expected files anew (``CANON_GOLDEN=write``); this test compares.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest
from dvc.repo import Repo
from pydantic import BaseModel

from canon.adapters import render_project
from canon.model.definition import ForeachDefinition
from canon.model.delivery import Environment, Serving, Workflow
from canon.model.pod import Pod
from canon.model.project import load_project
from tests.conftest import ROOT, Run, git

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/project"))
WRITE = os.environ.get("CANON_GOLDEN") == "write"
REFERENCE = HERE / "reference"
DECLARED = ("pipelines", "params", ".dvc/config", "requirements.lock", "dvc.yaml")
"""What of this repository the rendering of its pipelines reads."""


def texts_below(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_a_declaration_yields_what_is_committed_beside_it(case: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(HERE / case / "project", project)
    git(project, "init", "-q")
    Repo.init(os.fspath(project)).close()
    if (project / "dvc.config").exists():
        shutil.move(project / "dvc.config", project / ".dvc/config")
    rendered = {file.path: file.text for file in render_project(load_project(project))}
    compare(rendered, HERE / case / "rendered")


def compare(rendered: Mapping[str, str], expected: Path) -> None:
    """Compare texts by path with the files of a folder, or write them there."""
    if WRITE:
        shutil.rmtree(expected, ignore_errors=True)
        for path, text in rendered.items():
            (expected / path).parent.mkdir(parents=True, exist_ok=True)
            (expected / path).write_text(text)
    assert rendered == texts_below(expected)


def test_the_reference_pipelines_yield_these_workflows(tmp_path: Path) -> None:
    """The declarations are those of this repository, the settings the case's own."""
    project = tmp_path / "project"
    for name in DECLARED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / name, project / name)
    shutil.copyfile(REFERENCE / "pyproject.toml", project / "pyproject.toml")
    git(project, "init", "-q")
    files = {file.path: file.text for file in render_project(load_project(project))}
    compare({path: text for path, text in files.items() if path.startswith("argo/")}, REFERENCE / "rendered")


def settings_used(value: object) -> Iterator[tuple[type[BaseModel], str]]:
    """Model and field of every setting that a declaration names, however deep."""
    if isinstance(value, BaseModel):
        for name in value.model_fields_set:
            yield type(value), name
            yield from settings_used(getattr(value, name))
    elif isinstance(value, dict):
        yield from (each for item in value.values() for each in settings_used(item))
    elif isinstance(value, tuple):
        yield from (each for item in value for each in settings_used(item))


def settings_of(model: object) -> Iterator[tuple[type[BaseModel], str]]:
    """Model and field of every setting that there is, in the models of its fields, too."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            yield model, name
            yield from settings_of(field.annotation)
    else:
        yield from (each for part in get_args(model) for each in settings_of(part))


def test_one_declaration_uses_every_setting_of_a_pod_and_of_a_workflow() -> None:
    """What is added to the model has to be added there, and shows in the rendered files."""
    declaration = load_project(HERE / "cluster/project").pipeline("vision").declaration
    pods = [
        stage.do.pod if isinstance(stage, ForeachDefinition) else stage.pod for stage in declaration.stages.values()
    ]
    used = {*settings_used(tuple(pods)), *settings_used(declaration.workflow)}
    missing = {*settings_of(Pod), *settings_of(Workflow)} - used
    assert {f"{model.__name__}.{name}" for model, name in missing} == set()
    ways = [pod for pod in pods if pod is not None]
    for setting in ("gpu", "retries"):  # a number, or a mapping
        assert {isinstance(found, int) for pod in ways if (found := getattr(pod, setting)) is not None} == {True, False}
    sources = {name for pod in ways for volume in pod.volumes or () for name in volume.model_fields_set}
    assert {"claim", "secret", "config_map", "empty_dir"} <= sources


def test_one_declaration_uses_every_setting_of_a_service_and_of_an_environment() -> None:
    declaration = load_project(HERE / "deployed/project").pipeline("flowers").declaration
    used = {*settings_used(declaration.serving), *settings_used(declaration.deploy)}
    stages = {(Pod, "retries"), (Pod, "timeout")}
    pods = {(Pod, name) for name in Pod.model_fields}  # what stands below them is held by the test above
    missing = ({*settings_of(Serving), *settings_of(Environment)} - {*settings_of(Pod)} | pods) - stages - used
    assert {f"{model.__name__}.{name}" for model, name in missing} == set()


def test_the_reference_pipelines_yield_what_is_committed() -> None:
    for file in render_project(load_project(ROOT)):
        assert file.text == (ROOT / file.path).read_text(), f"{file.path} is stale: run `canon render`"


def test_dvc_does_not_take_a_golden_file_for_a_pipeline_of_this_repository(run: Run) -> None:
    listed = run(ROOT, "dvc", "ls", ".", "tests", "-R").stdout
    assert "golden" not in listed
