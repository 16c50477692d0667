"""The pods of rendered Workflows as core objects, which tools that know nothing of Argo can look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

GOLDEN = [ROOT / "tests/golden" / case / "rendered" for case in ("cluster", "deployed", "reference", "workflow")]
"""Where rendered manifests are committed: of every setting, of services, of this repository's pipelines, of the least there is."""
IMAGE = f"registry.example.com/ml/base@sha256:{'5' * 64}"
"""What `plan` gives the stages: the image of the code, by digest."""
PLACED = ("initContainers", "tolerations", "nodeSelector", "affinity", "priorityClassName")


def workflow_files(folder: Path) -> list[Path]:
    """The manifests of `workflow/`; what Kustomize reads there is none."""
    return sorted(file for file in folder.glob("argo/*/workflow/*.yaml") if file.name != "kustomization.yaml")


def environment_manifests(folder: Path) -> Iterator[dict[str, Any]]:
    """What lies in `environments/`, images by digest as Kustomize makes them."""
    for place in sorted(folder.glob("argo/*/environments/*")):
        files = {file.name: yaml.safe_load(file.read_text()) for file in sorted(place.glob("*.yaml"))}
        kustomization = files.pop("kustomization.yaml")
        assert sorted(kustomization["resources"]) == sorted(files)
        digests = {each["name"]: f"{each['name']}@{each['digest']}" for each in kustomization["images"]}
        for manifest in files.values():
            if manifest["kind"] == "Deployment":
                for container in manifest["spec"]["template"]["spec"]["containers"]:
                    container["image"] = digests[container["image"]]
            yield manifest


def pods_below(folder: Path) -> Iterator[dict[str, Any]]:
    """The pod of each template, a template's own part of it as Argo puts it together."""
    for file in workflow_files(folder):
        manifest = yaml.safe_load(file.read_text())
        for template in manifest["spec"].get("templates", ()):
            if "container" in template or "containerSet" in template:
                yield _pod(manifest, template)


def _pod(manifest: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
    spec, name = manifest["spec"], manifest["metadata"]["name"]
    template = json.loads(json.dumps(template).replace("{{inputs.parameters.image}}", IMAGE))
    containers = [{"name": "main", **template["container"]}] if "container" in template else []
    for node in template.get("containerSet", {}).get("containers", ()):
        own = {key: value for key, value in node.items() if key != "dependencies"}
        own["volumeMounts"] = [*template["containerSet"]["volumeMounts"], *own.get("volumeMounts", ())]
        containers.append(own)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{name}-{template['name']}", "namespace": manifest["metadata"]["namespace"], **spec["podMetadata"]},
        "spec": {
            "containers": containers,
            "volumes": [*spec["volumes"], *template["volumes"]],
            "securityContext": spec["securityContext"],
            "serviceAccountName": template["serviceAccountName"],
            "automountServiceAccountToken": spec["automountServiceAccountToken"],
            **({"imagePullSecrets": spec["imagePullSecrets"]} if "imagePullSecrets" in spec else {}),
            **{key: template[key] for key in PLACED if key in template},
        },
    }  # fmt: skip
