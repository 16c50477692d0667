"""What a run that was killed left running. Its watchdog has ended it already, unless that was killed, too.

A file names the process groups of the commands that run, with the times when they began: a number alone may be another process's by now.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from canon.model.errors import CanonError

GROUPS = ".dvc/tmp/canon/groups"
_SLACK = 0.1
"""Seconds by which two readings of when a process began may differ."""
_PATIENCE = 10.0


class Groups:
    """The file of one run. Threads may write into it: a line is written at once."""

    def __init__(self, root: Path) -> None:
        self._path = root / GROUPS
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._lock = threading.Lock()
        self._running: set[int] = set()

    def started(self, group: int) -> None:
        """Name a group whose command is about to begin."""
        with contextlib.suppress(psutil.Error), self._lock:
            self._running.add(group)
            self._write(f"+{group} {psutil.Process(group).create_time()!r}\n")

    def ended(self, group: int) -> None:
        """Name one that has ended, or may go on; of the last one the file goes, too."""
        with self._lock:
            self._running.discard(group)
            if self._running:
                self._write(f"-{group}\n")
            else:
                self._path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(line.encode())


def end_leftovers(root: Path, say: Callable[[str], None]) -> None:
    """End what a run of this checkout left running. Its lock has to be held: no run is alive. Raises CanonError where something does not end."""
    path = root / GROUPS
    groups = _left(path)
    if groups:
        end = time.monotonic() + _PATIENCE
        said: set[int] = set()
        while found := {pid: group for group, began in groups.items() for pid in _members(group, began, root)}:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if new := {*found.values()} - said:
                said |= new
                say(
                    f"canon: ended what a run that was killed left running (process {', '.join(map(str, sorted(new)))})"
                )
            if time.monotonic() > end:
                raise CanonError(
                    f"process {', '.join(map(str, sorted(found)))} of a run that was killed does not end; end it first"
                )
            time.sleep(0.02)
    path.unlink(missing_ok=True)


def _left(path: Path) -> dict[int, float]:
    groups: dict[int, float] = {}
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return {}
    for line in lines:
        with contextlib.suppress(ValueError):
            if line[:1] == b"+":
                group, _, began = line[1:].partition(b" ")
                groups[int(group)] = float(began)
            elif line[:1] == b"-":
                groups.pop(int(line[1:]), None)
    return groups


def _members(group: int, began: float, root: Path) -> Iterator[int]:
    """Live processes of a group: all where its first one is there still, else those that have a stage's variables. None is older than the group."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) != group or process.create_time() < began - _SLACK:
                continue
            if process.status() != psutil.STATUS_ZOMBIE and (_is_first(group, began) or _is_stage(process, root)):
                yield process.pid


def _is_first(group: int, began: float) -> bool:
    try:
        return bool(abs(psutil.Process(group).create_time() - began) < _SLACK)
    except psutil.Error:
        return False


def _is_stage(process: psutil.Process, root: Path) -> bool:
    environ = process.environ()
    return "DVC_STAGE" in environ and Path(environ.get("DVC_ROOT", "")).resolve() == root.resolve()
