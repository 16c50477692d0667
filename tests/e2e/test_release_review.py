"""A release by pull request: pushed to a branch without tags; what is merged gets them with the next release."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.model.errors import CanonError, UsageError
from canon.releases.history import format_time
from canon.releases.publish import publish_release
from tests.conftest import git
from tests.e2e.released import (
    clone,
    copy_repository,
    experiment,
    facts,
    order,
    release,
    released,
    remote,
    render,
    rows,
    tags,
    target,
)


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory, tmp_path)


def merge(work: Path, branch: str, *, fast: bool = False) -> None:
    """Merge a branch at the remote, as a forge does."""
    forge = clone(work, f"forge-{branch}")
    git(forge, "merge", "-q", *(["--ff-only"] if fast else ["--no-ff", "-m", f"Merge {branch}"]), f"origin/{branch}")
    git(forge, "push", "-q", "origin", "main")


def test_it_is_pushed_to_another_branch_without_tags(work: Path) -> None:
    main = git(remote(work), "rev-parse", "main")
    done = release(work, "staging", facts(work, 1), target("release/p-1"))
    assert git(remote(work), "rev-parse", "main") == main
    assert git(remote(work), "rev-parse", "release/p-1^") == main
    assert tags(work) == [] == git(work, "tag").split()
    again = release(work, "staging", facts(work, 1), target("release/p-1"))
    assert (again.created, again.release) == (False, done.release)
    with pytest.raises(CanonError, match="has a branch 'release/p-1' already"):
        release(work, "staging", facts(work, 2), target("release/p-1"))


@pytest.mark.parametrize("name", ["main", "a..b", "-x", "", "a b", "x.lock", "refs/heads/../x"])
def test_a_branch_that_cannot_be_is_wrong_usage(work: Path, name: str) -> None:
    with pytest.raises(UsageError):
        release(work, "staging", facts(work, 1), target(name))


@pytest.mark.parametrize("fast", [False, True])
def test_the_next_release_that_sees_it_merged_makes_its_tags(work: Path, *, fast: bool) -> None:
    first, second = experiment(work, 1), experiment(work, 2)
    release(work, "staging", facts(work, 1, commit=first), target("one"))
    merge(work, "one", fast=fast)
    said: list[str] = []
    other = clone(work, "other")  # which does not have the experiment
    done = publish_release(other, target(), order("production", facts(work, 2, commit=second)), render, say=said.append)
    assert "p#staging#1 was merged without its tags; it gets them now" in "\n".join(said)
    assert (done.release.number, done.release.version) == (2, "v0.0.2")
    assert tags(work) == ["p#production#2", "p#staging#1", "p@v0.0.1", "p@v0.0.2"]
    assert git(remote(work), "rev-parse", "p#staging#1^{commit}") == first


def test_one_that_was_followed_by_another_before_anybody_looked(work: Path) -> None:
    for number in (1, 2):
        branch = f"review-{number}"
        release(work, "staging", facts(work, number, commit=experiment(work, number)), target(branch))
        merge(work, branch)
    assert tags(work) == []
    release(work, "staging", facts(work, 2, commit=released(work)[0].experiment))  # nothing new: only what is missing
    assert tags(work) == ["p#staging#1", "p#staging#2", "p@v0.0.1", "p@v0.0.2"]
    assert [each.number for each in released(work)] == [2, 1]


def test_a_merged_release_whose_experiment_nobody_has_is_said(work: Path) -> None:
    release(work, "staging", facts(work, 1), target("one"))
    forge = clone(work, "forge")
    git(forge, "checkout", "-q", "one")
    file = forge / "argo/p/releases/staging.yaml"
    head = git(work, "rev-parse", "origin/main")
    file.write_text(file.read_text().replace(f"experiment: {head}", f"experiment: {'d' * 40}"))
    git(forge, "commit", "-qa", "--amend", "-m", "made up")
    git(forge, "push", "-q", "origin", "one:main")
    said: list[str] = []
    publish_release(work, target(), order("production", facts(work, 2)), render, say=said.append)
    assert "p#staging#1 gets no tag: " in "\n".join(said)
    assert "p#staging#1" not in tags(work)


def test_it_is_live_from_the_merge_on(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-01T10:00:00Z")
    release(work, "staging", facts(work, 1), target("one"))
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-02T10:00:00Z")
    git(work, "pull", "-q", "--ff-only")
    git(work, "commit", "-q", "--allow-empty", "-m", "meanwhile")
    git(work, "push", "-q")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-05T10:00:00Z")
    merge(work, "one")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-09T10:00:00Z")
    git(work, "pull", "-q", "--ff-only")
    release(work, "staging", facts(work, 2))
    assert [format_time(row.since) for row in rows(work)] == ["2026-03-09T10:00:00Z", "2026-03-05T10:00:00Z"]
