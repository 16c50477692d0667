"""A push whose outcome is not known: noted in `.git/canon` before it begins, and looked after by the next command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from canon.git import commit_text, repository_place, run_git, try_git
from canon.model.errors import CanonError
from canon.model.release import Hash, Release, release_from_text, release_path
from canon.output.files import write_bytes
from canon.releases.scratch import HEADS, NO_HOOKS, Scratch, own_folder
from canon.releases.tags import tag_patterns, tags_from_listing

Say = Callable[[str], None]


class Pending(BaseModel):
    """What was about to be pushed. ``words``: what was asked for; ``release``: its tag; ``tags``: all that were made for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str
    place: str
    branch: str
    commit: Hash
    pipeline: str
    environment: str
    release: str
    tags: tuple[str, ...] = Field(default=())


def write_pending(root: Path, pending: Pending) -> None:
    """Note a push that is about to begin."""
    write_bytes(_file(root), pending.model_dump_json().encode())


def forget_pending(root: Path) -> None:
    """The outcome is known."""
    _file(root).unlink(missing_ok=True)


def load_pending(root: Path) -> Pending | None:
    """What was noted, if anything was."""
    try:
        return Pending.model_validate_json(_file(root).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def settle_pending(scratch: Scratch, pending: Pending, say: Say) -> Release | None:
    """Find out what became of a push that was cut off: the release where it had arrived, else None, and nothing of it is left.

    Raises CanonError where the remote does not answer.
    """
    if pending.place != repository_place(scratch.name):
        return None  # it is looked after when that repository is asked again
    listing = run_git(
        scratch.root, "ls-remote", "--end-of-options", scratch.remote, f"{HEADS}{pending.branch}", *tag_patterns(pending.pipeline)
    ).decode("utf-8", "replace")  # fmt: skip
    objects, _ = tags_from_listing(listing)
    arrived = False
    if listing.startswith(tuple("0123456789abcdef")):
        with contextlib.suppress(CanonError):  # a branch that is gone meanwhile
            scratch.fetch(f"{HEADS}{pending.branch}:pending")
            head = scratch.fetched("pending")
            arrived = try_git(scratch.root, "merge-base", "--is-ancestor", pending.commit, head) is not None
    release = None
    if arrived:
        path = release_path(pending.pipeline, pending.environment)
        text = commit_text(scratch.root, pending.commit, path)
        release = None if text is None else release_from_text(text, path)
        say(f"canon: {pending.release}, whose push was cut off, had arrived at {scratch.name}")
    else:
        say(f"canon: {pending.release}, whose push was cut off, never arrived at {scratch.name}; it is undone")
    drop_tags(scratch.root, [name for name in pending.tags if name not in objects])
    forget_pending(scratch.root)
    return release


def drop_tags(root: Path, names: Sequence[str]) -> None:
    """Take tags out of the clone that the remote does not have."""
    for name in names:
        try_git(root, *NO_HOOKS, "update-ref", "-d", f"refs/tags/{name}")


def _file(root: Path) -> Path:
    return own_folder(root) / "release.json"
