"""A project whose images are released: trained, pushed with its data, one result on main and one as an experiment, both baked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from canon.image.opening import open_store
from canon.image.references import parse_reference
from tests.conftest import git
from tests.e2e.served import FILES, bake, served_project

URL = "https://git.example.com/ml/p.git"
SETTINGS = f"""\
[tool.canon]
default_profile = "local"
git = {{url = "{URL}", branch = "main"}}
[tool.canon.profiles.local]
"""
DEPLOY = """\
deploy:
  staging: {namespace: p-staging}
  production: {namespace: p, from: staging, gates: ["rate <= 2 * production.rate"]}
"""
STORE = """\
[core]
    remote = store
['remote "store"']
    url = ../../store
"""


def make_shop(folder: Path) -> None:
    """Write the template below ``folder``: `project`, `code.git`, `store` (a DVC remote), the layout `made`, and the digests `main` and `experiment`."""
    declared = FILES["pipelines/p.yaml"] + DEPLOY
    served_project(folder, {"pyproject.toml": SETTINGS, "pipelines/p.yaml": declared})
    root = folder / "project"
    (root / ".dvc/config").write_text(STORE)
    git(root, "commit", "-qam", "a remote")
    git(folder, "init", "-q", "--bare", "-b", "main", "code.git")
    git(root, "remote", "add", "origin", URL)
    settle(root)
    git(root, "push", "-q", "origin", "HEAD:main")
    call(root, "dvc", "push", "-q")
    (folder / "main").write_text(bake(root))
    (root / "params/p.yaml").write_text("fit: {rate: 0.75}\n")
    call(root, "dvc", "repro", "-q")
    call(root, "canon", "experiment", "save", "p", "--name", "better")
    call(root, "dvc", "push", "-q")
    ref = git(root, "for-each-ref", "--format=%(refname)", "refs/exps")
    git(root, "push", "-q", "origin", f"{ref}:{ref}")
    git(root, "checkout", "-q", "--", ".")
    call(root, "dvc", "checkout", "-q")
    (folder / "experiment").write_text(bake(root, "--rev", "better"))
    git(root, "update-ref", "-d", ref)  # the remote has it


def settle(root: Path) -> None:
    """Let a clone find the repository beside it at the declared address."""
    before = subprocess.run(
        ("git", "config", "--get-regexp", "--name-only", r"^url\."),
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    for name in before.stdout.splitlines():
        git(root, "config", "--local", "--unset-all", name)
    git(root, "config", "--local", f"url.{(root.parent / 'code.git').as_uri()}.insteadOf", URL)


def call(root: Path, *command: str) -> str:
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def copied(template: Path, into: Path) -> Path:
    """The template's project, in a folder of the test's own."""
    shutil.copytree(template, into, symlinks=True)
    settle(into / "project")
    return into / "project"


def push_image(layout: Path, digest: str, repository: str) -> str:
    """Copy an image from a layout into a registry; return its reference there."""
    source = open_store(parse_reference(f"oci:{layout}"))
    target = open_store(parse_reference(repository))
    content, manifest = source.manifest(source.find(digest))
    for blob in (manifest.config, *manifest.layers):  # type: ignore[union-attr]
        target.copy(source, blob)
    target.add(content)
    return f"{repository}@{digest}"
