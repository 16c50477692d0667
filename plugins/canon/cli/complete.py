"""What the shell completes: names that the project at hand declares. Never an error, whatever the project looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from canon.model.errors import CanonError
from canon.model.root import find_root

if TYPE_CHECKING:
    from canon.model.project import Project


def _completed(names: Callable[[Project], Iterable[str]], incomplete: str) -> list[str]:
    from canon.model.project import load_project

    try:
        return sorted(name for name in names(load_project(find_root(Path.cwd()))) if name.startswith(incomplete))
    except (CanonError, OSError):
        return []


def complete_pipeline(incomplete: str) -> list[str]:
    """Names of pipelines."""
    return _completed(lambda project: (pipeline.name for pipeline in project.pipelines), incomplete)


def complete_profile(incomplete: str) -> list[str]:
    """Names of profiles."""
    return _completed(lambda project: project.settings.profiles, incomplete)


def complete_dataset(incomplete: str) -> list[str]:
    """Datasets as PIPELINE/DATASET."""
    return _completed(
        lambda project: (f"{pipeline.name}/{name}" for pipeline in project.pipelines for name in pipeline.declaration.data),
        incomplete,
    )  # fmt: skip


def complete_environment(incomplete: str) -> list[str]:
    """Names of environments, of all pipelines."""
    return _completed(
        lambda project: {name for pipeline in project.pipelines for name in pipeline.declaration.deploy}, incomplete
    )
