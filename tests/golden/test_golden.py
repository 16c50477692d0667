"""Declarations and the files that they yield, committed side by side, so that a change shows in review.

`make golden` writes the expected files anew (``CANON_GOLDEN=write``); this test compares.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from canon.adapters import render_project
from canon.model.project import load_project
from tests.conftest import ROOT, Run, git

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/project"))
WRITE = os.environ.get("CANON_GOLDEN") == "write"


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
    expected = HERE / case / "rendered"
    if WRITE:
        shutil.rmtree(expected, ignore_errors=True)
        for path, text in rendered.items():
            (expected / path).parent.mkdir(parents=True, exist_ok=True)
            (expected / path).write_text(text)
    assert rendered == texts_below(expected)


def test_the_reference_pipelines_yield_what_is_committed() -> None:
    for file in render_project(load_project(ROOT)):
        assert file.text == (ROOT / file.path).read_text(), f"{file.path} is stale: run `canon render`"


def test_dvc_does_not_take_a_golden_file_for_a_pipeline_of_this_repository(run: Run) -> None:
    listed = run(ROOT, "dvc", "ls", ".", "tests", "-R").stdout
    assert "golden" not in listed
