"""The commit of a release and its tags: by `git commit` and `git tag`, with hooks, identity and signatures as the clone has them configured."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from canon.git import run_git, try_git
from canon.model.errors import CanonError
from canon.model.release import Release
from canon.releases.draft import one_line
from canon.releases.history import REVIEW
from canon.releases.scratch import ALWAYS


def author_of(root: Path) -> str:
    """Who makes the release, `name <email>`. Raises CanonError where neither Git's configuration nor the environment says it."""
    idents = [
        try_git(root, "-c", "user.useConfigOnly=true", "var", f"GIT_{role}_IDENT") for role in ("AUTHOR", "COMMITTER")
    ]
    if not all(idents):
        raise CanonError(
            "Git does not know who makes this release: run `git config user.name` and `git config user.email` with yours,"
            " or set GIT_AUTHOR_NAME, GIT_AUTHOR_EMAIL, GIT_COMMITTER_NAME and GIT_COMMITTER_EMAIL"
        )
    return one_line(re.sub(r" -?\d+ [-+]\d{4}$", "", idents[0] or ""))


def describe(release: Release, review: str | None, *, created: bool) -> str:
    """The message of a release's commit."""
    where = f"{release.pipeline} in {release.environment}"
    if not created:
        return f"{where}: what follows from #{release.number}, rendered anew\n"
    what = f"release {release.version}, image {release.digest[:19]}"
    if release.promoted is not None:
        what = f"promote {release.version} from {release.promoted.environment} #{release.promoted.number}"
    if release.restores is not None:
        what = f"back to #{release.restores}, {release.version}"
    trailer = f"\n{REVIEW}: {review}\n" if review else ""
    return f"{where} #{release.number}: {what}\n\nWhy: {release.why}\n{trailer}"


def stage_files(tree: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Put files of a worktree into its index; return those that differ from the commit."""
    if not paths:
        return ()
    run_git(tree, *ALWAYS, "add", "--force", "--", *paths, env={"GIT_LITERAL_PATHSPECS": "1"})
    names = run_git(tree, *ALWAYS, "diff", "--cached", "--name-only", "--no-renames", "-z")
    return tuple(filter(None, names.decode("utf-8", "surrogateescape").split("\0")))


def commit_staged(tree: Path, message: str) -> str:
    """Commit the index of a worktree; return the commit. Raises CanonError with a failing hook's words."""
    run_git(tree, *ALWAYS, "commit", "--quiet", "--cleanup=verbatim", "-F", "-", stdin=message.encode())
    return run_git(tree, "rev-parse", "HEAD").decode().strip()


def make_tags(root: Path, releases: Iterable[Release], wanted: Collection[str]) -> None:
    """Make those tags of releases that are wanted, annotated, on their experiments' commits. Raises CanonError with git's own words."""
    made: set[str] = set()
    for release in releases:
        messages = {
            release.version_tag: f"{release.pipeline} {release.version}: result {release.result[:12]}\n",
            release.tag: describe(release, None, created=True),
        }
        for name, message in messages.items():
            if name in wanted and name not in made:
                made.add(name)
                flags = ("--annotate", "--cleanup=verbatim", "-F", "-")
                run_git(root, *ALWAYS, "tag", *flags, name, release.experiment, stdin=message.encode())
