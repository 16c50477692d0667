from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canon.git import (
    check_repository,
    clean_url,
    clean_urls,
    commit_source_tree,
    committable_files,
    store_root,
)
from canon.model.errors import CanonError
from canon.results.revisions import commits_since, resolve_revision
from canon.source_state import load_source_state
from tests.conftest import git


def tree_of(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD^{tree}")


def test_the_source_tree_of_a_commit_is_gits_own_tree(repository: Path) -> None:
    for path in ("a/b/c.py", "a.py", "a-b/x", "a/z", "é/ü.txt", "link"):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        if path == "link":
            (repository / path).symlink_to("a.py")
        else:
            (repository / path).write_text(path)
    (repository / "a.py").chmod(0o755)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "more")
    assert commit_source_tree(repository, "HEAD") == tree_of(repository)


def test_what_canon_and_dvc_write_is_not_source(repository: Path) -> None:
    before = commit_source_tree(repository, "HEAD")
    for path in ("argo/co2/x.yaml", "dvc.lock", "pipelines/x/dvc.lock", "data/.gitignore"):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text("generated\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "generated")
    assert tree_of(repository) != before
    assert commit_source_tree(repository, "HEAD") == before
    state = load_source_state(repository)
    assert (state.dirty, state.tree) == (False, before)


def test_a_dirty_checkout_gives_a_patch_that_makes_the_same_tree(repository: Path, tmp_path: Path) -> None:
    (repository / "old.bin").write_bytes(bytes(range(256)))
    (repository / "gone.txt").write_text("gone\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    (repository / "old.bin").write_bytes(bytes(range(255, -1, -1)))
    (repository / "gone.txt").unlink()
    (repository / "README.md").write_text("no newline at the end")
    (repository / "new dir").mkdir()
    (repository / "new dir" / "néw.py").write_text("print(1)\n")
    (repository / "new dir" / "run.sh").write_text("#!/bin/sh\n")
    (repository / "new dir" / "run.sh").chmod(0o755)
    (repository / "staged.txt").write_text("staged\n")
    git(repository, "add", "staged.txt")
    (repository / "dvc.lock").write_text("schema: '2.0'\n")
    index_before = (repository / ".git" / "index").read_bytes()
    objects_before = sorted(path.name for path in (repository / ".git" / "objects").rglob("*"))
    state = load_source_state(repository)
    assert state.dirty
    assert state.tree is not None
    assert b"dvc.lock" not in state.patch
    assert (repository / ".git" / "index").read_bytes() == index_before
    assert sorted(path.name for path in (repository / ".git" / "objects").rglob("*")) == objects_before
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (tmp_path / "canon.patch").write_bytes(state.patch)
    git(clone, "apply", "--binary", str(tmp_path / "canon.patch"))
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "patched")
    assert commit_source_tree(clone, "HEAD") == state.tree


def test_outs_of_the_pipeline_make_nothing_dirty(repository: Path) -> None:
    (repository / "metrics.json").write_text("{}")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "metrics in Git")
    (repository / "metrics.json").write_text('{"a": 1}')
    assert load_source_state(repository).dirty
    assert not load_source_state(repository, made=["metrics.json"]).dirty


def test_a_large_file_that_nobody_ignored_is_named_and_not_hashed(repository: Path) -> None:
    with (repository / "big.bin").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    state = load_source_state(repository)
    assert (state.dirty, state.tree, state.patch) == (True, None, b"")
    assert ".gitignore" in state.note


def test_a_patch_over_the_limit_is_left_out_and_said(repository: Path) -> None:
    (repository / "random.bin").write_bytes(os.urandom(11 * 1024 * 1024))
    state = load_source_state(repository)
    assert state.dirty
    assert state.tree is not None
    assert state.patch == b""
    assert "commit first" in state.note


def test_states_of_a_repository(repository: Path, tmp_path: Path) -> None:
    git(repository, "remote", "add", "origin", "https://user:secret@example.com/x.git")
    assert load_source_state(repository).url == "https://example.com/x.git"
    assert load_source_state(repository).branch == "main"
    git(repository, "checkout", "-q", "--detach")
    assert load_source_state(repository).branch is None
    empty = tmp_path / "empty"
    git(tmp_path, "init", "-q", str(empty))
    (empty / "a.txt").write_text("a")
    state = load_source_state(empty)
    assert (state.commit, state.dirty) == (None, True)
    assert b"a.txt" in state.patch


def test_a_worktree_shares_the_store_of_its_repository(repository: Path, tmp_path: Path) -> None:
    (repository / ".dvc").mkdir()
    git(repository, "worktree", "add", "-q", str(tmp_path / "other"))
    check_repository(tmp_path / "other")
    assert store_root(tmp_path / "other") == repository
    assert store_root(repository) == repository


