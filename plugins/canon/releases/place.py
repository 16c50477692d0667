"""Where a project's releases are: the branch at the remote, and what the clone has of it."""

from __future__ import annotations

from pathlib import Path

from canon.git import head_commit, repository_place, try_git
from canon.model.errors import CanonError
from canon.model.project import Project
from canon.model.root import SETTINGS_FILE
from canon.model.settings import Git
from canon.releases.state import Target
from canon.workflows.origin import check_remote


def declared_git(project: Project) -> Git:
    """The table `git` of the settings. Raises CanonError where there is none."""
    if project.settings.git is None:
        raise CanonError(
            f'{SETTINGS_FILE} does not say which repository is deployed; add `git = {{ url = "https://…", branch = "main" }}` to [tool.canon]'
        )
    return project.settings.git


def release_branch(git: Git) -> str:
    """The branch that releases are committed to."""
    return git.releases.branch if git.releases else git.branch


def target_of(project: Project, review: str | None = None) -> Target:
    """Where releases are pushed: by the clone's own remote of that repository, with the user's own protocol and credentials. Raises CanonError."""
    git = declared_git(project)
    check_remote(project.root, git.url)
    remote = remote_of(project.root, git.url)
    return Target(remote or git.url, release_branch(git), git.branch, review)


def remote_of(root: Path, url: str) -> str | None:
    """The name of the clone's remote that is a repository, whatever its protocol."""
    names = (try_git(root, "remote") or "").splitlines()
    for name in sorted(names, key=lambda each: each != "origin"):
        known = (try_git(root, "config", "--get", f"remote.{name}.url"), try_git(root, "remote", "get-url", name))
        if any(each and repository_place(each) == repository_place(url) for each in known):
            return name
    return None


def history_head(project: Project) -> tuple[str, str]:
    """The commit whose history says what was released, and where it stands: what the clone knows of the remote's branch, else its own, else HEAD.

    Raises CanonError where there is none.
    """
    git = project.settings.git
    places: list[tuple[str, str]] = []
    if git is not None:
        branch = release_branch(git)
        remote = remote_of(project.root, git.url)
        if remote:
            places.append((f"refs/remotes/{remote}/{branch}", f"{remote}/{branch}"))
        places.append((f"refs/heads/{branch}", branch))
    for ref, shown in places:
        commit = try_git(project.root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        if commit:
            return commit, shown
    head = head_commit(project.root)
    if head is None or (git is not None and git.releases is not None):
        branch = release_branch(git) if git is not None else "HEAD"
        raise CanonError(f"the clone has no commit of `{branch}`; `git fetch` brings it, if there are releases")
    return head, "HEAD"
