"""The push of a release: all of it or nothing, and what became of it where it failed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from canon.git import run_git, try_git
from canon.model.errors import CanonError
from canon.releases.pending import Say
from canon.releases.scratch import ALWAYS, HEADS
from canon.releases.state import Released

_RACE = re.compile(
    r"^\s*! \[(?:remote )?rejected\].*\((?:cannot lock ref|failed to update ref|unable to lock|reference already exists|incorrect old value"
    r"|non-fast-forward|fetch first|stale info|already exists|atomic transaction failed|remote ref was at)",
    re.IGNORECASE | re.MULTILINE,
)
"""What git says of a ref that another push has got hold of at the same moment."""


class RaceLostError(Exception):
    """Somebody else has pushed meanwhile."""


class UnknownOutcomeError(CanonError):
    """The connection was cut, and the remote does not say whether it took the push."""


def push(released: Released, branch: str, commit: str, tags: Sequence[str], say: Say) -> None:
    """Push a commit and tags. Raises RaceLostError, UnknownOutcomeError, and CanonError where the remote or a hook refuses it."""
    scratch = released.scratch
    moved = [f"{commit}:{HEADS}{branch}"] if commit != released.head or branch != released.target.branch else []
    specs = [*moved, *(f"refs/tags/{name}:refs/tags/{name}" for name in tags)]
    try:
        run_git(scratch.tree, *ALWAYS, "push", "--quiet", "--atomic", "--end-of-options", scratch.remote, *specs)
    except CanonError as error:
        said, words = str(error), _words(error)
    else:
        return
    try:
        seen = scratch.look(released.name, [branch])
    except CanonError:
        raise UnknownOutcomeError(
            f"the push to {scratch.name} was cut off ({words}), and whether it arrived cannot be asked; the same command again finds that out, and goes on"
        ) from None
    there = {name: seen.objects.get(name) for name in tags}
    ours = {name: try_git(scratch.root, "rev-parse", "--verify", "--quiet", f"refs/tags/{name}") for name in tags}
    if (there == ours and tags) or (not tags and seen.heads.get(branch) == commit):
        say(f"canon: the connection was cut when {scratch.name} had taken the push")
        return
    before = released.seen.heads.get(branch)
    if seen.heads.get(branch) != before or any(there.values()) or _RACE.search(said):
        raise RaceLostError(f"somebody else has pushed to {scratch.name} meanwhile")
    remedy = (
        "mend what it says, or take another --branch"
        if released.target.review
        else "mend what it says, give the account the right to push there, or say --branch NAME for a pull request"
    )
    raise CanonError(f"the push to `{branch}` of {scratch.name} failed, and nothing of it is left: {words}; {remedy}")


def _words(error: CanonError) -> str:
    """What git and the hooks said, without what git says each time."""
    lines = str(error).replace("\r", "\n").splitlines()
    kept = [line.strip() for line in lines if line.strip() and not line.startswith("error: failed to push some refs")]
    return " ".join(kept)
