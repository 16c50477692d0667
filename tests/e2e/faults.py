"""A small project to break, the installed command within limits, and what a tree holds before and after."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import git

MEMORY = 2 * 1024**3
"""Bytes of address space of a command: a net for what explodes, not a measure."""
SECONDS = 60

SETTINGS = """\
[tool.canon]
default_profile = "local"
[tool.canon.profiles.local]
[tool.canon.profiles.cluster]
"""
DECLARATION = """\
name: toy
data:
  raw: {path: raw.csv, from: {local: data/source.csv, cluster: data/other.csv}}
params: {cluster: params/toy.cluster.yaml}
stages:
  train:
    cmd: cp raw.csv out.txt
    deps: [raw.csv]
    params: [{params/toy.yaml: [train]}]
    outs: [out.txt]
"""


def build_project(root: Path) -> None:
    """Write, pin, render and commit the project."""
    files = {
        "pyproject.toml": SETTINGS,
        "pipelines/toy.yaml": DECLARATION,
        "params/toy.yaml": "train:\n  lr: 0.1\n",
        "params/toy.cluster.yaml": "train:\n  lr: 0.5\n",
        "data/source.csv": "a,b\n1,2\n",
        "data/other.csv": "a,b\n1,3\n",
        ".gitignore": "mlflow.db\nmlartifacts\nraw.csv\nresults/\n",
    }
    for path, text in files.items():
        write(root, path, text)
    git(root, "init", "-q")
    for command in (
        ("dvc", "init", "-q"),
        ("canon", "data", "pin"),
        ("canon", "data", "pin", "--profile", "cluster"),
        ("canon", "render"),
    ):
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    commit(root)


def write(root: Path, path: str, text: str | bytes) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


def declare(root: Path, stages: str, head: str = "", name: str = "toy") -> None:
    """Write a declaration with these stages, a line each."""
    lines = "".join(f"  {line}\n" for line in stages.strip().splitlines())
    write(root, f"pipelines/{name}.yaml", f"name: {name}\n{head}stages:\n{lines}")


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "-qm", "change")


def limits(*, file_size: int | None = None) -> Callable[[], None]:
    """What the process of a command may use; ``file_size``: bytes of a file, which ends a disk early."""

    def set_them() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if file_size is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return set_them


def canon(
    folder: Path,
    *arguments: str,
    code: int | None = 0,
    env: Mapping[str, str] | None = None,
    file_size: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the installed command; no fault ends in a traceback."""
    done = subprocess.run(
        ("canon", *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        env={**os.environ, **(env or {})},
        preexec_fn=limits(file_size=file_size),
    )
    said = f"canon {' '.join(arguments)} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, said
    assert code is None or done.returncode == code, said
    return done


def content(root: Path) -> dict[str, bytes | str | None]:
    """Every file, link and folder below a root, and Git's view; Git's own folder and locks are left out."""
    found: dict[str, bytes | str | None] = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name != ".git"]
        for name in (*names, *files):
            path = Path(folder) / name
            key = path.relative_to(root).as_posix()
            if key.startswith(".dvc/tmp/") and path.suffix != ".json":  # locks, and the folders that they lie in
                continue
            if path.is_symlink():
                found[key] = f"-> {path.readlink()}"
            else:
                found[key] = path.read_bytes() if path.is_file() else None
    status = subprocess.run(("git", "status", "--porcelain"), cwd=root, capture_output=True, check=False)
    return {**found, "git status": status.stdout, "git refs": _refs(root)}


def _refs(root: Path) -> bytes:
    return subprocess.run(("git", "for-each-ref"), cwd=root, capture_output=True, check=False).stdout


@contextmanager
def unchanged(root: Path) -> Iterator[None]:
    """Nothing in a tree changes: all files' bytes, Git's status and refs."""
    before = content(root)
    yield
    after = content(root)
    changed = sorted(key for key in {*before, *after} if before.get(key, "") != after.get(key, ""))
    assert not changed, f"changed: {changed}"


def assert_said(text: str, *sentences: str) -> None:
    """Every sentence stands in a text."""
    missing = [sentence for sentence in sentences if sentence not in text]
    assert not missing, f"not said: {missing}\nin:\n{text}"


START = """
import os, sys
ready = int(sys.argv.pop(1))
import canon.adapters, canon.datasets, canon.git, git
from canon.cli.main import main
os.write(ready, b"1")
sys.stdin.read()
main()
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    stdout: str
    stderr: str


def at_once(folder: Path, *commands: Sequence[str]) -> list[Ended]:
    """Run commands in a process each that all stand at one barrier until Canon is loaded in them."""
    reading, ready = os.pipe()
    waiting = [
        subprocess.Popen(
            (sys.executable, "-c", START, str(ready), *command),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(ready,),
        )
        for command in commands
    ]
    os.close(ready)
    for _ in waiting:
        os.read(reading, 1)  # nothing, when a process has ended before
    os.close(reading)
    for process in waiting:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    ended = []
    for process in waiting:
        stdout, stderr = process.communicate(timeout=SECONDS)
        assert "Traceback" not in stderr, stderr
        ended.append(Ended(process.returncode, stdout, stderr))
    return ended


def copy_project(template: Path, target: Path) -> Path:
    shutil.copytree(template, target, symlinks=True)
    return target
