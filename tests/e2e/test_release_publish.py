"""A release is one commit with its tags, pushed at once; the clone that it is made from stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.model.release import Release
from canon.output.files import MARK
from canon.releases.draft import facts_of
from canon.releases.history import load_history
from canon.releases.state import Released, Target
from tests.conftest import git
from tests.e2e.released import (
    clone,
    copy_repository,
    experiment,
    facts,
    make_repository,
    release,
    released,
    remote,
    render,
    rows,
    tags,
    target,
    untouched,
)


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory, tmp_path)


def test_a_release_is_one_commit_with_what_follows_from_it_and_its_tags(work: Path) -> None:
    made = experiment(work, 1)
    before = git(work, "rev-parse", "HEAD")
    done = release(work, "staging", facts(work, 1, commit=made))
    assert done.created
    assert (done.release.tag, done.release.version_tag) == ("p#staging#1", "p@v0.0.1")
    assert done.release.author == "Test <test@example.com>"
    assert tags(work) == ["p#staging#1", "p@v0.0.1"]
    for tag in tags(work):
        assert git(remote(work), "cat-file", "-t", tag) == "tag"
        assert git(remote(work), "rev-parse", f"{tag}^{{commit}}") == made
    assert git(remote(work), "rev-parse", "main") == done.commit
    assert git(remote(work), "rev-parse", "main^") == before
    changed = git(remote(work), "diff", "--name-only", "main^", "main").splitlines()
    assert changed == [
        "argo/p/applications/staging.yaml", "argo/p/environments/staging/kustomization.yaml", "argo/p/releases/staging.yaml",
    ]  # fmt: skip
    assert sorted(done.files) == changed
    assert git(remote(work), "log", "-1", "--format=%an %s%n%b", "main").splitlines() == [
        f"Test p in staging #1: release v0.0.1, image sha256:{0:012x}", "Why: because of 01",
    ]  # fmt: skip
    assert released(work) == [done.release]


def test_the_clone_stays_as_it_was(work: Path) -> None:
    (work / "serve.py").write_text("print('changed')\n")
    (work / "staged.txt").write_text("staged\n")
    git(work, "add", "staged.txt")
    (work / "new.txt").write_text("untracked\n")
    before = untouched(work)
    release(work, "staging", facts(work, 1))
    assert untouched(work) == before
    assert (work / "serve.py").read_text() == "print('changed')\n"
    assert git(work, "rev-parse", "origin/main") == git(remote(work), "rev-parse", "main")
    assert sorted(git(work, "tag").splitlines()) == tags(work), "`dvc gc --all-commits` here keeps what is released"


@pytest.mark.parametrize("state", ["detached", "unborn", "other-branch", "worktree"])
def test_whatever_is_checked_out(work: Path, state: str) -> None:
    place = work
    if state == "detached":
        git(work, "checkout", "-q", "--detach")
    elif state == "unborn":
        git(work, "checkout", "-q", "--orphan", "empty")
    elif state == "other-branch":
        git(work, "checkout", "-qb", "mine")
        git(work, "commit", "-qm", "mine alone", "--allow-empty")
    else:
        place = work.parent / "linked"
        git(work, "worktree", "add", "-q", str(place), "-b", "linked")
    before = untouched(place)
    assert release(place, "staging", facts(work, 1)).created
    assert untouched(place) == before
    assert len(git(remote(work), "log", "--format=%H", "main").split()) == 2


def test_numbers_count_all_environments_and_versions_count_experiments(work: Path) -> None:
    first, second = experiment(work, 1), experiment(work, 2)
    release(work, "staging", facts(work, 1, commit=first))
    release(work, "production", facts(work, 1, commit=first))
    done = release(work, "staging", facts(work, 2, commit=second))
    assert (done.release.number, done.release.version) == (3, "v0.0.2")
    assert tags(work) == ["p#production#2", "p#staging#1", "p#staging#3", "p@v0.0.1", "p@v0.0.2"]
    # what is released at the remote counts, not what this clone knows
    other = clone(work, "other")
    git(other, "tag", "-d", *tags(work))
    assert release(other, "production", facts(work, 2, commit=second)).release.number == 4


@pytest.mark.parametrize(
    ("tag", "number"),
    [
        ("p#staging#41", 42),  # GTO's, made by hand: it counts
        ("p#staging!#7", 8),
        ("p#other#7", 8),
        ("p#staging#007", 1),
        ("p#staging#99999999999999999999", 1),
        ("p#staging", 1),
        ("q#staging#7", 1),
        ("p#a#b#7", 1),
        ("p@v0.0.99999999999", 1),
        ("xp#staging#7", 1),
    ],
)
def test_tags_that_look_like_ours(work: Path, tag: str, number: int) -> None:
    git(work, "push", "-q", "origin", f"HEAD:refs/tags/{tag}")
    done = release(work, "staging", facts(work, 1))
    assert (done.release.number, done.release.version) == (number, "v0.0.1")
    assert f"p#staging#{number}" in tags(work)


def test_a_number_after_which_there_is_none_is_said(work: Path) -> None:
    git(work, "push", "-q", "origin", "HEAD:refs/tags/p#x#999999999")
    with pytest.raises(CanonError, match="999999999, after which none is left"):
        release(work, "staging", facts(work, 1))


def test_a_version_that_somebody_has_given_is_kept(work: Path) -> None:
    git(work, "push", "-q", "origin", "HEAD:refs/tags/p@v1.2.3", "HEAD:refs/tags/p@v1.10.0")
    assert release(work, "staging", facts(work, 1)).release.version == "v1.10.0"
    assert tags(work) == ["p#staging#1", "p@v1.10.0", "p@v1.2.3"]


def test_tags_of_the_clone_alone_are_left_alone(work: Path) -> None:
    git(work, "tag", "p#staging#5")
    before = git(work, "rev-parse", "p#staging#5")
    assert release(work, "staging", facts(work, 1)).release.number == 6
    assert git(work, "rev-parse", "p#staging#5") == before
    assert "p#staging#5" not in tags(work)


def test_what_is_released_already_is_no_second_release(work: Path) -> None:
    done = release(work, "staging", facts(work, 1))
    head = git(remote(work), "rev-parse", "main")
    again = release(work, "staging", facts(work, 1))
    assert (again.created, again.release) == (False, done.release)
    assert git(remote(work), "rev-parse", "main") == head


def test_a_declaration_that_changed_is_rendered_anew_without_a_release(work: Path) -> None:
    release(work, "staging", facts(work, 1))
    git(work, "pull", "-q")
    file = work / "argo/p/environments/staging/kustomization.yaml"
    file.write_text("stale\n")
    git(work, "commit", "-qam", "edited by hand")
    git(work, "push", "-q")
    again = release(work, "staging", facts(work, 1))
    assert (again.created, again.files) == (False, ("argo/p/environments/staging/kustomization.yaml",))
    assert "rendered anew" in git(remote(work), "log", "-1", "--format=%s", "main")
    assert tags(work) == ["p#staging#1", "p@v0.0.1"]


def test_what_is_not_rendered_any_more_goes_and_what_somebody_else_put_there_stays(work: Path) -> None:
    release(work, "staging", facts(work, 1))
    git(work, "pull", "-q")
    folder = work / "argo/p/environments/staging"
    (folder / "budget.yaml").write_text(f"{MARK}pipelines/p.yaml\nkind: PodDisruptionBudget\n")
    (folder / "own.yaml").write_text("kind: ConfigMap\n")
    git(work, "add", "--all")
    git(work, "commit", "-qm", "of another time")
    git(work, "push", "-q")
    done = release(work, "staging", facts(work, 2))
    assert "argo/p/environments/staging/budget.yaml" in done.files
    there = git(remote(work), "ls-tree", "--name-only", "main", "argo/p/environments/staging/").splitlines()
    assert there == [f"argo/p/environments/staging/{name}" for name in ("kustomization.yaml", "own.yaml")]


def test_an_environment_that_is_not_declared_is_refused(work: Path) -> None:
    with pytest.raises(CanonError, match=r"declares no environment `prod` \(it has: staging, production\)"):
        release(work, "prod", facts(work, 1))


def test_a_branch_of_their_own_gets_the_releases_and_what_follows_alone(tmp_path: Path) -> None:
    work = make_repository(tmp_path, releases="deploy")
    where = target(branch="deploy")
    main = git(remote(work), "rev-parse", "main")
    assert release(work, "staging", facts(work, 1), where).release.number == 1
    assert release(work, "production", facts(work, 1), where).release.number == 2
    assert git(remote(work), "rev-parse", "main") == main
    assert sorted(git(remote(work), "ls-tree", "-r", "--name-only", "deploy").splitlines()) == sorted(
        f"argo/p/{path}"
        for each in ("staging", "production")
        for path in (f"applications/{each}.yaml", f"environments/{each}/kustomization.yaml", f"releases/{each}.yaml")
    )
    assert [row.release.number for row in rows(work, branch="deploy") if row.release] == [1]
    # rendered from the declaration at main's head
    (work / "pipelines/p.yaml").write_text((work / "pipelines/p.yaml").read_text().replace("staging", "early"))
    git(work, "commit", "-qam", "renamed", "-n")
    git(work, "push", "-q")
    with pytest.raises(CanonError, match="declares no environment `staging`"):
        release(work, "staging", facts(work, 2), where)


def test_a_shallow_clone_releases(work: Path) -> None:
    for number in (1, 2):
        release(work, "staging", facts(work, number, commit=experiment(work, number)))
    shallow = clone(work, "shallow", "--depth", "1")
    done = release(shallow, "staging", facts(work, 3))
    assert (done.created, done.release.number) == (True, 3)
    assert [each.number for each in released(work)] == [3, 2, 1]
    # the same image as in another environment, whose experiment this clone lacks
    current = released(work)[1]
    assert release(shallow, "production", facts_of(current)).release.version == current.version


def test_no_identity_is_said_with_its_remedy(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path.home() / ".gitconfig").write_text("[init]\n\tdefaultBranch = main\n")
    with pytest.raises(CanonError, match=r"git config user\.name"):
        release(work, "staging", facts(work, 1))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Robot\x1b[31m")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "robot@example.com")
    author = release(work, "staging", facts(work, 1)).release.author
    assert author.startswith("Robot")
    assert author.isprintable()


def test_the_remote_of_a_relative_path(work: Path) -> None:
    git(work, "remote", "set-url", "origin", "../code.git")
    assert release(work, "staging", facts(work, 1)).created
    assert load_history(remote(work), "main", "p", "staging")


def test_files_of_another_tool_are_not_in_the_commit(work: Path) -> None:
    assert "dvc.yaml" in {file.path for file in render(work)}
    release(work, "staging", facts(work, 1))
    assert "dvc.yaml" not in git(remote(work), "ls-tree", "-r", "--name-only", "main").splitlines()


def test_from_a_pods_clone_that_has_no_remote_and_no_user(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `deliver` would: code fetched by its address into an empty repository, identity and credentials in the environment."""
    pod = work.parent / "pod"
    pod.mkdir()
    git(pod, "init", "-q")
    git(pod, "fetch", "-q", str(remote(work)), "+refs/heads/*:refs/remotes/origin/*")
    git(pod, "checkout", "-q", "--detach", "origin/main")
    (pod / "params.yaml").write_text("rate: 3\n")  # a profile that is applied
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "canon")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "canon@example.com")
    where = Target(remote(work).as_uri(), "main", "main")
    done = release(pod, "staging", facts(work, 1), where)
    assert (done.release.author, released(work)) == ("canon <canon@example.com>", [done.release])

    def decide(state: Released) -> Release:
        """What it would decide for content that the history has already: nothing."""
        found = [row.release for row in state.history("staging") if row.release is not None]
        assert state.pipeline.declaration.deploy["staging"].namespace == "p-staging"
        return found[-1]

    head = git(remote(work), "rev-parse", "main")
    again = release(pod, "staging", decide, where)
    assert (again.created, git(remote(work), "rev-parse", "main")) == (False, head)
    assert (pod / "params.yaml").read_text() == "rate: 3\n"
