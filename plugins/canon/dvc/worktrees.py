"""A checkout of its own beside a checkout: a Git worktree that shares DVC's cache, and has DVC's settings that are not in Git."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from canon.dvc.objects import cache_root
from canon.git import head_commit, is_ignored, run_git
from canon.model.errors import CanonError


@contextlib.contextmanager
def new_worktree(root: Path, into: Path, remote: str | None) -> Iterator[Path]:
    """Make ``into`` a checkout of HEAD, with its own DVC state and the same cache; on an error it is gone again.

    ``remote`` becomes the default one there, where DVC's settings have a remote of that name. Hooks do not run.
    Raises CanonError for a place that is taken, or where Git would see it as files of the checkout.
    """
    _check_place(root, into)
    cache = cache_root(root)
    was_there = into.exists()
    run_git(root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", str(into), "HEAD")
    try:
        _write_local_settings(root, into, cache, remote)
        yield into
    except BaseException:
        with contextlib.suppress(CanonError):
            run_git(root, "worktree", "remove", "--force", str(into))
        if was_there:
            into.mkdir(exist_ok=True)
        raise


def _check_place(root: Path, into: Path) -> None:
    if into.is_symlink() or (into.exists() and not into.is_dir()):
        raise CanonError(f"{into} is there already, and no folder; give another one")
    if into.exists() and any(into.iterdir()):
        raise CanonError(
            f"{into} is there already and not empty; give another folder, or remove it (`git worktree remove {into}`)"
        )
    if head_commit(root) is None:
        raise CanonError(f"{root} has no commit yet to check out; commit first")
    top, place = root.resolve(), into.resolve()
    if place.is_relative_to(top) and not is_ignored(root, place.relative_to(top).as_posix()):
        raise CanonError(
            f"{into} lies in the repository, where Git would see it as new files; give a folder beside it, as ../{into.name}"
        )


def _write_local_settings(root: Path, into: Path, cache: Path, remote: str | None) -> None:
    """Write `.dvc/config.local`: that of ``root``, and what means another place from there, readable for its owner only."""
    from dvc.config import Config

    here = Config(str(root / ".dvc"))
    settings = here.load_one("local")
    for name, values in _relative_paths(here.load_one("repo")).items():
        for key, value in values.items():
            settings["remote"].setdefault(name, {}).setdefault(key, value)
    settings["cache"]["dir"] = str(cache)
    if remote is not None and remote in here.get("remote", {}):
        settings["core"]["remote"] = remote
    target = into / ".dvc" / "config.local"
    target.parent.mkdir(exist_ok=True)
    target.touch(mode=0o600)
    with Config(str(target.parent)).edit("local", validate=False) as written:
        written.update(settings)


def _relative_paths(settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Remote → key → absolute path, of what DVC's settings give relative to their file."""
    from dvc.config_schema import RelPath

    return {
        name: relative
        for name, values in settings["remote"].items()
        if (relative := {key: str(value) for key, value in values.items() if isinstance(value, RelPath)})
    }
