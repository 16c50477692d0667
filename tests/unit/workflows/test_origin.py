"""The repository that the cluster reads: what it says of branches, whichever way this clone was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.workflows.origin import check_remote, opened_origin
from tests.conftest import git


def commit(root: Path, name: str, branch: str | None = None) -> str:
    if branch:
        git(root, "checkout", "-q", "-B", branch)
    (root / name).write_text(name)
    git(root, "add", ".")
    git(root, "commit", "-qm", name)
    git(root, "push", "-q", "origin", "HEAD")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A bare repository with `main`, and its writer `theirs`."""
    git(tmp_path, "init", "-q", "--bare", "code.git")
    git(tmp_path, "clone", "-q", "code.git", "theirs")
    commit(tmp_path / "theirs", "a", "main")
    commit(tmp_path / "theirs", "b")
    return tmp_path / "code.git"


def test_a_commit_is_found_on_branches_that_this_clone_does_not_have(code: Path, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    git(tmp_path, "clone", "-q", str(code), "ours")
    first, second = git(theirs, "rev-parse", "HEAD~1"), git(theirs, "rev-parse", "HEAD")
    other = commit(theirs, "c", "exp/one")
    commit(theirs, "d", "exp/deep/er")
    with opened_origin(ours, str(code)) as origin:
        assert origin.default == "main"
        assert origin.head("main") == second
        assert origin.branches_with(first, ["main"]) == ("main",)
        assert origin.branches_with(other, ["main"]) == ()
        assert origin.branches_with(other, ["exp/*"]) == ("exp/one",)
        assert "exp/one" in origin.branches_with(other)
        folder = origin.checkout(other, "there")
        assert sorted(path.name for path in folder.iterdir() if path.name != ".git") == ["a", "b", "c"]
        scratch = origin.scratch
        with pytest.raises(CanonError, match="has no branch 'none'"):
            origin.head("none")
        assert origin.branches_with("0" * 40) == ()
    assert not scratch.exists()
    assert "exp" not in git(ours, "for-each-ref")
    assert git(ours, "fsck", "--connectivity-only") == ""


def test_a_shallow_clone_is_enough(code: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{code}", "shallow")
    shallow = tmp_path / "shallow"
    head = git(shallow, "rev-parse", "HEAD")
    before = (shallow / ".git/shallow").read_text()
    newer = commit(tmp_path / "theirs", "c", "main")
    with opened_origin(shallow, f"file://{code}") as origin:
        assert origin.branches_with(head, ["main"]) == ("main",)
        assert origin.head("main") == newer
        assert (origin.checkout(newer, "newer") / "c").exists()
        assert (origin.checkout(head, "head") / "b").exists()
    assert (shallow / ".git/shallow").read_text() == before
    with opened_origin(shallow, f"file://{code}") as origin:
        assert origin.branches_with(git(tmp_path / "theirs", "rev-parse", "HEAD~2"), ["main"]) == ()


@pytest.mark.parametrize(
    ("settings", "branch"),
    [
        ('[tool.canon]\ngit = {url = "x", branch = "release"}\n', "release"),
        ('[tool.canon]\ngit = {url = "x"}\n', "main"),
        ("[tool.canon]\n", "here"),
        ("[tool.canon]\ngit = 3\n", "here"),
        ("[tool.canon]\ngit = {branch = 3}\n", "here"),
        ("not = toml = at all", "here"),
        (None, "here"),
    ],
)
def test_the_default_branch_says_which_one_is_declared(
    code: Path, tmp_path: Path, settings: str | None, branch: str
) -> None:
    if settings is not None:
        (tmp_path / "theirs/pyproject.toml").write_text(settings)
    commit(tmp_path / "theirs", "c", "main")
    with opened_origin(tmp_path / "theirs", str(code)) as origin:
        assert origin.declared_branch("here") == branch


def test_a_repository_that_is_not_there_is_gits_own_error(code: Path, tmp_path: Path) -> None:
    for url in (f"{code}.none", "--upload-pack=touch x", "ext::sh -c touch%20x"):
        with pytest.raises(CanonError, match="git ls-remote failed"), opened_origin(tmp_path / "theirs", url):
            pass
    assert not (tmp_path / "theirs/x").exists()


@pytest.mark.parametrize(
    ("remote", "url", "same"),
    [
        ("git@git.example.com:ml/toy.git", "https://git.example.com/ml/toy.git", True),
        ("https://user:word@GIT.example.com/ml/toy", "ssh://git@git.example.com:2222/ml/toy.git", True),
        ("https://git.example.com/ml/toy.git/", "https://git.example.com/ml/toy", True),
        ("https://git.example.com/ml/toy.git", "https://git.example.org/ml/toy.git", False),
        ("https://git.example.com/ml/toy.git", "https://git.example.com/evil/toy.git", False),
        ("https://git.example.com/ml/toy.git", "https://evil.example.com/git.example.com/ml/toy.git", False),
        ("/srv/code.git", "/srv/code.git", True),
        ("/srv/code.git", "/srv/other.git", False),
    ],
)
def test_a_repository_is_known_by_host_and_path(repository: Path, remote: str, url: str, same: bool) -> None:  # noqa: FBT001
    git(repository, "remote", "add", "origin", remote)
    if same:
        check_remote(repository, url)
        return
    with pytest.raises(CanonError, match="no remote of this clone") as raised:
        check_remote(repository, url)
    assert "word" not in str(raised.value)
