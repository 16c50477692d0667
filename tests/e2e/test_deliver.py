"""`canon step deliver`: the result of a workflow's pods in the remote, in Git as an experiment, and in MLflow; once, however often it runs."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from canon.dvc.lockfile import load_lockfile
from tests.conftest import S3, Run, git
from tests.e2e.delivered import Delivered
from tests.e2e.planned import run_and_push
from tests.e2e.test_steps import entries
from tests.tracking import Store, stages_run

pytestmark = pytest.mark.usefixtures("quick")
OTHER = """\
name: q
dvc_file: side/dvc.yaml
track: false
stages:
  write: {cmd: echo words > side/words.txt, deps: [samples/raw.csv], outs: [side/words.txt]}
"""


def test_a_clone_takes_what_was_delivered_and_executes_nothing(workflow: Delivered, tmp_path: Path, run: Run) -> None:
    noted = workflow.deliver()
    name = noted["experiment"]
    assert noted == {
        "revision": workflow.plan.revision,
        "result": noted["result"],
        "experiment": f"p-local-{noted['result'][:8]}",
        "image": None,
    }
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    clone = tmp_path / "clone"
    assert name in run(clone, "dvc", "exp", "list", "origin", "--all").stdout
    run(clone, "dvc", "exp", "pull", "-q", "origin", name)
    run(clone, "dvc", "exp", "apply", "-q", name)
    assert "up to date" in run(clone, "dvc", "status").stdout
    lock = (clone / "dvc.lock").read_text()
    assert list(load_lockfile(lock, "dvc.lock")) == ["data-raw", "prepare", "fit@a", "fit@b", "compare", "track"]
    repro = run(clone, "dvc", "repro", "--pull")
    assert stages_run(repro.stdout) == []
    assert "up to date" in repro.stdout
    assert (clone / "dvc.lock").read_text() == lock
    assert json.loads((clone / "summary.json").read_text()) == {"count": 2}
    assert hashlib.sha256((clone / "results/p.json").read_bytes()).hexdigest() == noted["result"]
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json").stdout)
    assert shown[""]["data"] == {
        "results/metrics.json": {"data": {"total": 6.0}},
        "summary.json": {"data": {"count": 2}},
    }


def test_without_its_lock_a_clone_finds_all_in_the_run_cache(workflow: Delivered, tmp_path: Path, run: Run) -> None:
    """`track` too, whose entry nobody ran for."""
    workflow.deliver()
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    repro = run(tmp_path / "clone", "dvc", "repro", "--pull")
    assert stages_run(repro.stdout) == []
    assert repro.stdout.count("is cached - skipping run") == 6


def test_it_is_what_a_laptop_would_have_made(workflow: Delivered, project: Path, s3: S3) -> None:
    """dvc.lock and the lines of .gitignore are DVC's to the byte, the result and all entries have the same names."""
    noted = workflow.deliver()
    made = entries(s3)
    run_and_push(project)
    commit = workflow.experiments()[noted["experiment"]]
    changed = git(workflow.code, "diff", "--name-only", f"{commit}~", commit).splitlines()
    assert changed == [".gitignore", "dvc.lock", "plots/.gitignore", "summary.json"][1 - (".gitignore" in changed) :]
    for path in changed:
        assert git(workflow.code, "show", f"{commit}:{path}") == (project / path).read_text().rstrip("\n"), path
    assert (
        git(workflow.code, "show", "-s", "--format=%(trailers:key=Canon-Result,valueonly)", commit) == noted["result"]
    )
    assert git(workflow.code, "rev-parse", f"{commit}~") == workflow.plan.revision
    assert hashlib.sha256((project / "results/p.json").read_bytes()).hexdigest() == noted["result"]
    assert entries(s3) == made
    assert len(made) == 6


def test_one_row_names_commit_experiment_and_workflow(workflow: Delivered, team: Store) -> None:
    noted = workflow.deliver()
    row = team.row("p")
    assert row.info.status == "FINISHED"
    tags = row.data.tags
    assert tags["canon.result"] == noted["result"]
    assert tags["mlflow.source.git.commit"] == workflow.plan.revision
    assert tags["canon.dirty"] == "false"
    assert (tags["canon.profile"], tags["canon.workflow"]) == ("local", "one")
    assert tags["canon.dvc.experiment"] == noted["experiment"] == row.info.run_name
    assert row.data.metrics == {"total": 6.0, "count": 2.0}
    told = {path.name: path.read_text() for path in workflow.outputs.iterdir()}
    assert told.pop("row").endswith(row.info.run_id)
    assert told == {"result": noted["result"], "experiment": noted["experiment"], "image": "", "release": ""}
    artifacts = team.artifacts(row)
    assert {"dvc.lock", "result.json", "plots/plots/loss.csv"} <= artifacts.keys()
    assert artifacts["models/net/sum.txt"] == b"6"


