"""What is released, as the remote has it: the releases' branch and the declaration, fetched."""

from __future__ import annotations

import contextlib
import functools
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from canon.git import run_git, tree_entries
from canon.model.errors import CanonError
from canon.model.project import Pipeline, load_project
from canon.model.release import Release, release_from_text, release_path
from canon.output.files import RenderedFile, write_files
from canon.releases.history import Row, load_history, read_blobs
from canon.releases.scratch import Scratch, Seen
from canon.releases.tags import next_number, next_version, tag_patterns, version_of


@dataclass(frozen=True, slots=True)
class Target:
    """Where releases are committed. ``remote``: a remote of the clone by its name, or a URL; ``branch``: the releases'; ``declared``: `git.branch`.

    ``review``: a branch to push to instead, for a pull request.
    """

    remote: str
    branch: str
    declared: str
    review: str | None = None

    @property
    def own_branch(self) -> bool:
        """Whether releases are kept off the branch of the code."""
        return self.branch != self.declared


@dataclass(frozen=True)
class Released:
    """The releases of a pipeline at the head of their branch. ``head`` is what is checked out in the scratch worktree; ``local``: tags of the clone."""

    scratch: Scratch
    target: Target
    name: str
    head: str
    seen: Seen
    local: Mapping[str, str]

    @property
    def code(self) -> Path:
        """The checkout that has the declaration."""
        return self.scratch.code if self.target.own_branch else self.scratch.tree

    @functools.cached_property
    def pipeline(self) -> Pipeline:
        """The declaration. Raises CanonError where it is wrong, or does not exist."""
        try:
            return load_project(self.code).pipeline(self.name)
        except CanonError as error:
            raise CanonError(
                f"`{self.target.declared}` of {self.scratch.name} is not as it should be:\n{error}"
            ) from None

    def check_declared(self, environment: str) -> None:
        """Raise CanonError for an environment that the declared branch does not have."""
        deploy = self.pipeline.declaration.deploy
        if environment not in deploy:
            known = ", ".join(deploy) or "none"
            raise CanonError(
                f"{self.pipeline.file} on `{self.target.declared}` declares no environment `{environment}` (it has: {known}); declare it under `deploy:`"
            )

    def current(self, environment: str) -> Release | None:
        """What is released in an environment. Raises ProblemsError for a file that was edited into nonsense."""
        path = release_path(self.name, environment)
        return release_from_text(self.texts[path], path) if path in self.texts else None

    def history(self, environment: str, most: int | None = None) -> tuple[Row, ...]:
        """The releases of an environment, the newest first."""
        return load_history(self.scratch.root, self.head, self.name, environment, most)

    @functools.cached_property
    def texts(self) -> Mapping[str, str]:
        """The files of the pipeline's releases, by their path."""
        folder = posixpath.dirname(release_path(self.name, "x"))
        listing = run_git(self.scratch.root, "ls-tree", "-r", "-z", "--full-tree", self.head, "--", f"{folder}/")
        files = [entry for entry in tree_entries(listing) if entry.path.endswith(".yaml")]
        contents = read_blobs(self.scratch.root, [entry.oid for entry in files])
        pairs = zip(files, contents, strict=True)
        return {entry.path: content.decode("utf-8", "replace") for entry, content in pairs if content is not None}

    @functools.cached_property
    def all_current(self) -> tuple[Release, ...]:
        """What is released in each environment; files that are nonsense are left out."""
        found: list[Release] = []
        for path, text in self.texts.items():
            with contextlib.suppress(CanonError):
                found.append(release_from_text(text, path))
        return tuple(found)

    def next_number(self) -> int:
        """The number that the next release gets."""
        released = (release.number for release in self.all_current)
        return next_number(self.name, {*self.seen.commits, *self.local}, released)

    def version(self, experiment: str) -> str:
        """The version of an experiment's commit: the one that it has, else the next."""
        known = version_of(self.name, self.seen.commits, experiment)
        if known:
            return known
        same = [
            release.version for release in self.all_current if release.experiment == experiment
        ]  # without its tag yet
        versions = (release.version for release in self.all_current)
        return same[0] if same else next_version(self.name, {*self.seen.commits, *self.local}, versions)

    def lay_releases(self) -> None:
        """Lay the releases over the checkout of the code, where they are kept on another branch."""
        write_files(self.scratch.code, [RenderedFile(path, text) for path, text in self.texts.items()])


def look(scratch: Scratch, target: Target, pipeline: str) -> Released:
    """Fetch what the remote has, and check it out. Raises CanonError where it does not answer, or has no such branch."""
    branches = list(dict.fromkeys((target.branch, target.declared, *filter(None, [target.review]))))
    seen = scratch.look(pipeline, branches)
    if target.declared not in seen.heads:
        raise CanonError(f"{scratch.name} has no branch {target.declared!r}; push it, or correct `git.branch`")
    wanted = [branch for branch in branches if branch in seen.heads]
    scratch.fetch(*(f"refs/heads/{branch}:heads/{branch}" for branch in wanted))
    if target.branch in seen.heads:
        head = scratch.fetched(f"heads/{target.branch}")
    else:
        head = _new_branch(scratch.root, target.branch)
    scratch.check_out(scratch.tree, head)
    released = Released(scratch, target, pipeline, head, seen, local_tags(scratch.root, pipeline))
    if target.own_branch:
        scratch.check_out(scratch.code, scratch.fetched(f"heads/{target.declared}"))
        released.lay_releases()
    return released


def _new_branch(root: Path, branch: str) -> str:
    """A first commit, without files, of the releases' branch."""
    tree = run_git(root, "mktree", stdin=b"").decode().strip()
    sign = run_git(root, "config", "--type=bool", "--default", "false", "--get", "commit.gpgSign").decode().strip()
    signed = ["--gpg-sign"] if sign == "true" else []
    message = f"The branch of releases: {branch}\n"
    return run_git(root, "commit-tree", *signed, "-F", "-", tree, stdin=message.encode()).decode().strip()


def local_tags(root: Path, pipeline: str) -> dict[str, str]:
    """Tag → the commit it is on, of a clone's own tags of a pipeline."""
    form = "%(refname:strip=2) %(*objectname) %(objectname)"
    lines = run_git(root, "for-each-ref", f"--format={form}", *tag_patterns(pipeline)).decode("utf-8", "replace")
    return {words[0]: words[1] for line in lines.splitlines() if len(words := line.split()) > 1}
