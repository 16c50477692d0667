"""The repository that the cluster reads, as it stands now: its branches, asked for with the user's own git credentials.

Git runs in the user's repository, whose configuration it needs, and what it fetches lies in a folder that is gone afterwards: no ref, no object and
no worktree of the repository is touched.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from canon.git import clean_url, repository_place, run_git, try_git
from canon.model.branches import matches_branch
from canon.model.errors import CanonError
from canon.model.root import SETTINGS_FILE

HEADS = "refs/heads/"
_LINE = re.compile(r"([0-9a-f]{40})\trefs/heads/(.+)")
_DEFAULT = re.compile(r"ref: refs/heads/(.+)\tHEAD")
QUIET = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.hooksPath=/dev/null")


@dataclass
class Origin:
    """A repository by its URL. ``heads``: branch → commit; ``default``: the branch that a clone of it checks out."""

    root: Path
    url: str
    heads: Mapping[str, str]
    default: str | None
    scratch: Path
    _env: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The URL for messages, without credentials."""
        return clean_url(self.url)

    def head(self, branch: str) -> str:
        """The commit of a branch, which is there then. Raises CanonError where the repository has no such branch."""
        commit = self.heads.get(branch)
        if commit is None:
            raise CanonError(f"{self.name} has no branch {branch!r}; push it, or correct `git.branch`")
        if not self._has(commit):
            self.fetch([branch])
        return commit

    def branches_with(self, commit: str, patterns: Sequence[str] | None = None) -> tuple[str, ...]:
        """Branches that match one of the patterns and have the commit: one at least if there is any. Without patterns all are asked."""
        named = [
            name
            for name in self.heads
            if patterns is None or any(matches_branch(name, pattern) for pattern in patterns)
        ]
        here = [name for name in named if self._has(self.heads[name])]
        found = tuple(name for name in here if self._is_ancestor(commit, self.heads[name]))
        if found or len(here) == len(named):
            return found
        self.fetch([name for name in named if name not in here])
        return tuple(name for name in named if self._is_ancestor(commit, self.heads[name]))

    def fetch(self, branches: Sequence[str]) -> None:
        """Bring commits of branches into the scratch folder. Raises CanonError with git's own words."""
        specs = [f"{HEADS}{name}" for name in branches]
        arguments = (
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--end-of-options",
        )
        run_git(self.root, *QUIET, *arguments, self.url, *specs, env=self._env)

    def checkout(self, commit: str, name: str) -> Path:
        """A commit's files in a repository of its own below the scratch folder. Nothing of it runs, and large files stay pointers."""
        folder = self.scratch / name
        folder.mkdir()
        run_git(folder, "init", "--quiet", "--initial-branch=canon")
        own = (*self._env["GIT_ALTERNATE_OBJECT_DIRECTORIES"].split(os.pathsep), self._env["GIT_OBJECT_DIRECTORY"])
        (folder / ".git/objects/info/alternates").write_text("".join(f"{path}\n" for path in own))
        run_git(
            folder,
            *QUIET,
            "checkout",
            "--quiet",
            "--detach",
            commit,
            env={"GIT_LFS_SKIP_SMUDGE": "1"},
        )
        return folder

    def declared_branch(self, otherwise: str) -> str:
        """`git.branch` as the default branch says it; ``otherwise`` where that one declares nothing.

        What is checked out does not say which branch is to be believed.
        """
        if self.default is None or self.default not in self.heads:
            return otherwise
        commit = self.head(self.default)
        text = self.text(commit, SETTINGS_FILE)
        try:
            settings = tomllib.loads(text or "").get("tool", {}).get("canon", {})
            found = settings["git"].get("branch", "main")
        except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError):
            return otherwise
        return found if isinstance(found, str) else otherwise

    def text(self, commit: str, path: str) -> str | None:
        """A file of a commit; None where the commit has none there, or one that is no text."""
        try:
            return run_git(self.root, "cat-file", "blob", f"{commit}:{path}", env=self._env).decode()
        except (CanonError, UnicodeDecodeError):
            return None

    def _has(self, commit: str) -> bool:
        return self._succeeds("cat-file", "-e", f"{commit}^{{commit}}")

    def _is_ancestor(self, commit: str, head: str) -> bool:
        return commit == head or self._succeeds("merge-base", "--is-ancestor", commit, head)

    def _succeeds(self, *arguments: str) -> bool:
        try:
            run_git(self.root, *arguments, env=self._env)
        except CanonError:
            return False
        return True


@contextmanager
def opened_origin(root: Path, url: str) -> Iterator[Origin]:
    """Ask a repository for its branches. Raises CanonError with git's own words where it does not answer."""
    listing = run_git(root, "ls-remote", "--symref", "--end-of-options", url, "HEAD", f"{HEADS}*").decode(
        "utf-8", "replace"
    )
    heads = {found[2]: found[1] for line in listing.splitlines() if (found := _LINE.fullmatch(line))}
    default = next((found[1] for line in listing.splitlines() if (found := _DEFAULT.fullmatch(line))), None)
    objects = os.fsdecode(run_git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects").strip())
    alternates = [objects, *filter(None, [os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")])]
    with tempfile.TemporaryDirectory(prefix="canon-submit-", ignore_cleanup_errors=True) as name:
        scratch = Path(name).resolve()
        (scratch / "objects").mkdir()
        env = {
            "GIT_OBJECT_DIRECTORY": str(scratch / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(alternates),
        }
        yield Origin(root, url, heads, default, scratch, env)


def check_remote(root: Path, url: str) -> None:
    """Raise CanonError unless a URL is that of one of the clone's own remotes, whatever the protocol: the user has chosen those, and nobody else.

    What is checked out may name any repository, which then would say what runs with the accounts of the cluster, and who gets the token.
    """
    lines = (try_git(root, "config", "--get-regexp", r"^remote\..*\.url$") or "").splitlines()
    known = [line.partition(" ")[2] for line in lines]
    known += [try_git(root, "remote", "get-url", name) or "" for name in (try_git(root, "remote") or "").split()]
    if not any(repository_place(url) == repository_place(each) for each in known if each):
        name = clean_url(url)
        raise CanonError(
            f"{SETTINGS_FILE}: `git.url` is {name}, which is no remote of this clone; if you trust it, `git remote add cluster {name}`"
        )
