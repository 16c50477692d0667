"""Commands that run beside this one, to which signals are passed on, and the variables that they see."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end, looking up now and then: a signal just before a wait without limit would be handled only after it."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(1)


def run_interruptible(command: Sequence[str], folder: Path, env: Mapping[str, str], keep: Sequence[int] = ()) -> int:
    """Run a command; what it prints goes to stderr. Return its exit status, 128 + n for signal n.

    A signal to this process ends it first: then KeyboardInterrupt or SystemExit is raised, also where it ended well all the same.
    ``keep``: descriptors that it inherits.
    """
    heard: list[int] = []
    with passed_on(heard) as pass_to:
        process = subprocess.Popen(
            list(command), cwd=folder, env=dict(env), stdin=subprocess.DEVNULL, stdout=2, pass_fds=keep, start_new_session=True
        )  # fmt: skip
        pass_to(process)
        code = wait(process)
    if signal.SIGINT in heard:
        raise KeyboardInterrupt
    if heard:
        raise SystemExit(128 + heard[0])
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def passed_on(heard: list[int] | None = None) -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """SIGHUP, SIGINT and SIGTERM go to the process that is named, and to all that it started; early ones wait for that.

    It has a session of its own: the terminal's signals come here alone, and so does the one of a terminal that is closed.
    ``heard``: gets their numbers.
    """
    started: list[int] = []
    early: list[int] = []

    def send(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started[0], number)

    def forward(number: int, _: object) -> None:
        if heard is not None:
            heard.append(number)
        send(number) if started else early.append(number)

    def pass_to(process: subprocess.Popen[bytes]) -> None:
        started.append(process.pid)
        for number in early:
            send(number)

    before = {each: signal.signal(each, forward) for each in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    try:
        yield pass_to
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def kept_environment() -> Iterator[None]:
    """Put the variables of this process back in the end, as they were."""
    before = dict(os.environ)
    try:
        yield
    finally:  # one by one: another thread may be starting a command
        for name in {*os.environ} - {*before}:
            os.environ.pop(name, None)
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
