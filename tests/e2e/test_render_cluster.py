"""The commands on a project that runs in a cluster, as users have them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.clustered import CLUSTER, COMMON, HEAD, REMOTE, STAGES, make_clustered
from tests.conftest import Run, git
from tests.deployed import DEPLOYED, SERVED, make_deployed, make_release

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
        "argo/toy/applications/workflow.yaml",
        "argo/toy/platform/README.md",
        "argo/toy/platform/argocd.md",
        "argo/toy/platform/argocd.policy.yaml",
        "argo/toy/platform/argocd.projects.yaml",
        "argo/toy/platform/argocd.root.yaml",
        "argo/toy/platform/ml.yaml",
        "argo/toy/workflow/cluster.yaml",
        "argo/toy/workflow/kustomization.yaml",
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
    for path in ("platform/README.md", "platform/ml.yaml", "workflow/cluster.yaml", "applications/workflow.yaml", "platform/argocd.root.yaml"):  # fmt: skip
        assert f"argo/toy/{path}: is generated, but no declaration makes it any more" in said


def test_an_environment_that_nothing_declares_any_more_leaves_nothing_unsaid(project: Path, run: Run) -> None:
    """Its release, its manifests, its Application; a release of one that is declared is what all of it follows from."""
    make_deployed(project, HEAD + STAGES + SERVED + DEPLOYED, make_release("staging"), make_release("production"))
    assert "argo/toy/environments/production/disruption-budget.yaml" in run(project, "canon", "render").stdout
    committed(project)
    assert run(project, "canon", "check").stdout.startswith("ok")
    assert run(project, "canon", "render", "--check").stdout == ""
    lines = DEPLOYED.splitlines(keepends=True)
    make_deployed(project, HEAD + STAGES + SERVED + "".join(lines[:2]))
    said = run(project, "canon", "check", code=1).stderr
    assert (
        "argo/toy/releases/production.yaml: is the release of an environment that no declaration has any more" in said
    )
    for path in ("applications/production.yaml", "environments/production/deployment.yaml", "environments/production/kustomization.yaml"):  # fmt: skip
        assert f"argo/toy/{path}: is generated, but no declaration makes it any more" in said
    assert "argo/toy/platform/argocd.policy.yaml: is not what the declarations say" in said
    assert "staging" not in said.replace("deploy.staging", "")


def test_a_release_that_was_edited_into_nonsense_is_said_by_both_commands(project: Path, run: Run) -> None:
    make_deployed(project, HEAD + STAGES + SERVED + DEPLOYED, make_release("staging"))
    release = project / "argo/toy/releases/staging.yaml"
    release.write_text(release.read_text().replace("number: 3", "number: three"))
    for command in ("render", "check"):
        said = run(project, "canon", command, code=1).stderr
        assert "argo/toy/releases/staging.yaml:5: number: " in said
        assert "remedy: restore what Git has of the file" in said
    assert not (project / "argo/toy/environments").exists()


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
