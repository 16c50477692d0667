"""The files that processes have open, where the system says so (Linux)."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

_FLAGS = re.compile(rb"^flags:\s*0?([0-7]+)$", re.MULTILINE)
_WRITES = 0o3
"""Of the flags of `open`: for writing alone, or for both."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that a process of a session has open."""

    session: int
    path: str
    writes: bool


def can_tell() -> bool:
    """Whether this system says it."""
    return Path("/proc/self/fdinfo").is_dir()


def open_files(sessions: Container[int]) -> Iterator[OpenFile]:
    """The files that the processes of sessions have open, of those that this user may ask about."""
    try:
        processes = [int(each) for each in os.listdir("/proc") if each.isdigit()]  # noqa: PTH208
    except OSError:
        return
    for process in processes:
        with contextlib.suppress(OSError):
            session = os.getsid(process)
            if session in sessions:
                for descriptor in os.listdir(f"/proc/{process}/fd"):  # noqa: PTH208
                    yield from _opened(session, process, descriptor)


def _opened(session: int, process: int, descriptor: str) -> Iterator[OpenFile]:
    with contextlib.suppress(OSError):
        path = os.readlink(f"/proc/{process}/fd/{descriptor}")  # noqa: PTH115
        if path.startswith("/") and not path.startswith(("/dev/", "/proc/")):
            found = _FLAGS.search(Path(f"/proc/{process}/fdinfo/{descriptor}").read_bytes())
            yield OpenFile(session, path, bool(found and int(found[1], 8) & _WRITES))