def test_a_folder_without_git_or_below_the_top_is_an_error(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(CanonError, match="git init"):
        check_repository(tmp_path)
    (repository / "below").mkdir()
    with pytest.raises(CanonError, match="repository begins at"):
        check_repository(repository / "below")


@pytest.mark.parametrize("revision", ["--upload-pack=x", "nothing", "", "HEAD; rm -rf /", "-h"])
def test_a_revision_that_is_none_is_an_error(repository: Path, revision: str) -> None:
    with pytest.raises(CanonError, match="Git knows no commit"):
        resolve_revision(repository, revision)


def test_a_revision_is_a_commit(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "-a", "v1", "-m", "tag")
    git(repository, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/co2-local-1", head)
    for name in ("HEAD", "main", "v1", head[:8], "co2-local-1"):
        assert resolve_revision(repository, name) == head


def test_commits_since_a_base(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    assert commits_since(repository, base) == ()
    (repository / "a").write_text("a")
    git(repository, "add", "a")
    git(repository, "commit", "-qm", "a")
    assert commits_since(repository, base) == (git(repository, "rev-parse", "HEAD"),)
    assert len(commits_since(repository, "0" * 40)) == 2


def test_committable_files_are_those_that_git_has_or_could_have(repository: Path) -> None:
    (repository / ".gitignore").write_text("ignored.csv\n")
    for name in ("ignored.csv", "new.csv", "folder/x.csv"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("1")
    assert committable_files(repository, ["ignored.csv", "new.csv", "folder", "README.md", "missing"]) == {
        "new.csv",
        "folder",
        "README.md",
    }


@given(
    user=st.text("abcXYZ019%._~-", min_size=1),
    secret=st.text("abc019%_~!$&*+=", min_size=1),
    scheme=st.sampled_from(["https", "http", "ssh"]),
)
def test_no_password_survives_in_a_url(user: str, secret: str, scheme: str) -> None:
    url = f"{scheme}://{user}:SECRET{secret}@example.com/a/b.git?token=SECRET"
    assert "SECRET" not in clean_url(url)
    assert clean_url(url).endswith("example.com/a/b.git")
    assert "SECRET" not in clean_urls(f"fatal: unable to access '{scheme}://{user}:SECRET{secret}@example.com/': no")


def test_other_remotes_keep_their_form() -> None:
    assert clean_url("git@github.com:a/b.git") == "git@github.com:a/b.git"
    assert clean_url("user:pw@host:a/b.git") == "host:a/b.git"
    assert clean_url("/srv/git/a.git") == "/srv/git/a.git"
    assert clean_url("ssh://git@host:22/a.git") == "ssh://git@host:22/a.git"


def test_a_local_store_that_is_ignored_is_no_obstacle_to_a_patch(repository: Path) -> None:
    (repository / ".gitignore").write_text("mlflow.db\nmlartifacts/\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "ignore")
    (repository / "mlartifacts").mkdir()
    for path in ("mlflow.db", "mlartifacts/x", "new.py"):
        (repository / path).write_text("x\n")
    state = load_source_state(repository)
    assert (state.dirty, state.note) == (True, "")
    assert b"new.py" in state.patch
    assert b"mlflow" not in state.patch.replace(b"ignore", b"")


def test_a_file_that_holds_secrets_by_its_name_never_gets_into_a_patch(repository: Path) -> None:
    for name in (".env", "deploy/id_ed25519", "deploy/server.pem", "secrets.yaml"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("hunter2\n")
    assert not load_source_state(repository).dirty
    (repository / "README.md").write_text("changed\n")
    state = load_source_state(repository)
    assert b"changed" in state.patch
    assert b"hunter2" not in state.patch
    assert ".env" in state.note
    git(repository, "commit", "-qam", "without the secrets")
    assert commit_source_tree(repository, "HEAD") == state.tree


def test_a_tracked_file_is_source_whatever_its_name(repository: Path) -> None:
    (repository / ".env").write_text("PORT=1\n")
    git(repository, "add", "-f", ".env")
    git(repository, "commit", "-qm", "on purpose")
    (repository / ".env").write_text("PORT=2\n")
    assert b"PORT=2" in load_source_state(repository).patch


def test_a_change_in_the_very_moment_of_the_commit_is_in_the_patch(repository: Path) -> None:
    """Git compares what lies as far back as its index was written: https://git-scm.com/docs/racy-git."""
    git(repository, "config", "core.trustctime", "false")
    file, index, moment = repository / "README.md", repository / ".git" / "index", (10**18, 10**18)
    os.utime(file, ns=moment)
    git(repository, "add", "README.md")
    file.write_text("HELLO\n")  # as long as before
    for path in (file, index):
        os.utime(path, ns=moment)
    assert b"HELLO" in load_source_state(repository).patch
