"""The commands of stages as processes: each in a session of its own, its output in a file, ended with this process whatever ends that.

The output goes into the file directly: neither a flood of it, nor one without line ends, nor a process that is left behind and keeps it open is
any business of this process, which reads the end of the file where it is shown.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from canon.running.leftovers import Groups
from canon.running.watchdog import Watchdog

_GATE = 'read -r CANON_GATE && [ "$CANON_GATE" = go ] && unset CANON_GATE && exec "$@" </dev/null; exit 143'
"""A command begins when the watchdog knows of it: where this process is killed before that, its end of the pipe is closed and nothing begins."""
_GATE_FOR_ALL = r"""
import os, signal, sys
if os.read(0, 9) != b"go\n":
    sys.exit(143)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
for each in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(each, signal.SIG_DFL)
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr)
    sys.exit(127)
"""
"""The same, slower, and it hands on variables of any name. A shell drops those that it could not name itself: bash's functions, `BASH_FUNC_module%%`."""
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
LARGEST_LOG = 1 << 30
"""Bytes of a log, after which it begins anew: a stage that prints without end does not fill the disk."""
_TICK = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a stage runs: its commands, one after the other up to the first that fails, each with the arguments of its shell."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    folder: Path
    env: Mapping[str, str]
    log: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """A stage whose commands are through, after ``seconds``.

    ``code``: as a shell gives it, 128 + n for signal n; ``error``: why one could not start (ValueError: it holds what no command may);
    ``stopped``: a signal was sent to it, so that its outs may be halves, whatever its code says.
    """

    name: str
    code: int
    error: OSError | ValueError | None = None
    seconds: float = 0.0
    stopped: bool = False


@dataclass
class _Child:
    work: Work
    process: subprocess.Popen[bytes] | None = None
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Children:
    """Commands that run side by side; a context, after which none of them runs. ``groups``: where a successor finds them."""

    def __init__(self, groups: Groups | None = None) -> None:
        self._watchdog = Watchdog()
        self._groups = groups
        self._running: dict[str, _Child] = {}
        self._ended: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.send(signal.SIGKILL)
        while self._running:
            self.next_ended(None)
        self._watchdog.__exit__(kind, error, trace)

    @property
    def names(self) -> tuple[str, ...]:
        """The stages that run."""
        return tuple(self._running)

    @property
    def sessions(self) -> dict[str, int]:
        """Stage → session of the command that it runs just now."""
        running = {name: child.process for name, child in list(self._running.items())}
        return {name: process.pid for name, process in running.items() if process is not None}

    def start(self, work: Work) -> None:
        """Let a stage's commands run."""
        self._watchdog.watch()
        child = self._running[work.name] = _Child(work)
        threading.Thread(target=self._run, args=(child,), name=f"stage {work.name}", daemon=True).start()

    def next_ended(self, timeout: float | None) -> Ended | None:
        """The next stage whose commands are through; None where none is within ``timeout`` seconds, or `wake` was called."""
        try:
            ended = self._ended.get(timeout=timeout)
        except queue.Empty:
            return None
        if ended is not None:
            del self._running[ended.name]
        return ended

    def wake(self) -> None:
        """Let `next_ended` return. A handler of signals may call it."""
        self._ended.put(None)

    def send(self, number: int) -> None:
        """Send a signal to all that run; none of them begins its next command."""
        for child in list(self._running.values()):
            with child.lock:
                child.stopped = True
                if child.process is not None:
                    _kill(child.process.pid, number)

    def _run(self, child: _Child) -> None:
        work, code, began = child.work, 0, time.monotonic()
        try:
            work.log.parent.mkdir(parents=True, exist_ok=True)
            with work.log.open("wb"):
                pass  # empty it; children append, so that it can be emptied under them
            for command in work.commands:
                code = self._command(child, command)
                if code != 0:
                    break
        except (OSError, ValueError) as error:
            self._ended.put(Ended(work.name, 127, error))
        else:
            self._ended.put(Ended(work.name, code, None, time.monotonic() - began, child.stopped))

    def _command(self, child: _Child, command: Sequence[str]) -> int:
        work = child.work
        read, write = os.pipe()
        try:
            with child.lock, work.log.open("ab") as log:
                if child.stopped:
                    return 128 + signal.SIGINT
                process = subprocess.Popen(
                    [*_gate(work.env), *command], stdin=read, stdout=log, stderr=log,
                    cwd=work.folder, env=dict(work.env), start_new_session=True,
                )  # fmt: skip
                child.process = process
                self._watchdog.started(process.pid)
                if self._groups is not None:
                    self._groups.started(process.pid)
            os.write(write, b"go\n")
        finally:
            os.close(read)
            os.close(write)
        _wait(process, work.log)
        with child.lock:
            child.process = None
            if child.stopped:
                _kill(process.pid, signal.SIGKILL)  # what the command had started and not ended
        self._watchdog.ended(process.pid)
        if self._groups is not None:
            self._groups.ended(process.pid)
        return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _gate(env: Mapping[str, str]) -> tuple[str, ...]:
    if all(_SHELL_NAME.fullmatch(name) for name in env):
        return "/bin/sh", "-c", _GATE, "sh"
    return sys.executable, "-I", "-S", "-c", _GATE_FOR_ALL


def _kill(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the end, and look now and then whether the log grows beyond measure."""
    opened = getattr(os, "pidfd_open", None)  # Linux
    descriptor = opened(process.pid) if opened else None
    try:
        poll = select.poll()
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        while process.poll() is None:
            if descriptor is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_TICK)
            else:
                poll.poll(_TICK * 1000)
            with contextlib.suppress(OSError):
                if log.stat().st_size > LARGEST_LOG:
                    os.truncate(log, 0)
                    with log.open("ab") as file:
                        file.write(b"[what stood here was more than is kept]\n")
    finally:
        if descriptor is not None:
            os.close(descriptor)