@pytest.mark.soak
def test_again_nothing_is_new(workflow: Delivered, s3: S3, team: Store, project: Path, tmp_path: Path) -> None:
    """Neither in another pod, nor in the same one, nor by another workflow with the same results."""
    workflow.deliver()
    before = (workflow.experiments(), entries(s3), [run.info.run_id for run in team.rows("p")])
    assert workflow.deliver(attempt=2)["experiment"] in before[0]
    workflow.deliver()
    other = Delivered(project, tmp_path / "pods", s3, "two", team)
    other.run_all()
    other.deliver()
    assert (workflow.experiments(), entries(s3), [run.info.run_id for run in team.rows("p")]) == before
    assert team.row("p").data.tags["canon.workflow"] == "one"


@pytest.mark.soak
def test_params_as_applied_are_in_the_experiment_alone(project: Path, tmp_path: Path, s3: S3, team: Store) -> None:
    text = "fit: {rate: 0.25}\nnames: [a, b]\n"
    workflow = Delivered(project, tmp_path / "pods", s3, "one", team, applied={"params/p.yaml": text})
    workflow.run_all()
    name = workflow.deliver()["experiment"]
    commit = workflow.experiments()[name]
    assert git(workflow.code, "show", f"{commit}:params/p.yaml") == text.rstrip("\n")
    assert team.row("p").data.metrics["total"] == 3.0
    assert team.row("p").data.tags["canon.dirty"] == "false"
    assert git(workflow.code, "rev-parse", "main") == workflow.plan.revision


@pytest.mark.soak
def test_what_another_pipeline_makes_is_in_its_own_lock(
    project: Path, tmp_path: Path, s3: S3, team: Store, run: Run
) -> None:
    file = project / "pipelines/p.yaml"
    file.write_text(
        file.read_text().replace("[prepare.py, data/raw.csv]", "[prepare.py, data/raw.csv, side/words.txt]")
    )
    (project / "pipelines/q.yaml").write_text(OTHER)
    run(project, "canon", "render")
    git(project, "add", "--all")
    git(project, "commit", "-qm", "two")
    git(project, "push", "-q", "origin", "main")
    workflow = Delivered(project, tmp_path / "pods", s3, "one", team)
    assert "side/dvc.yaml:write" in workflow.plan.stages
    workflow.run_all()
    noted = workflow.deliver()
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    clone = tmp_path / "clone"
    run(clone, "dvc", "exp", "pull", "-q", "origin", noted["experiment"])
    run(clone, "dvc", "exp", "apply", "-q", noted["experiment"])
    assert list(load_lockfile((clone / "side/dvc.lock").read_text(), "")) == ["write"]
    assert "up to date" in run(clone, "dvc", "status").stdout
    assert stages_run(run(clone, "dvc", "repro", "--pull").stdout) == []
    assert (clone / "side/words.txt").read_text() == "words\n"
    run_and_push(project)
    assert hashlib.sha256((project / "results/p.json").read_bytes()).hexdigest() == noted["result"]
    assert (clone / "side/dvc.lock").read_text() == (project / "side/dvc.lock").read_text()


@pytest.mark.soak
def test_without_track_the_result_is_delivered_all_the_same(
    project: Path, tmp_path: Path, s3: S3, team: Store, run: Run
) -> None:
    file = project / "pipelines/p.yaml"
    file.write_text(file.read_text().replace("name: p\n", "name: p\ntrack: false\n", 1))
    subprocess.run(["canon", "render"], cwd=project, check=True, capture_output=True)
    git(project, "commit", "-qam", "untracked")
    git(project, "push", "-q", "origin", "main")
    workflow = Delivered(project, tmp_path / "pods", s3, "one", team)
    workflow.run_all()
    noted = workflow.deliver()
    assert len(entries(s3)) == 5
    git(tmp_path, "clone", "-q", str(workflow.code), "clone")
    run(tmp_path / "clone", "dvc", "exp", "pull", "-q", "origin", noted["experiment"])
    run(tmp_path / "clone", "dvc", "exp", "apply", "-q", noted["experiment"])
    assert "up to date" in run(tmp_path / "clone", "dvc", "status").stdout
    assert team.row("p").data.tags["canon.result"] == noted["result"]
