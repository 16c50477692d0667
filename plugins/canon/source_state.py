"""The state of a checkout: its commit, whether the code is that commit's, and the patch and source tree where it is not."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from canon.git import commit_source_tree, head_commit, remote_url, run_git, tree_entries, try_git, untracked_files
from canon.model.errors import CanonError, listed
from canon.model.tree import is_source, source_tree

MAX_PATCH = 10 * 1024 * 1024
"""Largest patch of a dirty run, in bytes."""
MAX_CHANGED = 64 * 1024 * 1024
"""Changed and untracked files of more bytes than this are not hashed: they are data that nobody ignored."""
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
LOCAL_STORE = (
    "mlflow.db",
    "mlflow.db-journal",
    "mlflow.db-wal",
    "mlflow.db-shm",
    ".mlflow.db.lock",
    "mlartifacts",
    "mlruns",
)
"""MLflow's local store is no source, even where nobody ignored it."""
SECRET = re.compile(
    r"\.env(\..*)?|.*\.(pem|key|p12|pfx|jks|keystore)|id_(rsa|dsa|ecdsa|ed25519)|\.netrc|\.pgpass|\.pypirc|\.git-credentials"
    r"|credentials(\.json)?|secrets?\.(ya?ml|json|toml|env)",
    re.IGNORECASE,
)
"""Names of files that hold secrets by custom: while Git does not track them they are no source, and never leave the machine."""
SOURCE_PATHS = (".", ":(exclude)argo", ":(exclude,glob)**/dvc.lock", ":(exclude,glob)**/.gitignore")


@dataclass(frozen=True, slots=True)
class SourceState:
    """Where a result was made. ``commit`` is None before the first commit, ``branch`` on a detached HEAD.

    ``tree`` is None when too much lies in the checkout that is neither committed nor ignored (``note`` says so then).
    """

    commit: str | None
    branch: str | None
    url: str | None
    tree: str | None
    dirty: bool
    patch: bytes
    note: str = ""


def load_source_state(root: Path, made: Collection[str] = (), names_from: Path | None = None) -> SourceState:
    """Return the state of a checkout. ``made``: paths that the pipeline itself writes; alone they make nothing dirty.

    ``names_from`` is the checkout that knows branch and remote, where ``root`` is a temporary copy that does not.
    Raises CanonError when ``root`` is no checkout.
    """
    commit = head_commit(root)
    named = names_from or root
    branch = try_git(named, "symbolic-ref", "--short", "--quiet", "HEAD")
    state = SourceState(commit=commit, branch=branch, url=remote_url(named), tree=None, dirty=False, patch=b"")
    held = secret_files(root)
    changed = [path for path in _changed_files(root, commit) if path not in held]
    relevant = [path for path in changed if not any(path == out or path.startswith(f"{out}/") for out in made)]
    if commit is not None and not relevant:
        return replace(state, tree=commit_source_tree(root, commit))
    size = sum(_size(root / path) for path in changed)
    if size > MAX_CHANGED:
        note = f"{size >> 20} MiB of files are neither committed nor ignored: neither patch nor tree is recorded; list them in .gitignore, or commit them"
        return replace(state, dirty=True, note=note)
    try:
        try:
            tree, patch = _tree_and_patch(root, commit, held)
        except CanonError:  # a file went away between the look and the read, as editors' and tools' own files do
            tree, patch = _tree_and_patch(root, commit, held)
    except CanonError as error:
        return replace(state, dirty=True, note=f"neither patch nor tree is recorded: {error}")
    if len(patch) > MAX_PATCH:
        return replace(
            state,
            dirty=True,
            tree=tree,
            note=f"the patch has {len(patch) >> 20} MiB, more than {MAX_PATCH >> 20}: it is not recorded; commit first",
        )
    note = f"not in the row's patch, as they may hold secrets: {listed(held)}; list them in .gitignore" if held else ""
    return replace(state, dirty=True, tree=tree, patch=patch, note=note)


def secret_files(root: Path) -> tuple[str, ...]:
    """Untracked, not ignored files whose name says that they hold secrets."""
    return tuple(path for path in untracked_files(root, ["."]) if SECRET.fullmatch(posixpath.basename(path)))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def changed_files(root: Path) -> list[str]:
    """Source files that differ from HEAD, and untracked ones that are not ignored."""
    return _changed_files(root, head_commit(root))


def _changed_files(root: Path, commit: str | None) -> list[str]:
    if commit is None:
        listing = run_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    else:
        listing = run_git(root, "diff", "--name-only", "--no-renames", "-z", "--ignore-submodules=none", commit)
        listing += run_git(root, "ls-files", "-z", "--others", "--exclude-standard", "--full-name")
    paths = {path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path}
    return sorted(path for path in paths if is_source(path) and path.split("/", 1)[0] not in LOCAL_STORE)


@contextlib.contextmanager
def staged_checkout(root: Path, held: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """Git's environment with an index of the checkout as it stands, without ``held``.

    Index and object store of the repository are left alone: what is new lies in a folder that is gone afterwards.
    """
    folder = Path(tempfile.mkdtemp(prefix="canon-git-"))
    try:
        index = Path(os.fsdecode(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "index").strip()))
        objects = os.fsdecode(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects").strip())
        if index.exists():
            shutil.copy2(index, folder / "index")  # with its time: git looks again at files changed in its very moment
        (folder / "objects").mkdir()
        alternates = [objects, *filter(None, [os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")])]
        env = {
            "GIT_INDEX_FILE": str(folder / "index"),
            "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(alternates),
        }
        plainly = ("-c", "advice.addEmbeddedRepo=false", "-c", "core.safecrlf=false")
        run_git(
            root,
            *plainly,
            "add",
            "--all",
            "--",
            ".",
            *_store_paths(root),
            *(f":(exclude,literal){path}" for path in held),
            env=env,
        )
        yield env
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tree_and_patch(root: Path, commit: str | None, held: Sequence[str]) -> tuple[str, bytes]:
    """Source tree and patch of the checkout as it stands, without ``held``."""
    with staged_checkout(root, held) as env:
        tree = source_tree(tree_entries(run_git(root, "ls-files", "-s", "-z", env=env)))
        base = commit or EMPTY_TREE
        patch = run_git(root, "diff", "--cached", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
                        base, "--", *SOURCE_PATHS, env=env)  # fmt: skip
    return tree, patch


def _store_paths(root: Path) -> tuple[str, ...]:
    """Pathspecs that leave MLflow's local store out; `git add` fails when one names what is ignored anyway."""
    ignored = (try_git(root, "check-ignore", "--", *LOCAL_STORE) or "").splitlines()
    return tuple(f":(exclude){name}" for name in LOCAL_STORE if name not in ignored)
