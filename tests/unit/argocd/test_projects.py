"""The cage: what Argo CD's own rules, written down here once more, let a commit read and put where."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.clustered import CLUSTER, COMMON, HEAD, STAGES
from tests.deployed import DEPLOYED, SERVED, delivered, make_deployed, make_release, objects

Manifest = dict[str, Any]
TRIGGERS = "triggers: {sync: cluster, schedule: {cron: '0 3 * * 1', profile: cluster}, push: {'exp/*': cluster}}\n"
SERVER = "https://kubernetes.default.svc"
CLUSTER_WIDE = ("Namespace", "ClusterRole", "CustomResourceDefinition", "ValidatingAdmissionPolicy")
GIT = "https://git.example.com/ml/toy.git"


def permits_source(project: Manifest, url: str) -> bool:
    """IsSourcePermitted of app_project_types.go: one pattern fits, and none that begins with `!` fits the rest."""
    return any(fnmatch.fnmatchcase(url, pattern) for pattern in project["spec"]["sourceRepos"])


def permits(project: Manifest, group: str, kind: str, namespace: str | None, server: str = SERVER) -> bool:
    """IsResourcePermitted: lists without entries let nothing in, but that of namespaced kinds lets all in where it is missing."""
    spec = project["spec"]

    def among(items: list[dict[str, str]]) -> bool:
        return any(fnmatch.fnmatchcase(kind, each["kind"]) and fnmatch.fnmatchcase(group, each["group"]) for each in items)  # fmt: skip

    if namespace is None:
        return among(spec.get("clusterResourceWhitelist") or [])
    kinds = spec.get("namespaceResourceWhitelist")
    return (kinds is None or among(kinds)) and any(
        fnmatch.fnmatchcase(server, each.get("server", "")) and fnmatch.fnmatchcase(namespace, each["namespace"])
        for each in spec["destinations"]
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("p")
    releases = (make_release("staging"), make_release("production"))
    return delivered(make_deployed(root, HEAD + STAGES + SERVED + DEPLOYED + TRIGGERS, *releases))


@pytest.fixture(scope="module")
def projects(files: dict[str, str]) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in objects(files["platform/argocd.projects.yaml"])}


def test_what_is_rendered_is_permitted(files: dict[str, str], projects: dict[str, Manifest]) -> None:
    applications = [each for path, text in files.items() if path.startswith("applications/") for each in objects(text)]
    applications += objects(files["platform/argocd.root.yaml"])
    assert len(applications) == 4
    for each in applications:
        spec = each["spec"]
        project = projects[spec["project"]]
        assert permits_source(project, spec["source"]["repoURL"])
        folder = spec["source"]["path"].removeprefix("argo/toy/") + "/"
        held = [found for path, text in files.items() if path.startswith(folder) for found in objects(text)]
        for found in held:
            if found["kind"] == "Kustomization":  # Kustomize's own
                continue
            group = found["apiVersion"].rpartition("/")[0]
            assert permits(project, group, found["kind"], found["metadata"]["namespace"], spec["destination"]["server"])
        assert held or folder == "workflow/"  # rendered by the adapter `argo`


@pytest.mark.parametrize("kind", ["WorkflowTemplate", "Workflow", "CronWorkflow", "WorkflowEventBinding"])
def test_the_training_may_hold_what_is_declared(projects: dict[str, Manifest], kind: str) -> None:
    assert permits(projects["toy-training"], "argoproj.io", kind, "ml")
    assert not permits(projects["toy-training"], "argoproj.io", kind, "toy-staging")
    assert not permits(projects["toy"], "argoproj.io", kind, "toy-staging")


@pytest.mark.parametrize(
    ("triggers", "kinds"),
    [
        ("", {"WorkflowTemplate"}),
        ("triggers: {sync: cluster}\n", {"WorkflowTemplate", "Workflow"}),
        ("triggers: {push: {x: cluster}}\n", {"WorkflowTemplate", "WorkflowEventBinding"}),
    ],
)
def test_kinds_that_nothing_declares_are_refused(tmp_path: Path, triggers: str, kinds: set[str]) -> None:
    text = delivered(make_deployed(tmp_path, HEAD + STAGES + triggers))["platform/argocd.projects.yaml"]
    project = next(each for each in objects(text) if each["metadata"]["name"] == "toy-training")
    every = {"WorkflowTemplate", "Workflow", "CronWorkflow", "WorkflowEventBinding"}
    assert {kind for kind in every if permits(project, "argoproj.io", kind, "ml")} == kinds


@pytest.mark.parametrize("name", ["toy", "toy-training", "toy-root"])
def test_nothing_else_gets_in(projects: dict[str, Manifest], name: str) -> None:
    project = projects[name]
    namespaces = [each["namespace"] for each in project["spec"]["destinations"]]
    for kind in CLUSTER_WIDE:
        assert not permits(project, "", kind, None)
        assert not permits(project, "rbac.authorization.k8s.io", kind, None)
    for namespace in namespaces:
        for group, kind in (("", "Secret"), ("", "Pod"), ("", "ServiceAccount"), ("rbac.authorization.k8s.io", "RoleBinding"), ("batch", "Job"), ("argoproj.io", "AppProject"), ("argoproj.io", "ApplicationSet"), ("", "Deployment")):  # fmt: skip
            assert not permits(project, group, kind, namespace), (group, kind)
    for each in project["spec"]["namespaceResourceWhitelist"]:
        for namespace in ("kube-system", "default", "toy", "toy-staging-2", ""):
            assert not permits(project, each["group"], each["kind"], namespace)
        for namespace in namespaces:
            assert permits(project, each["group"], each["kind"], namespace)
            assert not permits(project, each["group"], each["kind"], namespace, "https://10.0.0.1")
    assert not permits_source(project, "https://git.example.com/ml/toy-fork.git")
    assert not permits_source(project, "https://git.example.com/ml/toy")


def test_only_applications_lie_where_argo_cd_is(projects: dict[str, Manifest]) -> None:
    """Whoever may write there what Argo CD believes may do anything."""
    assert [name for name, each in projects.items() if any(to["namespace"] == "argocd" for to in each["spec"]["destinations"])] == ["toy-root"]  # fmt: skip
    assert projects["toy-root"]["spec"]["namespaceResourceWhitelist"] == [
        {"kind": "Application", "group": "argoproj.io"}
    ]


def test_no_file_of_the_cage_lies_in_an_applications_path(files: dict[str, str]) -> None:
    applications = [
        each
        for path, text in files.items()
        if path.startswith("applications/") or path == "platform/argocd.root.yaml"
        for each in objects(text)
    ]
    paths = [each["spec"]["source"]["path"] for each in applications]
    cage = [f"argo/toy/{path}" for path in files if path.startswith("platform/")]
    assert len(cage) == 6
    assert [(path, file) for path in paths for file in cage if f"{file}/".startswith(f"{path.rstrip('/')}/")] == []
    assert all(path.startswith("argo/toy/") and ".." not in path for path in paths)


def test_every_namespace_and_secret_is_made_by_a_documented_command(files: dict[str, str]) -> None:
    handbook = files["platform/argocd.md"]
    for namespace in ("ml", "toy-staging", "toy-production"):
        assert f"kubectl create namespace {namespace}\n" in handbook
        assert f"kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=restricted\n" in handbook
    applied = [
        "ml.yaml",
        "toy-production.yaml",
        "toy-staging.yaml",
        "argocd.projects.yaml",
        "argocd.policy.yaml",
        "argocd.root.yaml",
    ]
    places = [handbook.index(f"kubectl apply -f argo/toy/platform/{file}\n") for file in applied]
    assert places == sorted(places)  # the root comes when its cage is there
    assert "argocd.argoproj.io/secret-type=repository" in handbook
    assert "username=NAME" in handbook
    assert f"--from-literal=url={GIT} " in handbook


def test_pull_secrets_and_keys_of_ssh_are_documented_where_they_are_declared(tmp_path: Path) -> None:
    served = SERVED.replace("memory: 1Gi", "image_pull_secrets: [pull]")
    settings = (COMMON + CLUSTER).replace(GIT, "git@git.example.com:ml/toy.git")
    handbook = delivered(make_deployed(tmp_path, HEAD + STAGES + served + DEPLOYED, settings=settings))["platform/argocd.md"]  # fmt: skip
    for namespace in ("toy-staging", "toy-production"):
        assert f"kubectl -n {namespace} create secret docker-registry pull " in handbook
    assert "--from-file=sshPrivateKey=KEYFILE" in handbook


def test_a_service_is_reached_at_its_port_and_reaches_no_clouds_metadata(tmp_path: Path) -> None:
    served = SERVED.replace("cmd:", "port: 9000, cmd:")
    text = delivered(make_deployed(tmp_path, HEAD + STAGES + served + DEPLOYED))["platform/toy-staging.yaml"]
    (policy,) = objects(text)
    spec = policy["spec"]
    assert policy["metadata"]["namespace"] == "toy-staging"
    assert spec["podSelector"]["matchLabels"] == {"canon.dev/pipeline": "toy", "canon.dev/environment": "staging"}
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": 9000}]}]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    blocks = [peer["ipBlock"] for rule in spec["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]} in blocks
