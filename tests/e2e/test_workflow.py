"""A rendered Workflow, run by the pod harness from its manifests alone, with Canon's own tools image, a registry, S3 and git's daemon."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from canon.steps.settings import format_settings
from tests.conftest import S3, Base, git, once
from tests.e2e.clustered import TOOLS, declare_cluster, git_daemon, make_tools, secrets, template
from tests.e2e.planned import write_project
from tests.e2e.test_steps import entries
from tests.harness.fixtures import MakeHarness
from tests.harness.harness import Harness
from tests.harness.report import Report
from tests.registry import Registry

TASKS = ("data-raw", "prepare", "fit--40a", "fit--40b", "compare")
pytestmark = [pytest.mark.soak, pytest.mark.usefixtures("quick")]


class Cluster:
    """The project, and a harness that knows its template."""

    def __init__(self, root: Path, harness: Harness) -> None:
        self.root, self.harness = root, harness

    def run(self, **parameters: str) -> Report:
        self.harness.apply(template(self.root))
        manifest: dict[str, Any] = {
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "p-run", "namespace": "ml"},
            "spec": {
                "workflowTemplateRef": {"name": "p-local"},
                "arguments": {"parameters": [{"name": name, "value": value} for name, value in parameters.items()]},
            },
        }  # fmt: skip
        return self.harness.run(manifest)


@pytest.fixture
def cluster(
    s3: S3,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_harness: MakeHarness,
    python_base: Base,
    tools_base: Base,
) -> Iterator[Cluster]:
    root = shutil.copytree(once(tmp_path_factory, "planned", write_project), tmp_path / "planned", symlinks=True)
    tools = once(tmp_path_factory, "tools-image", lambda folder: make_tools(root, tools_base, folder)) / "layout"
    digest = (tools / "digest").read_text()
    with Registry() as registry, git_daemon(tmp_path) as url:
        declare_cluster(root, tmp_path / "code.git", url, s3, registry.host, python_base)
        harness = make_harness(secrets=secrets())
        harness.images.given[TOOLS] = (tools, digest)
        yield Cluster(root, harness)


def phases(report: Report) -> dict[str, str]:
    """Task → what became of it, of the stages alone."""
    return {
        name.removeprefix("stages."): phase
        for name, phase in report.phases().items()
        if name.startswith("stages.") and "(" not in name
    }


def test_stages_run_once_and_give_what_dvc_gives(cluster: Cluster, tmp_path: Path, s3: S3) -> None:
    """Each in the image of the code, of another uid, without Git; what they made is DVC's own result, and runs no second time."""
    report = cluster.run()
    assert report.phase == "Succeeded", report
    assert phases(report) == dict.fromkeys(TASKS, "Succeeded")
    assert report.node("stages.prepare(0)").codes == {"code": 0, "fetch": 0, "main": 0, "push": 0}
    made = entries(s3)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(tmp_path / "code.git"), str(clone))
    said = subprocess.run(["dvc", "repro", "--pull"], cwd=clone, check=True, capture_output=True, text=True).stdout
    assert "Running stage" not in said
    assert entries(s3) == made
    again = cluster.run()
    assert phases(again) == dict.fromkeys(TASKS, "Skipped")
    assert (again.pods, again.node("deliver").phase) == (1, "Skipped")  # plan alone
    (cluster.root / "README.md").write_text("another word\n")
    git(cluster.root, "add", "--all")
    git(cluster.root, "commit", "-qm", "words")
    git(cluster.root, "push", "-q", "origin", "HEAD:main")
    words = cluster.run()
    assert (words.pods, words.node("deliver").phase) == (2, "Succeeded")
    assert words.node("deliver").outputs["result"] == report.node("deliver").outputs["result"]
    assert entries(s3) == made
    changed = cluster.run(set=format_settings({"params/p.yaml": {"fit.rate": 0.25}}))
    assert phases(changed) == {**dict.fromkeys(TASKS, "Succeeded"), "data-raw": "Skipped", "prepare": "Skipped"}


def test_a_stage_that_fails_shows_its_own_exit_code(cluster: Cluster) -> None:
    (cluster.root / "prepare.py").write_text("import sys; sys.exit(3)")
    git(cluster.root, "commit", "-qam", "broken")
    git(cluster.root, "push", "-q", "origin", "HEAD:main")
    report = cluster.run()
    assert report.phase == "Failed"
    failed = report.node("stages.prepare(0)")
    assert (failed.phase, failed.exit_code, failed.message) == ("Failed", 3, "main: Error (exit code 3)")
    assert phases(report)["fit--40a"] == "Omitted"
