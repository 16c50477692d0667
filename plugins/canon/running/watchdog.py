"""Ends the commands of stages where the process that started them is gone: `kill -9` leaves it no time to do so.

It reads a pipe whose only other end is that process's. `+<n>` names a process group that was started, `-<n>` one that has ended, and the end of
the pipe says that the process has, too: what is running then is killed. A process of its own, in a session of its own, which no Ctrl-C reaches.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from types import TracebackType
from typing import Self

_CODE = """
import os, signal, sys
groups = set()
for line in sys.stdin.buffer:
    (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Watchdog:
    """Started by the first group that it is told of."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            os.close(self._pipe)
            self._process.wait()
            self._process = None

    def watch(self) -> None:
        """Start it, where that was not done yet."""
        if self._process is None:
            read, self._pipe = os.pipe()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _CODE], stdin=read, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/"
            )  # fmt: skip
            os.close(read)

    def started(self, group: int) -> None:
        """Name a group that is to end with this process."""
        self._write(f"+{group}\n")

    def ended(self, group: int) -> None:
        """Name one that has ended, or may go on."""
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody has killed the watchdog: the next run finds what is left
            os.write(self._pipe, line.encode())
