"""A workspace's result as a DVC experiment, by plain Git: no data is needed, and nothing of the checkout changes.

DVC keeps an experiment as a commit on ``refs/exps/<2 hex>/<38 hex>/<name>`` whose parent is the baseline
(dvc/repo/experiments/refs.py); list, show, push, pull, apply, branch and gc work on it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from canon.git import head_commit, run_git
from canon.model.errors import CanonError, ExperimentExistsError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


NAMES = 100
"""How many results of one name, which begin with the same eight digits, or were saved with other files, one commit may have."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A saved experiment. ``created`` is False when the same content was there already."""

    name: str
    ref: str
    commit: str
    baseline: str
    created: bool


def experiment_ref(baseline: str, name: str) -> str:
    """The ref that DVC looks for an experiment on ``baseline`` under."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def numbered_names(name: str) -> Iterator[str]:
    """A name, and those that it gets where others have it: `<name>-2` …."""
    yield name
    yield from (f"{name}-{number}" for number in range(2, NAMES + 1))


def save_experiment(
    root: Path, name: str, *, result: str, generated: Iterable[str], force: bool = False, dry_run: bool = False
) -> Experiment:
    """Write the checkout's tracked changes and ``generated`` (paths DVC and Canon wrote, tracked or not) as an experiment.

    ``result`` becomes the commit's trailer `Canon-Result`. Index, branches and files of the checkout stay as they are.
    Raises CanonError without a commit to start from and for a bad name, ExperimentExistsError for another experiment of that name.
    """
    if not NAME.fullmatch(name) or name.endswith((".lock", ".")) or ".." in name:
        raise CanonError(f"{name!r} is no name of an experiment; use letters, digits, `.`, `_` and `-`")
    baseline = head_commit(root)
    if baseline is None:
        raise CanonError(f"{root} has no commit yet that an experiment could start from; commit first")
    ref = experiment_ref(baseline, name)
    tree = _write_tree(root, generated, keep=not dry_run)
    old = _ref_commit(root, ref)
    if old is not None:
        if run_git(root, "rev-parse", f"{old}^{{tree}}").decode().strip() == tree:
            return Experiment(name, ref, old, baseline, created=False)
        if not force:
            raise ExperimentExistsError(
                f"there is another experiment `{name}` on {baseline[:12]}; give another --name, or replace it with --force"
            )
    if dry_run:
        return Experiment(name, ref, "", baseline, created=True)
    message = f"canon: experiment {name}\n\nCanon-Result: {result}\n"
    commit = (
        run_git(root, *_identity(root), "commit-tree", tree, "-p", baseline, "-F", "-", stdin=message.encode())
        .decode()
        .strip()
    )
    # Without hooks, as DVC saves experiments.
    run_git(
        root, "-c", "core.hooksPath=/dev/null",
        "update-ref", "-m", f"canon: experiment {name}", ref, commit, old or "0" * len(commit),
    )  # fmt: skip
    return Experiment(name, ref, commit, baseline, created=True)


def _ref_commit(root: Path, ref: str) -> str | None:
    try:
        return run_git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip() or None
    except CanonError:
        return None


def _identity(root: Path) -> tuple[str, ...]:
    """The user's identity; machines without one (pods, CI) commit as Canon."""
    try:
        for role in ("AUTHOR", "COMMITTER"):
            run_git(root, "var", f"GIT_{role}_IDENT")
    except CanonError:
        return ("-c", "user.name=canon", "-c", "user.email=canon@localhost")
    return ()


def _write_tree(root: Path, generated: Iterable[str], *, keep: bool) -> str:
    """Hash of the tree; ``keep``: whether its objects are to stay."""
    folder = Path(tempfile.mkdtemp(prefix="canon-git-"))
    try:
        index = Path(os.fsdecode(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "index").strip()))
        if index.exists():
            shutil.copy2(index, folder / "index")  # with its time: git looks again at files changed in its very moment
        env = {"GIT_INDEX_FILE": str(folder / "index")}
        if not keep:
            objects = os.fsdecode(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects").strip())
            alternates = [objects, *filter(None, [os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")])]
            (folder / "objects").mkdir()
            env |= {
                "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(alternates),
            }
        if not index.exists():
            run_git(root, "read-tree", "HEAD", env=env)
        run_git(root, "add", "--update", "--", ".", env=env)
        present = sorted({path for path in generated if (root / path).is_file()})
        if present:
            run_git(root, "add", "--force", "--", *present, env={**env, "GIT_LITERAL_PATHSPECS": "1"})
        return run_git(root, "write-tree", env=env).decode().strip()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
