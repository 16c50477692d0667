"""A pipe, a socket or a device where a file is expected: no command waits for it, and all name it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.faults import assert_said, canon, write

COMMANDS = (("check",), ("render",), ("graph",), ("run",), ("run", "--dry-run"), ("log",))
READ_BY = {
    "pyproject.toml": COMMANDS,
    "pipelines/toy.yaml": COMMANDS,
    "dvc.yaml": (("check",), ("render",), ("run",), ("run", "--dry-run")),
    "params/toy.yaml": (("run",),),
    "data/source.csv": (("run",),),
    "labels.dvc": (("run",),),
    ".dvc/config": (("run",),),
    ".gitignore": (("check",),),
}


def _socket(path: str) -> None:
    folder, name = os.path.split(path)
    before = Path.cwd()
    os.chdir(folder)  # the path of a socket is 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("file", READ_BY)
def test_a_pipe_is_not_waited_for(toy: Path, file: str) -> None:
    write(toy, "labels.dvc", "outs: [{path: labels.csv}]\n")
    (toy / file).unlink()
    os.mkfifo(toy / file)
    for command in READ_BY[file]:
        assert_said(canon(toy, *command, code=1, seconds=30).stderr, file)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "is a named pipe, and a file is expected"),
        (_socket, "is a socket, and a file is expected"),
        (lambda path: Path(path).symlink_to("/dev/zero"), "is a link to a device, and a file is expected"),
    ],
)
def test_what_it_is_is_said_with_the_remedy(toy: Path, make: Callable[[str], None], words: str) -> None:
    (toy / "pyproject.toml").unlink()
    make(str(toy / "pyproject.toml"))
    assert canon(toy, "check", code=1, seconds=30).stderr == f"canon:\npyproject.toml: {words}\n    remedy: move it away\n"  # fmt: skip
