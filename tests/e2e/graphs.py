"""Random pipelines of stages that a shell runs, and the state that a run of one leaves: what `canon run` is held against `dvc repro` by."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.conftest import git, once
from tests.e2e.projects import call, write

SETTINGS = '[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n'
KEEP_LINES = """
import sys
from dvc.repo.scm_context import SCMContext
SCMContext.ignore_remove = lambda self, path: None  # where a stage fails, DVC takes out the lines of those that did not
from dvc.cli import main
sys.exit(main(sys.argv[1:]))
"""
DIED = 255
"""Exit status of `dvc repro` where a stage failed."""


def empty_project(folder: Path) -> None:
    """A Git and DVC repository with Canon's settings."""
    git(folder, "init", "-q")
    call(folder, os.environ, "dvc", "init", "-q")
    write(folder, {"pyproject.toml": SETTINGS})


def make_project(factory: object, folder: Path, files: Mapping[str, str]) -> Path:
    """A project with these files, rendered and committed."""
    shutil.copytree(once(factory, "empty-project", empty_project), folder, symlinks=True)  # type: ignore[arg-type]
    write(folder, files)
    call(folder, os.environ, "canon", "render")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "declare")
    return folder


def random_pipeline(seed: int, size: int, *, failures: bool = True, pause: float = 0.1) -> dict[str, str]:
    """A pipeline of ``size`` stages with all kinds of outs and flags, some of which fail."""
    rng = random.Random(seed)
    lines = ["name: g", "track: false", "stages:"]
    files: list[str] = []  # what a stage may read
    numbers = rng.sample(range(100, 1000), size)
    for number in numbers:
        name, out = f"s{number}", f"o{number}"
        kind = rng.choice(
            ["file"] * 4 + ["folder", "list", "metric", "plot", "persist", "always", "matrix", "wdir", "bare"]
        )
        deps = rng.sample(files, min(len(files), rng.choice([0, 1, 1, 2, 3])))
        up = "../" if kind == "wdir" else ""
        read = " ".join(f"{up}{each}" for each in deps)
        seconds = f"sleep {rng.uniform(0, pause):.3f}"
        fails = failures and rng.random() < 0.1
        made = f"{out}/{{in,more}}" if kind == "folder" else out
        text = f"{seconds}; " + ("exit 4; " if fails else "")
        listed = [f"{up}src.txt", *(f"{up}{each}" for each in deps)]
        lines += [f"  {name}:"]
        if kind == "matrix":
            lines += ["    matrix: {v: [1, 2]}", f"    cmd: '{text}cat src.txt {read} > {out}-${{item.v}}; echo ${{item.v}} >> {out}-${{item.v}}'",
                      f"    deps: [{', '.join(listed)}]", f"    outs: ['{out}-${{item.v}}']"]  # fmt: skip
            files += [f"{out}-1", f"{out}-2"]
            continue
        if kind == "folder":
            command = f"{text}mkdir -p {out}; cat src.txt {read} > {out}/in; echo {number} > {out}/more"
            made = f"{out}/in"
        elif kind == "metric":
            command = f'{text}cat {read} src.txt > /dev/null; echo "{{\\"m\\": {number}}}" > {out}.json'
            made = f"{out}.json"
        else:
            command = f"{text}cat {up}src.txt {read} > {out}.new; echo {number} >> {out}.new; mv {out}.new {out}"
        lines += (
            ["    cmd:", f"    - echo {name}", f"    - {command!r}"] if kind == "list" else [f"    cmd: {command!r}"]
        )
        if kind == "wdir":
            lines += ["    wdir: sub"]
            made = f"sub/{out}"
        if kind != "bare" or not deps:
            lines += [f"    deps: [{', '.join(listed)}]"]
        elif deps:
            lines += [f"    deps: [{', '.join(listed[1:])}]"]
        if kind in {"list", "always"}:
            lines += ["    params: [lr, {other.yaml: [a.b]}]"]
        flags = {"metric": f"    metrics: [{{{out}.json: {{cache: false}}}}]", "plot": f"    plots: [{out}]", "persist": f"    outs: [{{{out}: {{persist: true}}}}]"}  # fmt: skip
        lines += [flags.get(kind, f"    outs: [{out}]")]
        lines += {"always": ["    always_changed: true"]}.get(kind, [])
        files.append(rng.choice([out, made]) if kind == "folder" else made)
    return {"pipelines/g.yaml": "\n".join(lines) + "\n", "src.txt": "source\n", "params.yaml": "lr: 0.1\n", "other.yaml": "a: {b: [1, x]}\n",
            "sub/.keep": ""}  # fmt: skip


def state(root: Path) -> dict[str, str | set[str]]:
    """What DVC leaves: the texts of its files and of .gitignore, the names of all that is in the cache, run-cache entries too."""
    cache = root / ".dvc/cache"
    found: dict[str, str | set[str]] = {
        path.relative_to(root).as_posix(): path.read_text()
        for pattern in ("**/dvc.lock", "**/*.dvc", "**/.gitignore")
        for path in root.glob(pattern)
        if path.is_file() and not {"mlartifacts", "tmp"} & {*path.relative_to(root).parts}
    }
    # Beside them DVC leaves the file that it was writing when it was killed: a name of its own, which nothing refers to.
    found["cache"] = {
        path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file() and path.suffix != ".tmp"
    }
    return found


def repro(root: Path, *arguments: str) -> int:
    """`dvc repro -k`, but for the lines of .gitignore that it takes out after a failure; return its exit status."""
    done = subprocess.run(
        [sys.executable, "-c", KEEP_LINES, "repro", "-k", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=200
    )  # fmt: skip
    assert done.returncode in {0, DIED}, done.stderr
    return done.returncode


def stages_alive(root: Path) -> list[str]:
    """The commands of stages of a project that run."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DVC_ROOT") == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return found
