"""Where a release is made: worktrees beside the user's own, with the clone's configuration, hooks and credentials, gone afterwards.

Index, branches and files of the user's checkout are not touched. One command at a time works in a clone; what a killed one left is taken away by
the next one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from canon.git import clean_url, run_git, try_git
from canon.model.errors import CanonError
from canon.releases.tags import tag_patterns, tags_from_listing

REFS = "refs/canon/release/"
"""Where what is fetched is kept meanwhile."""
HEADS = "refs/heads/"
WAIT = 600
"""Seconds to wait for another command in the same clone."""
ALWAYS = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.sparseCheckout=false")
NO_HOOKS = (*ALWAYS, "-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the remote has: branch → commit, tag → its object, tag → the commit it is on."""

    heads: dict[str, str]
    objects: dict[str, str]
    commits: dict[str, str]


@dataclass(frozen=True, slots=True)
class Scratch:
    """The scratch worktrees of a clone. ``remote``: a remote of it by its name, or a URL."""

    root: Path
    remote: str
    folder: Path

    @property
    def name(self) -> str:
        """The remote for messages, without credentials."""
        return clean_url(try_git(self.root, "remote", "get-url", self.remote) or self.remote)

    @property
    def tree(self) -> Path:
        """Where the releases' branch is checked out."""
        return self.folder / "tree"

    @property
    def code(self) -> Path:
        """Where the declared branch is checked out, if it is another one."""
        return self.folder / "code"

    def look(self, pipeline: str, branches: Sequence[str]) -> Seen:
        """Ask the remote for branches and the pipeline's tags. Raises CanonError with git's own words."""
        refs = [f"{HEADS}{branch}" for branch in branches]
        listing = run_git(self.root, "ls-remote", "--end-of-options", self.remote, *refs, *tag_patterns(pipeline))
        text = listing.decode("utf-8", "replace")
        pairs = [line.partition("\t") for line in text.splitlines()]
        heads = {ref.removeprefix(HEADS): oid for oid, _, ref in pairs if ref in refs}
        return Seen(heads, *tags_from_listing(text))

    def fetch(self, *specs: str) -> None:
        """Fetch refs or objects; `ref:name` keeps one as ``name`` below the scratch refs. Raises CanonError with git's own words."""
        full = [f"+{ref}:{REFS}{name}" if name else ref for ref, _, name in (spec.partition(":") for spec in specs)]
        flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--end-of-options")
        run_git(self.root, *NO_HOOKS, "fetch", *flags, self.remote, *full)

    def fetched(self, name: str) -> str:
        """The commit that was fetched under a name."""
        return run_git(self.root, "rev-parse", "--verify", f"{REFS}{name}^{{commit}}").decode().strip()

    def has(self, commit: str, tag: str = "") -> bool:
        """Tell whether the clone has a commit, fetching it where the remote gives it, by its hash or by a tag."""
        for more in (commit, f"refs/tags/{tag}" if tag else "", ""):
            if try_git(self.root, "cat-file", "-e", f"{commit}^{{commit}}") is not None:
                return True
            if more:
                with suppress(CanonError):
                    self.fetch(more)
        return False

    def check_out(self, place: Path, commit: str) -> None:
        """Let one of the worktrees have exactly the files of a commit."""
        if place.exists():
            run_git(place, *NO_HOOKS, "reset", "--quiet", "--hard")
            run_git(place, *NO_HOOKS, "checkout", "--quiet", "--force", "--detach", commit)
            return
        run_git(
            self.root, *NO_HOOKS, "worktree", "add", "--quiet", "--force", "--force", "--detach", str(place), commit
        )

    def clean(self) -> None:
        """Take away worktrees and refs."""
        for place in (self.tree, self.code):
            if place.exists():
                try_git(self.root, "worktree", "remove", "--force", "--force", str(place))
        shutil.rmtree(self.folder, ignore_errors=True)
        refs = try_git(self.root, "for-each-ref", "--format=delete %(refname)", REFS.rstrip("/"))
        if refs:
            run_git(self.root, *NO_HOOKS, "update-ref", "--stdin", stdin=f"{refs}\n".encode())


def _absolute(root: Path, remote: str) -> str:
    """A remote that is a folder, by its absolute path: a relative one means another place in a worktree elsewhere."""
    url = try_git(root, "remote", "get-url", "--push", remote) or remote
    local = "://" not in url and not os.path.isabs(url) and (root / url).exists()  # noqa: PTH117  a text that may be a URL
    return str((root / url).resolve()) if local else remote


@cache
def own_folder(root: Path) -> Path:
    """Canon's folder in the clone's `.git`, which all of its worktrees share."""
    common = run_git(root, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return Path(os.fsdecode(common.strip())) / "canon"


@contextmanager
def opened_scratch(root: Path, remote: str) -> Iterator[Scratch]:
    """The scratch worktrees of a clone, for one command at a time. Raises CanonError where another one has been at work for too long."""
    from filelock import FileLock, Timeout

    own = own_folder(root)
    try:
        own.mkdir(exist_ok=True)
        lock = FileLock(own / "release.lock", timeout=WAIT)
        lock.acquire()
    except Timeout:
        raise CanonError(
            f"another command has been releasing from {root} for {WAIT} s; wait for it, or end it"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise CanonError(
            f"{own} cannot be written: {getattr(error, 'strerror', None) or error}; a release is made there: give the right to"
        ) from None
    scratch = Scratch(root, _absolute(root, remote), own / "release")
    try:
        scratch.clean()  # of one that was killed
        scratch.folder.mkdir(parents=True)
        yield scratch
    finally:
        try:
            scratch.clean()
        finally:
            lock.release()
