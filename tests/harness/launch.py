"""One container as an engine starts it: everything is decided, nothing comes from the environment of the tests."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.harness.images import Image

EMISSARY_FAILED = 64
"""Exit code of the executor itself: the command cannot be started, or a container that this one waits for failed."""


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine at a path of the container."""

    source: Path
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class Launch:
    """A command, its whole environment, and what it sees. ``log`` takes stdout and stderr."""

    image: Image
    argv: tuple[str, ...]
    env: Mapping[str, str]
    folder: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    mounts: tuple[Mount, ...]
    read_only: bool
    may_gain: bool
    hostname: str
    log: Path


class Process(Protocol):
    """A command that runs in a container."""

    def wait(self) -> int:
        """Wait for the end; return the exit code, 128 + n for signal n."""

    def kill(self, how: signal.Signals) -> None:
        """Send a signal to the command and what it started, as the executor does; nothing happens once it has ended."""


class Engine(Protocol):
    """What starts containers."""

    def start(self, launch: Launch) -> Process:
        """Start a container; return when its command runs, or could not be started (exit code 64, the reason in its log)."""

    def close(self) -> None:
        """Remove what the engine has made for itself."""
