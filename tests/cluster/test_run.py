"""What of `make cluster` can be looked at without a cluster: its commands, its manifests, and what it does before it needs one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from canon.model.project import load_project
from tests.cluster import run
from tests.conftest import ACCESS_KEY, S3, SECRET_KEY, git

KUBERNETES = "1.34"
IMAGE = f"{run.REGISTRY}/ml/python@sha256:{'1' * 64}"
TOOLS = f"{run.REGISTRY}/ml/canon@sha256:{'2' * 64}"


def services() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((run.HERE / "services.yaml").read_text()))


def test_a_dry_run_runs_nothing_and_says_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "--dry-run"])
    monkeypatch.setattr("subprocess.run", None)
    assert run.main() == 0
    said = capsys.readouterr().out
    steps = ["kind create cluster", "services.yaml", "canon image tools", "canon render", "platform/ml.yaml", "canon submit co2 --watch", "dvc exp apply", "kind delete cluster"]  # fmt: skip
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    other = [
        line
        for line in said.splitlines()
        if line.startswith("+ kubectl") and f"--context kind-{run.CLUSTER}" not in line
    ]
    assert other == []


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["run.py"])
    monkeypatch.setattr("shutil.which", lambda name: None if name == "kind" else name)
    monkeypatch.setattr("subprocess.run", None)
    assert run.main() == 2
    assert capsys.readouterr().err.startswith("kind not found")


def test_the_manifests_are_kubernetes_own_and_pinned() -> None:
    images = []
    for manifest in services():
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        pod = manifest["spec"]["template"]["spec"] if manifest["kind"] == "Deployment" else {"containers": []}
        images += [container["image"] for container in pod["containers"]]
    nodes = yaml.safe_load((run.HERE / "kind.yaml").read_text())["nodes"]
    images += [node["image"] for node in nodes] + [run.PYTHON]
    images += re.findall(r"(?m)^FROM (\S+)$", (run.HERE / "Dockerfile").read_text())
    assert [
        image for image in images if not re.search(r":v?[A-Z]*\.?\d+[\d.T-]+[\w-]*(@sha256:[0-9a-f]{64})?$", image)
    ] == []
    ports = {port["nodePort"] for each in services() if each["kind"] == "Service" for port in each["spec"]["ports"]}
    assert ports == {mapping["containerPort"] for node in nodes for mapping in node["extraPortMappings"]}


@pytest.mark.usefixtures("quick")
def test_the_pipeline_is_declared_for_the_cluster(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is done before the cluster is needed, against an S3 server and a repository on this machine."""
    monkeypatch.setattr(run, "LOCAL_GIT", f"{tmp_path}/git/")
    monkeypatch.setattr(run, "LOCAL_S3", s3.endpoint)
    monkeypatch.setattr(run, "KEYS", {**run.KEYS, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY})
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "git/co2.git")
    root = run.declare(run.Shell(tmp_path, pretend=False), IMAGE, TOOLS)
    assert git(root, "status", "--porcelain") == ""
    assert git(tmp_path / "git/co2.git", "rev-parse", "main") == git(root, "rev-parse", "HEAD")
    project = load_project(root)
    assert project.settings.profiles["cluster"].registry == f"{run.REGISTRY}/ml"
    for name in ("co2", "sunspots"):
        environment = project.pipeline(name).declaration.environment
        assert environment is not None
        assert environment.image == IMAGE
    text = (root / "argo/co2/workflow/cluster.yaml").read_text()
    assert all(each in text for each in (TOOLS, run.S3, run.MLFLOW, run.GIT))
    assert "canon-co2-cluster-remote" in (root / "argo/co2/platform/README.md").read_text()
    assert (root / f"argo/co2/platform/{run.NAMESPACE}.yaml").is_file()
