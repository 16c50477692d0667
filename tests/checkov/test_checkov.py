"""checkov's checks of Kubernetes and Argo on what is rendered, in an environment of its own. What it finds and is meant so stands in config.yaml, with the reason."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import once
from tests.manifested import GOLDEN, environment_manifests, pods_below

HERE = Path(__file__).parent
UNSAID = {"CKV_K8S_10": "requests.cpu", "CKV_K8S_12": "requests.memory", "CKV_K8S_13": "limits.memory"}
"""Checks of what a stage's container gets where its declaration says it, and only there: Canon knows no stage's needs."""
pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.fixture
def checkov(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from its own lock."""

    def make(folder: Path) -> None:
        python = folder / "bin/python"
        for command in (
            ("uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)),
            ("uv", "pip", "sync", "--quiet", "--system-certs", "--require-hashes", "--only-binary", ":all:", "--python", str(python),
             str(HERE / "requirements.lock")),
        ):  # fmt: skip
            subprocess.run(command, check=True, timeout=600)

    return once(tmp_path_factory, "checkov", make) / "bin/checkov"


def unsaid(pod: dict[str, Any]) -> dict[str, str]:
    """Annotations for the checks of what this pod's declaration leaves out; all other containers must have it."""
    resources = next(each for each in pod["spec"]["containers"] if each["name"] == "main").get("resources", {})
    lacking = [
        check for check, path in UNSAID.items() if path.split(".")[1] not in resources.get(path.split(".")[0], {})
    ]
    return {f"checkov.io/skip{number}": f"{check}=the declaration says nothing" for number, check in enumerate(lacking)}


def write(folder: Path, into: Path) -> int:
    """Write the pods, the templates and the platform of a case; return how many files."""
    into.mkdir()
    for pod in pods_below(folder):
        if len(pod["spec"]["containers"]) > 1:  # of a stage
            pod["metadata"]["annotations"] = unsaid(pod)
        (into / f"{pod['metadata']['name']}.yaml").write_text(yaml.safe_dump(pod))
    for manifest in environment_manifests(folder):
        metadata = manifest["metadata"]
        (into / f"{metadata['namespace']}-{manifest['kind']}.yaml").write_text(yaml.safe_dump(manifest))
    for kind in ("workflow", "applications", "platform"):
        for file in folder.glob(f"argo/*/{kind}/*.yaml"):
            if yaml.safe_load(file.read_text().split("\n---")[0])["kind"] not in {
                "WorkflowEventBinding",
                "CronWorkflow",
                "Kustomization",
                "Workflow",  # refers to a template, which is looked at
            }:
                shutil.copyfile(file, into / f"{file.parent.parent.name}-{kind}-{file.name}")
    return len(list(into.iterdir()))


def look(checkov: Path, folder: Path) -> list[dict[str, Any]]:
    """A report for each framework."""
    command = (str(checkov), "--directory", str(folder), "--config-file", str(HERE / "config.yaml"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400, env={**os.environ, "LOG_LEVEL": "ERROR"})  # fmt: skip
    found = json.loads(done.stdout)
    return found if isinstance(found, list) else [found]


def test_no_check_fails_that_is_not_explained(checkov: Path, tmp_path: Path) -> None:
    for folder in GOLDEN:
        assert write(folder, tmp_path / folder.parent.name) >= 5
    reports = look(checkov, tmp_path)
    assert {each["check_type"] for each in reports} == {"kubernetes", "argo_workflows"}
    for each in reports:
        failed = [
            (item["check_id"], item["check_name"], item["file_path"]) for item in each["results"]["failed_checks"]
        ]
        assert failed == []
        assert each["summary"]["parsing_errors"] == 0
        assert each["summary"]["passed"] > 0
    assert next(each for each in reports if each["check_type"] == "kubernetes")["summary"]["passed"] > 1000


def test_it_finds_a_root_that_can_be_written(checkov: Path, tmp_path: Path) -> None:
    """A check that fails is seen."""
    pod = next(pods_below(GOLDEN[0]))
    pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = False
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    (report,) = (each for each in look(checkov, tmp_path) if each.get("check_type") == "kubernetes")
    assert "CKV_K8S_22" in [item["check_id"] for item in report["results"]["failed_checks"]]
