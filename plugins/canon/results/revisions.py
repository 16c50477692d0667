"""Names of commits: what a user calls one, which DVC experiment it is, and which came after another."""

from __future__ import annotations

import re
from pathlib import Path

from canon.git import try_git
from canon.model.errors import CanonError

MAX_CANDIDATES = 1000


def resolve_revision(root: Path, revision: str) -> str:
    """Return the hash of the commit that a branch, tag, experiment or abbreviated hash names. Raises CanonError."""
    for name in (revision, f"refs/exps/{revision}"):
        found = try_git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found:
            return found.splitlines()[-1]
    matches = [line for line in (try_git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps") or "").splitlines()
               if line.split(" ")[0].endswith(f"/{revision}")]  # fmt: skip
    if len(matches) == 1:
        return matches[0].split(" ")[1]
    raise CanonError(
        f"Git knows no commit {revision!r} in {root}; give a branch, a tag, an experiment or a hash (a shallow clone needs `git fetch --unshallow`)"
    )


def experiment_of(root: Path, commit: str) -> tuple[str, str]:
    """Name and baseline of the DVC experiment that a commit is; two empty texts for any other commit."""
    refs = try_git(root, "for-each-ref", f"--points-at={commit}", "--format=%(refname)", "refs/exps") or ""
    for ref in refs.splitlines():
        found = re.fullmatch(r"refs/exps/([0-9a-f]{2})/([0-9a-f]+)/(.+)", ref)
        if found:
            return found[3], found[1] + found[2]
    return "", ""


def commits_since(root: Path, base: str | None) -> tuple[str, ...]:
    """Commits of branches and experiments that are not behind ``base``, newest first, at most 1,000.

    Experiments lie under the two digits of their baseline; beside them DVC keeps stashes, which go away.
    """
    arguments = [
        "rev-list",
        f"--max-count={MAX_CANDIDATES}",
        "HEAD",
        "--branches",
        "--glob=refs/exps/[0-9a-f][0-9a-f]/*",
    ]
    known = base and try_git(root, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
    if known:
        arguments.append(f"^{known}")
    return tuple((try_git(root, *arguments) or "").split())
