"""Stages as a profile's overlay makes them: `foreach`, `matrix` and `${…}` may read the params that it changes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from canon.dvc.resolve import has_templating
from canon.model.project import Pipeline, Project
from canon.model.stage import Stage
from canon.output.files import load_text, write_text
from canon.results.locks import declared_stages
from canon.workflows.sites import CONFIG
from canon.workspaces.profiles import params_of


def profile_stages(project: Project, pipeline: Pipeline, profile: str) -> tuple[Stage, ...]:
    """The stages of a pipeline in a workspace that has a profile; this one stays as it is. Raises CanonError, ProblemsError."""
    changed = params_of(project, profile) if has_templating(pipeline.raw) else {}
    if not changed:
        return declared_stages(project, pipeline)
    with _view(project.root, changed) as root:
        return declared_stages(replace(project, root=root), pipeline)


@contextmanager
def _view(root: Path, texts: Mapping[str, str]) -> Iterator[Path]:
    """A folder that is as the root but for the texts of some files, by links: nothing is copied, and DVC leaves nothing of it anywhere."""
    with tempfile.TemporaryDirectory(prefix="canon-view-") as name:
        view = Path(name).resolve() / "view"
        own = {Path(): view}
        for path in map(Path, texts):
            for folder in reversed(path.parents):
                own.setdefault(folder, view / folder)
        for folder, place in own.items():
            place.mkdir()
            for each in (root / folder).iterdir():
                below = folder / each.name
                if below not in own and below.as_posix() not in {".git", ".dvc", *texts}:
                    (place / each.name).symlink_to(each.resolve())
        for file, text in texts.items():
            write_text(view / file, text)
        write_text(view / CONFIG, load_text(root / CONFIG, CONFIG) or "")
        alone = f"[core]\n    no_scm = true\n    site_cache_dir = {view.parent / 'site'}\n"
        write_text(view / f"{CONFIG}.local", alone)
        yield view
