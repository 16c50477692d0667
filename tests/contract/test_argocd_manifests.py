"""What Argo CD reads, as it reads it: through Kustomize, held against the schemas of Kubernetes and of Argo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.conftest import ROOT
from tests.contract.test_argo_manifests import KUBERNETES, check_manifests, checked
from tests.kustomized import VERSION, build
from tests.manifested import GOLDEN, environment_manifests, workflow_files

__all__ = ["check_manifests"]  # a fixture
DEPLOYED = ROOT / "tests/golden/deployed/rendered/argo/flowers"
DIGEST = "sha256:6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
ENVIRONMENTS = ("production", "staging")
KINDS = {"Deployment", "Service", "PodDisruptionBudget"}


def test_the_services_pass_kubernetes_schemas() -> None:
    found = list(environment_manifests(DEPLOYED.parents[1]))
    for manifest in found:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert {each["kind"] for each in found} == KINDS


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_kustomize_builds_each_environment_with_its_image_by_digest(environment: str) -> None:
    found = build(DEPLOYED / "environments" / environment)
    for manifest in found:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    (deployment,) = [each for each in found if each["kind"] == "Deployment"]
    images = [each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]]
    assert images == [f"registry.example.com:5000/ml/flowers@{DIGEST}"]
    # What is written down here once more is what Kustomize makes of it.
    place = DEPLOYED / "environments" / environment
    own = [
        each
        for each in environment_manifests(DEPLOYED.parents[1])
        if each["metadata"]["namespace"] == namespace_of(place)
    ]
    assert sorted(found, key=named) == sorted(own, key=named)


def named(manifest: dict[str, Any]) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def namespace_of(place: Path) -> str:
    return str(yaml.safe_load((place / "service.yaml").read_text())["metadata"]["namespace"])


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.parent.name)
def test_kustomize_builds_what_trains(check_manifests: Path, tmp_path: Path, folder: Path) -> None:
    for place in sorted(folder.glob("argo/*/workflow")):
        found = build(place)
        sources = [yaml.safe_load(file.read_text()) for file in workflow_files(folder) if file.parent == place]
        assert sorted(found, key=named) == sorted(sources, key=named)  # nothing is read otherwise on the way
        (tmp_path / place.parent.name).mkdir()
        (tmp_path / place.parent.name / "all.yaml").write_text(yaml.safe_dump_all(found))
    files = workflow_files(folder)
    assert checked(check_manifests, tmp_path) == f"{len(files)} manifests checked, 0 findings"


def test_the_commit_reaches_template_and_hook(tmp_path: Path) -> None:
    """Argo CD adds the Application's `commonAnnotations` to the kustomization, its own variables filled in."""
    application = yaml.safe_load((DEPLOYED / "applications/workflow.yaml").read_text())
    added = application["spec"]["source"]["kustomize"]["commonAnnotations"]
    place = tmp_path / "workflow"
    shutil.copytree(DEPLOYED / "workflow", place)
    kustomization = yaml.safe_load((place / "kustomization.yaml").read_text())
    commit = "1f2e3d4c" * 5
    kustomization["commonAnnotations"] = {
        name: value.replace("${ARGOCD_APP_REVISION}", commit) for name, value in added.items()
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    found = {each["kind"]: each for each in build(place)}
    assert set(found) == {"WorkflowTemplate", "Workflow"}
    for (
        manifest
    ) in found.values():  # the template differs with each commit: else nothing would be synced, and no hook run
        assert manifest["metadata"]["annotations"]["canon.dev/revision"] == commit
    assert "canon.dev/revision" not in found["WorkflowTemplate"]["spec"].get("workflowMetadata", {}).get("annotations", {})  # fmt: skip
    (parameter,) = found["Workflow"]["spec"]["arguments"]["parameters"]
    name = parameter["value"].removeprefix("{{workflow.annotations.").removesuffix("}}")
    assert found["Workflow"]["metadata"]["annotations"][name] == commit


def test_ci_installs_the_version_that_is_named_here() -> None:
    assert f"kustomize={VERSION}" in (ROOT / ".ci/run").read_text()
