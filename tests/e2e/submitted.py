"""A project whose repository is a bare one beside it, under the address that the declaration has, and an Argo Server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from canon.output.yaml import load_yaml
from tests.clustered import CLUSTER, COMMON, HEAD, REMOTE
from tests.conftest import git

URL = "https://git.example.com/ml/toy.git"
TRIGGERS = 'triggers: {push: {"exp/*": cluster}}\n'
STAGES = """\
vars: [params/toy.yaml]
stages:
  prepare: {cmd: sh p.sh, deps: [p.sh], params: [{params/toy.yaml: [seed]}], outs: [prepared]}
  train: {cmd: "sh t.sh ${lr}", deps: [t.sh, prepared], outs: [model]}
"""
ANOTHER = "  judge: {cmd: sh j.sh, deps: [j.sh, model], outs: [verdict]}\n"
FILES = {
    "pyproject.toml": COMMON + CLUSTER,
    ".dvc/config": REMOTE,
    ".dvc/.gitignore": "/config.local\n/tmp\n",
    ".dvcignore": "",
    ".gitignore": "/prepared\n/model\n",
    "params/toy.yaml": "seed: 1\nlr: 0.5\n",
    "p.sh": "echo prepared > prepared\n",
    "t.sh": "echo model > model\n",
    "pipelines/toy.yaml": HEAD + TRIGGERS + STAGES,
}


def write_project(folder: Path) -> None:
    """Write and commit the project `work`, and push it to `code.git`. Git itself knows where the declared address leads."""
    root, code = folder / "work", folder / "code.git"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    git(root, "init", "-q", "-b", "main")
    subprocess.run(["canon", "render"], cwd=root, check=True, capture_output=True)
    git(root, "add", "--all")
    git(root, "commit", "-qm", "declared")
    git(folder, "init", "-q", "--bare", "-b", "main", code.name)
    git(root, "remote", "add", "origin", URL)
    settle(root, code)
    git(root, "push", "-q", "origin", "main")


def settle(root: Path, code: Path) -> None:
    """Let the declared address lead to a bare repository, by the configuration of this clone alone."""
    git(root, "config", "--local", f"url.{code}.insteadOf", URL)


def commit(root: Path, branch: str | None = None, *, push: bool = True, **files: str) -> str:
    """Commit files (`__` stands for `/`, `--` for `.`) on a branch that begins here, and push it; return the commit."""
    if branch:
        git(root, "checkout", "-q", "-b", branch)
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "-qm", "changed")
    if push:
        git(root, "push", "-q", "origin", "HEAD")
    return git(root, "rev-parse", "HEAD")


def template(root: Path) -> dict[str, Any]:
    """The WorkflowTemplate as it is rendered there."""
    found: dict[str, Any] = load_yaml((root / "argo/toy/workflow/cluster.yaml").read_text(), "cluster.yaml")
    return found
