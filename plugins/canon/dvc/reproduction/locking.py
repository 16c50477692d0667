"""DVC's locks on paths (`.dvc/tmp/rwlock`), taken once for a stage and not once for each of its calls.

They are what a `dvc repro` beside this run is refused by ("is busy"), and it names this process then.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import dvc.rwlock


@contextlib.contextmanager
def paths_locked(repo: Any, stages: Iterable[Any], who: str = "", *, write: bool = True) -> Iterator[None]:  # noqa: ANN401  DVC's own
    """Lock what stages read and write, or all of it for reading. Raises DVC's LockError where another process has it.

    ``who``: beside the command line, so that each of several that are held at once is an owner of its own.
    """
    from dvc.dependency import RepoDependency
    from dvc.dependency.db import AbstractDependency

    listed = tuple(stages)
    read = [
        dep.fs_path
        for stage in listed
        for dep in stage.deps
        if not isinstance(dep, RepoDependency | AbstractDependency)
    ]
    made = [out.fs_path for stage in listed for out in stage.outs]
    hardlink = repo.config["core"].get("hardlink_lock", False)
    command = " ".join([*sys.argv, who]).strip()
    with _REAL(repo.tmp_dir, repo.fs, command, *((read, made) if write else ([*read, *made], [])), hardlink):
        yield


_REAL = dvc.rwlock.rwlock


@contextlib.contextmanager
def _held(*_: object, **__: object) -> Iterator[None]:
    yield


@contextlib.contextmanager
def locks_are_held() -> Iterator[None]:
    """Let DVC's calls on stages believe that their paths are locked: `paths_locked` has done it. Its decorator looks the function up each time."""
    dvc.rwlock.rwlock = _held
    try:
        yield
    finally:
        dvc.rwlock.rwlock = _REAL
