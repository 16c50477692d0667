"""Argo CD's Applications: which there are, what they follow, and what would make them run for ever or never."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.clustered import CLUSTER, COMMON, HEAD, STAGES
from tests.deployed import DEPLOYED, SERVED, SYNC, delivered, make_deployed, make_release, objects

WHOLE = HEAD + STAGES + SERVED + DEPLOYED
RELEASES = (COMMON + CLUSTER).replace('toy.git"}', 'toy.git", releases = {branch = "deploy"}}')


def application(root: Path, name: str, declaration: str = WHOLE, settings: str = COMMON + CLUSTER) -> dict[str, Any]:
    files = delivered(make_deployed(root, declaration, make_release(), settings=settings))
    (found,) = objects(files[f"applications/{name}.yaml"])
    return found


def test_an_environment_without_a_release_waits_without_a_file(tmp_path: Path) -> None:
    files = delivered(make_deployed(tmp_path, WHOLE, make_release("staging")))
    assert sorted(path for path in files if not path.startswith("platform/")) == [
        "applications/staging.yaml",
        "applications/workflow.yaml",
        "environments/staging/deployment.yaml",
        "environments/staging/kustomization.yaml",
        "environments/staging/service.yaml",
    ]
    assert "toy-production" in files["platform/argocd.projects.yaml"]  # the cage is there before the first release


def test_without_a_cluster_profile_only_services_are_delivered(tmp_path: Path) -> None:
    files = delivered(make_deployed(tmp_path, WHOLE, make_release(), settings=COMMON))
    assert "applications/workflow.yaml" not in files
    assert [each["metadata"]["name"] for each in objects(files["platform/argocd.projects.yaml"])] == ["toy-root", "toy"]
    assert delivered(make_deployed(tmp_path / "none", HEAD + STAGES, settings=COMMON)) == {}


def test_an_environment_is_followed_as_declared(tmp_path: Path) -> None:
    spec = application(tmp_path, "staging")["spec"]
    assert spec["source"] == {
        "repoURL": "https://git.example.com/ml/toy.git",
        "targetRevision": "main",
        "path": "argo/toy/environments/staging",
    }
    assert (spec["project"], spec["destination"]["namespace"]) == ("toy", "toy-staging")
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert spec["syncPolicy"]["syncOptions"] == ["ServerSideApply=true"]
    assert spec["syncPolicy"]["retry"]["backoff"]["factor"] == 2


@pytest.mark.parametrize(
    ("sync", "automated"),
    [
        ("{prune: false}", {"selfHeal": True}),
        ("{self_heal: false}", {"prune": True}),
        ("{prune: false, self_heal: false}", {}),
        ("{automated: false}", None),
    ],
)
def test_what_argo_cd_does_by_itself_is_declared(tmp_path: Path, sync: str, automated: dict[str, bool] | None) -> None:
    """A key that is false is left out: Argo CD drops it, and an Application of Applications would show a difference for ever."""
    declaration = WHOLE.replace("namespace: toy-staging", f"namespace: toy-staging, sync: {sync}")
    policy = application(tmp_path, "staging", declaration)["spec"]["syncPolicy"]
    assert policy.get("automated") == automated


def test_argo_cd_shows_the_commit_and_the_row(tmp_path: Path) -> None:
    found = application(tmp_path, "staging")
    commit = "1f2e3d4c" * 5
    assert found["metadata"]["annotations"] == {
        "link.argocd.argoproj.io/commit": f"commit {commit[:12]}|https://git.example.com/ml/toy/commit/{commit}",
        "link.argocd.argoproj.io/run": "MLflow run|https://mlflow.example.com/#/experiments/1/runs/8",
    }
    info = {each["name"]: each["value"] for each in found["spec"]["info"]}
    assert info["Release"] == "3: a new month"
    assert info["Commit"].endswith(commit)
    assert (info["Data"], info["MLflow run"]) == ("6" * 64, "https://mlflow.example.com/#/experiments/1/runs/8")


def test_every_commit_trains_once_and_a_failed_one_is_not_repeated(tmp_path: Path) -> None:
    found = application(tmp_path, "workflow", WHOLE + SYNC)
    spec = found["spec"]
    assert spec["source"]["kustomize"] == {
        "commonAnnotations": {"canon.dev/revision": "${ARGOCD_APP_REVISION}"},
        "commonAnnotationsEnvsubst": True,
    }
    assert spec["syncPolicy"]["retry"] == {}  # none at all: without the key, five; `limit: 0` is dropped
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert "argocd.argoproj.io/manifest-generate-paths" not in found["metadata"].get("annotations", {})
    assert (spec["project"], spec["destination"]["namespace"]) == ("toy-training", "ml")


def test_without_the_trigger_a_commit_changes_nothing_of_the_training(tmp_path: Path) -> None:
    spec = application(tmp_path, "workflow")["spec"]
    assert "kustomize" not in spec["source"]
    assert spec["syncPolicy"]["retry"]["limit"] == 5


def roots(root: Path, settings: str) -> dict[str, Any]:
    text = delivered(make_deployed(root, WHOLE + SYNC, settings=settings))["platform/argocd.root.yaml"]
    return {each["metadata"]["name"]: each for each in objects(text)}


def test_one_root_holds_all_applications(tmp_path: Path) -> None:
    (root,) = roots(tmp_path, COMMON + CLUSTER).values()
    assert (root["metadata"]["name"], root["spec"]["project"]) == ("toy-root", "toy-root")
    assert root["spec"]["source"]["path"] == "argo/toy/applications"
    assert root["spec"]["source"]["directory"] == {"include": "*.yaml"}
    assert "finalizers" not in root["metadata"]  # what it holds stays where it is removed by hand


def test_with_a_branch_of_their_own_releases_have_a_root_of_their_own(tmp_path: Path) -> None:
    """No Application is held by both: each would say of the other's that it is shared."""
    found = {name: each["spec"]["source"] for name, each in roots(tmp_path, RELEASES).items()}
    assert {name: (each["targetRevision"], each["directory"]) for name, each in found.items()} == {
        "toy-root": ("main", {"include": "workflow.yaml"}),
        "toy-releases": ("deploy", {"include": "*.yaml", "exclude": "workflow.yaml"}),
    }
    spec = application(tmp_path / "b", "staging", WHOLE, RELEASES)["spec"]
    assert spec["source"]["targetRevision"] == "deploy"
    assert application(tmp_path / "b", "workflow", WHOLE, RELEASES)["spec"]["source"]["targetRevision"] == "main"
