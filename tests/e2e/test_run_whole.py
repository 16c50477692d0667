"""`canon run` from the first question to the summary: nothing to do is told by a look, rows are made and named, other params and profiles run apart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from canon.running import fresh
from tests.conftest import Run, git, once
from tests.e2e.swept import counted, executions, write_swept
from tests.tracking import empty_store, local_store

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def root(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = shutil.copytree(once(tmp_path_factory, "swept", write_swept), tmp_path / "p", symlinks=True)
    shutil.copyfile(empty_store(tmp_path_factory), made / "mlflow.db")
    return made


def test_a_run_ends_with_its_row_and_the_next_ones_by_a_look(root: Path, run: Run, tmp_path: Path) -> None:
    env = counted(tmp_path / "log")
    first = json.loads(run(root, "canon", "run", "--json", env=env).stdout)
    (row,) = local_store(root).rows("p")
    assert first["row"] == row.info.run_id
    assert {each["stage"]: each["state"] for each in first["stages"]} == dict.fromkeys(
        ("data-raw", "prepare", "fit", "track"), "done"
    )
    assert first["metrics"] == [{"name": "value", "before": None, "now": 3.0}] or first["metrics"][0]["now"] == 3.0
    assert "up to date" in run(root, "dvc", "status").stdout
    time.sleep(0.1)
    second = run(root, "canon", "run", "--json", env=env)
    assert {each["state"] for each in json.loads(second.stdout)["stages"]} == {"unchanged"}
    assert json.loads(second.stdout)["row"] == row.info.run_id
    known = (root / fresh.FILE).read_bytes()
    third = run(root, "canon", "run", "--json", env=env)
    assert third.stdout == second.stdout
    assert third.stderr == f"p: 4 unchanged\nrow in MLflow: {row.info.run_id}\n"
    assert (root / fresh.FILE).read_bytes() == known
    assert executions(tmp_path / "log") == ["fit 1 0.5", "prepare 1 0.5"]
    (root / "params/p.yaml").write_text("prepare:\n  scale: 1\nfit:\n  rate: 0.25\n  note: x\n")
    again = run(root, "canon", "run", env=env)
    assert executions(tmp_path / "log") == ["fit 1 0.25", "fit 1 0.5", "prepare 1 0.5"]
    assert "-1.5 (-50.0%)" in again.stderr
    assert len(local_store(root).rows("p")) == 2


def test_a_row_is_made_where_the_result_came_from_the_run_cache(
    root: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run(root, "canon", "run")
    for name in ("dvc.lock", "data", "results", ".dvc/tmp"):
        place = root / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    shutil.copyfile(empty_store(tmp_path_factory), root / "mlflow.db")
    done = run(root, "canon", "run")
    (row,) = local_store(root).rows("p")
    assert done.stderr.splitlines()[0] == "data-raw: cached"
    assert f"row in MLflow: {row.info.run_id}" in done.stderr


def test_a_row_that_a_linked_worktree_could_not_send_is_sent_by_the_next_run_there(
    root: Path, run: Run, tmp_path: Path
) -> None:
    linked, down = tmp_path / "linked", {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    git(root, "worktree", "add", "-q", str(linked))
    run(linked, "canon", "run", env=down)
    time.sleep(0.1)
    run(linked, "canon", "run", env=down)  # nothing to do, but that row
    assert local_store(root).rows("p") == []
    assert "1 spooled result was sent" in run(linked, "canon", "run").stderr
    assert len(local_store(root).rows("p")) == 1


@pytest.mark.soak
def test_a_row_of_code_that_is_committed_afterwards_gets_its_commit(root: Path, run: Run) -> None:
    run(root, "canon", "run")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "ran")
    with (root / "step.py").open("a") as file:
        file.write("# a thought\n")
    run(root, "canon", "run")
    row = next(each for each in local_store(root).rows("p") if each.data.tags.get("canon.dirty") == "true")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "a thought")
    assert "1 row names its commit now" in run(root, "canon", "run").stderr
    tags = next(each for each in local_store(root).rows("p") if each.info.run_id == row.info.run_id).data.tags
    assert tags["mlflow.source.git.commit"] == git(root, "rev-parse", "HEAD")


def test_other_params_run_apart_and_end_as_an_experiment(root: Path, run: Run, tmp_path: Path) -> None:
    env = counted(tmp_path / "log")
    (root / "notes.txt").write_text("mine\n")
    refused = run(root, "canon", "run", "-S", "fit.rate=0.25", env=env, code=1)
    assert "not committed, and a workspace of its own runs what is: notes.txt" in refused.stderr
    before = git(root, "status", "--porcelain")
    done = run(root, "canon", "run", "-S", "fit.rate=0.25", "--allow-dirty", "--json", env=env)
    document = json.loads(done.stdout)
    assert executions(tmp_path / "log") == ["fit 1 0.25", "prepare 1 0.25"]
    assert git(root, "status", "--porcelain") == before
    assert document["commit"] in git(root, "for-each-ref", "refs/exps")
    assert "rate: 0.25   # how fast" in git(root, "show", f"{document['commit']}:params/p.yaml")
    (row,) = local_store(root).rows("p")
    assert document["run_id"] == row.info.run_id


def test_a_run_apart_of_a_pipeline_without_track_makes_no_row(root: Path, run: Run) -> None:
    declared = root / "pipelines/p.yaml"
    declared.write_text(declared.read_text() + "track: false\n")
    run(root, "canon", "render")
    git(root, "commit", "-qam", "no rows")
    document = json.loads(run(root, "canon", "run", "-S", "fit.rate=0.25", "--json").stdout)
    assert document["commit"] in git(root, "for-each-ref", "refs/exps")
    assert (document["run_id"], len(document["result"]), document["metrics"]) == (None, 64, {"value": 1.5})
    assert local_store(root).rows("p") == []


def test_another_profile_runs_apart_and_the_workspaces_own_here(root: Path, run: Run, tmp_path: Path) -> None:
    env = counted(tmp_path / "log")
    name = run(root, "canon", "run", "--profile", "cluster", env=env).stdout.strip()
    assert name.startswith("p-cluster-")
    assert not (root / "data/fit.json").exists()
    assert run(root, "canon", "run", "--profile", "local", env=env).stdout == ""
    assert json.loads((root / "data/fit.json").read_text()) == {"value": 3.0}
    unknown = run(root, "canon", "run", "--profile", "moon", code=1)
    assert "there is no profile `moon`" in unknown.stderr


def test_the_exit_code_of_a_stage_that_fails_apart_is_passed_on(root: Path, run: Run) -> None:
    failed = run(root, "canon", "run", "-S", "fit.rate=9", "--profile", "cluster", code=3)
    assert "fit: failed" in failed.stderr
    assert git(root, "for-each-ref", "refs/exps") == ""
    assert not list((root / ".dvc/tmp/canon/workspaces").glob("*/pyproject.toml"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--watch", "-S", "a=1"), "--watch runs in this checkout"),
        (("--dry-run", "--profile", "cluster"), "leave out -S, --profile and --watch"),
        (("--allow-dirty",), "add -S or --profile"),
        (("p", "fit", "-S", "fit.rate=1"), "leave out the targets"),
    ],
)
def test_what_does_not_go_together_is_said(root: Path, run: Run, arguments: tuple[str, ...], words: str) -> None:
    assert words in run(root, "canon", "run", *arguments, code=2).stderr


def wait_for(log: Path, *lines: str) -> None:
    end = time.monotonic() + 60
    while executions(log) != sorted(lines):
        assert time.monotonic() < end, executions(log)
        time.sleep(0.05)


@pytest.mark.soak
def test_it_runs_again_when_an_input_changes(root: Path, tmp_path: Path) -> None:
    log, said = tmp_path / "log", tmp_path / "said"
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "canon", "run", "--watch"],
            cwd=root,
            env=counted(log),
            stderr=file,
            start_new_session=True,
        )
    try:
        wait_for(log, "fit 1 0.5", "prepare 1 0.5")
        (root / "params/p.yaml").write_text("prepare:\n  scale: 1\nfit:\n  rate: 0.25\n  note: x\n")
        wait_for(log, "fit 1 0.25", "fit 1 0.5", "prepare 1 0.5")
        while said.read_text().count("waiting for a change") < 2:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
    assert "canon: changed: params/p.yaml" in said.read_text()
