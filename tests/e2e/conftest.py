"""The project that the tests of faults break: made once, copied for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.faults import build_project, copy_project


@pytest.fixture(scope="session")
def toy_template() -> list[Path]:
    """Where the project was made, once it was."""
    return []


@pytest.fixture
def toy(tmp_path: Path, toy_template: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project, committed, in a repository of its own. It is made within a test, whose environment it needs."""
    if not toy_template:
        folder = tmp_path_factory.mktemp("template") / "toy"
        folder.mkdir()
        build_project(folder)
        toy_template.append(folder)
    return copy_project(toy_template[0], tmp_path / "toy")
