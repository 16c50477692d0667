"""Releases that have come without their tags: what was merged from a pull request gets them with the next command that releases."""

from __future__ import annotations

from collections.abc import Iterator

from canon.model.release import Release
from canon.releases.pending import Say
from canon.releases.state import Released

MOST = 50
"""How many releases of an environment are looked through."""


def untagged(released: Released, say: Say) -> Iterator[Release]:
    """The releases of all environments that the remote has no tag for, back to the newest one that has."""
    for current in released.all_current:
        if current.tag in released.seen.commits:
            continue
        for row in released.history(current.environment, MOST):
            release = row.release
            if release is None or row.problem:  # edited by hand: the one below it is what was merged
                continue
            if release.tag in released.seen.commits:
                break
            if _can_have_tags(released, release, say):
                say(f"canon: {release.tag} was merged without its tags; it gets them now")
                yield release


def _can_have_tags(released: Released, release: Release, say: Say) -> bool:
    """Tell whether an experiment's commit can be had, and its version is no other one's."""
    if not released.scratch.has(release.experiment):
        say(
            f"canon: {release.tag} gets no tag: {released.scratch.name} does not give its experiment's commit {release.experiment[:12]}"
        )
        return False
    taken = {**released.local, **released.seen.commits}
    for name in (release.tag, release.version_tag):
        if taken.get(name, release.experiment) != release.experiment:
            say(f"canon: {release.tag} gets no tag: {name} is on another commit, {taken[name][:12]}")
            return False
    return True
