"""`canon experiment save`: a workspace's result as a DVC experiment, by plain Git."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from canon.dvc.experiments import save_experiment
from canon.model.errors import CanonError
from tests.conftest import Run, git, once
from tests.e2e.projects import call, snapshot

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def ran(tiny: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """The small project after a run in the profile `cluster`."""

    def make(folder: Path) -> None:
        project = shutil.copytree(tiny, folder / "tiny", symlinks=True)
        call(project, os.environ, "dvc", "repro")
        git(project, "add", ".")
        git(project, "commit", "-qm", "the default profile's result")
        call(project, os.environ, "canon", "profile", "cluster")
        call(project, os.environ, "dvc", "repro")

    return shutil.copytree(once(tmp_path_factory, "tiny-ran", make) / "tiny", tmp_path / "ran", symlinks=True)


def refs(folder: Path) -> dict[str, str]:
    lines = git(folder, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
    return {line.split()[0].rpartition("/")[2]: line.split()[1] for line in lines}


def surroundings(folder: Path) -> dict[str, object]:
    """What saving must leave alone."""
    return {
        "files": snapshot(folder),
        "index": git(folder, "ls-files", "-s"),
        "status": git(folder, "status", "--porcelain"),
        "head": git(folder, "rev-parse", "HEAD"),
        "heads": git(folder, "for-each-ref", "refs/heads"),
        "stash": git(folder, "stash", "list"),
    }


def test_the_experiment_is_named_by_pipeline_profile_and_result_and_changes_nothing_here(ran: Path, run: Run) -> None:
    before = surroundings(ran)
    done = run(ran, "canon", "experiment", "save")
    result = hashlib.sha256((ran / "results" / "tiny.json").read_bytes()).hexdigest()
    name = f"tiny-cluster-{result[:8]}"
    assert done.stdout == f"{name}\n"
    assert f"`dvc exp apply {name}`" in done.stderr
    assert surroundings(ran) == before
    commit = refs(ran)[name]
    assert git(ran, "rev-parse", f"{commit}^") == git(ran, "rev-parse", "HEAD")
    assert git(ran, "show", "-s", "--format=%(trailers:key=Canon-Result,valueonly)", commit) == result
    changed = git(ran, "diff", "--name-only", "HEAD", commit).splitlines()
    assert changed == ["dvc.lock", "out/metrics.json", "params/tiny.yaml", "pipelines/tiny.pins.yaml"]
    for path in changed:
        assert git(ran, "show", f"{commit}:{path}") == (ran / path).read_text().rstrip("\n")
    assert name in run(ran, "dvc", "exp", "list", "--name-only").stdout
    shown = run(ran, "dvc", "exp", "show", "--csv").stdout
    assert name in shown


def test_it_is_safe_to_repeat_and_another_one_of_that_name_is_replaced_by_force_only(ran: Path, run: Run) -> None:
    first = json.loads(run(ran, "canon", "experiment", "save", "--json").stdout)
    again = json.loads(run(ran, "canon", "experiment", "save", "--json").stdout)
    assert (first["created"], again["created"], again["commit"]) == (True, False, first["commit"])
    assert "already saved" in run(ran, "canon", "experiment", "save").stderr
    (ran / "count.py").write_text((ran / "count.py").read_text() + "# more\n")
    refused = run(ran, "canon", "experiment", "save", code=1).stderr
    assert "--force" in refused
    assert refs(ran) == {first["name"]: first["commit"]}
    forced = json.loads(run(ran, "canon", "experiment", "save", "--json", "--force").stdout)
    assert refs(ran) == {first["name"]: forced["commit"]}
    assert forced["commit"] != first["commit"]


def test_a_dry_run_says_what_it_would_save_and_writes_no_object(ran: Path, run: Run) -> None:
    before = sorted((ran / ".git" / "objects").rglob("*"))
    done = run(ran, "canon", "experiment", "save", "--dry-run")
    assert re.fullmatch(r"tiny-cluster-[0-9a-f]{8}\n", done.stdout)
    assert "would save" in done.stderr
    assert sorted((ran / ".git" / "objects").rglob("*")) == before
    assert refs(ran) == {}


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "-x", ".x", "x.lock", "x..y", "a b", "a\n", "a\nb", "é", "$(touch x)", "x~1", "@{u}", "x.", "a:b"],
)
def test_a_hostile_name_is_refused(name: str, repository: Path) -> None:
    with pytest.raises(CanonError, match="is no name of an experiment"):
        save_experiment(repository, name, result="0" * 64, generated=())
    assert refs(repository) == {}


def test_a_hostile_name_is_refused_before_anything_is_saved(ran: Path, run: Run) -> None:
    for name in ("", "../../heads/main"):
        said = run(ran, "canon", "experiment", "save", f"--name={name}", code=1).stderr
        assert f"{name!r} is no name of an experiment" in said
    assert refs(ran) == {}


def test_data_is_not_needed_but_the_result_is(ran: Path, run: Run) -> None:
    shutil.rmtree(ran / ".dvc" / "cache")
    shutil.rmtree(ran / "data")
    (ran / "out" / "counted.txt").unlink()
    run(ran, "canon", "experiment", "save")
    (ran / "results" / "tiny.json").unlink()
    said = run(ran, "canon", "experiment", "save", code=1).stderr
    assert "results/tiny.json" in said
    assert "dvc repro" in said


def test_untracked_files_are_named_and_staged_ones_are_in_it(ran: Path, run: Run) -> None:
    (ran / "notes é.txt").write_text("mine\n")
    (ran / "staged.py").write_text("x = 1\n")
    (ran / "secret.env").write_text("mine\n")
    git(ran, "add", "staged.py")
    (ran / "staged.py").write_text("x = 2\n")
    before = surroundings(ran)
    done = run(ran, "canon", "experiment", "save")
    assert "neither committed nor part of the experiment: notes é.txt, secret.env;" in done.stderr
    assert surroundings(ran) == before
    (commit,) = refs(ran).values()
    files = git(ran, "ls-tree", "-r", "--name-only", commit)
    assert "notes" not in files
    assert "secret" not in files
    assert git(ran, "show", f"{commit}:staged.py") == "x = 2"  # as it stands, like everything else
    assert git(ran, "show", ":staged.py") == "x = 1"


def test_hooks_do_not_run_and_no_identity_is_needed(ran: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-commit", "reference-transaction"):
        hook = ran / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
        hook.chmod(0o755)
    (Path(os.environ["HOME"]) / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n[commit]\n\tgpgsign = true\n")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "half")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "half@example.com")
    run(ran, "canon", "experiment", "save")
    assert not (ran / "ran").exists()
    (commit,) = refs(ran).values()
    assert git(ran, "show", "-s", "--format=%an", commit) == "canon"


def test_a_result_that_is_older_than_its_stages_is_not_saved(ran: Path, run: Run) -> None:
    (ran / "params" / "tiny.yaml").write_text("count:\n  times: 9\n")
    run(ran, "dvc", "repro", "count")
    said = run(ran, "canon", "experiment", "save", code=1).stderr
    assert "dvc.lock is newer than the result of tiny (count ran since); run `dvc repro`" in said
    assert refs(ran) == {}


@pytest.mark.soak
def test_another_clone_takes_it_and_makes_a_branch_of_it(ran: Path, run: Run, tmp_path: Path) -> None:
    run(ran, "dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "remote"))
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(ran, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(ran, "push", "-q", "origin", "HEAD:main")
    name = run(ran, "canon", "experiment", "save", "--name", "mine.1_x-2").stdout.strip()
    run(ran, "dvc", "exp", "push", "origin", name)
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", "-b", "main", str(tmp_path / "origin.git"), str(other))
    run(other, "dvc", "remote", "add", "-q", "-d", "--local", "store", str(tmp_path / "remote"))
    run(other, "dvc", "exp", "pull", "origin", name)
    run(other, "dvc", "exp", "branch", name, "taken")
    run(other, "dvc", "exp", "apply", name)
    assert "up to date" in run(other, "dvc", "status").stdout
    assert (other / "out" / "counted.txt").read_text() == "12\n"
    git(other, "stash", "-q")
    git(other, "checkout", "-q", "taken")
    assert "times: 3" in (other / "params" / "tiny.yaml").read_text()


def test_without_a_result_or_with_several_it_says_so(ran: Path, run: Run) -> None:
    said = run(ran, "canon", "experiment", "save", "nothing", code=1).stderr
    assert "there is no pipeline `nothing`" in said
    (ran / "dvc.lock").unlink()
    assert "no pipeline has a result yet; run `dvc repro`" in run(ran, "canon", "experiment", "save", code=1).stderr
