"""The code of a workflow: a commit of a declared branch, fetched into the private folder of `plan` or `deliver`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from canon.git import clean_url, run_git, tree_entries, try_git
from canon.model import cluster
from canon.model.branches import matches_branch
from canon.model.errors import CanonError
from canon.output.files import stays_below, write_bytes
from canon.processes import kept_environment

COMMIT = re.compile(r"[0-9a-f]{40}")
FETCHED = "refs/remotes/origin/"


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the code is fetched from: its URL, and the patterns of branches that a revision may be of, the declared one first."""

    url: str
    branches: tuple[str, ...]


def repository_of_environment(environ: Mapping[str, str]) -> Repository:
    """What the manifest says. Raises CanonError where it does not."""
    url, branches = environ.get(cluster.GIT_URL_VARIABLE), environ.get(cluster.GIT_BRANCHES_VARIABLE, "").split("\n")
    patterns = tuple(filter(None, branches))
    if not url or not patterns:
        raise CanonError(
            f"{cluster.GIT_URL_VARIABLE} or {cluster.GIT_BRANCHES_VARIABLE} is not set: this runs in a pod of a Workflow that `canon render` made"
        )
    return Repository(url, patterns)


@contextmanager
def git_credentials(private: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Let git use the credentials of the pod's Secret, while this lasts: they are on no command line and in no file of the repository."""
    with kept_environment():
        os.environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        if environ.get(cluster.GIT_PASSWORD_VARIABLE):
            # git runs it by its own shell; the values stay in the environment
            helper = f'!f() {{ echo "username=${cluster.GIT_USERNAME_VARIABLE}"; echo "password=${cluster.GIT_PASSWORD_VARIABLE}"; }}; f'
            os.environ |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "credential.helper",
                "GIT_CONFIG_VALUE_0": helper,
            }
            os.environ[cluster.GIT_USERNAME_VARIABLE] = environ.get(cluster.GIT_USERNAME_VARIABLE, "git")
            os.environ[cluster.GIT_PASSWORD_VARIABLE] = environ[cluster.GIT_PASSWORD_VARIABLE]
        if environ.get(cluster.GIT_KEY_VARIABLE):
            key, hosts = private / "ssh-key", private / "known-hosts"
            write_bytes(key, environ[cluster.GIT_KEY_VARIABLE].rstrip("\n").encode() + b"\n")
            key.chmod(0o600)
            write_bytes(hosts, environ.get(cluster.GIT_HOSTS_VARIABLE, "").encode())
            os.environ["GIT_SSH_COMMAND"] = (
                f"ssh -F /dev/null -i {shlex.quote(str(key))} -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes"
                f" -o UserKnownHostsFile={shlex.quote(str(hosts))}"
            )
        yield


def fetch_revision(repository: Repository, revision: str, folder: Path, *, planned: str = "") -> str:
    """Fetch the declared branches and check a revision out, the head of the first one where none is given; return its hash.

    ``planned``: the commit of which `plan` saw that it is on one of them. It counts also when its branch is deleted or rewritten meanwhile: what
    stages have made of it for hours is not lost by that.
    Raises CanonError for what is no whole hash, and for a commit that is on none of the branches: whoever starts a workflow does not choose
    the code that runs with its accounts. Also for a link that leads out of the checkout: declarations and params are read here, beside Secrets.
    """
    if revision and not COMMIT.fullmatch(revision):
        raise CanonError(
            f"the revision {revision[:80]!r} is no commit: give its 40 hex digits, or nothing for the head of {repository.branches[0]}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    run_git(folder, "init", "--quiet", "--initial-branch=canon")
    run_git(folder, "fetch", "--quiet", "--no-tags", "--end-of-options", repository.url, f"+refs/heads/*:{FETCHED}*")
    commit = revision or _head(repository, folder)
    refs = (try_git(folder, "for-each-ref", "--format=%(refname)", FETCHED.rstrip("/")) or "").splitlines()
    allowed = [
        ref
        for ref in refs
        if any(matches_branch(ref.removeprefix(FETCHED), pattern) for pattern in repository.branches)
    ]
    is_on_one = any(try_git(folder, "merge-base", "--is-ancestor", commit, ref) is not None for ref in allowed)
    if not is_on_one and commit == planned:
        _fetch_commit(repository, commit, folder)
    elif not is_on_one:
        raise CanonError(
            f"{commit} is on no branch of {clean_url(repository.url)} that this template takes ({', '.join(repository.branches)}): push it"
            " there, or declare the branch under `triggers`"
        )
    run_git(folder, "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", commit)
    _check_links(folder, commit)
    return commit


def _fetch_commit(repository: Repository, commit: str, folder: Path) -> None:
    """Fetch a commit that no branch may have any more; by git's protocol 2 a server gives what it still has."""
    try:
        run_git(folder, "fetch", "--quiet", "--no-tags", "--end-of-options", repository.url, commit)
    except CanonError as error:
        raise CanonError(
            f"{commit} is on no branch of {clean_url(repository.url)} any more, and could not be fetched by its hash"
            f" ({' '.join(str(error).split())}). What the stages made is kept: push it to a branch again and start a workflow, of which `deliver` alone runs"
        ) from None


def _check_links(folder: Path, commit: str) -> None:
    top = folder.resolve()
    for entry in tree_entries(run_git(folder, "ls-files", "-s", "-z")):
        if entry.mode == "120000" and not stays_below(top, top / entry.path):
            raise CanonError(
                f"{entry.path} of {commit[:12]} is a link that leads out of the repository, or in a circle; put the file itself there"
            )


def _head(repository: Repository, folder: Path) -> str:
    head = try_git(folder, "rev-parse", "--verify", "--quiet", f"{FETCHED}{repository.branches[0]}^{{commit}}")
    if head is None:
        raise CanonError(
            f"{clean_url(repository.url)} has no branch {repository.branches[0]!r}; push it, or correct `git.branch`"
        )
    return head
