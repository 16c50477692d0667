"""Workspaces of their own: where they may be, what they share with their checkout, and what a failure leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from dvc.config import Config

from tests.conftest import Run, git
from tests.e2e.projects import snapshot

pytestmark = pytest.mark.usefixtures("quick")


def worktrees(folder: Path) -> int:
    return git(folder, "worktree", "list").count("\n") + 1


def test_a_workspace_shares_cache_and_settings_and_secrets_stay_the_owners(tiny: Path, run: Run) -> None:
    run(tiny, "dvc", "remote", "add", "-q", "--local", "store", "../remote")
    run(tiny, "dvc", "remote", "add", "-q", "near", "remote/near")
    run(tiny, "dvc", "remote", "modify", "--local", "near", "verify", "true")
    run(tiny, "dvc", "config", "--local", "cache.type", "copy")
    (tiny / ".dvc" / "config.local").chmod(0o644)
    git(tiny, "commit", "-qam", "a remote")
    before = snapshot(tiny)
    into = tiny.parent / "else where" / "ws"
    said = run(tiny, "canon", "profile", "cluster", "--into", "../else where/ws", "--json")
    assert json.loads(said.stdout)["workspace"] == str(into)
    local = into / ".dvc" / "config.local"
    assert local.stat().st_mode & 0o777 == 0o600
    assert git(into, "status", "--porcelain").split() == ["M", "params/tiny.yaml", "M", "pipelines/tiny.pins.yaml"]
    settings = Config(str(into / ".dvc"))
    assert settings["remote"]["store"]["url"] == str(tiny.parent / "remote")
    assert settings["remote"]["near"]["url"] == str(tiny / "remote" / "near")
    assert settings["remote"]["near"]["verify"] is True
    assert (settings["core"]["remote"], settings["cache"]["type"]) == ("store", ["copy"])
    run(into, "dvc", "repro", "count")
    assert any((tiny / ".dvc" / "cache" / "runs").iterdir())
    assert not (into / ".dvc" / "cache").exists()
    assert snapshot(tiny) == before


def test_an_existing_empty_folder_is_used_and_a_full_one_is_not(tiny: Path, run: Run) -> None:
    empty, full, file, link = (tiny.parent / name for name in ("empty", "full", "file", "link"))
    empty.mkdir()
    full.mkdir()
    (full / "x").write_text("mine\n")
    file.write_text("mine\n")
    link.symlink_to(empty)
    for taken in (full, file, link):
        said = run(tiny, "canon", "profile", "cluster", "--into", str(taken), code=1).stderr
        assert f"{taken} is there already" in said
        assert "Traceback" not in said
    assert (full / "x").read_text() == file.read_text() == "mine\n"
    assert worktrees(tiny) == 1
    run(tiny, "canon", "profile", "cluster", "--into", str(empty))
    said = run(tiny, "canon", "profile", "cluster", "--into", str(empty), code=1).stderr
    assert f"git worktree remove {empty}" in said


def test_a_folder_of_the_repository_must_be_ignored(tiny: Path, run: Run) -> None:
    for inside in ("ws", "pipelines/ws", "."):
        before = snapshot(tiny)
        said = run(tiny, "canon", "profile", "cluster", "--into", inside, code=1).stderr
        assert "lies in the repository" in said or "is there already" in said
        assert snapshot(tiny) == before
    run(tiny, "canon", "profile", "cluster", "--into", ".dvc/tmp/ws")
    assert git(tiny, "status", "--porcelain") == ""
    run(tiny / ".dvc/tmp/ws", "dvc", "repro", "count")
    assert (tiny / ".dvc/tmp/ws/out/counted.txt").read_text() == "12\n"


def test_what_is_not_committed_is_named_and_not_in_it(tiny: Path, run: Run) -> None:
    (tiny / "count.py").write_text("raise SystemExit(1)\n")
    (tiny / "new.py").write_text("")
    before = snapshot(tiny)
    into = tiny.parent / "ws"
    done = run(tiny, "canon", "profile", "cluster", "--into", str(into))
    assert f"not committed, so not in {into}: count.py, new.py" in done.stderr
    assert "raise" not in (into / "count.py").read_text()
    assert not (into / "new.py").exists()
    assert snapshot(tiny) == before


def test_a_workspace_of_a_workspace_shares_the_first_ones_cache(tiny: Path, run: Run) -> None:
    first, second = tiny.parent / "one", tiny.parent / "two"
    run(tiny, "canon", "profile", "cluster", "--into", str(first))
    run(first, "canon", "profile", "cluster", "--into", str(second))
    run(first, "dvc", "repro", "count")
    assert "is cached - skipping run" in run(second, "dvc", "repro", "count").stdout
    assert Config(str(second / ".dvc"))["cache"]["dir"] == str(tiny / ".dvc" / "cache")


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_a_failure_leaves_no_workspace_behind(there: str, tiny: Path, run: Run) -> None:
    (tiny / "params" / "tiny.cluster.yaml").write_text("other: 1\n")
    git(tiny, "commit", "-qam", "an overlay that fits nothing")
    into = tiny.parent / "ws"
    if there == "an empty folder":
        into.mkdir()
    said = run(tiny, "canon", "profile", "cluster", "--into", str(into), code=1).stderr
    assert "the key `other` stands in no YAML params file" in said
    assert into.exists() == (there == "an empty folder")
    assert worktrees(tiny) == 1
    assert git(tiny, "status", "--porcelain") == ""


def test_hooks_do_not_run_and_no_commit_is_an_error(tiny: Path, run: Run, tmp_path: Path) -> None:
    hook = tiny / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    into = tmp_path / "ws"
    run(tiny, "canon", "profile", "cluster", "--into", str(into))
    assert not (into / "ran").exists()
    shutil.rmtree(tiny / ".git")
    assert "git init" in run(tiny, "canon", "profile", "cluster", "--into", "../other", code=1).stderr
    git(tiny, "init", "-q")
    assert "no commit yet" in run(tiny, "canon", "profile", "cluster", "--into", "../other", code=1).stderr
    assert not (tmp_path / "other").exists()


def test_a_dry_run_into_a_folder_is_wrong_usage(tiny: Path, run: Run) -> None:
    said = run(tiny, "canon", "profile", "cluster", "--into", "../ws", "--dry-run", code=1).stderr
    assert "leave one of them out" in said
    assert not (tiny.parent / "ws").exists()
