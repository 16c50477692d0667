"""Projects to run end to end: this repository in a folder of its own, and one so small that it runs in a moment."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

from tests.conftest import ACCESS_KEY, BIN, ROOT, SECRET_KEY, git


def environment(home: Path, commands: Path = BIN, **more: str) -> dict[str, str]:
    """What a user's shell has at least, with a home of its own; for fixtures of a wider scope than a test."""
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text(
        '[user]\n\tname = Test\n\temail = test@example.com\n[init]\n\tdefaultBranch = main\n[protocol "file"]\n\tallow = always\n'
    )
    return {
        "HOME": str(home),
        "PATH": os.pathsep.join((str(commands), str(BIN), os.environ["PATH"])),
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "NO_PROXY": "127.0.0.1,localhost",
        **more,
    }


def s3_environment(endpoint: str) -> dict[str, str]:
    """Credentials and server of S3, as a user exports them."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def call(folder: Path, env: Mapping[str, str], *command: str, code: int = 0, timeout: float = 230) -> str:
    """Run a command as a process; return what it prints on both streams. Nothing of it is left after ``timeout`` seconds."""
    with subprocess.Popen(
        command, cwd=folder, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == code, f"{command} gave {process.returncode}\n{said}"
    return said


WAIT = "import os, sys; os.read(int(sys.argv[1]), 1); os.execvp(sys.argv[2], sys.argv[2:])"


def at_once(folder: Path, *commands: Sequence[str]) -> list[subprocess.CompletedProcess[str]]:
    """Run commands in a process each, let go at the same moment: they wait for the other end of a pipe to be closed."""
    reader, writer = os.pipe()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WAIT, str(reader), *command],
            cwd=folder, pass_fds=[reader], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for command in commands
    ]  # fmt: skip
    time.sleep(0.05)  # until they wait: the closer they start, the more the round shows
    os.close(writer)
    os.close(reader)
    outputs = [process.communicate(timeout=120) for process in started]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process, output in zip(started, outputs, strict=True)
    ]


def copy_of_this_repository(into: Path) -> Path:
    """The files of this repository that Git tracks, as they are now, as one commit."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for path in filter(None, listing.split("\0")):
        if (ROOT / path).is_file():
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, into / path)
    git(into, "init", "-q")
    git(into, "add", ".")
    git(into, "commit", "-qm", "all of it")
    return into


def snapshot(folder: Path) -> dict[str, str]:
    """Path → mode and hash of every file of a checkout, but for what Git, DVC and MLflow keep for themselves."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        own = inside.startswith((".git/", ".dvc/cache/", ".dvc/tmp/", "mlartifacts/", ".venv/"))
        if path.is_file() and not own and not path.name.startswith(("mlflow.db", ".mlflow.db")):
            found[inside] = f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return found


COUNT = """\
import json, pathlib, yaml
params = yaml.safe_load(open("params/tiny.yaml"))["count"]
source = pathlib.Path("data/raw")
files = sorted(source.rglob("*")) if source.is_dir() else [source]
words = " ".join(path.read_text() for path in files if path.is_file()).split()
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/counted.txt").write_text(f"{len(words) * params['times']}\\n")
pathlib.Path("out/metrics.json").write_text(json.dumps({"words": len(words)}))
"""

TINY: Mapping[str, str] = {
    "pyproject.toml": """\
        [tool.canon]
        default_profile = "local"
        [tool.canon.profiles.local]
        [tool.canon.profiles.cluster]
        remote = "store"
        """,
    "pipelines/tiny.yaml": """\
        name: tiny
        data:
          raw: {path: data/raw, from: {local: samples/small.txt, cluster: samples/large.txt}}
        params: {cluster: params/tiny.cluster.yaml}
        stages:
          count:
            cmd: python count.py
            deps: [count.py, data/raw]
            params: [{params/tiny.yaml: [count]}]
            outs: [out/counted.txt]
            metrics: [{out/metrics.json: {cache: false}}]
        """,
    "params/tiny.yaml": """\
        # what to count
        count:
          times: 1   # how often
        """,
    "params/tiny.cluster.yaml": "count: {times: 3}\n",
    "samples/small.txt": "one two\n",
    "samples/large.txt": "one two three four\n",
    ".gitignore": "mlflow.db*\n.mlflow.db.lock\nmlartifacts/\n__pycache__\n",
    "count.py": COUNT,
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write texts, their common indentation taken out."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(dedent(text))


def tiny_project(folder: Path, *, pinned: tuple[str, ...] = ("local", "cluster")) -> None:
    """Make a committed project of one stage on one dataset, whose profiles read different files and count differently."""
    git(folder, "init", "-q")
    call(folder, os.environ, "dvc", "init", "-q")
    write(folder, TINY)
    for profile in pinned:
        call(folder, os.environ, "canon", "data", "pin", "--profile", profile)
    call(folder, os.environ, "canon", "render")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "declare")
