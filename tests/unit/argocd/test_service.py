"""What serves a released model: where its settings come from, and what must never be in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from canon.argocd.service import UID, image_name
from canon.baking.bake import USER
from tests.clustered import HEAD, STAGES
from tests.deployed import DEPLOYED, SERVED, delivered, make_deployed, make_release, objects

Manifest = dict[str, Any]


def environment(root: Path, declaration: str = HEAD + STAGES + SERVED + DEPLOYED, name: str = "staging", **changes: Any) -> dict[str, Manifest]:  # fmt: skip
    """Kind → manifest of one released environment."""
    files = delivered(make_deployed(root, declaration, make_release(name, **changes)))
    folder = f"environments/{name}/"
    found = [each for path, text in files.items() if path.startswith(folder) for each in objects(text)]
    return {each["kind"]: each for each in found}


def pod_of(found: dict[str, Manifest]) -> Manifest:
    pod: Manifest = found["Deployment"]["spec"]["template"]["spec"]
    return pod


def test_the_image_is_pinned_by_the_kustomization_alone(tmp_path: Path) -> None:
    found = environment(tmp_path)
    (image,) = found["Kustomization"]["images"]
    assert image == {"name": "registry.example.com/ml/toy", "digest": f"sha256:{'5' * 64}"}
    assert pod_of(found)["containers"][0]["image"] == image["name"]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("registry.example.com/ml/toy", "registry.example.com/ml/toy"),
        ("localhost:5000/ml/toy:abc", "localhost:5000/ml/toy"),
        ("localhost:5000/ml/toy", "localhost:5000/ml/toy"),
    ],
)
def test_an_images_name_has_neither_tag_nor_digest(image: str, name: str) -> None:
    assert image_name(f"{image}@sha256:{'5' * 64}") == name


def test_a_pod_is_restricted_and_has_no_token(tmp_path: Path) -> None:
    pod = pod_of(environment(tmp_path))
    (container,) = pod["containers"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert "serviceAccountName" not in pod
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, UID)
    assert f"{UID}:{UID}" == USER
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]  # noqa: S108
    assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]


def test_a_release_with_the_same_image_restarts_nothing(tmp_path: Path) -> None:
    """Promotions and rollbacks change what the Deployment says of itself, never its pods."""
    first = environment(tmp_path / "a")["Deployment"]
    again = environment(tmp_path / "b", number=4, commit="9" * 40, run="https://x/y", why="again", result="1" * 64)["Deployment"]  # fmt: skip
    assert first["spec"] == again["spec"]
    assert first["metadata"]["annotations"] != again["metadata"]["annotations"]
    assert again["metadata"]["annotations"]["canon.dev/release"] == "4"
    assert "annotations" not in first["spec"]["template"]["metadata"]


def test_what_is_asked_is_the_declared_address(tmp_path: Path) -> None:
    served = SERVED.replace("pod:", "port: 9000, health: /ready, pod:")
    found = environment(tmp_path, HEAD + STAGES + served + DEPLOYED)
    (container,) = pod_of(found)["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/ready", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 9000}]
    assert found["Service"]["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]


def test_service_budget_and_spread_select_the_pods_of_their_own_environment(tmp_path: Path) -> None:
    found = environment(tmp_path, name="production")
    labels = {"canon.dev/pipeline": "toy", "canon.dev/environment": "production"}
    assert found["Deployment"]["spec"]["template"]["metadata"]["labels"] == labels
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert [each["labelSelector"]["matchLabels"] for each in pod_of(found)["topologySpreadConstraints"]] == [labels] * 2


@pytest.mark.parametrize(("replicas", "has_budget"), [(0, False), (1, False), (2, True), (7, True)])
def test_a_disruption_budget_begins_at_two_replicas(tmp_path: Path, replicas: int, has_budget: bool) -> None:  # noqa: FBT001
    """A budget of one pod would keep its node from ever being emptied."""
    declared = f"deploy: {{staging: {{namespace: toy-staging, replicas: {replicas}}}}}\n"
    found = environment(tmp_path, HEAD + STAGES + SERVED + declared)
    assert found["Deployment"]["spec"]["replicas"] == replicas
    assert ("PodDisruptionBudget" in found) is has_budget
    assert ("disruption-budget.yaml" in found["Kustomization"]["resources"]) is has_budget


def test_an_environments_key_replaces_the_services(tmp_path: Path) -> None:
    served = SERVED.replace("{memory: 1Gi}", "{memory: 1Gi, cpu: 1, env: {A: x, B: y}}")
    declared = "deploy: {staging: {namespace: toy-staging, pod: {memory: 4Gi, env: {A: z}}}}\n"
    (container,) = pod_of(environment(tmp_path, HEAD + STAGES + served + declared))["containers"]
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}
    env = {each["name"]: each["value"] for each in container["env"]}
    assert (env["A"], "B" in env, env["HOME"]) == ("z", False, "/tmp")  # noqa: S108
