"""What is not committed, and so is left out of what runs from a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from canon.dvc.track_stage import result_path
from canon.model.errors import CanonError, listed
from canon.model.project import Pipeline, Project
from canon.results.locks import declared_stages
from canon.source_state import changed_files


def check_committed(project: Project, what: str, say: Callable[[str], None], *, allow_dirty: bool) -> None:
    """Raise CanonError where the checkout holds what no commit has, but for outs; with ``allow_dirty`` it is said only. ``what`` runs: `a sweep`."""
    made = [path for pipeline in project.pipelines for path in _made(project, pipeline)]
    changed = [
        path
        for path in changed_files(project.root)
        if not any(path == out or path.startswith(f"{out}/") for out in made)
    ]
    if changed and not allow_dirty:
        raise CanonError(
            f"not committed, and {what} runs what is: {listed(changed)}; commit, or say --allow-dirty, which leaves it out"
        )
    if changed:
        say(f"canon: not committed, so left out: {listed(changed)}")


def _made(project: Project, pipeline: Pipeline) -> Iterator[str]:
    yield result_path(pipeline.name)
    for stage in declared_stages(project, pipeline):
        yield from stage.out_paths
