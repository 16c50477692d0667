"""`canon run --watch`: the run again, whenever what a person writes has changed."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from canon.model.errors import CanonError
from canon.model.project import PIPELINES, Project, load_project
from canon.model.root import SETTINGS_FILE
from canon.planning.pipelines import pipeline_graph
from canon.running.fresh import Signature, signatures_of

_STEP = 200
"""Milliseconds without a change, after which a burst of them is over: an editor writes, renames and sets rights."""
_LOOK = 5000
"""Milliseconds after which it looks all the same: some file systems tell of no change."""
_NOT_WATCHED = frozenset({"__pycache__", ".git", ".dvc", ".ipynb_checkpoints"})
State = dict[str, Signature]


def watch(root: Path, name: str | None, run: Callable[[], object], say: Callable[[str], None]) -> None:
    """Run now and after each change, until KeyboardInterrupt. ``name``: the pipeline, or all of them.

    What changes while it runs is noticed too: inputs are compared with those that the run began with. What a run raises as CanonError is said.
    """
    paths: tuple[str, ...] = ()
    while True:
        paths = _inputs_or(root, name, paths)
        before = _state(root, paths)
        try:
            run()
        except CanonError as error:
            say(f"canon: {error}")
        paths = _inputs_or(root, name, paths)
        say(f"canon: waiting for a change of {len(paths)} inputs; Ctrl-C ends it")
        changed = _wait(root, paths, before)
        say(f"canon: changed: {', '.join(changed[:3])}{f' and {len(changed) - 3} more' if len(changed) > 3 else ''}")  # noqa: PLR2004


def watched_inputs(project: Project, name: str | None) -> tuple[str, ...]:
    """What a pipeline, or all of them, reads and no stage makes: declarations, settings, params, deps, `.dvc` files; relative to the root."""
    pipelines = [each for each in project.pipelines if name is None or each.name == name]
    found = {SETTINGS_FILE, PIPELINES, "params.yaml"}
    made: set[str] = set()
    for pipeline in pipelines:
        graph = pipeline_graph(project, pipeline)
        for stage in graph.stages.values():
            made |= {posixpath.normpath(path) for path in stage.out_paths}
            found |= {path for path in stage.dep_paths if "://" not in path}
            found |= {path for path, _ in stage.param_paths}
            found |= {f"{path}.dvc" for path in stage.dep_paths if (project.root / f"{path}.dvc").is_file()}
        found |= {each.partition(":")[0] for each in pipeline.raw.get("vars") or () if isinstance(each, str)}
        found |= {str(overlay) for overlay in pipeline.declaration.params.values()}
    return tuple(sorted(path for path in found if not any(path == out or path.startswith(f"{out}/") for out in made)))


def _inputs_or(root: Path, name: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """The inputs; in the middle of an edit that no one can read those that were known, and the declarations."""
    try:
        return watched_inputs(load_project(root), name)
    except (CanonError, OSError):
        return known or (SETTINGS_FILE, PIPELINES)


def _state(root: Path, paths: Iterable[str]) -> State:
    """How the files are: folders are not files, and what a command leaves beside code is no change of it."""
    found = signatures_of(root, [path for path in paths if not _NOT_WATCHED & set(path.split("/"))])
    return {
        path: signature
        for path, signature in found.items()
        if not _NOT_WATCHED & set(path.split("/")) and not (root / path).is_dir()
    }


def _wait(root: Path, paths: tuple[str, ...], before: Mapping[str, Signature]) -> list[str]:
    """Wait until a file is another one than before; return which."""
    import watchfiles

    # Not recursive: of a folder of data that is no input nobody wants to hear. New folders are seen in the one above.
    while True:
        if changed := _changed(root, paths, before):
            return changed
        folders = sorted(_folders(root, paths))
        for _ in watchfiles.watch(
            *folders, recursive=False, step=_STEP, watch_filter=None, raise_interrupt=True, rust_timeout=_LOOK, yield_on_timeout=True
        ):  # fmt: skip
            if changed := _changed(root, paths, before):
                return changed
            if sorted(_folders(root, paths)) != folders:
                break


def _changed(root: Path, paths: Iterable[str], before: Mapping[str, Signature]) -> list[str]:
    after = _state(root, paths)
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


def _folders(root: Path, paths: Iterable[str]) -> Iterator[Path]:
    """The folders that hold the inputs, and those below inputs that are folders."""
    found: set[Path] = set()
    for path in paths:
        place = root / path
        above = place if place.is_dir() else place.parent
        while not above.is_dir():
            above = above.parent
        found.add(above)
        if place.is_dir():
            for folder, below, _ in os.walk(place):
                below[:] = [each for each in below if each not in _NOT_WATCHED]
                found.add(Path(folder))
    yield from found
