"""Pods that a namespace refuses, and what makes it take them, as tried: no container is run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness.admission import Rules
from tests.harness.fixtures import MakeHarness
from tests.harness.manifests import RESTRICTED, Manifest, one_pod, single, workflow
from tests.harness.report import Report

PATCH = {
    "init": json.dumps({"initContainers": [{"name": "init", "securityContext": RESTRICTED}], "containers": [{"name": "wait", "securityContext": RESTRICTED}]}),
    "supervisor": json.dumps({"containers": [{"name": "supervisor", "securityContext": RESTRICTED}]}),
    "none": "",
}  # fmt: skip
NOT_RESTRICTED = 'allowPrivilegeEscalation != false (containers "init", "wait" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "init", "wait" must set'


def run(make_harness: MakeHarness, manifest: Manifest, **rules: Any) -> Report:
    harness = make_harness(rules=Rules(**rules))
    harness.apply(manifest)
    return harness.run(workflow())


@pytest.mark.parametrize(
    ("patch", "rules", "message"),
    [
        ("init", {}, ""),
        ("none", {}, NOT_RESTRICTED),
        ("none", {"restricted": False}, ""),
        ("none", {"secured": True}, ""),
        ("none", {"secured": True, "executor": "supervisor"}, ""),
        ("supervisor", {"executor": "supervisor"}, ""),
        ("none", {"executor": "supervisor"}, 'container "supervisor" must set'),
        (
            "init",
            {"executor": "supervisor"},
            "spec.initContainers[0].image: Required value, spec.containers[0].image: Required value",
        ),
        ("supervisor", {"restricted": False}, "spec.containers[0].image: Required value"),
    ],
)
def test_the_executors_containers(make_harness: MakeHarness, patch: str, rules: dict[str, Any], message: str) -> None:
    manifest = one_pod("true")
    manifest["spec"]["podSpecPatch"] = PATCH[patch]
    report = run(make_harness, manifest, **rules)
    assert (report.phase, report.pods) == (("Error", 0) if message else ("Succeeded", 1))
    assert message in report.message


SPEC: dict[str, tuple[Manifest, Manifest]] = {
    "runAsNonRoot != true": ({}, {"securityContext": {"runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}}),
    'seccompProfile (containers "main", "init", "wait" must set': ({}, {"securityContext": {"runAsUser": 10001, "runAsNonRoot": True}}),
    'allowPrivilegeEscalation != false (container "main" must set': ({"container": single("true", securityContext={"capabilities": {"drop": ["ALL"]}})}, {}),
    "executor.serviceAccountName must not be empty": ({}, {"executor": {}}),
    "metadata.labels: Invalid value": ({"metadata": {"labels": {"canon.dev/task": "a" * 64}}}, {}),
    "quantities must match": ({"container": single("true", resources={"requests": {"memory": "2 GB"}})}, {}),
    "must be less than or equal to memory limit of 1Gi": ({"container": single("true", resources={"requests": {"memory": "1.5Gi"}, "limits": {"memory": "1Gi"}})}, {}),
    "non overcommitable resources (nvidia.com/gpu)": ({"container": single("true", resources={"requests": {"nvidia.com/gpu": 1}})}, {}),
}  # fmt: skip


@pytest.mark.parametrize("message", SPEC)
def test_what_a_pod_must_not_say(make_harness: MakeHarness, message: str) -> None:
    template, spec = SPEC[message]
    manifest = one_pod("true")
    manifest["spec"]["templates"][0].update(template)
    manifest["spec"].update(spec)
    report = run(make_harness, manifest)
    assert (report.phase, report.pods) == ("Error", 0)
    assert message in report.message


def test_a_pod_that_says_all(make_harness: MakeHarness) -> None:
    resources = {
        "requests": {"cpu": "100m", "memory": "64Mi", "nvidia.com/gpu": 1},
        "limits": {"memory": "0.1Gi", "nvidia.com/gpu": "1"},
    }
    template = {
        "container": single("true", resources=resources), "metadata": {"labels": {"canon.dev/task": "a"}, "annotations": {"x": "y"}},
        "nodeSelector": {"gpu": "yes"}, "tolerations": [], "affinity": {}, "priorityClassName": "low", "serviceAccountName": "stage",
    }  # fmt: skip
    spec = {
        "imagePullSecrets": [{"name": "pull"}],
        "podMetadata": {"labels": {"a": ""}},
        "ttlStrategy": {},
        "podGC": {},
        "archiveLogs": True,
        "priority": 1,
    }
    manifest = one_pod("true")
    manifest["spec"]["templates"][0].update(template)
    manifest["spec"].update(spec)
    assert run(make_harness, manifest).phase == "Succeeded"
