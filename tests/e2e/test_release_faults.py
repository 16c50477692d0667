"""A release that cannot be: hooks and branches that refuse it, connections that are cut, commands that are killed. Nothing is left of it, or all is there."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from canon.model.errors import CanonError
from canon.releases.decide import decide_rollback
from canon.releases.publish import publish_release
from canon.releases.push import UnknownOutcomeError
from tests.conftest import ROOT, git
from tests.e2e.released import copy_repository, facts, order, release, released, remote, render, tags, target, untouched


@pytest.fixture
def work(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_repository(tmp_path_factory, tmp_path)


def hook(folder: Path, name: str, script: str) -> Path:
    """Write a hook of a repository, by its `.git` or the bare one itself."""
    file = folder / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def state(work: Path) -> tuple[object, ...]:
    """All that a release that failed must leave as it was, here and at the remote."""
    refs = git(remote(work), "for-each-ref")
    return *untouched(work), git(work, "tag"), refs


@pytest.mark.parametrize(
    ("side", "name", "words"),
    [
        ("remote", "pre-receive", "the policy says no"),
        ("remote", "update", "protected branch"),
        ("work", "pre-commit", "lint: not today"),
        ("work", "commit-msg", "a ticket is missing"),
        ("work", "pre-push", "the tests fail"),
        ("work", "prepare-commit-msg", "no message"),
    ],
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_hook_says_is_shown_and_nothing_is_left(
    work: Path, side: str, name: str, words: str, stream: str
) -> None:
    redirect = ">&2" if stream == "stderr" else ""
    made = hook(remote(work) if side == "remote" else work / ".git", name, f"echo '{words}' {redirect}; exit 1")
    before = state(work)
    with pytest.raises(CanonError, match=words):
        release(work, "staging", facts(work, 1))
    assert state(work) == before
    made.unlink()
    assert release(work, "staging", facts(work, 1)).release.number == 1
    assert tags(work) == ["p#staging#1", "p@v0.0.1"]


def test_a_hook_that_refuses_the_tags_refuses_all(work: Path) -> None:
    made = hook(remote(work), "update", 'case "$1" in refs/tags/*) echo tags are protected; exit 1;; esac')
    before = state(work)
    with pytest.raises(CanonError, match=r"tags are protected.*--branch NAME for a pull request"):
        release(work, "staging", facts(work, 1))
    assert state(work) == before, "the branch went without its tags"
    made.unlink()


def test_hooks_run_in_the_scratch_worktree_by_the_clones_configuration(work: Path) -> None:
    (work / ".githooks").mkdir()
    for name in ("pre-commit", "pre-push", "post-commit"):
        file = work / ".githooks" / name
        file.write_text(f'#!/bin/sh\ngit status --porcelain > "{work.parent}/{name}"; pwd >> "{work.parent}/{name}"\n')
        file.chmod(0o755)
    git(work, "add", "--all")
    git(work, "commit", "-qm", "hooks")
    git(work, "push", "-q", "origin", "main")
    git(work, "config", "core.hooksPath", ".githooks")
    (work / "params.yaml").write_text("mine\n")
    release(work, "staging", facts(work, 1))
    said = (work.parent / "pre-commit").read_text().splitlines()
    assert "A  argo/p/releases/staging.yaml" in said
    assert not any("params.yaml" in line for line in said)
    assert (work.parent / "pre-push").read_text().splitlines()[-1].endswith(".git/canon/release/tree")


def test_a_hook_that_changes_the_release_is_refused(work: Path) -> None:
    script = 'sed -i "s/^why:.*/why: nobody knows/" argo/p/releases/staging.yaml && git add argo'
    hook(work / ".git", "pre-commit", script)
    before = state(work)
    with pytest.raises(CanonError, match=r"a hook of the repository changes argo/p/releases/staging\.yaml"):
        release(work, "staging", facts(work, 1))
    assert state(work) == before


@pytest.mark.parametrize("arrived", [True, False])
def test_a_connection_that_is_cut_where_the_remote_answers_again(work: Path, *, arrived: bool) -> None:
    """Once the remote is asked, it is known what became of the push: nobody needs to do anything."""
    hook(remote(work), "post-receive" if arrived else "pre-receive", "kill -9 $PPID")
    before = state(work)
    said: list[str] = []
    if arrived:
        done = publish_release(work, target(), order("staging", facts(work, 1)), render, say=said.append)
        assert done.created
        assert "had taken the push" in said[-1]
        assert sorted(git(work, "tag").splitlines()) == tags(work) == ["p#staging#1", "p@v0.0.1"]
    else:
        with pytest.raises(CanonError, match="nothing of it is left"):
            publish_release(work, target(), order("staging", facts(work, 1)), render, say=said.append)
        assert state(work) == before


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("same", [True, False])
def test_a_connection_that_is_cut_for_good(work: Path, *, arrived: bool, same: bool) -> None:
    """The next command finds out what became of it, says so, and goes on: also another one."""
    code, gone = remote(work), work.parent / "gone.git"
    made = hook(code, "post-receive" if arrived else "pre-receive", f"mv '{code}' '{gone}'; kill -9 $PPID")
    with pytest.raises(UnknownOutcomeError, match="the same command again finds that out"):
        release(work, "staging", facts(work, 1), words="release 1")
    assert git(work, "tag") == ""
    gone.rename(code)
    made.unlink()
    for lock in code.rglob("*.lock"):  # of the receiver that was killed
        lock.unlink()
    shutil.rmtree(code / "objects/incoming", ignore_errors=True)
    said: list[str] = []
    image = 1 if same else 2
    words = f"release {image}"
    done = publish_release(work, target(), order("staging", facts(work, image), words), render, say=said.append)
    assert ("had arrived" if arrived else "never arrived") in said[0]
    assert done.created == (not (same and arrived))
    assert [each.image[-1] for each in released(work)] == (["2", "1"] if arrived and not same else [str(image)])
    assert not (work / ".git/canon/release.json").exists()


def test_a_rollback_that_had_arrived_is_not_made_twice(work: Path) -> None:
    """Its own words would bring the newer image back."""
    for number in (1, 2):
        release(work, "staging", facts(work, number))
    back = decide_rollback("staging", None, None, lambda _: None)
    code, gone = remote(work), work.parent / "gone.git"
    made = hook(code, "post-receive", f"mv '{code}' '{gone}'; kill -9 $PPID")
    with pytest.raises(UnknownOutcomeError):
        release(work, "staging", back, words="rollback p staging")
    gone.rename(code)
    made.unlink()
    done = release(work, "staging", back, words="rollback p staging")
    assert (done.created, done.release.restores, done.release.number) == (False, 1, 3)
    assert [each.number for each in released(work)] == [3, 2, 1]


KILLED = """
import sys; sys.path.insert(0, {root!r})
from pathlib import Path
from tests.e2e.released import facts, release
import os
Path({work!r}, "../pid").write_text(str(os.getpid()))
release(Path({work!r}), "staging", facts(Path({work!r}), 1))
"""


@pytest.mark.parametrize("moment", ["pre-commit", "reference-transaction", "pre-push", "pre-receive", "post-receive"])
def test_a_command_that_is_killed_leaves_what_the_next_one_takes_away(work: Path, moment: str) -> None:
    kill = f'kill -9 "$(cat {work.parent}/pid)"'
    if moment == "reference-transaction":  # the first tag is there
        kill = f'[ "$1" = committed ] && grep -q refs/tags/ && {kill}; exit 0'
    made = hook(remote(work) if moment.endswith("receive") else work / ".git", moment, kill)
    script = KILLED.format(root=str(ROOT), work=str(work))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    made.unlink()
    wait_for(lambda: not [path for path in (work / ".git").rglob("*.lock") if path.name != "release.lock"])
    again = release(work, "staging", facts(work, 1))
    assert [each.number for each in released(work)] == [1]
    assert again.release.number == 1
    assert tags(work) == ["p#staging#1", "p@v0.0.1"]
    assert [path.name for path in (work / ".git/canon").iterdir()] == ["release.lock"]
    assert len(git(work, "worktree", "list").splitlines()) == 1


def wait_for(condition: Callable[[], bool]) -> None:
    """What a killed command has started may go on for a moment."""
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def test_commits_and_tags_are_signed_where_that_is_configured(work: Path, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text(f"test@example.com {key.with_suffix('.pub').read_text()}")
    for place in (work, remote(work)):
        for name, value in {
            "gpg.format": "ssh", "user.signingKey": str(key), "commit.gpgSign": "true", "tag.gpgSign": "true",
            "gpg.ssh.allowedSignersFile": str(allowed),
        }.items():  # fmt: skip
            git(place, "config", name, value)
    release(work, "staging", facts(work, 1))
    git(remote(work), "verify-commit", "main")
    for tag in tags(work):
        git(remote(work), "verify-tag", tag)
    git(work, "config", "user.signingKey", str(tmp_path / "nokey"))
    before = state(work)
    with pytest.raises(CanonError, match="nokey"):
        release(work, "staging", facts(work, 2))
    assert state(work) == before


def test_a_remote_that_does_not_answer_is_named_without_its_password(work: Path) -> None:
    url = "http://user:secret@127.0.0.1:1/code.git"
    git(work, "remote", "set-url", "origin", url)
    with pytest.raises(CanonError, match=r"127\.0\.0\.1") as found:
        release(work, "staging", facts(work, 1))
    assert not re.search("secret", str(found.value))


def test_a_branch_that_is_not_there_is_said(work: Path) -> None:
    git(remote(work), "branch", "-m", "main", "trunk")
    with pytest.raises(CanonError, match="has no branch 'main'"):
        publish_release(work, target(), order("staging", facts(work, 1)), render)
