"""How a manifest reads: its keys in the order that people write them, small mappings on one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canon.output.files import MARK
from canon.output.yaml import OneLine, OneRow, format_yaml

KUSTOMIZATION = "kustomization.yaml"
"""How Kustomize, and Argo CD by it, knows a folder of its own."""
FIRST = (
    "apiVersion", "kind", "name", "generateName", "namespace", "metadata", "labels", "annotations", "spec", "entrypoint", "inputs", "outputs", "replicas", "selector", "template",
    "depends", "when", "arguments", "serviceAccountName", "automountServiceAccountToken", "executor", "image", "command", "args",
    "dependencies", "env", "envFrom", "dag", "initContainers", "containerSet", "container", "containers",
)  # fmt: skip
"""Keys that stand first, in this order; the others keep theirs."""
LAST = ("resources", "volumeMounts", "volumes", "securityContext", "podSpecPatch", "templates")
SHORT = frozenset({"env", "envFrom", "volumeMounts", "volumes", "securityContext", "resources", "parameters", "tolerations", "backoff", "mutexes",
    "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports", "imagePullSecrets", "topologySpreadConstraints", "images",
    "destination", "destinations", "namespaceResourceWhitelist", "automated", "info",
})  # fmt: skip
"""Keys below which each mapping takes one line."""
ROWS = frozenset(
    {
        "command",
        "args",
        "dependencies",
        "verbs",
        "resources",
        "apiGroups",
        "resourceNames",
        "drop",
        "schedules",
        "except",
        "policyTypes",
        "apiVersions",
        "operations",
        "validationActions",
        "finalizers",
        "syncOptions",
        "sourceRepos",
    }
)
"""Keys whose lists of texts take one line."""
_RANKS = {
    **{key: rank for rank, key in enumerate(FIRST)},
    **{key: len(FIRST) + 1 + rank for rank, key in enumerate(LAST)},
}
_WIDE = 1000


def readable(value: Any, *, short: bool = False) -> Any:  # noqa: ANN401  any part of a manifest
    """A part of a manifest with its keys in order; what is on one line already stays as it is."""
    if isinstance(value, OneLine):
        return value
    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda item: _RANKS.get(item[0], len(FIRST)))
        if short:
            return OneLine((key, readable(item)) for key, item in ordered)
        return {
            key: OneRow(item) if key in ROWS and isinstance(item, list) else readable(item, short=key in SHORT)
            for key, item in ordered
        }
    if isinstance(value, list | tuple):
        return [readable(item, short=short) for item in value]
    return value


def build_kustomization(resources: Sequence[str]) -> dict[str, Any]:
    """What Kustomize reads of a folder: the files that are there."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(resources)}


def format_manifests(source: str, *manifests: Mapping[str, Any], release: str | None = None) -> str:
    """The text of a file of manifests that is generated from the declaration ``source``; ``release``: the file whose release they are, too."""
    header = f"{MARK}{source}: change that file, not this one.\n"
    if release:
        header = f"{MARK}{source} and {release}: change the declaration, release anew; don't change this one.\n"
    return header + "---\n".join(format_yaml(readable(manifest), width=_WIDE) for manifest in manifests)
