"""The fields of manifests that the harness knows. Any other one is an error: what is not looked at here would be believed to work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.harness.errors import UnknownFieldError

ANY: None = None
"""A value that is not looked into."""

PARAMETERS = {"parameters": [{"name": ANY, "value": ANY, "default": ANY, "description": ANY, "enum": ANY}]}
META = {"labels": ANY, "annotations": ANY}
KEY = {"name": ANY, "key": ANY, "optional": ANY}
SOURCE = {"name": ANY, "optional": ANY}
ITEMS = [{"key": ANY, "path": ANY, "mode": ANY}]
VOLUMES = [
    {
        "name": ANY,
        "emptyDir": {"medium": ANY, "sizeLimit": ANY},
        "secret": {"secretName": ANY, "optional": ANY, "items": ITEMS, "defaultMode": ANY},
        "persistentVolumeClaim": {"claimName": ANY, "readOnly": ANY},
        "configMap": {"name": ANY, "optional": ANY, "items": ITEMS, "defaultMode": ANY},
    }
]
MOUNTS = [{"name": ANY, "mountPath": ANY, "readOnly": ANY, "subPath": ANY}]
SECCOMP = {"type": ANY}
CONTAINER = {
    "name": ANY,
    "image": ANY,
    "imagePullPolicy": ANY,
    "command": [ANY],
    "args": [ANY],
    "workingDir": ANY,
    "env": [
        {
            "name": ANY,
            "value": ANY,
            "valueFrom": {"secretKeyRef": KEY, "configMapKeyRef": KEY, "fieldRef": {"fieldPath": ANY}},
        }
    ],
    "envFrom": [{"prefix": ANY, "secretRef": SOURCE, "configMapRef": SOURCE}],
    "volumeMounts": MOUNTS,
    "resources": {"requests": ANY, "limits": ANY},
    "securityContext": {
        "allowPrivilegeEscalation": ANY,
        "readOnlyRootFilesystem": ANY,
        "capabilities": {"drop": ANY},
        "runAsNonRoot": ANY,
        "runAsUser": ANY,
        "runAsGroup": ANY,
        "seccompProfile": SECCOMP,
    },
}
POD_SECURITY = {
    "runAsNonRoot": ANY,
    "runAsUser": ANY,
    "runAsGroup": ANY,
    "fsGroup": ANY,
    "fsGroupChangePolicy": ANY,
    "supplementalGroups": ANY,
    "seccompProfile": SECCOMP,
}
SCHEDULING = {"nodeSelector": ANY, "tolerations": ANY, "affinity": ANY, "priorityClassName": ANY}
"""Where a pod runs: this machine is the only one."""
TASK = {
    "name": ANY,
    "template": ANY,
    "arguments": {"parameters": [{"name": ANY, "value": ANY}]},
    "depends": ANY,
    "dependencies": [ANY],
    "when": ANY,
}
TEMPLATE = {
    "name": ANY,
    "inputs": PARAMETERS,
    "outputs": {"parameters": [{"name": ANY, "description": ANY, "valueFrom": {"path": ANY, "default": ANY}}]},
    "metadata": META,
    "volumes": VOLUMES,
    "initContainers": [CONTAINER],
    "container": CONTAINER,
    "containerSet": {"volumeMounts": MOUNTS, "containers": [{**CONTAINER, "dependencies": [ANY]}]},
    "dag": {"tasks": [TASK], "failFast": ANY},
    "retryStrategy": {
        "limit": ANY,
        "retryPolicy": ANY,
        "expression": ANY,
        "backoff": {"duration": ANY, "factor": ANY, "maxDuration": ANY, "cap": ANY},
    },
    "activeDeadlineSeconds": ANY,
    "securityContext": POD_SECURITY,
    "podSpecPatch": ANY,
    "parallelism": ANY,
    **SCHEDULING,
    # Without effect on one machine, for one user.
    "serviceAccountName": ANY,
    "automountServiceAccountToken": ANY,
    "executor": {"serviceAccountName": ANY},
    "annotations": ANY,
    "archiveLocation": {"archiveLogs": ANY},
}
ARGUMENTS = {"parameters": [{"name": ANY, "value": ANY, "description": ANY, "enum": ANY}]}
REF = {"name": ANY}
TEMPLATE_SPEC = {
    "entrypoint": ANY,
    "arguments": ARGUMENTS,
    "templates": [TEMPLATE],
    "volumes": VOLUMES,
    "securityContext": POD_SECURITY,
    "podSpecPatch": ANY,
    "synchronization": {"mutexes": [{"name": ANY, "namespace": ANY}]},
    "parallelism": ANY,
    "onExit": ANY,
    # Without effect on one machine, for one user; what they do to a pod's rights is not of this harness.
    "serviceAccountName": ANY,
    "automountServiceAccountToken": ANY,
    "executor": {"serviceAccountName": ANY},
    "imagePullSecrets": [REF],
    "podMetadata": META,
    "workflowMetadata": META,
    "podPriorityClassName": ANY,
    "priority": ANY,
    "archiveLogs": ANY,
    "ttlStrategy": ANY,
    "podGC": ANY,
    **{name: known for name, known in SCHEDULING.items() if name != "priorityClassName"},
}
METADATA = {"name": ANY, "generateName": ANY, "namespace": ANY, **META}
KINDS: Mapping[str, Any] = {
    "WorkflowTemplate": {"apiVersion": ANY, "kind": ANY, "metadata": METADATA, "spec": TEMPLATE_SPEC},
    "Workflow": {
        "apiVersion": ANY,
        "kind": ANY,
        "metadata": METADATA,
        "spec": {"workflowTemplateRef": REF, "arguments": ARGUMENTS, "entrypoint": ANY},
    },
}
OWN = {"apiVersion": ANY, "kind": ANY, "metadata": METADATA, "spec": TEMPLATE_SPEC}
"""A Workflow that refers to no template."""


def check_fields(manifest: Mapping[str, Any]) -> None:
    """Raise UnknownFieldError, which names them, for fields of a manifest that the harness does not implement."""
    kind = str(manifest.get("kind"))
    if kind not in KINDS:
        raise UnknownFieldError(f"kind {kind!r}: the harness runs {', '.join(KINDS)}")
    is_own = kind == "Workflow" and "workflowTemplateRef" not in (manifest.get("spec") or {})
    unknown = list(_unknown(manifest, OWN if is_own else KINDS[kind], ""))
    if unknown:
        raise UnknownFieldError(
            f"{kind}: field not declared in schema, or not implemented by the harness: {', '.join(unknown)}"
        )


def _unknown(value: Any, known: Any, path: str) -> list[str]:
    if known is ANY or value is None:
        return []
    if isinstance(known, list):
        if not isinstance(value, list):
            return [f"{path} (expected a list)"]
        return [name for number, each in enumerate(value) for name in _unknown(each, known[0], f"{path}[{number}]")]
    if not isinstance(value, Mapping):
        return [f"{path} (expected a mapping)"]
    return [
        name
        for key, each in value.items()
        for name in (_unknown(each, known[key], f"{path}.{key}") if key in known else [f"{path}.{key}"])
    ]
