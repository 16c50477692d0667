"""DVC's locks on paths (`.dvc/tmp/rwlock`), taken once for a stage and not once for each of its calls.

They are what a `dvc repro` beside this run is refused by ("is busy"), and it names this process then.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import dvc.rwlock
import psutil

_REAL = dvc.rwlock.rwlock
_REAL_EDIT = dvc.rwlock._edit_rwlock  # noqa: SLF001  see `locks_are_held`


@contextlib.contextmanager
def paths_locked(repo: Any, stages: Iterable[Any], who: str = "", *, write: bool = True) -> Iterator[None]:  # noqa: ANN401  DVC's own
    """Lock what stages read and write, or all of it for reading. Raises DVC's LockError where another process has it.

    ``who``: beside the command line, so that each of several that are held at once is an owner of its own.
    """
    from dvc.dependency import RepoDependency
    from dvc.dependency.db import AbstractDependency

    listed = tuple(stages)
    apart = RepoDependency | AbstractDependency  # dvc/stage/decorators.py
    read = [dep.fs_path for stage in listed for dep in stage.deps if not isinstance(dep, apart)]
    made = [out.fs_path for stage in listed for out in stage.outs]
    hardlink = repo.config["core"].get("hardlink_lock", False)
    command = " ".join([*sys.argv, who]).strip()
    with _REAL(repo.tmp_dir, repo.fs, command, *((read, made) if write else ([*read, *made], [])), hardlink):
        yield


@contextlib.contextmanager
def locks_are_held() -> Iterator[None]:
    """Let DVC's calls on stages believe that their paths are locked: `paths_locked` has done it. Its decorator looks the function up each time.

    The file of the locks is written atomically meanwhile: DVC empties it first, and refuses all work when it was killed before it had written.
    """
    dvc.rwlock.rwlock, dvc.rwlock._edit_rwlock = _held, _edited  # noqa: SLF001
    try:
        yield
    finally:
        dvc.rwlock.rwlock, dvc.rwlock._edit_rwlock = _REAL, _REAL_EDIT  # noqa: SLF001


@contextlib.contextmanager
def _held(*_: object, **__: object) -> Iterator[None]:
    yield


@contextlib.contextmanager
def _edited(folder: str, fs: Any, hardlink: bool) -> Iterator[dict[str, Any]]:  # noqa: ANN401, FBT001  DVC's own signature
    """As dvc/rwlock.py, ``_edit_rwlock``. A file that is not JSON was left by a process that was killed: it says nothing."""
    from dvc.lock import make_lock

    path = fs.join(folder, dvc.rwlock.RWLOCK_FILE)
    guard = make_lock(fs.join(folder, dvc.rwlock.RWLOCK_LOCK), tmp_dir=folder, hardlink_lock=hardlink)
    with guard:
        found: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError), open(path, encoding="utf-8") as file:  # noqa: PTH123
            found = json.load(file)
        lock: dict[str, Any] = _without_dead(dvc.rwlock.SCHEMA(found))
        lock["read"] = defaultdict(list, lock["read"])
        lock["write"] = defaultdict(dict, lock["write"])
        yield lock
        new = f"{path}.new"
        with open(new, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(lock, file)
        os.replace(new, path)  # noqa: PTH105


def _without_dead(lock: dict[str, Any]) -> dict[str, Any]:
    """Leave out what processes hold that have ended. DVC does so, too, but for those that nobody has waited for yet."""
    holders = {info["pid"] for infos in lock["read"].values() for info in infos}
    holders |= {info["pid"] for info in lock["write"].values()}
    dead = {pid for pid in holders - {os.getpid()} if not _is_alive(pid)}
    read = {path: [info for info in infos if info["pid"] not in dead] for path, infos in lock["read"].items()}
    return {
        "read": {path: infos for path, infos in read.items() if infos},
        "write": {path: info for path, info in lock["write"].items() if info["pid"] not in dead},
    }


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
