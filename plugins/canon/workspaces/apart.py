"""A run in a workspace of its own: HEAD with a profile and other params, run by DVC, kept as an experiment and as a row."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from canon.dvc.experiments import Experiment, numbered_names
from canon.dvc.objects import cache_folder
from canon.git import commit_source_tree, remote_url, try_git
from canon.mlflow.record import RunRecord
from canon.model.errors import CanonError, ExperimentExistsError
from canon.model.project import Pipeline, Project, load_project
from canon.planning.pipelines import pipeline_graph
from canon.processes import run_interruptible
from canon.results.locks import load_lock
from canon.results.log import workspace_result
from canon.results.rows import record_of, repro_arguments, tell_left_out
from canon.results.track import Tracked, origin_of, send
from canon.source_state import SourceState
from canon.steps.settings import Values, apply_settings
from canon.workspaces.saved import add_workspace, save_workspace

FOLDER = ".dvc/tmp/canon/workspaces"
"""Git does not see it, and it lies on the disk of DVC's cache. Its folders have the same names again: DVC keeps a state for each in /var/tmp."""
Say = Callable[[str], None]
Repro = Callable[[Path, Pipeline, int], None]
"""Runs a pipeline of the workspace at a path; the descriptor is to be inherited by what it starts. Raises CanonError where a stage fails."""


@dataclass(frozen=True, slots=True)
class Apart:
    """What came of a run: the experiment that keeps it, and what became of its row, which has no id where none was wanted."""

    experiment: Experiment
    tracked: Tracked


def run_apart(
    project: Project,
    name: str,
    profile: str,
    values: Values,
    say: Say,
    repro: Repro | None = None,
    *,
    untracked_too: bool = True,
) -> Apart:
    """Run a pipeline of HEAD with a profile and params in a workspace that is gone afterwards, by ``repro``, or by `dvc repro`.

    ``untracked_too``: make a row also where the pipeline says `track: false`. The cache is shared: what any run has made is not made again. Raises
    CanonError where a stage fails, KeyboardInterrupt or SystemExit when it is interrupted; what has run by then is in the cache.
    """
    with _own_workspace(project, profile) as (root, lock):
        there = load_project(root)
        apply_settings(root, there.pipeline(name), pipeline_graph(there, there.pipeline(name)), values)
        there = load_project(root)
        pipeline = there.pipeline(name)
        # What `.dvc` files track, and what is as it was, of this pipeline.
        _dvc(root, lock, "checkout", "--quiet", "--allow-missing", "--with-deps", pipeline.declaration.dvc_file)
        (repro or _repro)(root, pipeline, lock)
        saved = _save(there, name, profile)
        record = _record(there, pipeline, profile, saved, say)
        if pipeline.declaration.track or untracked_too:
            return Apart(saved, send(there, profile, record, say))
        return Apart(
            saved, Tracked(name, record.result, None, created=False, spooled=False, url=None, metrics=record.metrics)
        )


def _repro(root: Path, pipeline: Pipeline, lock: int) -> None:
    code = _dvc(root, lock, "repro", *repro_arguments(pipeline))
    if code != 0:
        raise CanonError(f"`dvc repro` ended with {code}; what it printed says why")


@contextlib.contextmanager
def _own_workspace(project: Project, profile: str) -> Iterator[tuple[Path, int]]:
    """A new workspace, and a descriptor by which it is known to be in use: whoever inherits it keeps it so."""
    folder = project.root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        place, lock = folder / str(number), os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            _remove(project.root, place)  # of one that was killed
            add_workspace(project, place, profile)
            yield place.resolve(), lock
        finally:
            _remove(project.root, place)
            os.close(lock)
        return


def _remove(root: Path, place: Path) -> None:
    if place.exists():
        try_git(root, "worktree", "remove", "--force", "--force", str(place))
        shutil.rmtree(place, ignore_errors=True)
    try_git(root, "worktree", "prune")


def _dvc(root: Path, lock: int, *arguments: str) -> int:
    command = [found] if (found := shutil.which("dvc")) else [sys.executable, "-m", "dvc"]
    return run_there(root, lock, *command, *arguments)


def run_there(root: Path, lock: int, *command: str) -> int:
    """Run a command in a workspace, without what says that this process runs in another one; what it prints is narration. Return its exit status."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("DVC_EXP_", "DVC_ROOT", "DVC_STAGE"))
    }
    return run_interruptible(command, root, env, (lock,))


def _save(project: Project, name: str, profile: str) -> Experiment:
    """Save the workspace as an experiment, under another number where one of that name holds other files."""
    first, _ = save_workspace(project, name, None, force=True, dry_run=True)
    for each in numbered_names(first.name):
        with contextlib.suppress(ExperimentExistsError):
            return save_workspace(project, name, each, force=False, dry_run=False)[0]
    raise CanonError(
        f"there are too many experiments `{first.name}` of profile `{profile}` with other content; remove those that nobody needs"
    )


def _record(project: Project, pipeline: Pipeline, profile: str, saved: Experiment, say: Say) -> RunRecord:
    """The result as that of the experiment's commit: the row that `track` has made names it then, and one that is missing is made."""
    root = project.root
    cache = cache_folder(root)
    lock = load_lock(root, pipeline)
    state = SourceState(
        commit=saved.commit, branch=None, url=remote_url(root), tree=commit_source_tree(root, saved.commit), dirty=False, patch=b""
    )  # fmt: skip
    origin = replace(origin_of(state, profile, {}), experiment=saved.name, baseline=saved.baseline)
    result = workspace_result(project, pipeline, lock, cache)
    tell_left_out(pipeline, result, say)
    return record_of(project, pipeline, result, origin, lock, cache, root)
