"""The command of `canon serve`, and how a service is run: on which address, and how signals end it. Real processes."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from canon.baking.local import Service, _on_loopback, run_service
from canon.model.errors import CanonError


@pytest.mark.parametrize(
    ("command", "port", "changed"),
    [
        ("serve --host 0.0.0.0 --port 8080", None, "serve --host 127.0.0.1 --port 8080"),
        ("serve --host 0.0.0.0 --port 8080", 9, "serve --host 127.0.0.1 --port 9"),
        ("serve --host=0.0.0.0 --port=8080", 9, "serve --host=127.0.0.1 --port=9"),
        ("gunicorn --bind 0.0.0.0:8080 app", None, "gunicorn --bind 127.0.0.1:8080 app"),
        ("gunicorn --bind '0.0.0.0:8080' app", 9, "gunicorn --bind '127.0.0.1:9' app"),
        ("serve :8080", 9, "serve :9"),
        ("serve 8080\n", 9, "serve 9\n"),
        ("serve --from http://db:8080/x --port 8080", 9, "serve --from http://db:8080/x --port 9"),
        ("serve --size 18080 --port 8080", 9, "serve --size 18080 --port 9"),
        ("serve --version 10.0.0.0 --port 8080", None, "serve --version 10.0.0.0 --port 8080"),
        ("serve  'two  blanks' 8080", 9, "serve  'two  blanks' 9"),
    ],
)
def test_a_command_is_moved_to_loopback_and_to_another_port(command: str, port: int | None, changed: str) -> None:
    assert _on_loopback(command, 8080, port) == changed


@pytest.mark.parametrize("command", ["serve", "serve --port $PORT", "serve --from http://db:8080"])
def test_a_command_that_does_not_name_its_port_keeps_it(command: str) -> None:
    assert _on_loopback(command, 8080, None) == command
    with pytest.raises(CanonError, match="does not name the port 8080, so that --port cannot change it"):
        _on_loopback(command, 8080, 9)


def test_what_listens_already_is_not_taken_for_the_service(tmp_path: Path) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        service = Service(["touch", "started"], tmp_path, {"PATH": "/usr/bin:/bin"}, f"http://127.0.0.1:{port}/health")
        with pytest.raises(CanonError, match=f"something listens at 127.0.0.1:{port} already; .* --port"):
            run_service(service, said.append)
    assert not said
    assert not (tmp_path / "started").exists()


RUN = """
import os, pathlib, sys
from canon.baking.local import Service, run_service
command = "echo started; sleep 100; true"  # not with &: the shell lets such a one ignore SIGINT
sys.exit(run_service(Service(["/bin/sh", "-c", command], pathlib.Path.cwd(), os.environ, "http://127.0.0.1:9/health"), print))
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_that_was_started(tmp_path: Path, number: signal.Signals) -> None:
    """The pipe is at its end when the last process that was started is gone: nothing outlives a terminal that is closed."""
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        for _ in range(12):  # dash overlooks an interrupt while it starts a program
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)  # another one at the very end would find no handler
                break
        process.communicate(timeout=30)
    assert process.returncode == 128 + number
