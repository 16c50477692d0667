"""`canon` and `dvc` as commands that start at once: forks of one process that has imported what they need.

Importing MLflow takes seconds, and a test of tracking runs a dozen commands. A fork has a process, folder, environment,
limits and streams of its own like any command; what it does not show is the start itself. So the demo and the tests of what
a command loads and how it starts use the installed commands, and ``CANON_TEST_COMMANDS=installed`` makes every test use them:
`.ci/run` for the faults, `make soak` for all.

Run as a script it is the server: ``python preloaded.py SOCKET OWNER`` ends with the process ``OWNER``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import marshal
import multiprocessing
import multiprocessing.process
import os
import pkgutil
import resource
import runpy
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

START = 120.0
"""Seconds that importing may take."""
LENGTH = 8
"""Bytes of the number before a request."""
OWN = {"canon-pod": "pod.py", "own-run": "own_run.py"}
"""Commands of the tests' own: the file of each."""
CLIENT = """\
#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
import _signal, _socket, marshal, posix, resource, sys  # no module that is not built in: each costs milliseconds

if {{b"PYTHONPATH", b"PYTHONWARNINGS", b"PYTHONPROFILEIMPORTTIME"}} & {{*posix.environ}}:
    posix.execv("{bin}/{name}", sys.argv)
mask = posix.umask(0)
posix.umask(mask)
limits = [(number, resource.getrlimit(number)) for number in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE)]
request = marshal.dumps(("{name}", sys.argv, posix.getcwd(), dict(posix.environ), mask, limits))
server = _socket.socket(_socket.AF_UNIX)
server.connect("{socket}")
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server.sendmsg([len(request).to_bytes({length}, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(request)
pid = int.from_bytes(server.recv({length}, _socket.MSG_WAITALL), "big")
for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    _signal.signal(number, lambda number, frame: posix.kill(pid, number))
status = int.from_bytes(server.recv({length}, _socket.MSG_WAITALL) or b"\\1", "big", signed=True)
if status < 0:
    _signal.signal(-status, _signal.SIG_DFL)
    posix.kill(posix.getpid(), -status)
posix._exit(status)
"""
"""The command that a test runs: it asks the server for a fork, and ends as that does."""


def can_serve(folder: Path) -> bool:
    """Tell whether this system has what the server needs; a socket's path is 107 bytes at most."""
    return hasattr(os, "pidfd_open") and len(os.fsencode(folder / "socket.new")) < 108


def install(folder: Path, commands: Path, python: Path) -> None:
    """Write the commands into a folder; ``commands`` is where the installed ones are."""
    for name in ("canon", "dvc", *OWN):
        file = folder / name
        file.write_text(CLIENT.format(python=python, bin=commands, name=name, socket=folder / "socket", length=LENGTH))
        file.chmod(0o755)


def start_server(folder: Path, python: Path, owner: int) -> None:
    """Start the server of the commands in a folder; return when it answers."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))}
    env["HOME"] = str(folder)
    with (folder / "server.log").open("wb") as log:
        command = [str(python), __file__, str(folder / "socket"), str(owner)]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    end = time.monotonic() + START
    while not (folder / "socket").exists():
        assert server.poll() is None, (folder / "server.log").read_text()
        assert time.monotonic() < end, (folder / "server.log").read_text()
        time.sleep(0.05)
    server.returncode = 0  # it outlives this process; nobody waits for it


def _preload() -> dict[str, Callable[[], Any]]:
    """Import what the commands import, at the latest in the middle of their work; return the commands."""
    for name in (
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
        "mlflow.store.tracking.rest_store",
        "mlflow.store.artifact.local_artifact_repo",
        "mlflow.pyfunc",
    ):
        importlib.import_module(name)
    for package in ("canon", "dvc.commands", "dvc.repo"):
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            importlib.import_module(module.name)
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    from dvc.cli import main as dvc

    from canon.cli.main import main as canon

    own = {name: runpy.run_path(str(Path(__file__).with_name(file)))["main"] for name, file in OWN.items()}
    return {"canon": canon, "dvc": dvc, **own}


class _Request(NamedTuple):
    """What the client is: the command's name, and all that a process has of its own."""

    name: str
    argv: list[str]
    cwd: str
    environ: dict[bytes, bytes]
    umask: int
    limits: list[tuple[int, tuple[int, int]]]


@dataclass(frozen=True)
class _Command:
    """A running command, and the connection on which its client waits."""

    process: multiprocessing.process.BaseProcess
    end: int  # descriptor that is ready when the process has ended; its sentinel is closed with all else of the server
    connection: socket.socket


def _serve(path: Path, owner: int) -> None:
    commands = _preload()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    end = os.pidfd_open(owner)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{path}.new")
        listener.listen(64)
        Path(f"{path}.new").rename(path)
        running: list[_Command] = []
        while True:
            ready = wait([listener, end, *(one.end for one in running), *(one.connection for one in running)])
            if end in ready:
                return
            for one in [one for one in running if one.end in ready or one.connection in ready]:
                if one.end not in ready:  # the client is gone
                    one.process.kill()
                one.process.join()
                with contextlib.suppress(ConnectionError), one.connection:
                    one.connection.sendall(int(one.process.exitcode or 0).to_bytes(LENGTH, "big", signed=True))
                one.process.close()
                os.close(one.end)
                running.remove(one)
            if listener in ready:
                running.append(_start(listener.accept()[0], commands))


def _start(connection: socket.socket, commands: Mapping[str, Callable[[], Any]]) -> _Command:
    """Start the command that a client asks for."""
    size, fds, _, _ = socket.recv_fds(connection, LENGTH, 3)
    request = _Request(*marshal.loads(connection.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)))  # noqa: S302  of our own client
    process = multiprocessing.get_context("fork").Process(target=_run, args=(commands[request.name], request, fds))
    process.start()
    for descriptor in fds:
        os.close(descriptor)
    with contextlib.suppress(ConnectionError):
        connection.sendall(int(process.pid or 0).to_bytes(LENGTH, "big"))
    return _Command(process, os.pidfd_open(process.pid or 0), connection)


def _run(command: Callable[[], Any], request: _Request, fds: list[int]) -> NoReturn:
    """Be the command: its streams, folder, environment and arguments; the interpreter is not taken down, which takes long."""
    for number, descriptor in enumerate(fds):
        os.dup2(descriptor, number)
    os.closerange(3, 256)  # all that is the server's: a pipe of another command would not end before this one
    os.umask(request.umask)
    for limit, values in request.limits:
        resource.setrlimit(limit, values)
    os.environ.clear()
    os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in request.environ.items()})
    os.chdir(request.cwd)
    sys.argv[:] = request.argv
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  it is open already
    for stream in (sys.__stdout__, sys.__stderr__):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=stream.isatty() or stream is sys.__stderr__)
    sys.exit(command())


if __name__ == "__main__":
    sys.path.pop(0)  # this folder holds no module that a command could mean
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
