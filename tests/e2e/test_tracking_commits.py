from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from canon.git import commit_source_tree
from tests.conftest import Run, git
from tests.tracking import Store, copy_clone, local_store, stages_run

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    return copy_clone(tmp_path_factory, tmp_path / "clone")


@pytest.fixture
def unlogged(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A clone whose pipeline has run, with an empty store."""
    return copy_clone(tmp_path_factory, tmp_path / "clone", store="empty")


def change_everything(root: Path) -> None:
    """Every kind of change that Git knows, a dep of the pipeline among them."""
    code = root / "pipelines/co2/evaluate.py"
    code.write_text(code.read_text() + "\n# the same numbers, said again\n")
    (root / "bench/.keep").unlink()
    (root / "CONTRIBUTING.md").write_text("renamed\n" * 20)
    git(root, "mv", "LICENSE", "LICENCE")
    (root / "pipelines/notes é.txt").write_text("neither staged nor ignored, no newline at the end")
    (root / "assets").mkdir()
    (root / "assets/logo.bin").write_bytes(bytes(range(256)) * 8)
    (root / "assets/link").symlink_to("logo.bin")
    (root / "scripts/demo.sh").chmod(0o755)
    (root / "assets/run.sh").write_text("#!/bin/sh\n")
    (root / "assets/run.sh").chmod(0o755)


def test_a_dirty_run_has_the_patch_that_makes_its_tree_and_gets_its_commit_later(
    clone: Path, tmp_path: Path, run: Run
) -> None:
    base = git(clone, "rev-parse", "HEAD")
    change_everything(clone)
    assert stages_run(run(clone, "dvc", "repro").stdout) == ["evaluate", "track"]
    store = local_store(clone)
    row = store.rows()[1]
    assert (row.data.tags["canon.dirty"], row.data.tags["mlflow.source.git.commit"]) == ("true", base)
    assert "git apply canon.patch && dvc repro" in row.data.tags["mlflow.note.content"]

    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(clone), str(other))
    (tmp_path / "canon.patch").write_bytes(store.artifacts(row)["canon.patch"])
    git(other, "apply", "--index", "--binary", str(tmp_path / "canon.patch"))
    git(other, "commit", "-qm", "patched")
    assert commit_source_tree(other, "HEAD") == row.data.tags["canon.tree"]

    git(clone, "add", "--all")
    git(clone, "commit", "-qm", "everything")
    head = git(clone, "rev-parse", "HEAD")
    done = run(clone, "canon", "log")
    assert "1 row names its commit now" in done.stderr
    assert "already logged" in done.stdout
    assert "sunspots is not logged" in done.stderr  # its result is in dvc.lock, its data are not here
    first, row = store.rows()
    assert (row.data.tags["canon.dirty"], row.data.tags["mlflow.source.git.commit"]) == ("false", head)
    assert f"git checkout {head[:12]} && dvc repro" in row.data.tags["mlflow.note.content"]
    assert "not committed" not in row.data.tags["mlflow.note.content"]
    assert first.data.tags["mlflow.source.git.commit"] == base
    (version,) = store.client.search_model_versions(f"run_id = '{row.info.run_id}'")
    assert (version.tags["mlflow.source.git.commit"], version.tags["canon.dirty"]) == (head, "false")


@pytest.mark.soak
def test_a_dirty_row_gets_the_commit_that_holds_the_same_result_without_the_scratch_files(
    unlogged: Path, run: Run
) -> None:
    scratch = unlogged / "scratch.txt"
    scratch.write_text("never committed\n")
    run(unlogged, "canon", "track", "co2")
    store = local_store(unlogged)
    assert store.row().data.tags["canon.dirty"] == "true"
    scratch.unlink()
    done = run(unlogged, "canon", "log", "-p", "co2")
    assert "names its commit now" in done.stderr
    tags = store.row().data.tags
    assert (tags["canon.dirty"], tags["canon.tree"]) == ("false", commit_source_tree(unlogged, "HEAD"))


@pytest.mark.soak
def test_edits_made_after_the_run_are_no_part_of_its_row(unlogged: Path, run: Run) -> None:
    code = unlogged / "pipelines/co2/evaluate.py"
    code.write_text(code.read_text() + "\n# this did not run\n")
    done = run(unlogged, "canon", "log", "-p", "co2")
    assert "pipelines/co2/evaluate.py changed since its result was made" in done.stderr
    row = local_store(unlogged).row()
    assert (row.data.tags["canon.dirty"], row.data.tags["mlflow.source.git.commit"]) == (
        "false",
        git(unlogged, "rev-parse", "HEAD"),
    )
    assert "canon.patch" not in local_store(unlogged).artifacts(row)
    # Another dvc.lock than the committed one: nothing says which code made it.
    lock = unlogged / "dvc.lock"
    lock.write_text(lock.read_text() + "\n")
    assert "not logged; run `dvc repro`" in run(unlogged, "canon", "log", "-p", "co2").stderr


def test_a_teammates_pull_and_canon_log_give_one_row_in_their_own_store(
    clone: Path, team: Store, tmp_path: Path, run: Run
) -> None:
    remote = tmp_path / "remote"
    (clone / ".dvc/config").write_text(
        f"[core]\n    analytics = false\n    check_update = false\n    remote = shared\n['remote \"shared\"']\n    url = {remote}\n"
    )
    git(clone, "commit", "-qam", "a remote")
    git(clone, "branch", "release")
    run(clone, "dvc", "push", "--run-cache")
    theirs = tmp_path / "theirs"
    git(tmp_path, "clone", "-q", str(clone), str(theirs))
    shutil.copyfile(team.uri.removeprefix("sqlite:///"), theirs / "mlflow.db")
    head = git(clone, "rev-parse", "HEAD")
    # Without a single file here: a branch's result is fetched by what its dvc.lock says.
    assert (
        "fetching"
        in run(theirs, "canon", "log", "origin/release", "-p", "co2", env={"MLFLOW_TRACKING_URI": team.uri}).stderr
    )
    assert team.row().data.tags["mlflow.source.git.commit"] == head

    assert stages_run(run(theirs, "dvc", "repro", "--pull").stdout) == []
    store = local_store(theirs)
    assert store.rows() == []
    assert "co2  result" in run(theirs, "canon", "log").stdout
    row = store.row()
    assert "already logged" in run(theirs, "canon", "log").stdout
    assert store.row().info.run_id == row.info.run_id
    assert (row.data.tags["canon.dirty"], row.data.tags["mlflow.source.git.commit"]) == ("false", head)
    ours = local_store(clone).row()
    assert row.data.tags["canon.result"] == ours.data.tags["canon.result"]
    assert (row.data.params, row.data.metrics) == (ours.data.params, ours.data.metrics)
    assert store.artifacts(row).keys() == local_store(clone).artifacts(ours).keys()
    assert len(store.client.search_model_versions("name = 'co2'")) == 1


@pytest.mark.parametrize(
    ("revision", "says"),
    [("nothing", "Git knows no commit 'nothing'"), ("HEAD~1", "holds no result")],
)
def test_a_revision_without_a_result_is_an_error(repository: Path, revision: str, says: str, run: Run) -> None:
    (repository / "pyproject.toml").write_text('[tool.canon]\ndefault_profile = "local"\n[tool.canon.profiles.local]\n')
    (repository / "pipelines").mkdir()
    (repository / "pipelines/p.yaml").write_text("name: p\nstages:\n  a:\n    cmd: echo\n    outs: [a.txt]\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "declared")
    git(repository, "commit", "-qm", "again", "--allow-empty")
    run(repository, "dvc", "init", "-q")
    done = run(repository, "canon", "log", revision, code=1)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def as_no_repository(root: Path) -> None:
    shutil.rmtree(root / ".git")
    (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")


def as_repository_without_commit(root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")


def as_detached_head(root: Path) -> None:
    git(root, "checkout", "-q", "--detach")


@pytest.mark.parametrize(
    ("change", "branch", "commit", "dirty", "says"),
    [
        pytest.param(
            as_no_repository,
            None,
            False,
            "false",
            "no Git repository here: the row names no commit",
            marks=pytest.mark.soak,
        ),
        (as_repository_without_commit, "main", False, "true", "no commit yet"),
        pytest.param(as_detached_head, None, True, "false", "", marks=pytest.mark.soak),
    ],
    ids=["no Git", "no commit", "detached HEAD"],
)
def test_a_row_says_what_git_knows(unlogged: Path, change, branch, commit, dirty, says, run: Run) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    head = git(unlogged, "rev-parse", "HEAD")
    change(unlogged)
    done = run(unlogged, "canon", "track", "co2")
    assert says in done.stderr
    tags = local_store(unlogged).row().data.tags
    assert tags.get("mlflow.source.git.commit") == (head if commit else None)
    assert tags.get("mlflow.source.git.branch") == branch
    assert tags["canon.dirty"] == dirty
    if dirty == "true":
        git(unlogged, "add", "--all")
        git(unlogged, "commit", "-qm", "first")
        assert "1 row names its commit" in run(unlogged, "canon", "log", "-p", "co2").stderr
        assert local_store(unlogged).row().data.tags["mlflow.source.git.commit"] == git(unlogged, "rev-parse", "HEAD")


@pytest.mark.soak
def test_a_worktrees_row_lands_in_the_main_checkouts_store_and_names_its_branch(
    unlogged: Path, tmp_path: Path, run: Run
) -> None:
    tree = tmp_path / "tree"
    git(unlogged, "worktree", "add", "-q", "-b", "other", str(tree))
    (tree / ".dvc/config.local").write_text(f"[cache]\n    dir = {unlogged}/.dvc/cache\n")
    run(tree, "canon", "log", "-p", "co2")
    assert not (tree / "mlflow.db").exists()
    assert local_store(unlogged).row().data.tags["mlflow.source.git.branch"] == "other"


@pytest.mark.soak
def test_a_shallow_clone_logs_and_settles_rows_of_commits_that_it_lacks(
    unlogged: Path, tmp_path: Path, run: Run
) -> None:
    git(unlogged, "commit", "-qm", "history", "--allow-empty")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{unlogged}", str(shallow))
    shutil.copytree(unlogged / ".dvc/cache", shallow / ".dvc/cache")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/team.db"}
    (unlogged / "new.py").write_text("1\n")
    run(unlogged, "canon", "log", "-p", "co2", env=store)
    git(unlogged, "checkout", "-q", "HEAD~1")
    git(shallow, "commit", "-qm", "another", "--allow-empty")
    (shallow / "new.py").write_text("1\n")
    git(shallow, "add", "new.py")
    git(shallow, "commit", "-qm", "the same tree")
    done = run(shallow, "canon", "log", "-p", "co2", env=store)
    assert "1 row names its commit now" in done.stderr
    assert Store(store["MLFLOW_TRACKING_URI"]).row().data.tags["mlflow.source.git.commit"] == git(
        shallow, "rev-parse", "HEAD"
    )
    assert (shallow / ".git/shallow").exists()
