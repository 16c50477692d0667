"""A release becomes known: one commit with what follows from it and its tags, pushed at once or not at all, never by force.

All of it happens in a scratch worktree at the fetched head of the releases' branch. A lost race begins anew from the new head.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from canon.adapters import render_project
from canon.git import commit_text, repository_place, try_git
from canon.model.cluster import environment_path
from canon.model.errors import CanonError, UsageError
from canon.model.project import load_project
from canon.model.release import Release, format_release, release_from_text, release_path
from canon.output.files import MARK, RenderedFile, write_files
from canon.releases.commit import author_of, commit_staged, describe, make_tags, stage_files
from canon.releases.draft import Draft, build_release
from canon.releases.history import read_blobs
from canon.releases.pending import Pending, Say, drop_tags, forget_pending, load_pending, settle_pending, write_pending
from canon.releases.push import RaceLostError, UnknownOutcomeError, push
from canon.releases.scratch import Scratch, opened_scratch
from canon.releases.state import Released, Target, look
from canon.releases.untagged import untagged

ATTEMPTS = 60
"""How often a race may be lost."""
Render = Callable[[Path], Iterable[RenderedFile]]
Decide = Callable[[Released], Draft | Release]


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. ``words`` say it, and are equal for the same command again.

    ``decide`` makes the draft from what is released at the moment, anew for each attempt; it may return a release that stands already instead, and raises
    CanonError to refuse.
    """

    pipeline: str
    environment: str
    words: str
    decide: Decide


@dataclass(frozen=True, slots=True)
class Published:
    """What came of it. ``created`` is False where it was released already; ``files``: what the commit changed, ``commit`` is empty for a dry run."""

    release: Release
    created: bool
    commit: str
    files: tuple[str, ...]


def render_checkout(root: Path) -> tuple[RenderedFile, ...]:
    """What `canon render` writes into a checkout."""
    return render_project(load_project(root))


def follows(path: str, pipeline: str, environment: str) -> bool:
    """Tell whether a rendered file is one that follows from the release of an environment."""
    top = f"argo/{pipeline}"
    return (
        path.startswith(f"{environment_path(pipeline, environment)}/")
        or path == f"{top}/applications/{environment}.yaml"
    )


def publish_release(
    root: Path,
    target: Target,
    order: Order,
    render: Render = render_checkout,
    *,
    say: Say = lambda _: None,
    dry_run: bool = False,
) -> Published:
    """Commit and push a release. ``root``: any clone of the repository, of whose checkout nothing is read or changed; ``render``: a checkout's files.

    Raises CanonError where it is refused, by the remote or a hook too: nothing is left of it then. Where the connection was cut and the remote does not
    answer either, the next command finds out what became of it.
    """
    author = author_of(root)
    check_review(root, target)
    with opened_scratch(root, target.remote) as scratch:
        pending = load_pending(root)
        if pending is not None:
            arrived = settle_pending(scratch, pending, say)
            if arrived is not None and pending.words == order.words:
                return Published(arrived, created=False, commit=pending.commit, files=())
        for attempt in range(ATTEMPTS):
            try:
                released = look(scratch, target, order.pipeline)
                return _attempt(released, order, render, author, say, dry_run=dry_run)
            except RaceLostError as error:
                say(f"canon: {error}; once more")
                time.sleep(random.uniform(0, min(0.1 * 2**attempt, 3)))  # noqa: S311  who waits longer is no secret
    raise CanonError(f"{scratch.name} got other commits at each of {ATTEMPTS} attempts; run the command again")


def check_review(root: Path, target: Target) -> None:
    """Raise UsageError for a branch that nothing can be reviewed on."""
    if target.review is None:
        return
    if try_git(root, "check-ref-format", f"refs/heads/{target.review}") is None or target.review.startswith("-"):
        raise UsageError(f"{target.review!r} is no name of a branch")
    if target.review in {target.branch, target.declared}:
        raise UsageError(f"`{target.review}` is where releases are merged to; give another --branch, or none")


