"""The post-commit hook: where it goes, what it leaves of another one, and that a commit neither waits for it nor fails by it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from canon.adoption.hook import FIRST, LAST, hook_file, install_hook, plan_hook
from canon.model.errors import CanonError
from tests.conftest import git


def installed(root: Path) -> Path:
    planned = plan_hook(root)
    assert planned.is_new
    install_hook(planned)
    assert not plan_hook(root).is_new
    return planned.file


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `canon` that says where and with what it was started, then waits until it is let go, and fails."""
    os.mkfifo(tmp_path / "said")
    os.mkfifo(tmp_path / "go")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "canon"
    program.write_text(
        f'#!/bin/sh\nread -r word < "{tmp_path}/go"\necho "$PWD|$*|${{GIT_INDEX_FILE-none}}|${{GIT_DIR-none}}" > "{tmp_path}/said"\necho noise\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def commit(root: Path, *arguments: str) -> str:
    (root / "README.md").write_text((root / "README.md").read_text() + "more\n")
    done = subprocess.run(
        ["git", "commit", "-qm", "more", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout + done.stderr


def let_go(folder: Path) -> str:
    (folder / "go").write_text("go\n")
    return (folder / "said").read_text().strip()


def test_a_commit_does_not_wait_for_the_hook_nor_fail_by_it(repository: Path, slow: Path) -> None:
    installed(repository)
    assert commit(repository, "README.md") == "", "the commit is over while `canon log` still waits"
    assert git(repository, "log", "--format=%s").splitlines() == ["more", "first"]
    assert let_go(slow) == f"{repository.resolve()}|log|none|none"


def test_a_commit_of_another_folder_and_worktree(repository: Path, slow: Path) -> None:
    installed(repository)
    tree = repository.parent / "tree"
    git(repository, "worktree", "add", "-q", "-b", "side", str(tree))
    commit(tree, "-a")
    assert let_go(slow) == f"{tree.resolve()}|log|none|none"


def test_without_canon_on_the_path_a_commit_is_as_ever(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(repository)
    (tmp_path / "few").mkdir()
    for name in ("git", "sh"):
        place = subprocess.run(
            ["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        (tmp_path / "few" / name).symlink_to(place)
    monkeypatch.setenv("PATH", str(tmp_path / "few"))
    assert commit(repository, "-a") == ""


@pytest.mark.parametrize("first", ["#!/bin/sh", "#!/bin/bash -e", "#!/usr/bin/env bash", "#! /usr/bin/env sh"])
def test_another_hook_is_kept_and_runs_too(repository: Path, slow: Path, first: str) -> None:
    file = hook_file(repository)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{first}\n# mine\necho mine\nexit 0\n")
    installed(repository)
    text = file.read_text()
    assert text.startswith(f"{first}\n{FIRST}\n")
    assert text.endswith(f"{LAST}\n# mine\necho mine\nexit 0\n")
    assert commit(repository, "-a") == "mine\n"
    assert let_go(slow).endswith("|log|none|none")


def test_our_own_lines_of_before_are_replaced(repository: Path) -> None:
    file = installed(repository)
    current = file.read_text()
    file.write_text(f"#!/bin/sh\necho before\n{FIRST}\nold\n{LAST}\necho after\n")
    install_hook(plan_hook(repository))
    assert file.read_text() == f"#!/bin/sh\necho before\n{current.removeprefix(f'#!/bin/sh{chr(10)}')}echo after\n"


def test_nothing_of_a_hook_is_lost_where_our_marks_are_not_ours(repository: Path) -> None:
    file = hook_file(repository)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\necho before\n{LAST}\n{FIRST}\necho after\n")
    install_hook(plan_hook(repository))
    assert file.read_text().endswith(f"echo before\n{LAST}\n{FIRST}\necho after\n")


def test_a_folder_whose_name_has_lines(repository: Path) -> None:
    root = repository.rename(repository.parent / "two\nlines")
    assert hook_file(root) == root / ".git" / "hooks" / "post-commit"


@pytest.mark.parametrize("content", [b"#!/usr/bin/env python3\nprint(1)\n", b"\x7fELF\x00\xff", b"echo 1\n"])
def test_a_hook_that_is_no_shell_script_is_left_and_the_lines_are_said(repository: Path, content: bytes) -> None:
    file = hook_file(repository)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(CanonError, match=r"(?s)no shell script; let it do what these lines do.*canon log"):
        plan_hook(repository)
    assert file.read_bytes() == content


def test_hooks_of_the_repository_in_a_folder_of_its_own(repository: Path) -> None:
    git(repository, "config", "core.hooksPath", "tools/hooks")
    assert installed(repository) == repository / "tools" / "hooks" / "post-commit"
    assert os.access(repository / "tools" / "hooks" / "post-commit", os.X_OK)


def test_hooks_of_all_repositories_are_not_touched(repository: Path, tmp_path: Path) -> None:
    git(repository, "config", "--global", "core.hooksPath", str(tmp_path / "everywhere"))
    with pytest.raises(
        CanonError, match=r"(?s)everywhere, whose hooks are those of other repositories, too; add these lines"
    ):
        hook_file(repository)


def test_no_git_no_hook(tmp_path: Path) -> None:
    with pytest.raises(CanonError, match="is not in a Git repository"):
        hook_file(tmp_path)


@pytest.mark.usefixtures("quick")
def test_init_installs_it_where_asked(tmp_path: Path) -> None:
    root = tmp_path / "first"
    root.mkdir()
    done = subprocess.run(["canon", "init", "--hook", "--json"], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["hook"] == str(root / ".git" / "hooks" / "post-commit")
    assert FIRST in (root / ".git" / "hooks" / "post-commit").read_text()
    again = subprocess.run(["canon", "init", "--hook"], cwd=root, capture_output=True, text=True, check=True)
    assert "has the hook already" in again.stderr


@pytest.mark.usefixtures("quick")
def test_a_dry_run_shows_it_and_it_is_said(repository: Path) -> None:
    def said(*arguments: str) -> tuple[str, str]:
        command = ["canon", "init", "--hook", *arguments]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    file = hook_file(repository)
    shown, words = said("--dry-run")
    assert f"+{FIRST}\n" in shown
    assert f"canon: the hook post-commit would be installed: {file}\n" in words
    assert not file.exists()
    assert f"canon: the hook post-commit is installed: {file}\n" in said()[1]
    assert FIRST not in said("--dry-run")[0]


@pytest.mark.usefixtures("quick")
def test_a_hook_that_is_a_link_is_refused_before_anything_is_written(repository: Path) -> None:
    file = hook_file(repository)
    file.parent.mkdir(exist_ok=True)
    file.symlink_to("../../tools/hook")
    done = subprocess.run(["canon", "init", "--hook"], cwd=repository, capture_output=True, text=True, check=False)
    assert (done.returncode, "is a link" in done.stderr) == (1, True)
    assert git(repository, "status", "--porcelain") == ""
