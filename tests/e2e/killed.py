"""Containers of a pod as processes that are killed at a moment: when they send a request, of which the server gets to know or not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from canon.steps.places import Pod
from tests.conftest import ROOT
from tests.proxies import Gate, Proxy, Script

KILL, TERM = signal.SIGKILL, signal.SIGTERM
SECONDS = 120


@contextmanager
def started(pod: Pod, step: str) -> Iterator[subprocess.Popen[str]]:
    """`canon step` in a pod's folders, as a process; what it is waited for, and that it ends, is the test's."""
    command = ["canon-pod"] if shutil.which("canon-pod") else [sys.executable, str(ROOT / "tests/pod.py")]
    environ = {**os.environ, **pod.environ, "CANON_TEST_POD": str(pod.places.private.parent)}
    arguments = [*command, step, *([pod.task] if step in {"pull", "push"} else [])]
    with subprocess.Popen(arguments, env=environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def killed_at(
    proxy: Proxy, asked: str, pod: Pod, step: str, how: signal.Signals = KILL, *, after: bool = False, number: int = 1,
    beside: Script = lambda _: "pass",
) -> None:  # fmt: skip
    """Run a step until it sends a request, and kill it then; ``asked``, ``after``, ``number``: as `Gate` says. ``beside``: asked before the gate."""
    with started(pod, step) as process:
        gate = Gate(asked, lambda: process.send_signal(how), after=after, number=number)
        proxy.script = lambda call: gate(call) if (verdict := beside(call)) == "pass" else verdict
        _, said = process.communicate(timeout=SECONDS)
        assert gate.reached.is_set(), f"{asked}: not asked; ended with {process.returncode}\n{said}"
        assert process.returncode == -how or process.returncode == 128 + how, said
    proxy.script = lambda _: "pass"