def _attempt(released: Released, order: Order, render: Render, author: str, say: Say, *, dry_run: bool) -> Published:
    scratch, target = released.scratch, released.target
    released.check_declared(order.environment)
    decided = order.decide(released)
    if isinstance(decided, Draft) and target.review and (proposed := _under_review(released, order, decided)):
        return Published(proposed, created=False, commit=released.seen.heads[target.review], files=())
    release, created = (decided, False) if isinstance(decided, Release) else _numbered(released, order, decided, author)
    files = _files(released, release, render, created=created)
    write_files(scratch.tree, files)
    gone = _remove_stale(scratch.tree, release, {file.path for file in files})
    changed = stage_files(scratch.tree, [*(file.path for file in files), *gone])
    if dry_run:
        return Published(release, created, "", changed)
    if created and not scratch.has(release.experiment, release.version_tag):
        raise CanonError(
            f"{scratch.name} does not give the experiment's commit {release.experiment[:12]}, which the tag of the release is put on; push it"
        )
    waiting = list(untagged(released, say)) if target.review is None else []
    commit = released.head
    if changed:
        commit = commit_staged(scratch.tree, describe(release, target.review, created=created))
        check_kept(scratch, commit, files)
    if commit == released.head and not waiting:
        return Published(release, created=False, commit=commit, files=())
    made = [*waiting, *([release] if created and target.review is None else [])]
    names = tuple(dict.fromkeys(name for each in made for name in (each.tag, each.version_tag)))
    new = tuple(name for name in names if name not in released.seen.objects)
    _send(released, order, release, commit, made, new, say)
    return Published(release, created, commit, changed)


def _numbered(released: Released, order: Order, draft: Draft, author: str) -> tuple[Release, bool]:
    """The release that a draft becomes, and True; or the one that is there with that image, and False."""
    try:
        current = released.current(order.environment)
    except CanonError:  # it is replaced
        current = None
    if current is not None and (current.image, current.result) == (draft.facts.image, draft.facts.result):
        return current, False
    release = build_release(
        draft,
        order.pipeline,
        order.environment,
        number=released.next_number(),
        version=released.version(draft.facts.experiment),
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        author=author,
    )
    return release, True


def _under_review(released: Released, order: Order, draft: Draft) -> Release | None:
    """The same release, where the branch for review has it. Raises CanonError for a branch of that name that is something else's."""
    scratch, review = released.scratch, str(released.target.review)
    if review not in released.seen.heads:
        return None
    path = release_path(order.pipeline, order.environment)
    text = commit_text(scratch.root, scratch.fetched(f"heads/{review}"), path)
    with suppress(CanonError):
        proposed = release_from_text(text or "", path)
        if proposed.image == draft.facts.image and proposed.tag not in released.seen.objects:
            return proposed
    raise CanonError(f"{scratch.name} has a branch {review!r} already; give another --branch, or remove it there")


def _files(released: Released, release: Release, render: Render, *, created: bool) -> list[RenderedFile]:
    """The release, and what follows from it: rendered in the checkout of the code, with the release in it."""
    own = RenderedFile(release_path(release.pipeline, release.environment), format_release(release))
    if created:
        write_files(released.code, [own])
    rendered = render(released.code)
    files = [file for file in rendered if follows(file.path, release.pipeline, release.environment)]
    return [*([own] if created else []), *files]


def check_kept(scratch: Scratch, commit: str, files: Sequence[RenderedFile]) -> None:
    """Raise CanonError where a hook has changed what was committed: a release that says something else is none."""
    kept = read_blobs(scratch.root, [f"{commit}:{file.path}" for file in files])
    for file, content in zip(files, kept, strict=True):
        if content != file.text.encode():
            raise CanonError(
                f"a hook of the repository changes {file.path} when it is committed; leave `argo/` out of what it formats"
            )


def _remove_stale(tree: Path, release: Release, rendered: Collection[str]) -> list[str]:
    """Remove what was rendered for the environment once and is not any more, as a disruption budget of replicas that are gone; return the paths."""
    folder = environment_path(release.pipeline, release.environment)
    stale = [
        path
        for file in sorted((tree / folder).glob("*"))
        if (path := f"{folder}/{file.name}") not in rendered
        and file.is_file()
        and not file.is_symlink()
        and MARK in file.read_text(errors="replace")
    ]
    if not any(path.startswith(f"{folder}/") for path in rendered):  # nobody here renders such files
        return []
    for path in stale:
        (tree / path).unlink()
    return stale


def _send(
    released: Released, order: Order, release: Release, commit: str, made: list[Release], new: tuple[str, ...], say: Say
) -> None:
    """Make the tags and push. However that ends, the clone has tags only that the remote has."""
    scratch, target = released.scratch, released.target
    root, branch = scratch.root, target.review or target.branch
    mine = tuple(name for name in new if name not in released.local)
    note = Pending(
        words=order.words, place=repository_place(scratch.name), branch=branch, commit=commit, pipeline=order.pipeline,
        environment=order.environment, release=release.tag, tags=mine,
    )  # fmt: skip
    write_pending(root, note)
    try:
        make_tags(root, made, mine)
        push(released, branch, commit, new, say)
    except UnknownOutcomeError:
        drop_tags(root, mine)  # they come with the next fetch, if it arrived
        raise
    except (CanonError, RaceLostError):
        drop_tags(root, mine)
        forget_pending(root)
        raise
    forget_pending(root)
