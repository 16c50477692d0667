"""What is rendered for a cluster, held against the schemas of those who read it: Argo's full CRDs, Kubernetes' own kinds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from canon.argo.site import Remote
from canon.argo.submission import build_own, build_reference, check_parameters
from canon.manifests.text import format_manifests
from canon.model.errors import CanonError
from canon.model.project import load_project
from canon.workflows.sites import build_site
from tests.clustered import (
    COMMON,
    HEAD,
    SERVICES,
    SWEPT,
    SWEPT_PARAMS,
    make_clustered,
    rendered,
    sweep_of,
    tree,
    workflow_of,
)
from tests.conftest import ROOT
from tests.manifested import GOLDEN, pods_below, workflow_files

KUBERNETES = "1.34"


@pytest.fixture(scope="module")
def check_manifests() -> Path:
    """The strict checker of Argo's manifests, which lies beside the checkout, or where CANON_SHARED says."""
    shared = Path(os.environ.get("CANON_SHARED", ROOT.parent / "shared"))
    file = shared / "check-manifests.py"
    if not file.is_file():
        pytest.skip(f"there is no {file}: Argo's schemas lie beside the checkout, or where CANON_SHARED says")
    return file


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root / "argo"


def checked(checker: Path, folder: Path) -> str:
    done = subprocess.run((sys.executable, checker, folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.parent.name)
def test_the_golden_files_pass_argos_schemas(check_manifests: Path, folder: Path) -> None:
    manifests = workflow_files(folder)
    manifests += folder.glob("argo/*/applications/*.yaml")
    manifests += folder.glob("argo/*/platform/argocd.root.yaml")
    projects = [
        file.read_text().count("kind: AppProject") for file in folder.glob("argo/*/platform/argocd.projects.yaml")
    ]
    assert (
        checked(check_manifests, folder / "argo") == f"{len(manifests) + sum(projects)} manifests checked, 0 findings"
    )


@pytest.mark.parametrize(("stages", "most"), [(1, 16), (200, 60), (201, 61), (1000, 300)])
def test_any_number_of_stages_passes_and_stays_small(check_manifests: Path, tmp_path: Path, stages: int, most: int) -> None:  # fmt: skip
    """``most``: KiB."""
    files = rendered(make_clustered(tmp_path, HEAD + tree(stages), settings=COMMON + SERVICES))
    text = files["argo/toy/workflow/cluster.yaml"]
    assert len(text.encode()) <= most << 10
    assert checked(check_manifests, write(tmp_path, files)) == "1 manifests checked, 0 findings"


def test_sweeps_pass_argos_schemas(check_manifests: Path, tmp_path: Path) -> None:
    """The committed one, and one of more pods than a DAG may have."""
    folder = ROOT / "tests/golden/sweep/argo"
    assert checked(check_manifests, folder) == "1 manifests checked, 0 findings"
    root = make_clustered(tmp_path, HEAD + SWEPT, settings=COMMON + SERVICES)
    (root / "p.yaml").write_text(SWEPT_PARAMS)
    manifest, layout = sweep_of(root, [{"p.yaml": {"lr": number}} for number in range(200)])
    assert len(layout.nodes) == 1 + 3 * 200
    text = format_manifests("pipelines/toy.yaml", manifest)
    assert len(text.encode()) <= 180 << 10
    assert (
        checked(check_manifests, write(tmp_path, {"argo/toy/workflow/sweep.yaml": text}))
        == "1 manifests checked, 0 findings"
    )


def test_workflows_pass_as_they_are_submitted(check_manifests: Path, tmp_path: Path) -> None:
    root = make_clustered(tmp_path / "project", HEAD + tree(3), settings=COMMON + SERVICES)
    project = load_project(root)
    site = build_site(project, project.pipelines[0], "cluster", Remote("s3://bucket/dvc"))
    parameters = {"revision": "4" * 40, "set": "e30=", "fresh": "true"}
    own = build_own(site, workflow_of(root), parameters)
    files = {
        f"argo/{name}.yaml": format_manifests("x", manifest)
        for name, manifest in (("own", own), ("ref", build_reference(site, parameters)))
    }
    assert checked(check_manifests, write(tmp_path, files)) == "2 manifests checked, 0 findings"
    given = {each["name"]: each["value"] for each in own["spec"]["arguments"]["parameters"]}
    assert given == parameters
    with pytest.raises(CanonError, match="has no parameter `nope`"):
        build_own(site, workflow_of(root), {"nope": "x"})
    with pytest.raises(CanonError, match="commit them to a params file"):
        check_parameters({"set": "x" * (1 << 17)})


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.parent.name)
def test_the_platform_passes_kubernetes_schemas(folder: Path) -> None:
    kinds = set()
    for file in folder.glob("argo/*/platform/*.yaml"):
        for manifest in yaml.safe_load_all(file.read_text()):
            if manifest["apiVersion"].startswith("argoproj.io/"):
                continue
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
            kinds.add(manifest["kind"])
    admission = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "Secret", "NetworkPolicy"} | admission


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.parent.name)
def test_the_pods_pass_kubernetes_schemas(folder: Path) -> None:
    """A template's own part of a pod, as Argo puts it together."""
    seen = 0
    for pod in pods_below(folder):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        spec = pod["spec"]
        mounted = {
            mount["name"]
            for container in (*spec["containers"], *spec.get("initContainers", ()))
            for mount in container["volumeMounts"]
        }
        assert mounted == {volume["name"] for volume in spec["volumes"]}
        seen += 1
    assert seen >= 3
