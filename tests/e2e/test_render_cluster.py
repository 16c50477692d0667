"""The commands on a project that runs in a cluster, as users have them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.clustered import CLUSTER, COMMON, HEAD, REMOTE, STAGES, make_clustered
from tests.conftest import Run, git

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def project(tmp_path: Path, run: Run) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q")
    run(root, "dvc", "init", "-q")
    make_clustered(root, remote=REMOTE)
    (root / ".gitignore").write_text("mlflow.db\nmlartifacts\n/prepared\n/model\n")
    for script in ("p.sh", "t.sh"):
        (root / script).write_text("echo\n")
    return root


def committed(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")


def test_it_is_rendered_checked_and_what_is_stale_is_said(project: Path, run: Run) -> None:
    written = run(project, "canon", "render").stdout.split()
    assert written == [
        "argo/toy/platform/README.md",
        "argo/toy/platform/ml.yaml",
        "argo/toy/workflow/cluster.yaml",
        "dvc.yaml",
        "pipelines/toy.environment.yaml",
    ]
    committed(project)
    assert run(project, "canon", "check").stdout.startswith("ok")
    workflow = project / "argo/toy/workflow/cluster.yaml"
    workflow.write_text(workflow.read_text().replace("Always", "OnError"))
    assert "-      retryPolicy: OnError" in run(project, "canon", "render", "--check", code=1).stdout
    assert "argo/toy/workflow/cluster.yaml: is not what the declarations say" in run(project, "canon", "check", code=1).stderr  # fmt: skip
    run(project, "canon", "render")
    assert git(project, "status", "--porcelain") == ""


def test_a_workflow_that_nothing_declares_any_more_is_named(project: Path, run: Run) -> None:
    run(project, "canon", "render")
    committed(project)
    (project / "pyproject.toml").write_text(COMMON)
    said = run(project, "canon", "check", code=1).stderr
    for path in ("platform/README.md", "platform/ml.yaml", "workflow/cluster.yaml"):
        assert f"argo/toy/{path}: is generated, but no declaration makes it any more" in said


@pytest.mark.parametrize("command", [("render",), ("check",)])
def test_both_commands_say_what_cannot_run_there(project: Path, run: Run, command: tuple[str, ...]) -> None:
    declaration = HEAD + STAGES.replace("outs: [model]", "always_changed: true, outs: [model]")
    make_clustered(project, declaration, settings=(COMMON + CLUSTER).replace("tools_image", "# "))
    said = run(project, "canon", *command, code=1).stderr
    assert "pipelines/toy.yaml:5: stages.train: cannot run as a pod: it is `always_changed`" in said
    assert "tool.canon.tools_image: is missing" in said
    assert not (project / "argo").exists()


def test_somebody_elses_file_is_not_overwritten(project: Path, run: Run) -> None:
    (project / "argo/toy/platform").mkdir(parents=True)
    (project / "argo/toy/platform/README.md").write_text("# Mine\n")
    assert "argo/toy/platform/README.md was not written by Canon" in run(project, "canon", "render", code=1).stderr


def test_the_command_is_a_module_too(project: Path, run: Run) -> None:
    """As pods run it: without the folder that it is started in."""
    assert run(project, sys.executable, "-I", "-m", "canon", "--version").stdout.startswith("canon ")
    assert "argo/toy/workflow/cluster.yaml" in run(project, sys.executable, "-I", "-m", "canon", "render").stdout
